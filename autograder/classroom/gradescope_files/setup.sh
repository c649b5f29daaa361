#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image: Python, the packages, a user for student code.
# With names of steps it does only those: bash setup.sh system python packages account permissions proof
set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

ROOT=${AUTOGRADER_ROOT:-/autograder}
SOURCE=$ROOT/source
VENV=$ROOT/venv
STUDENT=student
BASE_IMAGE='take Ubuntu 22.04 or newer as the base image'

die() {
    printf 'setup.sh: %s\n' "$*" >&2
    exit 1
}

new_enough() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

system() {
    command -v apt-get >/dev/null || die "this image has no apt-get; $BASE_IMAGE."
    apt-get update -q
    apt-get install -qy --no-install-recommends python3 python3-venv passwd util-linux
    # Where bubblewrap is not to be had or does not work, student code runs as another user.
    apt-get install -qy --no-install-recommends bubblewrap || echo "setup.sh: going on without bubblewrap"
    local version
    for version in 3.13 3.12 3.11; do
        if new_enough python3; then break; fi
        apt-get install -qy --no-install-recommends "python$version" "python$version-venv" || continue
        if new_enough "python$version"; then break; fi
    done
}

python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            rm -rf "$VENV"
            "$candidate" -m venv "$VENV"
            return
        fi
    done
    die "there is no Python 3.11 or newer; $BASE_IMAGE."
}

packages() {
    "$VENV/bin/python" -m pip install --quiet --progress-bar off -r "$SOURCE/requirements.txt" ||
        die "the packages of requirements.txt could not be installed; build the image again."
}

account() { id -u "$STUDENT" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$STUDENT"; }

# Files below source stay readable, for bubblewrap, which shows some of them to another user; the folder itself does not.
permissions() {
    mkdir -p "$ROOT/results"
    chown -R root:root "$SOURCE" "$ROOT/results"
    chmod -R u=rwX,go=rX "$SOURCE"
    "$VENV/bin/python" -m compileall -q "$SOURCE/project" # not anew for every submission
    chmod -R go= "$SOURCE/private"
    chmod 700 "$SOURCE" "$ROOT/results"
}

proof() {
    local student=(setpriv --reuid "$STUDENT" --regid "$STUDENT" --clear-groups --no-new-privs env -i)
    "${student[@]}" "$VENV/bin/python" -c 'import torch, numpy, scipy, safetensors, pytest' ||
        die "the user $STUDENT cannot import the packages."
    if "${student[@]}" ls "$SOURCE" >/dev/null 2>&1; then die "the user $STUDENT can look into $SOURCE."; fi
}

[ "$(id -u)" = 0 ] || die "this is for root, in a container of its own."
[ $# -gt 0 ] || set -- system python packages account permissions proof
for step in "$@"; do
    case $step in
        system | python | packages | account | permissions | proof) ;;
        *) die "there is no step $step." ;;
    esac
done
for step in "$@"; do
    echo "setup.sh: $step"
    "$step"
done
