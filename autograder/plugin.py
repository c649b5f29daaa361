"""What ``python -m pytest tests/graders`` needs: the ``judge`` fixture, the marks, and failures without tracebacks.

``tests/graders/conftest.py`` imports all of it. Grades the project's own folder: in a handout, the student's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from autograder import references, tracks
from autograder.graders import ROOT, judge_of
from autograder.judge import Finding, Judge
from autograder.session import Session
from autograder.submissions import Submission
from autograder.table import described

__all__ = ["grading_session", "judge", "pytest_configure", "pytest_runtest_makereport"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "component(name): the component that a grader belongs to")
    config.addinivalue_line("markers", "region(name): asked only in courses whose component has this solution region")
    config.addinivalue_line("markers", "weight(number): the grader's share of its component's points; 1 if not given")


@pytest.fixture(scope="session")
def grading_session() -> Iterator[Session]:
    with Session() as session:
        yield session


@pytest.fixture
def judge(request: pytest.FixtureRequest, grading_session: Session) -> Judge:
    """Runs the component that the test is marked with."""
    component = request.node.get_closest_marker("component").args[0]
    track = _track_with(component)
    region = request.node.get_closest_marker("region")
    if region and region.args[0] not in track.components[component].regions:
        pytest.skip(f"{track.title} does not ask for {region.args[0]}")
    submission = Submission.of(track, ROOT)
    return judge_of(component, track, submission, grading_session, references.load(component))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, Finding):
        finding: Finding = call.excinfo.value
        report.longrepr = f"{finding.outcome}: {finding.message}"
        match = item.funcargs["judge"].match() if finding.outcome != "todo" else None
        if match:
            report.longrepr += f"\n{described(match)}"
        if finding.printed:
            report.sections.append(("Captured output of the submission", finding.printed))
    return report


@cache
def _track_with(component: str) -> tracks.Track:
    """The default track, or the first other one that grades the component."""
    for name in (tracks.default(), *tracks.names()):
        track = tracks.load(name)
        if component in track.components:
            return track
    raise ValueError(f"no track has a component {component}")
