"""Toy assets: a real HTTP server here that can misbehave, a home and a mirror of one's own, and manifests."""

import hashlib
import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llamalab.assets.manifest import load_manifest

ROOT = Path(__file__).resolve().parents[1]
BODY = hashlib.sha256(b"a body that no compression shortens").digest() * 9000  # 288,000 bytes
OTHER = BODY[::-1]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `manner` says how a path misbehaves: "drop" breaks off half-way the first time,
    "drop-no-range" does so and does not honour Range, "slow" waits half-way for `go_on`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.manner: dict[str, str] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.half_sent, self.go_on = threading.Event(), threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, name, wanted = self.server, self.path[1:], self.headers.get("Range")
        server.requests.append((name, wanted))
        body, manner = server.files.get(name), server.manner.get(name, "")
        if body is None:
            return self.send_error(404)
        start = int(wanted[6:-1]) if wanted and manner != "drop-no-range" else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        first_time = [path for path, _ in server.requests].count(name) == 1
        if manner.startswith("drop") and first_time:
            self.wfile.write(body[: len(body) // 2])
            return self.connection.close()
        if manner == "slow":
            self.wfile.write(body[: len(body) // 2])
            server.half_sent.set()
            server.go_on.wait(10)
            body, start = body[len(body) // 2 :], 0
        try:
            self.wfile.write(body[start:])
        except OSError:
            pass  # the client that was interrupted is gone

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.go_on.set()
        server.shutdown()


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("LLAMALAB_MIRROR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def mirror(tmp_path):
    (tmp_path / "mirror" / "deep").mkdir(parents=True)
    return tmp_path / "mirror"


def manifest(tmp_path, text: str):
    """The manifest with `text` in it, and the file it was loaded from, for command lines."""
    path = tmp_path / "manifest.toml"
    path.write_text(text)
    return load_manifest(path)


def entry(name: str, *sources: str, body: bytes | None = BODY, path: str = "", **changes) -> str:
    """One asset as TOML; `body` None leaves out size and sha256; sources are TOML inline tables."""
    fields = {"about": "a test file", "path": path or f"ckpt/{name}.bin", "licence": "none", **changes}
    if body is None:
        fields["limit"] = 10**6
    else:
        fields = {"size": len(body), "sha256": sha256(body), **fields}
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join([f"[assets.{name}]", *lines, f"sources = [{', '.join(sources)}]", ""])


def url(server: Server, name: str) -> str:
    return f'{{ url = "{server.url(name)}" }}'


NOWHERE = '{ url = "http://127.0.0.1:9/toy.bin" }'


def left_behind(home: Path) -> list[str]:
    """Every file in the home outside the state folder, and every work folder anywhere."""
    files = [path for path in home.rglob("*") if path.is_file() and ".llamalab" not in path.parts]
    return sorted(str(p.relative_to(home)) for p in [*files, *home.rglob("*.partial")])


def command(*arguments: object, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "llamalab.assets", *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
