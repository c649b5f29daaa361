"""What the zip for Gradescope does in the container: whom it trusts, when it ends, and scripts that always answer.

`tests/e2e/test_gradescope_zip.py` runs all of it together.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from autograder import editions
from autograder.classroom import gradescope, gradescope_runner, isolation, other_user
from autograder.classroom.gradescope_runner import Budgeted
from autograder.engine.claims import Answer, Fault
from autograder.intake.submission import Submission
from llamalab.errors import UserError

EDITION = editions.load("mmia")
SCRIPTS = ("setup.sh", "run_autograder")
bash = pytest.mark.skipif(not shutil.which("bash") or not shutil.which("timeout"), reason="needs bash and coreutils")


# --- the name in the metadata ------------------------------------------------------------------------------------


def test_a_students_name_is_read_and_made_harmless(tmp_path):
    users = [{"name": "Ada\n\x1b[31m Lovelace", "email": "ada@example.com"}, {"name": "x" * 1000}]
    (tmp_path / "m.json").write_text(json.dumps({"users": users}))
    name = gradescope_runner.student_name(tmp_path / "m.json")
    assert name.isprintable() and name.startswith("Ada ") and len(name) < 300


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"[]",
        b'{"users": 3}',
        b'{"users": {"name": "a"}}',
        b'{"users": ["a"]}',
        b"[" * 100_000,
        b'{"users": [{"name": "a"}], "n": ' + b"9" * 10_000 + b"}",
        b'{"users": [{"name": "a"}], "previous_submissions": "' + b"x" * (5 << 20) + b'"}',
        b"\xff\xfe\x00",
    ],
    ids=lambda content: content[:20],
)
def test_metadata_of_any_other_kind_is_no_name_and_no_problem(tmp_path, content):
    (tmp_path / "m.json").write_bytes(content)
    assert gradescope_runner.student_name(tmp_path / "m.json") == ""


def test_metadata_that_is_missing_is_no_problem(tmp_path):
    assert gradescope_runner.student_name(tmp_path / "m.json") == ""


# --- which isolation is taken ------------------------------------------------------------------------------------


class FakeSession:
    """Answers every case with the same result, or raises it."""

    def __init__(self, result: Answer | Fault | Exception) -> None:
        self.result, self.closed = result, False

    def call(self, submission: Submission, component: str, inputs: Mapping[str, Any]) -> Answer | Fault:
        return self.calls(submission, component, [inputs])[0]

    def calls(
        self, submission: Submission, component: str, cases: Sequence[Mapping[str, Any]], *more: Any
    ) -> list[Answer | Fault]:
        if isinstance(self.result, Exception):
            raise self.result
        return [self.result] * len(cases)

    def close(self) -> None:
        self.closed = True


MISSING = Fault("import_error", "rope.py is missing")  # what a worker that works says to an empty submission


def offer(monkeypatch, **sessions: FakeSession | UserError) -> None:
    """Have these kinds of isolation here, and no other."""

    def session(kind, *_):
        found = sessions.get(kind, UserError(f"no {kind}"))
        if isinstance(found, UserError):
            raise found
        return found

    monkeypatch.setattr(isolation, "session", session)


def test_bubblewrap_is_taken_where_a_call_works_in_it(monkeypatch):
    sandbox = FakeSession(MISSING)
    offer(monkeypatch, bubblewrap=sandbox, user=FakeSession(MISSING))
    assert gradescope_runner.start(EDITION) == ("bubblewrap", sandbox) and not sandbox.closed


@pytest.mark.parametrize(
    "sandbox",
    [
        UserError("there is no bubblewrap"),
        FakeSession(UserError("the grading worker did not start")),
        FakeSession(Fault("crashed", "it took the process that watches it down with it")),
        FakeSession(Fault("timeout", "no answer within 20 s")),
    ],
)
def test_another_user_is_taken_where_bubblewrap_only_seems_to_work(monkeypatch, sandbox):
    user = FakeSession(MISSING)
    offer(monkeypatch, bubblewrap=sandbox, user=user)
    assert gradescope_runner.start(EDITION) == ("user", user)
    assert isinstance(sandbox, UserError) or sandbox.closed


def test_root_never_runs_student_code(monkeypatch):
    offer(monkeypatch, process=FakeSession(MISSING))
    with pytest.raises(UserError, match=r"cannot be isolated .*bubblewrap: no bubblewrap; user: no user"):
        gradescope_runner.start(EDITION)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_user_of_student_code_must_exist_and_not_be_root(monkeypatch):
    monkeypatch.setattr(other_user.os, "geteuid", lambda: 0)
    monkeypatch.setattr(other_user, "USER", "no-such-user")
    with pytest.raises(UserError, match="there is no user no-such-user; make one: useradd"):
        isolation.session("user", EDITION, [])
    monkeypatch.setattr(other_user, "USER", "root")
    with pytest.raises(UserError, match="is root by another name"):
        isolation.session("user", EDITION, [])


def test_only_root_can_start_a_worker_of_another_user(monkeypatch):
    monkeypatch.setattr(other_user.os, "geteuid", lambda: 1000, raising=False)
    with pytest.raises(UserError, match="needs root on Linux"):
        isolation.session("user", EDITION, [])


# --- the time for one submission ---------------------------------------------------------------------------------


SUBMISSION = Submission(EDITION, {})


def test_a_call_in_time_is_what_the_session_says():
    session = FakeSession(MISSING)
    with Budgeted(session, 60, "too late") as budgeted:
        assert budgeted.calls(SUBMISSION, "rope", [{}, {}]) == [MISSING, MISSING]
    assert session.closed


@pytest.mark.parametrize("during", [MISSING, ValueError("I/O operation on closed file")])
def test_a_call_that_runs_when_time_is_up_is_not_run_and_neither_is_any_after_it(during):
    class Slow(FakeSession):
        def calls(self, *arguments):
            while not self.closed:
                time.sleep(0.001)
            return super().calls(*arguments)

    with Budgeted(Slow(during), 0.02, "too late") as budgeted:
        for _ in range(2):
            assert budgeted.calls(SUBMISSION, "rope", [{}]) == [Fault("not_run", "not run: too late")]


def test_what_goes_wrong_in_time_is_not_taken_for_lateness():
    with Budgeted(FakeSession(UserError("the worker did not start")), 60, "too late") as budgeted:
        with pytest.raises(UserError, match="did not start"):
            budgeted.calls(SUBMISSION, "rope", [{}])


# --- the runner --------------------------------------------------------------------------------------------------


@pytest.fixture
def root(layout) -> Path:
    """Gradescope's folders, with all that the runner reads before it reads the submission."""
    (layout / "source" / "private" / "settings.json").write_text(
        json.dumps({"edition": "mmia", "grader": "g" * 64, "salt": "s", "seeds": [918273645]})
    )
    return layout


