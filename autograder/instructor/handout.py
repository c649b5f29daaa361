"""A handout in memory: which files, with which TODOs. Nothing is written here; ``release`` does that."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from autograder import editions, trust
from autograder.editions import Edition
from autograder.instructor import regions, solved
from autograder.instructor.regions import Region
from llamalab.assets.manifest import load_manifest
from llamalab.errors import UserError

TEXTS = "handout"  # the folder of a course's texts for its handouts; each is a template
ASSETS = "llamalab/assets/manifest.toml"
PROJECT_FILES = ("setup.sh", "requirements.txt", "pyproject.toml", "setup.py", "LICENSE", ".gitignore")
DONE_WITHOUT = (f"llamalab/{trust.FAST}/", "autograder/instructor/", "autograder/classroom/")
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

    edition: Edition
    files: dict[str, bytes]
    todos: dict[str, Todo]

    def solve(self, folder: Path, region: str) -> None:
        """Put a region's solution into a written handout."""
        todo = self.todos[region]
        path = folder / todo.region.file
        path.write_bytes(solved.with_text(path.read_bytes(), path.name, todo.solve(solved.text(path))))


def assemble(edition: Edition) -> Handout:
    """Make an edition's handout from a solved tree.

    Raises:
        UserError: a mistake in a fence or in the edition, or a file that is missing, with its place.
    """
    _check_files(edition)
    sources = solved.sources(edition)
    found = regions.parse_all(sources)
    _check_components(edition, found)
    _check_every_region_has_an_edition(found, edition)

    left = [found[name] for name in edition.todo_regions]
    todos = {region.name: Todo(region, region.placed(_body(region)), region.placed(region.solution)) for region in left}
    files = {name: _read(path) for name, path in _copied(edition).items()}
    for name in sources.keys() & files.keys():
        text = _student_text(sources[name], name, todos)
        files[name] = solved.with_text(files[name], name, text)
    _check_imports(edition, files)
    if edition.assets:
        files[ASSETS] = _with_default_assets(files[ASSETS], edition)
    files |= _generated(edition, todos, files)
    files[MANIFEST] = _manifest(files)
    return Handout(edition, dict(sorted(files.items())), todos)


def _copied(edition: Edition) -> trust.Files:
    """Where each file of a handout comes from, by where it lands: those of the course's own folder land at its top."""
    others = (*edition.provided_files, *edition.command_files)
    own = edition.student_paths(edition.files) | {name: edition.files / name for name in others}
    if edition.checklist:
        own["checklist.md"] = edition.course / edition.checklist
    return {**{name: trust.PROJECT / name for name in PROJECT_FILES}, **trust.of_handout(edition), **own}


# --- what a student sees in place of a solution ------------------------------------------------------------------


def _body(region: Region) -> str:
    written = region.scaffold or f'raise NotImplementedError("{region.name}: not written yet")\n'
    return f"# TODO({region.name}): the docstring says what is wanted here.\n{written}"


def _student_text(source: str, file: str, todos: Mapping[str, Todo]) -> str:
    """A file without fences: a TODO in place of these regions, the solution in place of others."""
    found = regions.parse(source, file)
    bodies = [(region, _body(region) if region.name in todos else region.solution) for region in found]
    return regions.replace(source, bodies, keep_fences=False)


def _with_default_assets(manifest: bytes, edition: Edition) -> bytes:
    """The manifest, with what the edition needs as the group that ``setup.sh`` fetches."""
    known = load_manifest()
    for name in edition.assets:
        if name not in {*known.assets, *known.groups}:
            place = _place(edition.path, f'"{name}"', after="assets")
            raise UserError(
                f"{place}: there is no asset {name!r}; `python -m llamalab.assets list` shows what there is"
            )
    text, count = re.subn(r"(?m)^default = .*$", f"default = {json.dumps(edition.assets)}", manifest.decode("utf-8"))
    if count != 1:
        raise UserError(f"{ASSETS}: has {count} lines that begin with `default =`; one is to be replaced")
    return text.encode("utf-8")


