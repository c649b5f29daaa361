"""A case's own limits: being over one is an answer to the question, and costs no other question anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autograder.engine import graders, references
from autograder.engine.claims import Answer, CaseLimits, Fault, Limits
from autograder.engine.references import Question
from autograder.engine.session import Session
from autograder.instructor import build_references
from autograder.intake.submission import Submission
from tests.written_course import course

ADAPTER = """
MODULES, AXES = ("work",), {}


def run(submission, inputs, options):
    return {"value": submission.module("work").work(**inputs)}
"""
WORK = """
import time

def busy(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

def work(cpu=0.0, wall=0.0, megabytes=0):
    print("begun")
    busy(cpu)
    time.sleep(wall)
    return len(bytearray(megabytes << 20))
"""


@pytest.fixture(scope="module")
def session():
    with Session(Limits(seconds=20, memory=512 << 20)) as session:
        yield session


@pytest.fixture
def call(session, tmp_path):
    """What comes back for these arguments of ``work`` under these limits."""
    submission = Submission(course(tmp_path, adapter=ADAPTER), {"work.py": WORK.encode()})

    def call(limits: CaseLimits, **arguments: float) -> Answer | Fault:
        return session.call(submission, "part", arguments, limits=limits)

    return call


def test_a_busy_loop_over_its_processor_time_is_slow(call):
    fault = call(CaseLimits(cpu=0.5), cpu=5.0)
    assert (fault.kind, fault.printed) == ("slow", "begun\n")
    assert fault.message == "no answer within 0.5 s of work: it was still in work of work.py"


def test_an_answer_that_took_too_much_processor_time_is_slow_too(call):
    assert call(CaseLimits(cpu=0.2), cpu=0.6).kind == "slow"


def test_waiting_is_no_work(call):
    assert isinstance(call(CaseLimits(cpu=0.4), wall=1.0), Answer)


def test_work_within_its_time_is_an_answer(call):
    assert isinstance(call(CaseLimits(cpu=5.0), cpu=0.3), Answer)


def test_a_case_over_its_wall_time_is_slow(call):
    fault = call(CaseLimits(seconds=0.5), wall=30)
    assert (fault.kind, fault.message) == ("slow", "no answer within 0.5 s: it was still in work of work.py")


def test_being_slow_does_not_use_up_the_timeouts_of_a_submission(call):
    assert [call(CaseLimits(cpu=0.2), cpu=5.0).kind for _ in range(3)] == ["slow"] * 3
    assert [call(CaseLimits(seconds=0.2), wall=5.0).kind for _ in range(3)] == ["slow"] * 3
    assert isinstance(call(CaseLimits()), Answer)


def test_running_out_of_the_submissions_own_time_does(tmp_path):
    submission = Submission(course(tmp_path, adapter=ADAPTER), {"work.py": WORK.encode()})
    with Session(Limits(seconds=0.3)) as session:
        kinds = [session.call(submission, "part", {"wall": 5.0}).kind for _ in range(3)]
    assert kinds == ["timeout", "timeout", "not_run"]


def test_a_case_may_have_less_memory_than_a_submission_or_more(call):
    fault = call(CaseLimits(memory=64 << 20), megabytes=256)
    assert fault.kind == "memory" and "64 MB" in fault.message
    assert isinstance(call(CaseLimits(), megabytes=256), Answer)
    assert call(CaseLimits(), megabytes=700).kind == "memory"
    assert isinstance(call(CaseLimits(memory=1 << 30), megabytes=700), Answer)


# --- from a component's cases to marks ---------------------------------------------------------------------------

CASES = """
from autograder.instructor.contract import Case


def cases(seed, options):
    return {
        "small": {"size": 10},
        "large": Case({"size": 3000}, cpu=0.5, seconds=8.0, memory=128 << 20),
        "again": Case({"size": 4000}, cpu=0.5),
        "third": Case({"size": 5000}, cpu=0.5),
    }
"""
ORACLE = """
def expected(inputs, options):
    return {"pairs": {"value": inputs["size"] * (inputs["size"] - 1) // 2}}
"""
TEST = '''
import pytest

pytestmark = pytest.mark.component("part")


@pytest.mark.parametrize("case", ["small", "large", "again", "third"])
def test_pairs(judge, case):
    """Are they counted?"""
    judge.equal(case)
'''
FAST = "def work(size):\n    return size * (size - 1) // 2\n"
SLOW = """
def work(size):
    total = 0
    for a in range(size):
        for b in range(a):
            for c in range(size // 500):
                total += (b - b) * c
            total += 1
    return total
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    return course(tmp_path_factory.mktemp("counted"), adapter=ADAPTER, cases=CASES, oracle=ORACLE, test_part=TEST)


def test_limits_are_part_of_a_question_and_are_stored_with_it(counted, tmp_path):
    made = build_references.draw(counted, "part", seed=1)
    (tmp_path / "references.safetensors").write_bytes(references.to_bytes([made]))
    stored = references.read(counted, "part", tmp_path / "references.safetensors")
    assert stored.question("large") == Question(limits=CaseLimits(seconds=8.0, cpu=0.5, memory=128 << 20))
    assert stored.question("small") == Question()
    assert stored.questions == made.questions and stored.expected == made.expected


@pytest.mark.parametrize(("source", "outcomes"), [(FAST, ["pass"] * 4), (SLOW, ["pass", *["timeout"] * 3])])
def test_a_slow_solution_loses_the_tests_that_ask_for_speed(counted, session, source, outcomes):
    made = build_references.draw(counted, "part", seed=1)
    submission = Submission(counted, {"work.py": source.encode()})
    (row,) = graders.grade(counted, graders.collect(counted), submission, session, lambda name: made).components
    assert [test.outcome for test in row.tests] == outcomes
    assert all("s of work: it was still in work of work.py" in t.message for t in row.tests if t.outcome != "pass")


def test_a_case_with_limits_of_its_own_is_not_passed_by_quick_inputs(counted, session):
    """However fast the answer to other inputs is: the limit is that of the case's own."""
    made = build_references.draw(counted, "part", seed=1)
    quick = Question(quick={"size": 0}, limits=made.question("large").limits)
    pretended = replace(
        made,
        questions={**made.questions, "large": quick},
        expected={**made.expected, "large": {"right": {"value": 0}}},
    )
    tests = graders.collect(counted)
    asked = [test for test in tests["part"] if "large" in test.name]
    submission = Submission(counted, {"work.py": SLOW.encode()})
    (row,) = graders.grade(counted, {"part": asked}, submission, session, lambda name: pretended).components
    assert [test.outcome for test in row.tests] == ["timeout"] * len(asked) and asked


def test_arrays_and_plain_values_may_be_inputs_together(session, tmp_path):
    adapter = ADAPTER.replace("work(**inputs)", 'work(**inputs), "kinds": [type(v).__name__ for v in inputs.values()]')
    submission = Submission(course(tmp_path, adapter=adapter), {"work.py": b"def work(x, n): return x * len(n)\n"})
    answer = session.call(submission, "part", {"x": np.ones(3, "f4"), "n": [b"a", b"b"]})
    assert answer.outputs["value"].tolist() == [2, 2, 2] and sorted(answer.outputs["kinds"]) == ["Tensor", "list"]
