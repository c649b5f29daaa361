"""The zip for Gradescope, unpacked where Gradescope would and run by its own scripts, in what stands for a container.

That is namespaces for mounts and processes, with folders that the test fills and a user ``student``. Without the right
to mount, which Gradescope's containers do not give, bubblewrap does not work in it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from autograder import editions
from autograder.classroom import gradescope
from autograder.engine import references
from autograder.instructor import solved

EDITION = editions.load("mmia")
SOLVED = solved.sources(EDITION)
TWO_COMPONENTS = """
files = "../.."
student_files = ["rope.py", "llama.py", "sampling.py", "optimizer.py", "classifier.py", "lora.py"]
provided_files = ["config.py", "base_llama.py", "tokenizer.py", "utils.py"]
[components.rope]
points = 15
regions = ["rope", "rope_frequencies"]
[components.layer_norm]
points = 10
regions = ["layernorm"]
"""

# $1: Gradescope's folder. $2, $3: what Python needs, wherever it is. The rest: the command to run.
CONTAINER = """
set -eu
autograder=$1 base=$2 environment=$3
shift 3
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/autograder /mnt/base /mnt/environment
mount --bind "$autograder" /mnt/autograder
mount --rbind "$base" /mnt/base
mount --rbind "$environment" /mnt/environment
for folder in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777,size=64m tmpfs "$folder"; done
for folder in $CLOSED; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir -p "$base" "$environment"
mount --rbind /mnt/base "$base"
mount --rbind /mnt/environment "$environment"
(cat /etc/passwd; echo student:x:64321:64321::/nonexistent:/usr/sbin/nologin) >/mnt/passwd
mount --bind /mnt/passwd /etc/passwd
exec "$@"
"""
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
NO_MOUNTS = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")


def containers_work() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "bash"))):
        return False
    return subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not containers_work(), reason="needs root and namespaces of Linux"),
]


def closed(path: Path) -> list[str]:
    """The outermost folder around a path that only its owner can enter, if there is one."""
    return [str(folder) for folder in reversed(path.parents) if not folder.stat().st_mode & 1][:1]


class Gradescope:
    """A folder like ``/autograder``, with the zip unpacked in it, and a run of it."""

    def __init__(self, folder: Path, archive: Path, edition: str = "") -> None:
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o755)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder / "source")
            self.settings = json.loads(opened.read("private/settings.json"))
        if edition:
            (folder / "source" / "project" / "courses" / "mini_llama" / "mmia.toml").write_text(edition)
        shutil.copy(folder / "source" / "run_autograder", folder)
        (folder / "run_autograder").chmod(0o755)
        (folder / "submission").mkdir()
        (folder / "results").mkdir()
        users = [{"name": "Ada Lovelace", "email": "ada@example.com", "id": 1}]
        (folder / "submission_metadata.json").write_text(json.dumps({"id": 7, "users": users}))

    def hand_in(self, **files: str) -> None:
        """Put modules with these texts into the submission."""
        for name, text in files.items():
            (self.folder / "submission" / f"{name}.py").write_text(text)

    def hand_in_zip(self, **files: str) -> None:
        """Put a zip of modules with these texts into the submission."""
        with zipfile.ZipFile(self.folder / "submission" / "homework.zip", "w") as inner:
            for name, text in files.items():
                inner.writestr(f"homework/{name}.py", text)

    def run(self, bubblewrap: bool = False, seconds: int = 120) -> dict:
        """The results of ``run_autograder``."""
        base, environment = Path(os.path.realpath(sys.base_prefix)), Path(sys.prefix)
        variables = {
            "PATH": os.environ["PATH"],
            "CLOSED": " ".join({*closed(base), *closed(environment)} - {"/tmp"}),
            "AUTOGRADER_ROOT": "/mnt/autograder",
            "AUTOGRADER_PYTHON": str(environment / Path(sys.executable).relative_to(sys.prefix)),
            "AUTOGRADER_SECONDS": str(seconds),
        }
        inside = ["bash", "-c", CONTAINER, "container", self.folder, base, environment]
        command = [*NAMESPACES, *inside, *(() if bubblewrap else NO_MOUNTS), "/mnt/autograder/run_autograder"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        self.said = done.stdout
        text = (self.folder / "results" / "results.json").read_text("utf-8")
        assert not any(str(seed) in text for seed in self.settings["seeds"]) and self.settings["salt"] not in text
        return json.loads(text)


def scores(results: dict) -> dict[str, float]:
    return {entry["name"]: entry["score"] for entry in results["tests"]}


def output(results: dict, component: str) -> str:
    return next(entry["output"] for entry in results["tests"] if entry["name"] == component)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A zip whose sets are the stored inputs, as if they had been drawn: without the answers to known mistakes."""
    folder = tmp_path_factory.mktemp("zip")
    seeds = list(range(700_000_001, 700_000_001 + gradescope.SETS))
    for number in range(len(seeds)):
        (folder / "drawn" / str(number)).mkdir(parents=True)
        for name in EDITION.components:
            drawn = replace(references.load(EDITION, name), fingerprints=())
            (folder / "drawn" / str(number) / f"{name}.safetensors").write_bytes(references.to_bytes([drawn]))
    gradescope.write(folder / "out.zip", EDITION, seeds, folder / "drawn")
    return folder / "out.zip"


@pytest.fixture
def container(tmp_path, archive) -> Gradescope:
    """One that asks for two components."""
    return Gradescope(tmp_path / "autograder", archive, TWO_COMPONENTS)


