"""What a grading found: components, their tests, and marks. The one model behind the table and every report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

OUTCOMES = ("pass", "fail", "todo", "error", "timeout", "out of memory", "crashed", "not run")


@dataclass(frozen=True)
class TestResult:
    """One test of a component. ``message`` and ``printed`` are empty for a pass."""

    __test__ = False  # not a test of pytest's

    name: str
    question: str
    weight: float
    outcome: str
    message: str = ""
    printed: str = ""


@dataclass(frozen=True)
class Match:
    """The known mistake that a submission's answers look like."""

    name: str
    says: str
    advice: str


@dataclass(frozen=True)
class ComponentResult:
    """One row.

    Args:
        tests: every test that was planned, whether it ran or not.
        match: set if something failed and is recognised.
        uses: forbidden imports and calls, each a sentence with its line.
        cost: share of the marks that these take away.
        blocked_by: components it needs that are not ok.
    """

    name: str
    points: float
    tests: tuple[TestResult, ...]
    match: Match | None = None
    uses: tuple[str, ...] = ()
    cost: float = 0.0
    blocked_by: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of the test weights that passed, from 0 to 1, less what forbidden uses cost."""
        total = sum(test.weight for test in self.tests)
        passed = sum(test.weight for test in self.tests if test.outcome == "pass")
        return passed / total * (1 - self.cost) if total else 0.0

    @property
    def earned(self) -> float:
        return self.points * self.share

    @property
    def state(self) -> str:
        """``ok``, ``todo`` (something is not written yet) or ``FAIL``."""
        if self.share == 1:
            return "ok"
        return "todo" if any(test.outcome == "todo" for test in self.tests) else "FAIL"


@dataclass(frozen=True)
class Results:
    """One submission's grading. In JSON the edition is called ``track``, as the first gradebooks call it."""

    edition: str
    components: tuple[ComponentResult, ...]

    @property
    def earned(self) -> float:
        return sum(component.earned for component in self.components)

    @property
    def points(self) -> float:
        return sum(component.points for component in self.components)

    @property
    def ok(self) -> bool:
        return all(component.state == "ok" for component in self.components)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with what is computed from the rest."""
        rows = [
            {**asdict(component), "earned": component.earned, "state": component.state} for component in self.components
        ]
        return {"track": self.edition, "earned": self.earned, "points": self.points, "components": rows}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Results:
        """The inverse of ``to_dict``."""
        rows = []
        for row in data["components"]:
            fields = {name: value for name, value in row.items() if name not in ("earned", "state")}
            fields["tests"] = tuple(TestResult(**test) for test in row["tests"])
            fields["match"] = Match(**row["match"]) if row["match"] else None
            rows.append(
                ComponentResult(**{**fields, "uses": tuple(row["uses"]), "blocked_by": tuple(row["blocked_by"])})
            )
        return cls(data["track"], tuple(rows))
