"""The results as text: a row a component, and below it what is wrong."""

from __future__ import annotations

from autograder.engine import marks
from autograder.engine.results import ComponentResult, Match, Results, TestResult

NAME, SCORE, STATE = 18, 9, 6
INDENT = " " * (NAME + SCORE + STATE)
OTHERS, PRINTED_LINES = 3, 10


def table(results: Results) -> str:
    """Every row, and the sum if it is over more than one component."""
    told: dict[str, str] = {}
    lines = [line for component in results.components for line in rows(component, told)]
    if sum(component.points > 0 for component in results.components) > 1:
        lines.append(f"{'total':<{NAME}}{score(results.earned, results.points)}")
    return "\n".join(lines) + "\n"


def rows(component: ComponentResult, told: dict[str, str] | None = None) -> list[str]:
    """A component's line, then its explanation under the last column.

    Args:
        told: components by the error that they were stopped by, to be told once; grows.
    """
    earned = score(component.earned, component.points) if component.points else ""
    start = f"{component.name:<{NAME}}{earned:<{SCORE}}{component.state:<{STATE}}"
    explanation = _explanation(component, {} if told is None else told) or [""]
    return [(start + explanation[0]).rstrip(), *((INDENT + line).rstrip() for line in explanation[1:])]


def described(match: Match) -> str:
    return f"matches: {match.says}. {match.advice}."


def _explanation(component: ComponentResult, told: dict[str, str]) -> list[str]:
    failed = [test for test in component.tests if test.outcome != "pass"]
    lines = []
    if failed:
        first = next((test for test in failed if test.outcome == "todo"), failed[0])
        message = _message(first)
        before = told.setdefault(first.message, component.name) if first.outcome == "error" else component.name
        lines += message if before == component.name else [f"{message[0]} (see {before})"]
        if component.match:
            lines.append(described(component.match))
        if component.state == "FAIL":
            lines += _others(failed, first)
        lines += _printed(first)
    lines += [f"not allowed: {use}" for use in component.uses]
    if component.blocked_by:
        lines.append(f"blocked by: {', '.join(component.blocked_by)}")
    return lines


def _message(test: TestResult) -> list[str]:
    lines = test.message.splitlines() or [""]
    if test.outcome not in ("fail", "todo"):
        lines[0] = f"{test.outcome}: {lines[0]}"
    return lines


def _others(failed: list[TestResult], first: TestResult) -> list[str]:
    """The questions of the tests that fail in another way than the first."""
    others = [test for test in failed if test.message != first.message]
    shown = [f"also fails: {test.question}" for test in others[:OTHERS]]
    return shown + ([f"and {len(others) - OTHERS} more"] if len(others) > OTHERS else [])


def _printed(test: TestResult) -> list[str]:
    lines = test.printed.rstrip().splitlines()
    shown = [f"| {line[:120]}" for line in lines[:PRINTED_LINES]]
    if len(lines) > PRINTED_LINES:
        shown.append(f"| ... {len(lines) - PRINTED_LINES} more lines")
    return ["it printed:", *shown] if shown else []


def score(earned: float, points: float) -> str:
    return f"{marks.figure(earned)}/{marks.figure(points)}"
