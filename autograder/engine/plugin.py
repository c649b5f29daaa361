"""What graders need to run under pytest: the ``judge`` fixture, their marks, and failures without tracebacks.

The ``conftest.py`` above them imports all of it. The course is that of the file's path, and a test is run for every
edition that has its component: over the solved tree, or over the student's work in a handout.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder import editions, trust
from autograder.editions import Edition
from autograder.engine import references
from autograder.engine.graders import asks, judge_of, only_of
from autograder.engine.judge import Finding, Judge
from autograder.engine.session import Session
from autograder.engine.table import described
from autograder.intake.submission import Submission

__all__ = ["grading_session", "judge", "pytest_configure", "pytest_generate_tests", "pytest_runtest_makereport"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "component(name): the component that a grader belongs to")
    config.addinivalue_line("markers", "option(name=value): asked only where an edition has this option")
    config.addinivalue_line("markers", "weight(number): the grader's share of its component's points; 1 if not given")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once for each edition that grades the component, when pytest itself runs the graders."""
    mark = metafunc.definition.get_closest_marker("component")
    if mark and "judge" in metafunc.fixturenames and not metafunc.config.option.collectonly:
        asking = [edition for edition in _editions_of(metafunc.definition.path) if mark.args[0] in edition.components]
        metafunc.parametrize("judge", asking, ids=lambda edition: edition.name, indirect=True)


@pytest.fixture(scope="session")
def grading_session() -> Iterator[Session]:
    with Session() as session:
        yield session


@pytest.fixture
def judge(request: pytest.FixtureRequest, grading_session: Session) -> Judge:
    """Runs the component that the test is marked with."""
    edition: Edition = request.param
    stored = references.load(edition, request.node.get_closest_marker("component").args[0])
    only = only_of(request.node)
    if not asks(only, stored.options):
        pytest.skip(f"{edition.title} does not ask for {', '.join(map(str, only.values()))}")
    return judge_of(Submission.of(edition, edition.files), grading_session, stored)


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


def _editions_of(path: Path) -> list[Edition]:
    """Those of the course whose folder a file of graders is in; a handout's own, for one beside its tests."""
    components = path.parents[1]
    if components.name == "components":
        return editions.of_course(components.parent)
    return [editions.load(name) for name in editions.names()] if path.is_relative_to(trust.PROJECT) else []
