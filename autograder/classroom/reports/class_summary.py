"""What a class got wrong: counts over all records, with the students behind each. The class page shows these."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from autograder.classroom.records import Record
from autograder.classroom.reports import findings
from autograder.classroom.reports.findings import STOPS
from autograder.engine.results import ComponentResult, TestResult
from llamalab import text

BINS = 10
OUTCOMES = {**findings.LABELS, "error": "with an error"}
SLOWEST, HARDEST = 5, 6


class Student(NamedTuple):
    """A name to show, and the slug that every link is made of."""

    name: str
    slug: str


class CommonMistake(NamedTuple):
    """A known mistake and everyone who has it."""

    component: str
    says: str
    advice: str
    students: list[Student]


class TestSummary(NamedTuple):
    """How a class did on one test. ``otherwise`` counts, in words, the outcomes that are no pass."""

    component: str
    question: str
    passed: int
    wrong: int
    otherwise: str


class ComponentSummary(NamedTuple):
    """How a class did on one component: students by ``findings.tone``, and their mean in marks.

    ``unknown`` are students with wrong answers that resemble no known mistake.
    """

    name: str
    points: float
    tones: Counter[str]
    mean: float
    tests: list[TestSummary]
    unknown: list[Student]


class Bar(NamedTuple):
    """One column of the histogram: marks from ``low`` to ``high``, and how many students have them."""

    low: float
    high: float
    students: int


class Note(NamedTuple):
    """A student, and what is worth a look."""

    student: Student
    words: str


class Stop(NamedTuple):
    """A component whose code stopped instead of answering, and whose it was."""

    outcome: str
    component: str
    students: list[Student]


class Row(NamedTuple):
    """A student in the table of all; without marks, ``components`` is empty."""

    student: Student
    record: Record
    components: dict[str, ComponentResult]
    notes: list[str]


class ClassSummary:
    """Everything on the class page. Marks and shares are over the graded records alone."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._graded = [record for record in records if record.status == "graded"]
        self._results: dict[str, list[tuple[Student, ComponentResult]]] = defaultdict(list)  # by component
        for record in self._graded:
            for row in record.results.components:
                self._results[row.name].append((student(record), row))
        marks = [record.results.earned for record in self._graded]
        self.graded = len(marks)
        self.points = max((record.results.points for record in records), default=0.0)
        self.mean = statistics.fmean(marks) if marks else 0.0
        self.median = statistics.median(marks) if marks else 0.0
        self.bars = _bars(marks, self.points)
        self.components = [_component(name, rows) for name, rows in self._results.items()]
        self.refused, self.failed = (_problems(records, status) for status in ("refused", "failed"))
        self.rows = [_row(record) for record in records]

    @property
    def full(self) -> int:
        """How many have all the marks there are."""
        states = [{row.state for row in each.results.components if row.points} for each in self._graded]
        return states.count({"ok"})

    @cached_property
    def mistakes(self) -> list[CommonMistake]:
        """The most common first; as common ones in the order of the components, then by name."""
        found: dict[tuple[int, str], CommonMistake] = {}
        for at, (name, rows) in enumerate(self._results.items()):
            for who, match in ((who, row.match) for who, row in rows if row.match):
                new = CommonMistake(name, match.says, match.advice, [])
                found.setdefault((at, match.name), new).students.append(who)
        return sorted((found[key] for key in sorted(found)), key=lambda mistake: -len(mistake.students))

    @property
    def hardest(self) -> list[TestSummary]:
        """The question of each component that most students answered wrong, the hardest first."""
        tests = [max(component.tests, key=lambda test: test.wrong) for component in self.components if component.points]
        return sorted((test for test in tests if test.wrong), key=lambda test: -test.wrong)[:HARDEST]

    @cached_property
    def broken(self) -> list[Note]:
        """Submissions of which no test gets an answer, with the words they stop with."""
        notes = []
        for record in self._graded:
            tests = [test for row in record.results.components for test in row.tests]
            if all(test.outcome in STOPS for test in tests):
                notes.append(Note(student(record), text.line(f"{tests[0].outcome}: {tests[0].message}", 200)))
        return notes

    @cached_property
    def stopped(self) -> list[Stop]:
        """By outcome and component: whose code stopped. Those of which nothing runs are left out."""
        broken = {note.student for note in self.broken}
        stops = [
            Stop(outcome, name, [who for who, row in rows if who not in broken and outcome in _outcomes(row)])
            for outcome in STOPS
            for name, rows in self._results.items()
        ]
        return [stop for stop in stops if stop.students]

    @property
    def not_allowed(self) -> list[Note]:
        """What each student uses that is forbidden, in the order of the slugs."""
        uses: dict[Student, dict[str, None]] = defaultdict(dict)
        for rows in self._results.values():
            for who, row in rows:
                if row.uses:
                    uses[who] |= dict.fromkeys(row.uses)
        ordered = sorted(uses.items(), key=lambda pair: pair[0].slug)
        return [Note(who, "; ".join(findings.names(list(found), 3)[0])) for who, found in ordered]

    @property
    def slowest(self) -> list[Note]:
        timed = sorted(self._graded, key=lambda record: -seconds(record))[:SLOWEST]
        return [Note(student(record), f"{seconds(record):.1f} s") for record in timed if seconds(record)]


def student(record: Record) -> Student:
    return Student(text.line(record.student) or record.slug, record.slug)


def seconds(record: Record) -> float:
    return float(record.times.get("seconds", 0.0))


def _outcomes(*rows: ComponentResult) -> set[str]:
    return {test.outcome for row in rows for test in row.tests}


def _bars(marks: Sequence[float], points: float) -> list[Bar]:
    """Ten columns of equal width; the last has full marks too."""
    if not points:
        return []
    counts = Counter(min(int(earned / points * BINS + 1e-9), BINS - 1) for earned in marks)
    return [Bar(points * i / BINS, points * (i + 1) / BINS, counts[i]) for i in range(BINS)]


def _component(name: str, rows: Sequence[tuple[Student, ComponentResult]]) -> ComponentSummary:
    results: dict[str, list[TestResult]] = defaultdict(list)
    for _, row in rows:
        for test in row.tests:
            results[test.name].append(test)
    return ComponentSummary(
        name=name,
        points=rows[0][1].points,
        tones=Counter(findings.tone(row) for _, row in rows),
        mean=statistics.fmean(row.earned for _, row in rows),
        tests=[_test(name, tests) for tests in results.values()],
        unknown=[who for who, row in rows if row.match is None and "fail" in _outcomes(row)],
    )


def _test(component: str, tests: Sequence[TestResult]) -> TestSummary:
    found = Counter(test.outcome for test in tests)
    others = sorted((-number, OUTCOMES.get(outcome, outcome)) for outcome, number in found.items() if outcome != "pass")
    words = ", ".join(f"{-number} {words}" for number, words in others)
    return TestSummary(component, tests[0].question, found["pass"], found["fail"], words)


def _problems(records: Sequence[Record], status: str) -> list[Note]:
    return [Note(student(record), text.line(record.problem, 600)) for record in records if record.status == status]


def _row(record: Record) -> Row:
    if record.status != "graded":
        return Row(student(record), record, {}, [record.status])
    rows = record.results.components
    notes = [findings.LABELS.get(outcome, outcome) for outcome in STOPS if outcome in _outcomes(*rows)]
    notes += ["not allowed"] if any(row.uses for row in rows) else []
    return Row(student(record), record, {row.name: row for row in rows}, notes)
