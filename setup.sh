#!/usr/bin/env bash
# Makes .venv beside this file, installs the pinned packages and this project, fetches default assets. See --help.
set -euo pipefail
unset CDPATH PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

CALLER=$PWD
ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
VENV=$ROOT/.venv
LOCK=$ROOT/.setup.lock
MARK=$VENV/.setup-unfinished
LOG=$VENV/pip.log
NEEDED_MB=2500

PYTHON='' MIRROR='' OFFLINE='' MINIMAL='' ASSETS=default

usage() {
    cat <<'HELP'
usage: bash setup.sh [--mirror DIR] [--offline] [--python PATH] [--no-model] [--minimal] [--help]

Makes .venv beside this file, installs the pinned packages and the commands llamalab and autograder, fetches
the default assets and prints what is here and what is not. Run it again whenever you like: what is done is
left alone, what is broken is repaired.

  --mirror DIR    look for assets, and for wheels (*.whl) in DIR itself, in a folder before the network
  --offline       use no network; packages then come from DIR, PIP_FIND_LINKS or what is installed already
  --python PATH   the Python to build on (3.11 or newer); otherwise python3.13, 3.12, 3.11, python3, python
  --no-model      leave out the 98 MB default model
  --minimal       leave out requirements-dev.txt, for the project's own tests and benchmarks (a handout has none)

examples:
  bash setup.sh
  bash setup.sh --mirror /media/usb/llamalab --offline
  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu bash setup.sh

The last one is for Linux without an NVIDIA GPU: it takes torch's CPU build and saves gigabytes. Every PIP_...
variable and pip.conf setting holds here too. Nothing outside this folder is changed, except pip's own cache.

exit status: 0 the environment is ready, whether or not every asset could be reached; 1 it is not, or an
asset cannot be kept here; 2 the options make no sense; 130 interrupted.
HELP
}

say() { printf '%s\n' "setup.sh: $*" >&2; }
die() {
    say "$*"
    exit 1
}
misuse() {
    say "$* (see: bash setup.sh --help)"
    exit 2
}

parse_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --mirror | --python)
                [ $# -ge 2 ] && [ -n "$2" ] || misuse "$1 needs a value"
                if [ "$1" = --mirror ]; then MIRROR=$2; else PYTHON=$2; fi
                shift
                ;;
            --mirror=?*) MIRROR=${1#*=} ;;
            --python=?*) PYTHON=${1#*=} ;;
            --offline) OFFLINE=1 ;;
            --no-model) ASSETS=essentials ;;
            --minimal) MINIMAL=1 ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) misuse "unknown option $1" ;;
        esac
        shift
    done
    MIRROR=${MIRROR:-${LLAMALAB_MIRROR:-}}
    if [ -n "$MIRROR" ]; then
        [ -d "$MIRROR" ] || misuse "the mirror $MIRROR is not a folder"
        MIRROR=$(cd -- "$MIRROR" && pwd -P)
    fi
}

# One setup at a time: two would install over each other.
take_lock() {
    [ -w "$ROOT" ] || die "cannot write in $ROOT; copy the project to a folder of your own."
    if ! mkdir "$LOCK" 2>/dev/null; then
        local owner
        owner=$(cat "$LOCK/pid" 2>/dev/null || true)
        if [ -n "$owner" ] && kill -0 "$owner" 2>/dev/null; then
            die "another setup.sh (process $owner) is at work here; wait for it."
        fi
        rm -rf "$LOCK"
        mkdir "$LOCK" || die "cannot write in $ROOT; copy the project to a folder of your own."
    fi
    echo $$ >"$LOCK/pid"
    trap 'rm -rf "$LOCK"' EXIT
    trap 'say "interrupted; run it again to go on."; exit 130' INT
    trap 'exit 143' TERM
}

# Prints nothing where a Python will do, else why it will not.
python_fault() {
    local answer
    answer=$("$1" -c '
import sys
print("%d.%d.%d" % sys.version_info[:3])
if sys.version_info >= (3, 11):
    try:
        import ensurepip, venv
    except ImportError:
        print("no venv")
' 2>/dev/null) || {
        echo "does not run"
        return
    }
    case $answer in
        *"no venv"*)
            local minor=${answer%.*}
            echo "has no venv module (on Debian or Ubuntu: apt install python$minor-venv)"
            ;;
        3.1[1-9].* | 3.[2-9][0-9].* | [4-9].*) ;;
        *) echo "is version ${answer:-unknown}; 3.11 or newer is needed" ;;
    esac
}

