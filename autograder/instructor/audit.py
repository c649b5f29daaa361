"""``python -m autograder audit``: do the graders catch every known mistake, and let every right solution pass?

Every mistake must lose marks in exactly its component, and be named; every alternative must get full marks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tqdm import tqdm

from autograder import editions
from autograder.editions import Edition
from autograder.engine import graders, references
from autograder.engine.results import Results
from autograder.engine.session import Session, processors
from autograder.instructor import bank
from autograder.instructor.bank import Entry, Mistake
from autograder.instructor.build_references import draw

NAMED_AT_LEAST = 0.95


@dataclass(frozen=True)
class Verdict:
    """How the graders took one entry of a bank.

    Args:
        problem: what went wrong, in words; empty if nothing did.
        named: the mistake's name was given.
    """

    component: str
    entry: Entry
    problem: str
    named: bool = False


def run(names: Sequence[str], components: Sequence[str], seed: int | None) -> int:
    """Audit these editions, or all, and print a report on each; the exit status is 0 if all is well."""
    fine = True
    for name in names or editions.names():
        edition = editions.load(name)
        verdicts = audit(edition, components, seed)
        print(report(edition, verdicts, look_at_names=seed is None))
        fine = fine and passed(verdicts, look_at_names=seed is None)
    return 0 if fine else 1


def audit(edition: Edition, components: Sequence[str] = (), seed: int | None = None) -> list[Verdict]:
    """Grade every entry of the components' banks, in as many workers as there are processors.

    Raises:
        UserError: an unknown component, or a bank's entry that does not fit the solved tree.
    """
    return [verdict(*one) for one in graded(edition, components, seed)]


def graded(
    edition: Edition, components: Sequence[str] = (), seed: int | None = None
) -> Iterator[tuple[str, Entry, Results]]:
    """Each entry of the components' banks, in order, and how it is graded: its own component and those it touches.

    The mistakes are those that the edition's component asks about; the alternatives are all there are.
    """
    judged = [component for component in edition.chosen(list(components)) if component.points]
    tests = graders.collect(edition, judged)
    known = {name: references.load(edition, name) if seed is None else draw(edition, name, seed) for name in tests}
    entries: list[tuple[str, Entry]] = []
    for name, stored in known.items():
        of_both = [*bank.asked(edition, name, stored.options), *bank.alternatives(edition, name)]
        entries += [(name, entry) for entry in of_both]
    sessions, own = [], threading.local()

    def start_worker() -> None:
        own.session = Session()
        sessions.append(own.session)

    def grade(pair: tuple[str, Entry]) -> tuple[str, Entry, Results]:
        touched = bank.changed_modules(pair[1], edition)
        concerned = {name: tests[name] for name in tests if touched & set(known[name].modules)}
        submission = bank.submission(pair[1], edition)
        return *pair, graders.grade(edition, concerned, submission, own.session, known.__getitem__)

    try:
        with ThreadPoolExecutor(processors(), initializer=start_worker) as pool:
            each = pool.map(grade, entries)
            yield from tqdm(each, total=len(entries), desc=edition.name, leave=False, disable=None)
    finally:
        for session in sessions:
            session.close()


def verdict(component: str, entry: Entry, results: Results) -> Verdict:
    """Compare the marks with what the entry's bank promises. Rows without points, such as ``whole``, are free."""
    rows = {row.name: row for row in results.components if row.points}
    lost = {name for name, row in rows.items() if row.state != "ok"}
    if not isinstance(entry, Mistake):
        return Verdict(component, entry, "; ".join(_why(rows[name]) for name in sorted(lost)))
    expected = {component, *(name for name in entry.also if name in rows)}
    match = rows[component].match if component in rows else None
    named = match is not None and match.name == entry.name
    if component not in lost:
        return Verdict(component, entry, "gets full marks", named)
    wrong = [f"{name} should {'lose' if name in expected else 'keep its'} marks" for name in sorted(lost ^ expected)]
    return Verdict(component, entry, "; ".join(wrong), named)


def _why(row) -> str:
    test = next(test for test in row.tests if test.outcome != "pass")
    return f"{row.name} loses marks in {test.name}: {test.outcome}: {test.message.splitlines()[0]}"


def passed(verdicts: list[Verdict], look_at_names: bool = True) -> bool:
    """No problem at all, and names given often enough."""
    wrong, _, named, *_ = _counts(verdicts)
    enough = not look_at_names or named >= NAMED_AT_LEAST * wrong
    return enough and not any(verdict.problem for verdict in verdicts)


def report(edition: Edition, verdicts: list[Verdict], look_at_names: bool = True) -> str:
    """A row a component, the sums, and what went wrong."""
    lines = [f"{edition.name:<18}{'mistakes':>14}  caught  named  alternatives  passed"]
    for component in dict.fromkeys(verdict.component for verdict in verdicts):
        lines.append(_row(component, [verdict for verdict in verdicts if verdict.component == component]))
    lines.append(_row("all", verdicts))
    wrong, caught, named, right, fine = _counts(verdicts)
    sums = f"mutation score {_share(caught, wrong)}, false fails {_share(right - fine, right)}"
    lines.append(sums + (f", named {_share(named, wrong)}" if look_at_names else ""))
    lines += [f"{v.component}/{v.entry.name}: {v.problem}" for v in verdicts if v.problem]
    if look_at_names:
        unnamed = [v for v in verdicts if isinstance(v.entry, Mistake) and not v.named]
        lines += [f"{v.component}/{v.entry.name}: not named" for v in unnamed]
    return "\n".join(lines)


def _counts(verdicts: list[Verdict]) -> tuple[int, int, int, int, int]:
    """Mistakes: how many, how many of them caught and named. Alternatives: how many, how many of them passed."""
    wrong, right = ([v for v in verdicts if isinstance(v.entry, Mistake) is kind] for kind in (True, False))
    caught, fine = (sum(not v.problem for v in kind) for kind in (wrong, right))
    return len(wrong), caught, sum(v.named for v in wrong), len(right), fine


def _row(name: str, verdicts: list[Verdict]) -> str:
    wrong, caught, named, right, fine = _counts(verdicts)
    return f"{name:<18}{wrong:>14}{caught:>8}{named:>7}{right:>14}{fine:>8}"


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}%" if total else "none"
