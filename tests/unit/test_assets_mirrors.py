"""llamalab.assets with real folders as mirrors and real wheels."""

import os
import zipfile
from pathlib import Path

import pytest

from llamalab import assets
from tests.toy_assets import BODY, NOWHERE, OTHER, entry, home, left_behind, manifest, mirror, sha256

__all__ = ["home", "mirror"]  # fixtures


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
