"""llamalab.assets: the manifest, downloads from a real HTTP server here, and what is already there."""

import os
import time

import pytest

from llamalab import assets
from llamalab.assets.manifest import load_manifest
from tests.toy_assets import BODY, NOWHERE, OTHER, entry, home, left_behind, manifest, server, sha256, url

__all__ = ["home", "server"]  # fixtures


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