# --- mistakes, each with its place -------------------------------------------------------------------------------


def _check_files(edition: Edition) -> None:
    for file in (*edition.student_files, *edition.provided_files, *edition.command_files):
        if not (edition.files / file).is_file():
            place = _place(edition.path, f'"{file}"')
            raise UserError(f"{place}: there is no {file}")


def _check_components(edition: Edition, found: Mapping[str, Region]) -> None:
    written = edition.student_paths(edition.files)
    named = {f"[components.{name}]": component.regions for name, component in edition.components.items()}
    for where, names in {**named, "also_todo": edition.also_todo}.items():
        for name in names:
            place = _place(edition.path, f'"{name}"', after=where)
            if name not in found:
                raise UserError(f"{place}: there is no region {name!r}; there are {', '.join(sorted(found))}")
            if found[name].file not in written:
                raise UserError(f"{place}: the region {name} is in {found[name].file}, which is no student file here")
    for component in edition.components.values():
        place = _place(edition.path, f"[components.{component.name}]")
        if component.points and not component.regions:
            raise UserError(f"{place}: {component.name} gives points, and no region of it is left to write")
        for need in component.needs:
            if need not in edition.components:
                raise UserError(f"{place}: {component.name} needs {need}, which is no component of this edition")
        for path in trust.of_component(edition, component).values():
            if not path.is_file():
                shown = path.relative_to(edition.course).as_posix()
                raise UserError(f"{place}: the component {component.name} has no {path.name}: {shown} is missing")


def _check_every_region_has_an_edition(found: Mapping[str, Region], edition: Edition) -> None:
    every = [edition, *editions.of_course(edition.course)]
    named = {region for each in every for region in each.todo_regions}
    for region in found.values():
        if region.name not in named:
            raise UserError(
                f"{region.file}:{region.first + 1}: no edition names the region {region.name}; add it to a component, "
                "or to also_todo"
            )


def _check_imports(edition: Edition, files: Mapping[str, bytes]) -> None:
    """Every Python file parses, and imports no module of this project that does not ship.

    What only a handout's instructor has, and the fast ways, are asked for and done without.
    """
    for path, content in files.items():
        if path.endswith(".py"):
            try:
                tree = ast.parse(content, path)
            except SyntaxError as error:
                raise UserError(f"{path}:{error.lineno} of the handout: {error.msg}; see its scaffolds") from error
            for line, module in _imports(tree):
                for target in (f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py"):
                    here = any((root / target).is_file() for root in (trust.CODE, edition.files))
                    if here and target not in files and not target.startswith(DONE_WITHOUT):
                        raise UserError(
                            f"{path}:{line}: imports {target}, which does not ship; see autograder/trust.py"
                        )


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that may be a module when the file runs."""
    annotations = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    unrun = {id(node) for block in annotations for each in block.body for node in ast.walk(each)}
    for node in ast.walk(tree):
        if id(node) in unrun:
            continue
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


def _generated(edition: Edition, todos: Mapping[str, Todo], files: Mapping[str, bytes]) -> dict[str, bytes]:
    environment = Environment(
        loader=FileSystemLoader(edition.course / TEXTS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Markdown, from our own tree
    )
    facts = {
        "edition": edition,
        "files_of": {name: _files_of(component.regions, todos) for name, component in edition.components.items()},
        "also_todo": {name: todos[name].region.file for name in edition.also_todo},
        "says": {path: _first_line(content) for path, content in files.items() if path.endswith(".py")},
        "runtime": {
            path.removeprefix("llamalab/").removesuffix("__init__.py"): path
            for path in sorted(files)
            if re.fullmatch(r"llamalab/([a-z_]+/__init__|[a-z]\w*)\.py", path)
        },
    }
    texts = sorted(path.name for path in (edition.course / TEXTS).glob("*"))
    return {name: environment.get_template(name).render(facts).encode("utf-8") for name in texts}


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
