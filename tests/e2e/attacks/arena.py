"""Where attacks happen: a session that grades one submission after the other, and a host with something to lose."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from autograder import trust
from autograder.classroom import isolation
from autograder.engine import graders, references
from autograder.engine.claims import Answer, Fault, Limits
from autograder.engine.references import References
from autograder.engine.results import ComponentResult, Results
from autograder.intake.submission import Submission
from tests.e2e.attacks.attack import EDITION, RIGHT, WRONG, Attack

LIMITS = Limits(seconds=10.0, memory=256 << 20, timeouts=1)
BOUND = 60.0  # seconds that any of them may take, on a busy machine

FEW = {  # tests of one and of two cases, so that an attack costs two calls
    "layer_norm": ("test_each_token_by_itself",),
    "rope": (
        "test_queries_turn_by_their_position",
        "test_keys_turn_like_queries",
        "test_the_first_position_is_left_alone",
    ),
}
BELONGINGS = {
    "results/results.json": '{"score": 3}',
    "results/gradebook.sqlite": "marks",
    "submissions/ada/rope.py": RIGHT + "# by Ada\n",
    "home/.config/settings": "token",
    "home/.bashrc": "alias ll='ls -l'",
}


class Host:
    """What attacks try to read, change, end or call: files, a process and open ports of the user who grades."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in BELONGINGS.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
        self._process = subprocess.Popen(["sleep", "3600"])
        self._name = f"\0llamalab-{secrets.token_hex(8)}"
        self._listeners = [
            socket.create_server(("127.0.0.1", 0)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            socket.socket(socket.AF_UNIX),
        ]
        self._port = self._listeners[0].getsockname()[1]
        self._listeners[1].bind(("127.0.0.1", self._port))
        self._listeners[2].bind(self._name)
        self._listeners[2].listen()
        for listener in self._listeners:
            listener.setblocking(False)
        self._before = self._files()

    def known(self) -> dict[str, object]:
        """What an attack is told."""
        return {"OUTSIDE": str(self.folder), "PROJECT": str(trust.CODE), "PORT": self._port, "NAME": self._name}

    def assert_untouched(self) -> None:
        """Every file as it was, nothing new, nobody called, the process alive."""
        assert self._files() == self._before
        assert self._process.poll() is None, "a process of the host was ended"
        assert not self.heard(), "an attack reached a port of the host"

    def heard(self) -> bool:
        """Whether anybody called since this was last asked."""
        called = False
        for listener in self._listeners:
            with suppress(BlockingIOError):
                if listener.type == socket.SOCK_DGRAM:
                    listener.recv(1)
                else:
                    listener.accept()[0].close()
                called = True
        return called

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for listener in self._listeners:
            listener.close()

    def _files(self) -> dict[str, tuple[int, str]]:
        """Mode and content of each file of its own, and of each file of the project that a sandbox shows."""
        own = [path for path in self.folder.rglob("*") if not path.is_dir() or path.is_symlink()]
        shown = [path for top in trust.of_worker(EDITION).values() for path in _files_of(top)]
        return {
            str(path): (path.lstat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest()) for path in own + shown
        }


def _files_of(top: Path) -> Iterator[Path]:
    """A file, or every file of a folder; the grader's own compiled ones come and go."""
    for path in [top] if top.is_file() else sorted(top.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


@dataclass(frozen=True)
class Graded:
    """What came of an attack on RoPE, after ``seconds``."""

    row: ComponentResult
    seconds: float

    @property
    def feedback(self) -> str:
        return feedback(self.row)


def stored_references(component: str) -> References:
    """The public ones."""
    return references.load(EDITION, component)


def feedback(row: ComponentResult) -> str:
    """All that a student reads of a component's tests."""
    return "\n".join(f"{test.message}\n{test.printed}" for test in row.tests)


class Arena:
    """A session that grades submissions one after the other, on a host.

    Args:
        folder: for the files of both.
        kind: isolation of the session.
    """

    def __init__(self, folder: Path, kind: str = "bubblewrap") -> None:
        self.folder = folder
        self._open = ExitStack()
        self.host = Host(folder / "outside")
        self._open.callback(self.host.close)
        every = graders.collect(EDITION, EDITION.chosen(list(FEW)))
        self._tests = {name: [test for test in tests if test.name in FEW[name]] for name, tests in every.items()}
        self.session = self._open.enter_context(isolation.session(kind, EDITION, self._tests, LIMITS))
        self._honest = {over: _quiet(self.grade_rope({"rope.py": over.encode()})) for over in (RIGHT, WRONG)}
        self._neighbour = self._grade_neighbour()

    def close(self) -> None:
        self._open.close()

    def attack(self, attack: Attack) -> Graded:
        """Grade an attack."""
        self.session.limits = replace(LIMITS, seconds=attack.seconds)
        started = time.monotonic()
        row = self.grade_rope(attack.files(self.host.known()))
        self.session.limits = LIMITS
        return Graded(row, time.monotonic() - started)

    def call(self, text: str) -> Answer | Fault:
        """One call of a ``rope.py`` with this text."""
        stored = stored_references("rope")
        submission = self._submission({"rope.py": text.encode()})
        return self.session.call(submission, "rope", stored.inputs["plain"], stored.options)

    def grade_rope(
        self, files: Mapping[str, bytes], references_of: Callable[[str], References] = stored_references
    ) -> ComponentResult:
        return self.grade(files, ["rope"], references_of).components[0]

    def grade(
        self,
        files: Mapping[str, bytes],
        components: Sequence[str] = tuple(FEW),
        references_of: Callable[[str], References] = stored_references,
    ) -> Results:
        """Grade a submission of these files."""
        tests = {name: self._tests[name] for name in components}
        return graders.grade(EDITION, tests, self._submission(files), self.session, references_of)

    def assert_like_honest(self, attack: Attack, row: ComponentResult) -> None:
        """It was graded like the code it was added to: marks, outcomes, messages, recognised mistake."""
        assert _quiet(row) == self._honest[attack.over], feedback(row)

    def assert_neighbour_as_before(self) -> None:
        assert self._grade_neighbour() == self._neighbour

    def _grade_neighbour(self) -> str:
        """The result, as JSON, of a submission that has a mistake and prints something. One call is enough to tell."""
        submission = self._submission({"rope.py": f"{WRONG}\nprint('by Bob')\n".encode()})
        return graders.grade(EDITION, {"rope": self._tests["rope"][:2]}, submission, self.session).to_json()

    def _submission(self, files: Mapping[str, bytes]) -> Submission:
        """A submission of these files, read from a folder that held the one before, as a class's are."""
        folder = self.folder / "submission"
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return Submission.of(EDITION, folder)


def _quiet(row: ComponentResult) -> ComponentResult:
    """A result without what the submission printed."""
    return replace(row, tests=tuple(replace(test, printed="") for test in row.tests))


def processes_named(word: str) -> list[str]:
    """Command lines of this machine's processes that hold a word."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if word in line:
                found.append(line)
    return found