def test_every_seed_gives_inputs_of_its_own_with_right_answers(tmp_path, capsys):
    edition = replace(EDITION, components={"layer_norm": EDITION.components["layer_norm"]})  # needs no slow import
    gradescope.draw(edition, [1, 2, 1], tmp_path)
    assert "drawing inputs: 100%" in capsys.readouterr().err
    first, second, again = [(tmp_path / number / "layer_norm.safetensors").read_bytes() for number in "012"]
    assert first == again != second
    drawn = references.read(edition, "layer_norm", tmp_path / "0" / "layer_norm.safetensors")
    assert drawn.expected.keys() == references.load(EDITION, "layer_norm").expected.keys() and not drawn.fingerprints


def test_the_solved_tree_gets_full_marks(tmp_path, archive):
    container = Gradescope(tmp_path / "autograder", archive)
    container.hand_in(**{name.removesuffix(".py"): text for name, text in SOLVED.items()})
    results = container.run()
    assert [(entry["name"], entry["score"]) for entry in results["tests"]] == [
        (name, component.points) for name, component in EDITION.components.items()
    ]
    assert "score" not in results and results["extra_data"]["grader"] == container.settings["grader"]
    assert container.said.startswith("Ada Lovelace: graded, 100 of 100, ")


def test_a_known_mistake_is_named_although_its_inputs_are_secret(container):
    wrong = SOLVED["rope.py"].replace("pairs * turns", "pairs * turns.conj()")
    container.hand_in(rope=wrong, llama=SOLVED["llama.py"])
    results = container.run()
    assert 0 < scores(results)["rope"] < 15 and scores(results)["layer_norm"] == 10
    assert output(results, "rope").startswith("matches: rotation by the negative angle.")


def test_when_time_is_up_what_was_graded_counts_and_the_rest_is_not_run(container):
    container.hand_in(rope="import time\ndef apply_rotary_emb(*_): time.sleep(60)\n", llama=SOLVED["llama.py"])
    results = container.run(seconds=4)
    assert "not run: grading one submission may take 4 s" in output(results, "rope")
    assert scores(results) == {"rope": 0, "layer_norm": 0}


# It answers like the right code but for the base, and prints what it could reach.
HOSTILE = """
import os, signal, socket

ROOT = "/mnt/autograder"
SECRETS = ["", "/private", "/private/settings.json", "/private/references/0/rope.safetensors", "/project",
           "/project/tests/graders/test_rope.py", "/project/autograder/engine/judge.py",
           "/project/courses/mini_llama/components/rope/references.safetensors",
           "/project/courses/mini_llama/mmia.toml"]

def attempt(what, action):
    try:
        print("REACHED", what, action())
    except OSError:
        pass

def look(path):
    return os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(9)

def attack():
    for path in [ROOT + "/source" + rest for rest in SECRETS]:
        attempt(path, lambda: look(path))
    for path in (ROOT + "/submission", ROOT + "/submission_metadata.json", ROOT + "/results/results.json"):
        attempt(path, lambda: look(path))
    forged = '{"score": 100}'
    attempt("results", lambda: open(ROOT + "/results/results.json", "w").write(forged))
    attempt("results", lambda: os.rename("/tmp", ROOT + "/results"))
    attempt("results", lambda: os.symlink("/tmp", ROOT + "/results.json"))
    attempt("worker", lambda: open(__import__("autograder.worker.call", fromlist=["call"]).__file__, "w"))
    attempt("packages", lambda: open(os.__file__, "a"))
    for pid in set(filter(str.isdigit, os.listdir("/proc"))) - {str(os.getpid())}:
        for file in ("mem", "environ", "maps", "fd/0"):
            attempt(f"{file} of {pid}", lambda: open(f"/proc/{pid}/{file}", "rb").read(1))
    attempt("network", lambda: socket.create_connection(("127.0.0.1", PORT), timeout=0.2))
    attempt("root", lambda: os.setuid(0))
    attempt("other groups", lambda: os.setgroups([0]))
    if 0 in (os.getuid(), os.getgid(), *os.getgroups()) or "AUTOGRADER_ROOT" in os.environ:
        print("REACHED root, or the environment")

def kill():
    if os.fork() == 0:
        os.setsid()
        signal.pause()  # stays, and would hold the run up
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc")))):
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
    os.kill(os.getpid(), signal.SIGKILL)

def apply_rotary_emb(query, key, head_dim, max_seq_len, theta=10000.0):
    if theta != 10000.0:
        kill()
    attack()
    return query, key
"""


@pytest.mark.parametrize("isolation", ["user", "bubblewrap"])
def test_a_submission_reaches_neither_results_nor_answers_nor_the_process_that_grades_it(container, isolation):
    if isolation == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("needs bubblewrap")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        files = {"rope": f"PORT = {port}\n{HOSTILE}", "llama": SOLVED["llama.py"]}
        (container.hand_in if isolation == "user" else container.hand_in_zip)(**files)
        results = container.run(bubblewrap=isolation == "bubblewrap")
    assert results["extra_data"]["isolation"] == isolation
    assert "REACHED" not in json.dumps(results)
    assert scores(results)["layer_norm"] == 10 and scores(results)["rope"] < 3
    assert "crashed" in output(results, "rope")
    assert sorted(path.name for path in (container.folder / "results").iterdir()) == ["results.json"]
