"""Editions: what a course asks for, read from ``courses/COURSE/NAME.toml``; ``autograder/README.md`` has the fields."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder import trust
from llamalab.errors import UserError

LISTS = ("student_files", "student_tree", "provided_files", "command_files", "also_todo", "assets", "smoke")
FIELDS = {"title", "files", "components", "forbidden", "options", "checklist", "models", *LISTS}
COMPONENT_LISTS = ("regions", "needs", "forbidden_calls")
COMPONENT_FIELDS = {"points", "options", *COMPONENT_LISTS}
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Component:
    """One graded row.

    Args:
        points: what it is worth; 0 for a row that only informs.
        regions: the solution regions it is about; a region may serve two components.
        needs: components without which this one cannot work, to name when it does not.
        forbidden_calls: names of functions that its regions' files may not call.
        options: what the edition wants of it, by the names that its adapter knows.
    """

    name: str
    points: float
    regions: tuple[str, ...]
    needs: tuple[str, ...] = ()
    forbidden_calls: tuple[str, ...] = ()
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Edition:
    """One edition of a course.

    Args:
        path: the TOML file.
        files: the folder of the student's files, solved or in a handout.
        student_files: what a student writes, and what is taken from a submission.
        student_tree: patterns of files that are taken with their folders, as packages.
        provided_files: modules that are handed out complete.
        command_files: other files of ``files`` that a handout gets: commands, their data and settings.
        also_todo: regions that become TODOs without being graded.
        components: in the order of the table.
        forbidden_imports: modules that a submission may not import.
        forbidden_cost: share of a component's marks that a forbidden import or call costs.
        checklist: what a complete submission contains, seen from the course's folder; empty for none.
        assets: what a handout's ``setup.sh`` fetches, by the names of the runtime's manifest; all defaults if empty.
        smoke: commands that must run in a handout whose solutions were put back.
    """

    name: str
    title: str
    path: Path
    files: Path
    student_files: tuple[str, ...]
    provided_files: tuple[str, ...]
    components: dict[str, Component]
    student_tree: tuple[str, ...] = ()
    command_files: tuple[str, ...] = ()
    also_todo: tuple[str, ...] = ()
    forbidden_imports: tuple[str, ...] = ()
    forbidden_cost: float = 1.0
    checklist: str = ""
    assets: tuple[str, ...] = ()
    smoke: tuple[str, ...] = ()

    @property
    def course(self) -> Path:
        """The course's folder."""
        return self.path.parent

    @property
    def component_folder(self) -> Path:
        """The folder of the course's components."""
        return self.course / "components"

    @property
    def todo_regions(self) -> tuple[str, ...]:
        """Every region that a handout leaves to the student, each once."""
        graded = [region for component in self.components.values() for region in component.regions]
        return tuple(dict.fromkeys([*graded, *self.also_todo]))

    def student_paths(self, folder: Path) -> dict[str, Path]:
        """A student's files in a folder, by name: all that it names, and those of its tree that are there."""
        tree = [path for pattern in self.student_tree for path in sorted(folder.glob(pattern))]
        named = {name: folder / name for name in self.student_files}
        return named | {path.relative_to(folder).as_posix(): path for path in tree}

    def chosen(self, names: list[str]) -> list[Component]:
        """The components of these names, in the table's order; all of them for no names.

        Raises:
            UserError: a name that is none.
        """
        for name in names:
            if name not in self.components:
                known = ", ".join(self.components)
                raise UserError(f"the edition {self.name} has no component {name!r}; it has {known}")
        return [component for name, component in self.components.items() if not names or name in names]