find_python() {
    local fault faults='' candidate
    if [ -n "$PYTHON" ]; then
        case $PYTHON in */*) [ -e "$PYTHON" ] || die "there is no $PYTHON." ;; esac
        fault=$(python_fault "$PYTHON")
        [ -z "$fault" ] || die "$PYTHON $fault."
        return
    fi
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        fault=$(python_fault "$candidate")
        if [ -z "$fault" ]; then
            PYTHON=$candidate
            return
        fi
        # A version manager's placeholder for a Python that is not installed says nothing useful.
        [ "$fault" = "does not run" ] || faults="$faults $candidate $fault;"
    done
    die "no usable Python 3.11 or newer:${faults:- none was found;} install one, or name it with --python PATH."
}

venv_python() {
    if [ -e "$VENV/Scripts/python.exe" ]; then echo "$VENV/Scripts/python.exe"; else echo "$VENV/bin/python"; fi
}

# The environment is kept if it runs, is new enough, has pip, was not interrupted, and is of the Python asked for.
venv_is_usable() {
    [ -f "$VENV/pyvenv.cfg" ] && [ ! -e "$MARK" ] || return 1
    [ -z "$(python_fault "$(venv_python)")" ] && "$(venv_python)" -P -c 'import pip' 2>/dev/null || return 1
    [ -z "$PYTHON" ] || [ "$("$PYTHON" -V 2>&1)" = "$("$(venv_python)" -V 2>&1)" ]
}

make_venv() {
    if venv_is_usable; then return; fi
    find_python
    if [ -e "$VENV" ] || [ -L "$VENV" ]; then
        # Only what this script or venv made is removed; anything else of that name is the user's.
        if [ ! -f "$VENV/pyvenv.cfg" ] && [ ! -e "$MARK" ] && [ -n "$(ls -A "$VENV" 2>/dev/null || echo file)" ]; then
            die "$VENV is there and is not a virtual environment; move it away."
        fi
        say "replacing .venv, which is unfinished, broken or of another Python"
        rm -rf "$VENV" || die "cannot remove $VENV; remove it by hand."
    fi
    local free
    free=$(df -Pk "$ROOT" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "${free:-0}" -ge "$NEEDED_MB" ] ||
        die "$ROOT has $free MB free and about $NEEDED_MB MB are needed; free some space (see also --help on torch)."
    say "making .venv with $("$PYTHON" -V 2>&1)"
    mkdir "$VENV" && : >"$MARK" || die "cannot make $VENV."
    local report
    report=$("$PYTHON" -P -m venv "$VENV" 2>&1) || die "cannot make .venv: $(printf '%s' "$report" | tail -n 1)"
}

# Which packages of the requirement files are missing or of another version; nothing when all is as pinned.
unmet() {
    "$(venv_python)" -P - "${REQUIREMENTS[@]}" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version

for path in sys.argv[1:]:
    for line in open(path, encoding="utf-8"):
        name, _, pinned = line.split("#")[0].strip().partition("==")
        try:
            # A build such as 2.13.0+cpu satisfies the pin 2.13.0.
            if name and version(name).split("+")[0] != pinned:
                print(name)
        except PackageNotFoundError:
            print(name)
PYTHON
}

install_packages() {
    REQUIREMENTS=("$ROOT/requirements.txt")
    # A handout has none: it holds what a course may forbid.
    [ -n "$MINIMAL" ] || [ ! -f "$ROOT/requirements-dev.txt" ] || REQUIREMENTS+=("$ROOT/requirements-dev.txt")
    local missing
    missing=$(unmet)
    if [ -z "$missing" ] && [ ! -e "$MARK" ]; then return; fi

    local arguments=(install --log "$LOG")
    for file in "${REQUIREMENTS[@]}"; do arguments+=(-r "$file"); done
    [ -t 1 ] || arguments+=(--quiet --progress-bar off)
    [ -z "$OFFLINE" ] || arguments+=(--no-index)
    [ -z "$MIRROR" ] || arguments+=(--find-links "$MIRROR")
    say "installing $(printf '%s' "$missing" | grep -c .) packages and what they need; the first time takes minutes"
    : >"$MARK"
    rm -f "$LOG"
    # An index that cannot be reached should cost seconds; whoever set other limits knows better.
    if ! PIP_DEFAULT_TIMEOUT=${PIP_DEFAULT_TIMEOUT:-15} PIP_RETRIES=${PIP_RETRIES:-1} \
        "$(venv_python)" -P -m pip "${arguments[@]}" 2>"$VENV/pip.err"; then
        explain_pip
    fi
    "$(venv_python)" -P -c 'import torch, numpy, sentencepiece, tokenizers, safetensors, gguf' 2>"$VENV/pip.err" ||
        die "the packages were installed but do not load: $(tail -n 1 "$VENV/pip.err")"
    rm -f "$MARK" "$VENV/pip.err"
}

# Whether .venv has this project from this folder, in editable mode and with the commands of today.
project_is_installed() {
    "$(venv_python)" -P - "$ROOT" <<'PYTHON'
import json
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

root = Path(sys.argv[1])
project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
try:
    found = distribution(project["name"])
except PackageNotFoundError:
    sys.exit(1)
origin = json.loads(found.read_text("direct_url.json") or "{}")
commands = {command.name: command.value for command in found.entry_points if command.group == "console_scripts"}
as_wanted = origin.get("url") == root.as_uri() and origin.get("dir_info") == {"editable": True}
sys.exit(not (as_wanted and found.version == project["version"] and commands == project["scripts"]))
PYTHON
}

# The packages llamalab and autograder become importable from everywhere, and nothing else that lies in this folder.
install_project() {
    if project_is_installed; then return; fi
    # Built with the setuptools that torch has brought along, so that no index is asked.
    "$(venv_python)" -P -m pip install --quiet --log "$LOG" --no-deps --no-build-isolation --no-index \
        --editable "$ROOT" 2>"$VENV/pip.err" || die "pip could not install the project in $ROOT itself (log: $LOG)"
    rm -f "$VENV/pip.err"
}

explain_pip() {
    local reason
    reason=$(grep -E '^ERROR: ' "$VENV/pip.err" | tail -n 1 | sed 's/^ERROR: //' || true)
    if grep -qE 'No space left|Errno 28' "$VENV/pip.err" "$LOG" 2>/dev/null; then
        die "the disk filled up while pip was installing; free some space and run this again."
    fi
    # Nothing was installed unless pip got that far, so the environment need not be made anew.
    grep -q 'Installing collected packages' "$LOG" 2>/dev/null || rm -f "$MARK"
    if grep -qE 'connection error|NewConnectionError|ConnectTimeout|Retrying \(' "$VENV/pip.err" "$LOG"; then
        die "pip cannot reach its package index (log: $LOG); connect, or use --offline with --mirror DIR of wheels."
    fi
    [ -z "$OFFLINE" ] ||
        die "offline, and no wheel to install from: $reason; use --mirror DIR of wheels, or leave out --offline."
    die "pip could not install the packages: ${reason:-it gave no reason} (log: $LOG)"
}

fetch_assets() {
    local arguments=(fetch "$ASSETS") status=0
    [ -z "$MIRROR" ] || arguments+=(--mirror "$MIRROR")
    [ -z "$OFFLINE" ] || arguments+=(--offline)
    (cd "$ROOT" && "$(venv_python)" -m llamalab.assets "${arguments[@]}") || status=$?
    case $status in
        0 | 3) ;; # 3: some source could not be reached, which the table says; the environment is ready all the same
        130) exit 130 ;;
        *) die "the environment is ready, but some assets are not (see above)." ;;
    esac
}

main() {
    parse_options "$@"
    take_lock
    make_venv
    install_packages
    install_project
    fetch_assets
    local python
    python=$(venv_python)
    echo
    echo "Ready. Next:"
    if [ "$CALLER" != "$ROOT" ]; then printf '    cd %q\n' "$ROOT"; fi
    if [ -f "$ROOT/.handout" ]; then # the model is still to be written
        echo "    ${python#"$ROOT/"} -m autograder check"
    else
        echo "    ${python#"$ROOT/"} run_llama.py --option generate"
    fi
}

main "$@"
