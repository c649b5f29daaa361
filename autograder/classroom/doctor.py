"""``python -m autograder doctor``: what isolation this machine offers, proven by code that tries to break it."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from autograder import editions, trust
from autograder.classroom import isolation
from autograder.editions import Edition
from autograder.engine.claims import Answer, CaseLimits, Fault, Limits
from autograder.engine.session import Session
from autograder.intake.submission import Submission
from llamalab.errors import UserError

COMPONENT, STUDENT_FILE = "probe", "probe.py"
ADAPTER = """MODULES, AXES = ("probe",), {}


def run(submission, inputs, options):
    submission.module("probe").run()
    return {}
"""
PROBES = Path(__file__).with_name("doctor_probes.py")
LIMITS = Limits(seconds=30.0, memory=256 << 20)

# What a submission tries, and what it would mean if it could. The names are those of doctor_probes.py.
PROBED = {
    "network": "reach a server on this machine",
    "abstract_socket": "reach a socket without a name in the file system",
    "home": "read the user's files",
    "references": "read the right answers",
    "environment": "read the environment",
    "processes": "see other processes",
    "system": "write to the system's folders",
    "project": "write to the grader's folders",
    "rights": "hold or regain a capability",
    "namespaces": "make namespaces, which give rights",
    "parent": "look into the process that watches it",
    "hidden_memory": "hold memory that no limit counts",
    "disk": "write more than 128 MB",
    "processes_limit": "start a thousand processes",
}


class Attempt(NamedTuple):
    """One attempt: ``held`` if isolation withstood it, and what came of it."""

    tried: str
    held: bool
    outcome: str


def run() -> int:
    """Print what was tried and what came of it; the exit status is 0 if untrusted code can be graded here."""
    print(f"bubblewrap   {_version()}", flush=True)
    findings = []
    try:
        with _course() as edition, isolation.session("bubblewrap", edition, [COMPONENT], LIMITS) as session:
            for finding in examine(edition, session):
                findings.append(finding)
                said = "  held    {}" if finding.held else "  BROKEN  {}: {}"
                print(said.format(finding.tried, finding.outcome), flush=True)
    except UserError as error:
        print(f"  does not work here: {error}")
    good = bool(findings) and all(finding.held for finding in findings)
    if good:
        print(f"All {len(findings)} attempts failed: `grade` can be trusted with untrusted submissions.")
    else:
        print(f"Do not grade untrusted submissions here. {isolation.ADVICE}")
    print("process      always there: limits on time and memory, and nothing else (`--isolation=process`)")
    return 0 if good else 1


def examine(edition: Edition, session: Session) -> Iterator[Attempt]:
    """Have a submission try everything in a session, one attempt after the other."""

    def attempt(probe: str, facts: Mapping[str, object] = {}, seconds: float = LIMITS.seconds) -> Answer | Fault:
        text = f"PROBE, FACTS = {probe!r}, {json.dumps(facts)!r}\n" + PROBES.read_text(encoding="utf-8")
        submission = Submission(edition, {STUDENT_FILE: text.encode("utf-8")})
        return session.call(submission, COMPONENT, {}, limits=CaseLimits(seconds=seconds))

    with _bait() as facts:
        for probe, tried in PROBED.items():
            yield _finding(tried, attempt(probe, facts))
    yield _ended("use more memory than it may", attempt("memory"), "memory")
    yield _ended("use the memory of many processes", attempt("memory_of_many"), "memory")
    yield _ended("run on after its time", attempt("time", seconds=1.0), "slow")
    attempt("leave")
    yield _finding("find what a call before it left behind", attempt("find"))


@contextmanager
def _course() -> Iterator[Edition]:
    """A course of one component, which does what its submission says."""
    with TemporaryDirectory(prefix="llamalab-") as folder:
        component = Path(folder) / "doctor" / "components" / COMPONENT
        component.mkdir(parents=True)
        (component / trust.ADAPTER).write_text(ADAPTER, encoding="utf-8")
        toml = component.parents[1] / "doctor.toml"
        toml.write_text(f'student_files = ["{STUDENT_FILE}"]\n[components.{COMPONENT}]\npoints = 0\n', encoding="utf-8")
        yield editions.read(toml)


def _finding(tried: str, result: Answer | Fault) -> Attempt:
    """A probe prints that it was refused, or what it could do; one that ran into a limit got nowhere either."""
    lines = result.printed.strip().splitlines()
    verdict = lines[-1] if lines else getattr(result, "message", "it said nothing")
    return Attempt(tried, verdict == "refused" or _kind(result) == "memory", verdict[:200])


def _ended(tried: str, result: Answer | Fault, kind: str) -> Attempt:
    return Attempt(tried, _kind(result) == kind, f"ended with {_kind(result)}")


def _kind(result: Answer | Fault) -> str:
    return result.kind if isinstance(result, Fault) else "an answer"


@contextmanager
def _bait() -> Iterator[dict[str, object]]:
    """Things to find from inside, if isolation leaks."""
    secret = secrets.token_hex(16)
    with (
        TemporaryDirectory(prefix=".llamalab-", dir=Path.home()) as home,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        (Path(home) / "bait").write_text(secret, encoding="utf-8")
        name = f"llamalab-{secret}"
        if sys.platform == "linux":
            abstract.bind(f"\0{name}")
            abstract.listen()
        yield {
            "port": server.getsockname()[1],
            "abstract": name,
            "home": str(Path(home) / "bait"),
            "references": [str(path) for path in trust.COURSES.glob(f"*/components/*/{trust.REFERENCES}")],
            "project": [str(trust.CODE), str(isolation.PROJECT)],
        }


def _version() -> str:
    if (program := shutil.which("bwrap")) is None:
        return "not installed"
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip() or program