def paths() -> dict[str, Path]:
    """The file of every edition there is, by name.

    Raises:
        UserError: two have the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(trust.COURSES.glob("*/*.toml")):
        if path.stem in found:
            raise UserError(f"{path} and {found[path.stem]} have the same name; an edition's is its own")
        found[path.stem] = path
    return dict(sorted(found.items()))


def names() -> list[str]:
    """Every edition there is a file for."""
    return list(paths())


def load(name: str | None = None) -> Edition:
    """Read an edition.

    Args:
        name: of an edition of ``courses``, or the path of its TOML; a handout's only one, if not given.

    Raises:
        UserError: there is none of this name, several and none is named, or its file has a mistake.
    """
    found = paths()
    if name is None:
        if len(found) != 1:
            raise UserError(f"there are several editions; name one with --edition: {', '.join(found)}")
        (path,) = found.values()
        return read(path)
    if name in found:
        return read(found[name])
    if name.endswith(".toml") and Path(name).is_file():
        return read(Path(name).resolve())
    raise UserError(f"there is no edition {name!r}; there are {', '.join(found)}; or name the path of its TOML")


def of_course(course: Path) -> list[Edition]:
    """Every edition of a course's folder."""
    return [read(path) for path in sorted(course.glob("*.toml"))]


def read(path: Path) -> Edition:
    """Read an edition's file.

    Raises:
        UserError: it is not TOML, or a field is unknown, missing or of the wrong type.
    """
    try:
        with open(path, "rb") as file:
            return _edition(path, tomllib.load(file))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name}: {error}") from error


# What follows raises ValueError, with what is wrong.


def _edition(path: Path, fields: dict[str, Any]) -> Edition:
    _only("the edition", fields, FIELDS)
    forbidden, options = _table(fields, "forbidden"), _table(fields, "options")
    _only("[forbidden]", forbidden, {"imports", "cost"})
    components = fields.get("components")
    if not isinstance(components, dict) or not components:
        raise ValueError("needs at least one [components.NAME]")
    cost = forbidden.get("cost", 1.0)
    if type(cost) not in (int, float) or not 0 <= cost <= 1:
        raise ValueError(f"[forbidden] cost is a share from 0 to 1, not {cost!r}")
    return Edition(
        name=path.stem,
        title=str(fields.get("title", path.stem)),
        path=path,
        files=_files(path, fields),
        components={name: _component(name, entry, options) for name, entry in components.items()},
        forbidden_imports=_names(forbidden, "imports"),
        forbidden_cost=float(cost),
        checklist=str(fields.get("checklist", "")),
        **{key: _names(fields, key) for key in LISTS},
    )


def _files(path: Path, fields: dict[str, Any]) -> Path:
    """The folder of the student's files: as the edition says, seen from its own; in a handout, the top one."""
    if trust.HANDOUT.is_file() and path.is_relative_to(trust.PROJECT):
        return trust.PROJECT
    files = fields.get("files", ".")
    if not isinstance(files, str) or not (path.parent / files).is_dir():
        raise ValueError(f"files names a folder, seen from {path.parent}, and there is no {files!r}")
    return (path.parent / files).resolve()


def _component(name: str, fields: Any, options: Options) -> Component:
    where = f"[components.{name}]"
    if not isinstance(fields, dict):
        raise ValueError(f"{where} must be a table")
    _only(where, fields, COMPONENT_FIELDS)
    points = fields.get("points")
    if type(points) not in (int, float) or not 0 <= points < float("inf"):
        raise ValueError(f"{where} needs points, a number from 0 up, not {points!r}")
    lists = {key: _names(fields, key) for key in COMPONENT_LISTS}
    return Component(name, float(points), **lists, options={**options, **_table(fields, "options")})


def _table(fields: dict[str, Any], key: str) -> dict[str, Any]:
    value = fields.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a table, not {value!r}")
    return value


def _names(fields: dict[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} must be a list of names, not {value!r}")
    return tuple(value)


def _only(where: str, fields: dict[str, Any], known: set[str]) -> None:
    for key in fields:
        if key not in known:
            raise ValueError(f"{where} has an unknown field {key!r}; known are {', '.join(sorted(known))}")
