"""The command `python -m llamalab.assets`: its exit status, and JSON for programs."""

import json

from tests.toy_assets import BODY, NOWHERE, OTHER, command, entry, home, manifest, mirror

__all__ = ["home", "mirror"]  # fixtures


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
