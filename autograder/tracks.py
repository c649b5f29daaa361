"""Tracks: what one course asks for, read from ``assignments/NAME.toml``; ``autograder/README.md`` has the fields."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamalab.errors import UserError

ASSIGNMENTS = Path(__file__).resolve().parent.parent / "assignments"
FIELDS = {"title", "causal", "student_files", "provided_files", "also_todo", "components", "forbidden"}
COMPONENT_FIELDS = {"points", "regions", "needs", "forbidden_calls"}


@dataclass(frozen=True)
class Component:
    """One graded row.

    Args:
        points: what it is worth; 0 for a row that only informs.
        regions: the solution regions it is about; a region may serve two components.
        needs: components without which this one cannot work, to name when it does not.
        forbidden_calls: names of functions that its regions' files may not call.
    """

    name: str
    points: float
    regions: tuple[str, ...]
    needs: tuple[str, ...] = ()
    forbidden_calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Track:
    """One course.

    Args:
        causal: True, False, or "either": which attention a grader accepts. Models are built with ``config.causal``
            False for False, and True for the others.
        student_files: what a student writes, and what is taken from a submission.
        provided_files: modules that are handed out complete.
        also_todo: regions that become TODOs without being graded.
        components: in the order of the table.
        forbidden_imports: modules that a submission may not import.
        forbidden_cost: share of a component's marks that a forbidden import or call costs.
    """

    name: str
    title: str
    causal: bool | str
    student_files: tuple[str, ...]
    provided_files: tuple[str, ...]
    components: dict[str, Component]
    also_todo: tuple[str, ...] = ()
    forbidden_imports: tuple[str, ...] = ()
    forbidden_cost: float = 1.0

    @property
    def todo_regions(self) -> tuple[str, ...]:
        """Every region that a handout leaves to the student, each once."""
        graded = [region for component in self.components.values() for region in component.regions]
        return tuple(dict.fromkeys([*graded, *self.also_todo]))

    @property
    def attention_variants(self) -> tuple[str, ...]:
        """Which of the expected results ``causal`` and ``full`` are right here."""
        return {True: ("causal",), False: ("full",)}.get(self.causal, ("causal", "full"))

    def chosen(self, names: list[str]) -> list[Component]:
        """The components of these names, in the table's order; all of them for no names.

        Raises:
            UserError: a name that is none.
        """
        for name in names:
            if name not in self.components:
                known = ", ".join(self.components)
                raise UserError(f"the track {self.name} has no component {name!r}; it has {known}")
        return [component for name, component in self.components.items() if not names or name in names]


def names() -> list[str]:
    """Every track there is a file for."""
    return sorted(path.stem for path in ASSIGNMENTS.glob("*.toml"))


def default() -> str:
    """The only track of a handout, or ``mmia`` where there are several."""
    found = names()
    return found[0] if len(found) == 1 else "mmia"


def load(name: str) -> Track:
    """Read a track.

    Raises:
        UserError: there is none of this name, or its file has a mistake.
    """
    if name not in names():
        raise UserError(f"there is no track {name!r}; assignments/ has {', '.join(names())}")
    return read(ASSIGNMENTS / f"{name}.toml")


def read(path: Path) -> Track:
    """Read a track's file.

    Raises:
        UserError: it is not TOML, or a field is unknown, missing or of the wrong type.
    """
    try:
        with open(path, "rb") as file:
            fields = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name}: {error}") from error
    _only(path, "the track", fields, FIELDS)
    forbidden = fields.get("forbidden", {})
    _only(path, "[forbidden]", forbidden, {"imports", "cost"})
    causal = fields.get("causal", True)
    if causal not in (True, False, "either"):
        raise UserError(f'{path.name}: causal must be true, false or "either", not {causal!r}')
    components = fields.get("components")
    if not isinstance(components, dict) or not components:
        raise UserError(f"{path.name}: needs at least one [components.NAME]")
    cost = forbidden.get("cost", 1.0)
    if type(cost) not in (int, float) or not 0 <= cost <= 1:
        raise UserError(f"{path.name}: [forbidden] cost is a share from 0 to 1, not {cost!r}")
    return Track(
        name=path.stem,
        title=str(fields.get("title", path.stem)),
        causal=causal,
        student_files=_names(path, fields, "student_files"),
        provided_files=_names(path, fields, "provided_files"),
        components={name: _component(path, name, entry) for name, entry in components.items()},
        also_todo=_names(path, fields, "also_todo"),
        forbidden_imports=_names(path, forbidden, "imports"),
        forbidden_cost=float(cost),
    )


def _component(path: Path, name: str, fields: Any) -> Component:
    where = f"[components.{name}]"
    if not isinstance(fields, dict):
        raise UserError(f"{path.name}: {where} must be a table")
    _only(path, where, fields, COMPONENT_FIELDS)
    points = fields.get("points")
    if type(points) not in (int, float) or not 0 <= points < float("inf"):
        raise UserError(f"{path.name}: {where} needs points, a number from 0 up, not {points!r}")
    return Component(
        name=name,
        points=float(points),
        regions=_names(path, fields, "regions"),
        needs=_names(path, fields, "needs"),
        forbidden_calls=_names(path, fields, "forbidden_calls"),
    )


def _names(path: Path, fields: dict[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UserError(f"{path.name}: {key} must be a list of names, not {value!r}")
    return tuple(value)


def _only(path: Path, where: str, fields: Any, known: set[str]) -> None:
    for key in fields:
        if key not in known:
            raise UserError(f"{path.name}: {where} has an unknown field {key!r}; known are {', '.join(sorted(known))}")
