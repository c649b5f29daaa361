"""What a class got wrong: counts over all records, with the students behind each. The class page shows these."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from autograder.classroom.records import Record
from autograder.classroom.reports import findings
from autograder.classroom.reports.findings import STOPS
from autograder.engine.results import ComponentResult, TestResult
from llamalab import text

BINS = 10
OUTCOMES = {**findings.LABELS, "error": "with an error"}
SLOWEST, HARDEST = 5, 6


@dataclass(frozen=True)
class Student:
    """A name to show, and the slug that every link is made of."""

    name: str
    slug: str


@dataclass(frozen=True)
class CommonMistake:
    """A known mistake and everyone who has it."""

    component: str
    says: str
    advice: str
    students: tuple[Student, ...]


@dataclass(frozen=True)
class TestSummary:
    """How a class did on one test. ``otherwise`` counts, in words, the outcomes that are no pass."""

    component: str
    question: str
    passed: int
    wrong: int
    otherwise: str


@dataclass(frozen=True)
class ComponentSummary:
    """How a class did on one component.

    Args:
        tones: students by ``findings.tone``.
        mean: marks.
        unknown: students with wrong answers that resemble no known mistake.
    """

    name: str
    points: float
    tones: Mapping[str, int]
    mean: float
    tests: tuple[TestSummary, ...]
    unknown: tuple[Student, ...]


@dataclass(frozen=True)
class Bar:
    """One column of the histogram: marks from ``low`` to ``high``, and how many students have them."""

    low: float
    high: float
    students: int


@dataclass(frozen=True)
class Note:
    """A student, and what is worth a look."""

    student: Student
    words: str


@dataclass(frozen=True)
class Stop:
    """A component whose code stopped instead of answering, and whose it was."""

    outcome: str
    component: str
    students: tuple[Student, ...]


@dataclass(frozen=True)
class Row:
    """A student in the table of all: ``cells`` are name, marks or None, tone and what is to be said, by component."""

    student: Student
    status: str
    earned: float | None
    cells: tuple[tuple[str, float | None, str, str], ...]
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ClassSummary:
    """Everything on the class page. Marks and shares are over the ``graded`` records alone."""

    graded: int
    points: float
    mean: float
    median: float
    full: int
    bars: tuple[Bar, ...]
    mistakes: tuple[CommonMistake, ...]
    hardest: tuple[TestSummary, ...]
    components: tuple[ComponentSummary, ...]
    refused: tuple[Note, ...]
    failed: tuple[Note, ...]
    broken: tuple[Note, ...]
    stopped: tuple[Stop, ...]
    not_allowed: tuple[Note, ...]
    slowest: tuple[Note, ...]
    rows: tuple[Row, ...]


@dataclass
class _Class:
    """The graded records, taken apart by component."""

    records: Sequence[Record]
    rows: dict[str, list[tuple[Student, ComponentResult]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for record in self.records:
            for row in record.results.components:
                self.rows.setdefault(row.name, []).append((student(record), row))


def student(record: Record) -> Student:
    return Student(text.line(record.student) or record.slug, record.slug)


def summarise(records: Sequence[Record]) -> ClassSummary:
    """Count everything."""
    graded = _Class([record for record in records if record.status == "graded"])
    marks = [record.results.earned for record in graded.records]
    points = max((record.results.points for record in records), default=0.0)
    components = [_component(name, rows) for name, rows in graded.rows.items()]
    return ClassSummary(
        graded=len(marks),
        points=points,
        mean=statistics.fmean(marks) if marks else 0.0,
        median=statistics.median(marks) if marks else 0.0,
        full=sum(record.results.points > 0 and _full(record) for record in graded.records),
        bars=tuple(_bars(marks, points)),
        mistakes=tuple(_mistakes(graded)),
        hardest=tuple(_hardest(components)),
        components=tuple(components),
        refused=tuple(_problems(records, "refused")),
        failed=tuple(_problems(records, "failed")),
        broken=tuple(_broken(graded.records)),
        stopped=tuple(_stopped(graded)),
        not_allowed=tuple(_not_allowed(graded)),
        slowest=tuple(_slowest(graded.records)),
        rows=tuple(_row(record, [row.name for row in components if row.points]) for record in records),
    )


def _full(record: Record) -> bool:
    return all(row.state == "ok" for row in record.results.components if row.points)


def _bars(marks: Sequence[float], points: float) -> list[Bar]:
    """Ten columns of equal width; the last has full marks too."""
    if not points:
        return []
    counts = Counter(min(int(earned / points * BINS + 1e-9), BINS - 1) for earned in marks)
    return [Bar(points * i / BINS, points * (i + 1) / BINS, counts[i]) for i in range(BINS)]


def _mistakes(graded: _Class) -> list[CommonMistake]:
    """The most common first; as common ones in the order of the components, then by name."""
    found: dict[tuple[str, str], list[tuple[Student, ComponentResult]]] = {}
    for name, rows in graded.rows.items():
        for who, row in sorted((pair for pair in rows if pair[1].match), key=lambda pair: pair[1].match.name):
            found.setdefault((name, row.match.name), []).append((who, row))
    mistakes = []
    for (name, _), pairs in found.items():
        match = pairs[0][1].match
        mistakes.append(CommonMistake(name, match.says, match.advice, tuple(who for who, _ in pairs)))
    return sorted(mistakes, key=lambda mistake: -len(mistake.students))


def _component(name: str, rows: Sequence[tuple[Student, ComponentResult]]) -> ComponentSummary:
    results: dict[str, list[TestResult]] = {}
    for _, row in rows:
        for test in row.tests:
            results.setdefault(test.name, []).append(test)
    unknown = [who for who, row in rows if row.match is None and any(test.outcome == "fail" for test in row.tests)]
    return ComponentSummary(
        name=name,
        points=rows[0][1].points,
        tones=Counter(findings.tone(row) for _, row in rows),
        mean=statistics.fmean(row.earned for _, row in rows),
        tests=tuple(_test(name, tests) for tests in results.values()),
        unknown=tuple(unknown),
    )


def _test(component: str, tests: Sequence[TestResult]) -> TestSummary:
    outcomes = Counter(test.outcome for test in tests)
    others = sorted(
        (-number, OUTCOMES.get(outcome, outcome)) for outcome, number in outcomes.items() if outcome != "pass"
    )
    words = ", ".join(f"{-number} {words}" for number, words in others)
    return TestSummary(component, tests[0].question, outcomes["pass"], outcomes["fail"], words)


def _hardest(components: Iterable[ComponentSummary]) -> list[TestSummary]:
    """The question of each component that most students answered wrong, the hardest first."""
    tests = [max(component.tests, key=lambda test: test.wrong) for component in components if component.points]
    return sorted((test for test in tests if test.wrong), key=lambda test: -test.wrong)[:HARDEST]


def _problems(records: Sequence[Record], status: str) -> list[Note]:
    return [Note(student(record), text.line(record.problem, 600)) for record in records if record.status == status]


def _nothing_runs(record: Record) -> bool:
    return all(test.outcome in STOPS for row in record.results.components for test in row.tests)


def _broken(records: Sequence[Record]) -> list[Note]:
    """Submissions of which no test gets an answer, with the words they stop with."""
    notes = []
    for record in filter(_nothing_runs, records):
        test = record.results.components[0].tests[0]
        notes.append(Note(student(record), text.line(f"{test.outcome}: {test.message}", 200)))
    return notes


def _stopped(graded: _Class) -> list[Stop]:
    """By outcome and component: whose code stopped. Those of which nothing runs are left out."""
    broken = {record.slug for record in graded.records if _nothing_runs(record)}
    stops = []
    for outcome in STOPS:
        for name, rows in graded.rows.items():
            of_this = (who for who, row in rows if any(test.outcome == outcome for test in row.tests))
            if students := tuple(who for who in of_this if who.slug not in broken):
                stops.append(Stop(outcome, name, students))
    return stops


def _not_allowed(graded: _Class) -> list[Note]:
    notes = {}
    for rows in graded.rows.values():
        for who, row in rows:
            for use in row.uses:
                notes.setdefault(who, []).append(use)
    return [
        Note(who, "; ".join(findings.names(list(dict.fromkeys(uses)), 3)[0]))
        for who, uses in sorted(notes.items(), key=lambda pair: pair[0].slug)
    ]


def _slowest(records: Sequence[Record]) -> list[Note]:
    timed = sorted(records, key=lambda record: -seconds(record))[:SLOWEST]
    return [Note(student(record), f"{seconds(record):.1f} s") for record in timed if seconds(record)]


def seconds(record: Record) -> float:
    return float(record.times.get("seconds", 0.0))


def _row(record: Record, names: Sequence[str]) -> Row:
    graded = record.status == "graded"
    rows = {row.name: row for row in record.results.components} if graded else {}
    notes = [] if graded else [record.status]
    outcomes = {test.outcome for row in rows.values() for test in row.tests}
    notes += [findings.LABELS.get(outcome, outcome) for outcome in STOPS if outcome in outcomes]
    notes += ["not allowed"] if any(row.uses for row in rows.values()) else []
    cells = [_cell(rows[name]) if name in rows else (name, None, "", "") for name in names]
    earned = record.results.earned if graded else None
    return Row(student(record), record.status, earned, tuple(cells), seconds(record), tuple(notes))


def _cell(row: ComponentResult) -> tuple[str, float | None, str, str]:
    says = row.match.says if row.match else {"ok": "right", "todo": "to do"}.get(row.state, "wrong")
    return row.name, row.earned, findings.tone(row), says
