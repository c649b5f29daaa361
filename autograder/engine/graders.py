"""Finds the graders of components, and runs them on a submission.

pytest collects them, once, before any student code runs: what is planned then is what the marks are shares of. They are
called here rather than by pytest, so that one process can grade many submissions, several at a time.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from autograder import trust
from autograder.editions import Component, Edition, Options
from autograder.engine import forbidden, references
from autograder.engine.judge import Finding, Judge, Rehearsal
from autograder.engine.references import References
from autograder.engine.results import ComponentResult, Match, Results, TestResult
from autograder.engine.session import Session
from autograder.intake.submission import Submission
from llamalab.errors import UserError


@dataclass(frozen=True)
class Grader:
    """One test function: ``run(judge)`` returns, or raises ``Finding``.

    ``only`` has options that an edition's component must have to be asked this; empty for any.
    """

    component: str
    name: str
    weight: float
    question: str
    only: Options
    run: Callable[[Judge], None]


class _Collector:
    """A pytest plugin that keeps what was collected."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []
        self.failure = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failure = str(report.longrepr)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = list(session.items)


def grader_of(item: pytest.Item) -> Grader:
    """A collected test as a grader.

    Raises:
        UserError: it names no component, has no docstring, or wants another fixture than ``judge``.
    """
    component = item.get_closest_marker("component")
    weight = item.get_closest_marker("weight")
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    wanted = set(inspect.signature(item.obj).parameters) - parameters.keys()
    if component is None or wanted != {"judge"} or not item.obj.__doc__:
        raise UserError(f"{item.nodeid}: a grader is marked with its component, takes `judge`, and asks a question")
    return Grader(
        component=component.args[0],
        name=item.name,
        weight=float(weight.args[0]) if weight else 1.0,
        question=" ".join(item.obj.__doc__.split()),
        only=only_of(item),
        run=lambda judge: item.obj(**parameters, judge=judge),
    )


def only_of(item: pytest.Item) -> Options:
    """The options that a collected test needs to be asked."""
    mark = item.get_closest_marker("option")
    return dict(mark.kwargs) if mark else {}


def asks(only: Options, options: Options) -> bool:
    """Whether what needs the options ``only`` is asked of who has ``options``."""
    return all(options.get(name) == value for name, value in only.items())


def collect(edition: Edition, components: Sequence[Component] = ()) -> dict[str, list[Grader]]:
    """The graders of each component, or of all that an edition has.

    Raises:
        UserError: a component without a file of graders, or a mistake in one.
    """
    components = components or list(edition.components.values())
    files = {component.name: trust.graders_of(edition, component.name) for component in components}
    for name, path in files.items():
        if not path.is_file():
            raise UserError(f"{path} is missing; without it {name} cannot be checked")
    collector = _Collector()
    root = str(next(iter(files.values())).parent)
    options = ["--collect-only", "--rootdir", root, "--confcutdir", root, "-c", os.devnull, "--import-mode=importlib"]
    options += ["--disable-plugin-autoload", "-p", "no:terminal", "-p", "no:cacheprovider", "--noconftest"]
    options += ["-p", "autograder.engine.plugin"]
    pytest.main([*options, *map(str, files.values())], plugins=[collector])
    _forget(files.values())
    if collector.failure:
        raise UserError(f"a grader cannot be collected:\n{collector.failure}")
    every = [grader_of(item) for item in collector.items]
    found = {name: [grader for grader in every if grader.component == name] for name in files}
    for name, graders in found.items():
        if not graders or len({grader.name for grader in graders}) != len(graders):
            raise UserError(f"{files[name]} needs tests marked with the component {name}, each with its own name")
    return found


def _forget(files: Collection[Path]) -> None:
    """Forget modules of graders: another course may have a component, and so a file, of the same name."""
    paths = {str(path) for path in files}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in paths:
            del sys.modules[name]


def grade(
    edition: Edition,
    graders: dict[str, list[Grader]],
    submission: Submission,
    session: Session,
    references_of: Callable[[str], References] | None = None,
) -> Results:
    """Run every grader given on one submission."""
    references_of = references_of or partial(references.load, edition)
    rows = []
    for name, tests in graders.items():
        judge = judge_of(submission, session, references_of(name))
        tested = _tested(tests, judge)
        row = ComponentResult(name, edition.components[name].points, tested)
        uses = forbidden.uses(edition, edition.components[name], judge.references.modules, submission)
        row = replace(row, uses=uses, cost=edition.forbidden_cost if uses else 0.0)
        rows.append(replace(row, match=judge.match() if row.state == "FAIL" else None))
    return Results(edition.name, tuple(_with_blockers(row, rows, edition) for row in rows))


def judge_of(submission: Submission, session: Session, stored: References) -> Judge:
    """A judge of one component of one submission."""
    return Judge(
        stored, lambda cases, limits: session.calls(submission, stored.component, cases, stored.options, limits)
    )


def _tested(tests: Sequence[Grader], judge: Judge) -> tuple[TestResult, ...]:
    """Run the tests of a component: on cases that share a process if they then all pass, or all are to do.

    Otherwise every case has a process of its own, so that nothing that one of them left behind can cost another marks.
    """
    asked = [test for test in tests if asks(test.only, judge.options)]
    if judge.run_ahead(_asked_for(asked, judge.references)):
        tested = tuple(_run(test, judge) for test in asked)
        if {result.outcome for result in tested} in ({"pass"}, {"todo"}):
            return tested
    judge.begin_anew()
    return tuple(_run(test, judge) for test in asked)


def recognise(tests: Sequence[Grader], submission: Submission, session: Session, stored: References) -> Match | None:
    """The known mistake that a wrong component makes. No marks come from that, so its cases may share a process."""
    judge = judge_of(submission, session, stored)
    asked = [test for test in tests if asks(test.only, judge.options)]
    judge.run_ahead(_asked_for(asked, stored))
    for test in asked:
        _run(test, judge)
    return judge.match()


def _asked_for(tests: Sequence[Grader], stored: References) -> list[str]:
    """The cases that the tests ask a right submission for; a wrong one may be asked for others besides."""
    rehearsal = Rehearsal(stored)
    for test in tests:
        _run(test, rehearsal)
    return rehearsal.cases


def _run(grader: Grader, judge: Judge) -> TestResult:
    def result(outcome: str, message: str = "", printed: str = "") -> TestResult:
        return TestResult(grader.name, grader.question, grader.weight, outcome, message, printed)

    try:
        grader.run(judge)
    except Finding as finding:
        return result(finding.outcome, finding.message, finding.printed)
    except UserError:
        raise
    except Exception as error:  # a submission chooses what it answers, and a test may not be ready for it
        return result("error", f"the test cannot use this answer ({type(error).__name__}: {error})")
    return result("pass")


def _with_blockers(row: ComponentResult, rows: list[ComponentResult], edition: Edition) -> ComponentResult:
    """Which of the components that this one needs are not ok."""
    needs = edition.components[row.name].needs
    blocked_by = tuple(other.name for other in rows if other.name in needs and other.state != "ok")
    return replace(row, blocked_by=blocked_by) if row.state != "ok" else row