def graded(root: Path, monkeypatch, worker: FakeSession | Exception) -> dict:
    """The results that the runner writes, over this worker."""

    def start(_):
        if isinstance(worker, Exception):
            raise worker
        return "user", worker

    monkeypatch.setattr(gradescope_runner, "start", start)
    assert gradescope_runner.main(root, 60) == 0
    assert [path.name for path in (root / "results").iterdir()] == ["results.json"]
    return json.loads((root / "results" / "results.json").read_text())


def test_an_empty_submission_gets_no_marks_and_says_what_is_missing(root, monkeypatch):
    results = graded(root, monkeypatch, FakeSession(MISSING))
    assert {entry["name"]: entry["score"] for entry in results["tests"]} == dict.fromkeys(EDITION.components, 0)
    assert "it has none of the files rope.py, llama.py" in results["output"]
    assert results["extra_data"]["status"] == "refused" and results["extra_data"]["isolation"] == "user"
    assert "918273645" not in json.dumps(results)


@pytest.mark.parametrize(
    ("problem", "because"),
    [
        (UserError("student code cannot be isolated"), "student code cannot be isolated"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_what_goes_wrong_on_this_side_is_told_to_the_staff_only(root, monkeypatch, capsys, problem, because):
    assert_not_graded(graded(root, monkeypatch, problem), because)
    assert "Traceback" in capsys.readouterr().out


def test_results_are_kept_when_only_tidying_up_goes_wrong(root, monkeypatch):
    class Stuck(FakeSession):
        def close(self):
            raise OSError("it does not end")

    assert "score" not in graded(root, monkeypatch, Stuck(MISSING))


# --- the scripts -------------------------------------------------------------------------------------------------


@bash
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_valid_bash(name):
    assert subprocess.run(["bash", "-n", gradescope.FILES / name]).returncode == 0
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", gradescope.FILES / name]).returncode == 0


@pytest.fixture
def layout(tmp_path) -> Path:
    """Gradescope's folders, with nothing of the project in them but the scripts."""
    for folder in ("source/project", "source/private", "submission", "results", "venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "submission_metadata.json").write_text("{}")
    for path in gradescope.FILES.iterdir():
        shutil.copy(path, tmp_path / "source")
    return tmp_path


def python_that(layout: Path, does: str) -> Path:
    """A program in the place of Python."""
    path = layout / "python"
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return path


def run_autograder(layout: Path, python: Path, seconds: int = 0) -> dict:
    """The results that the script leaves, whatever ``python`` does."""
    variables = {"AUTOGRADER_ROOT": layout, "AUTOGRADER_PYTHON": python, "AUTOGRADER_SECONDS": seconds}
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(["bash", layout / "source" / "run_autograder"], env=environment, capture_output=True)
    assert done.returncode == 0
    return json.loads((layout / "results" / "results.json").read_text())


def assert_not_graded(results: dict, because: str) -> None:
    """No marks; a sentence for the student that says nothing about why, and one for the staff that does."""
    [staff] = results["tests"]
    assert results["score"] == staff["score"] == staff["max_score"] == 0
    assert because in staff["output"] and staff["visibility"] == "hidden"
    assert results["output"].startswith("This submission was not graded") and because not in results["output"]
    assert results["visibility"] == "visible" and results["stdout_visibility"] == "hidden"


@bash
@pytest.mark.parametrize(
    ("does", "because"),
    [
        ("exit 3", "ended with status 3"),
        ("kill -KILL $$", "killed. Did it run out of memory?"),
        ("kill -SEGV $$", "ended with status 139"),
        ("rm -rf ../../results/results.json; exit 1", "ended with status 1"),
    ],
)
def test_a_runner_that_fails_leaves_valid_results(layout, does, because):
    assert_not_graded(run_autograder(layout, python_that(layout, does)), because)


@bash
def test_a_runner_that_is_not_there_leaves_valid_results(layout):
    assert_not_graded(run_autograder(layout, layout / "missing"), "ended with status 127")


@bash
def test_a_runner_that_hangs_is_stopped(layout):
    results = run_autograder(layout, python_that(layout, "exec sleep 60"), seconds=-59)
    assert_not_graded(results, "did not end within 1 s")


@bash
def test_valid_results_are_there_from_the_start(layout):
    kept = python_that(layout, "cp ../../results/results.json ../../first.json; echo '{}' > ../../results/results.json")
    assert run_autograder(layout, kept) == {}
    assert_not_graded(json.loads((layout / "first.json").read_text()), "stopped from outside")


@bash
def test_results_that_were_written_before_the_runner_failed_are_kept(layout):
    assert run_autograder(layout, python_that(layout, "echo '[7]' > ../../results/results.json; exit 1")) == [7]


@bash
def test_the_grader_the_submission_and_the_results_are_closed_to_others_before_anything_runs(layout):
    looked = python_that(
        layout, "stat -c %a .. ../../submission ../../results ../../submission_metadata.json > ../../m"
    )
    run_autograder(layout, looked)
    assert (layout / "m").read_text().split() == ["700", "700", "700", "600"]


@bash
def test_the_runner_sees_nothing_of_gradescopes_environment(layout, monkeypatch):
    monkeypatch.setenv("A_TOKEN", "secret")
    run_autograder(layout, python_that(layout, "env > ../../environment"))
    assert "secret" not in (layout / "environment").read_text()


def test_a_reason_may_hold_anything(layout):
    reason = 'it said "\\no"\n\x00 and </script> & more\ud800'
    results = json.loads(gradescope_runner.not_graded(layout, reason))
    assert '"\\no"' in results["tests"][0]["output"] and results["tests"][0]["output"].isprintable()


def setup(layout: Path, *steps: str) -> subprocess.CompletedProcess:
    command = ["bash", layout / "source" / "setup.sh", *steps]
    return subprocess.run(
        command, env={**os.environ, "AUTOGRADER_ROOT": str(layout)}, capture_output=True, text=True, timeout=60
    )


as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")


@bash
@as_root
def test_setup_refuses_a_step_that_it_does_not_know_before_it_does_any(layout):
    done = setup(layout, "permissions", "nonesuch")
    assert done.returncode == 1 and done.stderr == "setup.sh: there is no step nonesuch.\n"
    assert not (layout / "source" / "project" / "__pycache__").exists()


@bash
@as_root
def test_setup_closes_the_grader_and_lets_a_sandbox_show_its_files(layout):
    (layout / "venv" / "bin" / "python").symlink_to(sys.executable)
    (layout / "source" / "project" / "worker.py").write_text("pass\n")
    (layout / "source" / "project" / "worker.py").chmod(0o600)
    (layout / "source" / "private" / "settings.json").write_text("{}")
    done = setup(layout, "permissions")
    assert done.returncode == 0, done.stderr
    modes = {
        path: stat.S_IMODE((layout / path).stat().st_mode)
        for path in ("source", "results", "source/project", "source/project/worker.py", "source/private/settings.json")
    }
    assert list(modes.values()) == [0o700, 0o700, 0o755, 0o644, 0o600]


@bash
@as_root
def test_setup_says_in_one_sentence_what_it_cannot_do(layout):
    (layout / "venv" / "bin" / "python").symlink_to("/bin/false")
    done = setup(layout, "packages")
    assert done.returncode == 1
    assert done.stderr == (
        "setup.sh: the packages of requirements.txt could not be installed; build the image again.\n"
    )
