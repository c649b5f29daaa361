"""A mirror: a folder that stands in for every source, so that a classroom without internet works."""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

from llamalab.assets.manifest import Asset, AssetError, Source
from llamalab.assets.transfer import CHUNK, Sink, SourceError
from llamalab.files import sha256

MIRROR_ENTRIES = 200_000


class Mirror:
    """A folder tree whose regular files can stand in for any source, found by size, proved by sha256."""

    def __init__(self, root: Path | str):
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise AssetError(f"the mirror {root} is not a folder.")

    @functools.cached_property
    def _files(self) -> list[tuple[Path, int]]:
        files = []
        for number, path in enumerate(self.root.rglob("*")):
            if number == MIRROR_ENTRIES:
                limit = f"more than {MIRROR_ENTRIES} files and folders"
                raise AssetError(f"the mirror {self.root} holds {limit}; name a smaller folder.")
            with contextlib.suppress(OSError):
                if path.is_file():
                    files.append((path, path.stat().st_size))
        return sorted(files)

    def copies(self, asset: Asset) -> Iterator[Path]:
        """Files that may be the asset: of its size, or of its name where no size is known."""
        for path, size in self._files:
            if size == asset.size or (asset.size is None and path.name == Path(asset.path).name):
                yield path

    def wheels(self, source: Source) -> Iterator[Path]:
        """Wheels proved to be the source's."""
        for path, size in self._files:
            if size == source.size and path.suffix == ".whl":
                with contextlib.suppress(OSError):
                    if sha256(path) == source.sha256:
                        yield path

    def namesakes(self, asset: Asset) -> Iterator[str]:
        """What is wrong with files that bear the asset's name and cannot be it."""
        for path, size in self._files:
            if path.name == Path(asset.path).name and asset.size not in (None, size):
                yield f"mirror {path.relative_to(self.root)}: has {size} of {asset.size} bytes"


def copy_file(path: Path, sink: Sink) -> None:
    """Copy a mirror's file into the sink."""
    try:
        with open(path, "rb") as file:
            shutil.copyfileobj(file, sink, CHUNK)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}") from error
