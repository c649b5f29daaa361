"""A handout in memory: which files, with which TODOs. Nothing is written here; ``release`` does that."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from autograder import tracks
from autograder.instructor import handout_files, regions
from autograder.instructor.regions import Region
from autograder.submissions import ROOT
from autograder.tracks import Track
from llamalab.errors import UserError

TEMPLATES = Path(__file__).with_name("handout_templates")
GENERATED = ("README.md", "structure.md")
MANIFEST = ".handout"  # every file and its sha256; also the sign that a release wrote a folder


@dataclass(frozen=True)
class Todo:
    """A region that is left to the student.

    Args:
        text: the lines that stand in the handout.
        solution: the lines that they stand for.
    """

    region: Region
    text: str
    solution: str

    def solve(self, source: str) -> str:
        """The text of the handout's file with the solution put back.

        Raises:
            UserError: the lines are not there, or more than once.
        """
        if source.count(self.text) != 1:
            raise UserError(f"{self.region.file}: TODO({self.region.name}) is there {source.count(self.text)} times")
        return source.replace(self.text, self.solution)


@dataclass(frozen=True)
class Handout:
    """Everything that is written: content by path below the top folder, and what was taken out of it."""

    track: Track
    files: dict[str, bytes]
    todos: dict[str, Todo]

    def solve(self, folder: Path, region: str) -> None:
        """Put a region's solution into a written handout."""
        todo = self.todos[region]
        path = folder / todo.region.file
        path.write_text(todo.solve(path.read_text("utf-8")), encoding="utf-8")


def assemble(track_file: Path, root: Path = ROOT) -> Handout:
    """Make a track's handout from a solved tree.

    Args:
        track_file: the track's TOML.

    Raises:
        UserError: a mistake in a fence or in the track, or a file that is missing, with its place.
    """
    track = tracks.read(track_file)
    sources = {path.name: _read(path).decode("utf-8") for path in sorted(root.glob("*.py"))}
    found = regions.parse_all(sources)
    _check_components(track, track_file, found, root)
    _check_every_region_has_a_track(found, track, root)

    todos = {name: _todo(found[name], sources[found[name].file]) for name in track.todo_regions}
    files = {path: _read(root / path) for path in handout_files.copied(track)}
    for path in sources.keys() & files.keys():
        files[path] = _student_text(sources[path], path, todos).encode("utf-8")
    files[f"assignments/{track_file.name}"] = _read(track_file)
    _check_imports(files, root)
    files |= _generated(track, todos, files)
    files[MANIFEST] = _manifest(files)
    return Handout(track, dict(sorted(files.items())), todos)


# --- what a student sees in place of a solution ------------------------------------------------------------------


def _body(region: Region) -> str:
    written = region.scaffold or f'raise NotImplementedError("{region.name}: not written yet")\n'
    return f"# TODO({region.name}): the docstring says what is wanted here.\n{written}"


def _student_text(source: str, file: str, todos: Mapping[str, Todo]) -> str:
    """A file without fences: a TODO in place of these regions, the solution in place of others."""
    bodies = [
        (region, _body(region) if region.name in todos else region.solution) for region in regions.parse(source, file)
    ]
    return regions.replace(source, bodies, keep_fences=False)


def _todo(region: Region, source: str) -> Todo:
    fenced = "".join(source.splitlines(keepends=True)[region.first : region.last + 1])
    (alone,) = regions.parse(fenced, region.file)
    text, solution = (
        regions.replace(fenced, [(alone, body)], keep_fences=False) for body in (_body(region), region.solution)
    )
    return Todo(region, text, solution)


# --- mistakes, each with its place -------------------------------------------------------------------------------


def _check_components(track: Track, track_file: Path, found: Mapping[str, Region], root: Path) -> None:
    for file in (*track.student_files, *track.provided_files):
        if not (root / file).is_file():
            place = _place(track_file, f'"{file}"')
            raise UserError(f"{place}: there is no {file}")
    named = {f"[components.{name}]": component.regions for name, component in track.components.items()}
    for where, names in {**named, "also_todo": track.also_todo}.items():
        for name in names:
            place = _place(track_file, f'"{name}"', after=where)
            if name not in found:
                raise UserError(f"{place}: there is no region {name!r}; there are {', '.join(sorted(found))}")
            if found[name].file not in track.student_files:
                raise UserError(f"{place}: the region {name} is in {found[name].file}, which is no student file here")
    for component in track.components.values():
        place = _place(track_file, f"[components.{component.name}]")
        if component.points and not component.regions:
            raise UserError(f"{place}: {component.name} gives points, and no region of it is left to write")
        for need in component.needs:
            if need not in track.components:
                raise UserError(f"{place}: {component.name} needs {need}, which is no component of this track")
        for what, path in handout_files.of_component(component).items():
            if not (root / path).is_file():
                raise UserError(f"{place}: the component {component.name} has no {what}: {path} is missing")


def _check_every_region_has_a_track(found: Mapping[str, Region], track: Track, root: Path) -> None:
    every = [track, *(tracks.read(path) for path in sorted((root / "assignments").glob("*.toml")))]
    named = {region for each in every for region in each.todo_regions}
    for region in found.values():
        if region.name not in named:
            raise UserError(
                f"{region.file}:{region.first + 1}: no track names the region {region.name}; add it to a component, "
                "or to also_todo"
            )


def _check_imports(files: Mapping[str, bytes], root: Path) -> None:
    """Every Python file parses, and imports no module of this project that does not ship."""
    for path, content in files.items():
        if path.endswith(".py"):
            try:
                tree = ast.parse(content, path)
            except SyntaxError as error:
                raise UserError(f"{path}:{error.lineno} of the handout: {error.msg}; see its scaffolds") from error
            for line, module in _imports(tree):
                for target in (f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py"):
                    if (root / target).is_file() and target not in files and target not in handout_files.LEFT_OUT:
                        raise UserError(f"{path}:{line}: imports {target}, which does not ship; see handout_files.py")


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _place(path: Path, words: str, after: str = "") -> str:
    """``mmia.toml:12``, the first line with these words, from the line with ``after`` on."""
    lines = path.read_text("utf-8").splitlines()
    start = next((number for number, line in enumerate(lines) if after in line), 0)
    found = (number for number, line in enumerate(lines) if number >= start and words in line)
    return f"{path.name}:{next(found, start) + 1}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} belongs to a handout and cannot be read: {error.strerror}") from error


# --- what is written for the handout alone -----------------------------------------------------------------------


def _generated(track: Track, todos: Mapping[str, Todo], files: Mapping[str, bytes]) -> dict[str, bytes]:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Markdown, from our own tree
    )
    facts = {
        "track": track,
        "files_of": {name: _files_of(component.regions, todos) for name, component in track.components.items()},
        "also_todo": {name: todos[name].region.file for name in track.also_todo},
        "says": {path: _first_line(content) for path, content in files.items() if path.endswith(".py")},
        "runtime": {
            path.removeprefix("llamalab/").removesuffix("__init__.py"): path
            for path in sorted(files)
            if re.fullmatch(r"llamalab/([a-z_]+/__init__|[a-z]\w*)\.py", path)
        },
    }
    return {name: environment.get_template(name).render(facts).encode("utf-8") for name in GENERATED}


def _files_of(names: Iterable[str], todos: Mapping[str, Todo]) -> dict[str, list[str]]:
    """Regions by their file."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(todos[name].region.file, []).append(name)
    return found


def _first_line(content: bytes) -> str:
    """What a module says it is."""
    return (ast.get_docstring(ast.parse(content)) or "").partition("\n")[0]


def _manifest(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files)).encode()
