"""Packing a submission: the list of its files, what is packed and what is refused, and the command."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from llamalab import submission
from llamalab.errors import UserError
from tests.packed_submissions import COUNT, REQUIRED, TOP, content, folder, run

__all__ = ["folder", "run"]  # fixtures
ROOT = Path(__file__).resolve().parents[2]


# The list


def test_the_list_is_what_the_checklist_names_and_nothing_else():
    sections = submission.required_files(ROOT / "checklist.md")
    assert list(sections) == ["Code", "Output of the runs"]
    assert {"llama.py", "sanity_check.data", "structure.md", "setup.sh"} < set(sections["Code"])
    assert {"generated-sentence-temp-0.txt", "cfimdb-test-lora-output.txt"} < set(sections["Output of the runs"])
    assert not [name for name in REQUIRED if " " in name]


def test_a_changed_checklist_changes_the_list(tmp_path):
    page = tmp_path / "checklist.md"
    code = "## Code\n\n- [ ] `a.py` and\n      `b.py`: run `c.py`\n- [x] `d.txt`\n- `no.item`\n"
    page.write_text(f"# C\n\n{code}\n## Runs\n\n- [ ] `e`\n")
    assert submission.required_files(page) == {"Code": ["a.py", "b.py", "d.txt"], "Runs": ["e"]}


@pytest.mark.parametrize("page", ["# nothing\n", "## Code\n\n- [ ] something\n"])
def test_a_checklist_without_names_is_an_error(tmp_path, page):
    (tmp_path / "checklist.md").write_text(page)
    with pytest.raises(UserError, match="checklist.md"):
        submission.required_files(tmp_path / "checklist.md")


# make


def test_a_made_submission_passes_the_check(run, folder, tmp_path):
    status, out, _ = run("make", TOP, "--folder", folder)
    assert status == 0 and f"complete, all {COUNT} files" in out
    assert run("check", f"{TOP}.zip")[0] == 0
    assert sorted(os.listdir(tmp_path)) == [TOP, f"{TOP}.zip"]


def test_the_zip_holds_every_file_unchanged_in_one_folder(run, folder, tmp_path):
    run("make", TOP, "--folder", folder)
    with zipfile.ZipFile(tmp_path / f"{TOP}.zip") as archive:
        assert archive.namelist() == sorted(f"{TOP}/{name}" for name in REQUIRED)
        assert all(archive.read(f"{TOP}/{name}") == content(name) for name in REQUIRED)


def test_files_beside_the_list_stay_out(run, folder, tmp_path):
    (folder / "model.pt").write_bytes(b"weights")
    run("make", TOP, "--folder", folder)
    assert f"{TOP}/model.pt" not in zipfile.ZipFile(tmp_path / f"{TOP}.zip").namelist()


def test_the_same_files_give_the_same_bytes(run, folder, tmp_path):
    run("make", TOP, "--folder", folder)
    first = (tmp_path / f"{TOP}.zip").read_bytes()
    for name in REQUIRED:
        os.utime(folder / name, (1, 1))
        os.chmod(folder / name, 0o755)
    run("make", TOP, "--folder", folder)
    assert (tmp_path / f"{TOP}.zip").read_bytes() == first


def test_make_takes_the_current_folder_and_writes_where_told(run, folder, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(folder)
    assert run("make", TOP, "--out", "../out")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{TOP}.zip"]


def test_the_report_lists_sizes_and_the_total(run, folder):
    out = run("make", TOP, "--folder", folder)[1]
    size = len(content("llama.py"))
    assert any(line.split() == ["ok", str(size), "llama.py"] for line in out.splitlines())
    assert f"{COUNT} files, {sum(len(content(name)) for name in REQUIRED)} bytes" in out


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("generated-sentence-temp-1.txt", "generate"),
        ("sst-dev-prompting-output.txt", "prompt"),
        ("cfimdb-test-finetuning-output.txt", "finetune"),
        ("sst-test-lora-output.txt", "lora"),
    ],
)
def test_a_missing_output_is_named_with_the_command_that_writes_it(run, folder, tmp_path, name, option):
    (folder / name).unlink()
    status, out, err = run("make", TOP, "--folder", folder)
    assert status == 1 and not (tmp_path / f"{TOP}.zip").exists()
    assert out.split()[:3] == ["missing", "-", name]
    assert out.endswith(f"python run_llama.py --option {option}\n")
    assert f"1 missing of {COUNT}" in err


@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_an_empty_file_counts_as_not_there(run, folder, data):
    (folder / "rope.py").write_bytes(data)
    status, out, err = run("make", TOP, "--folder", folder)
    assert status == 1 and out.split() == ["empty", str(len(data)), "rope.py"] and f"1 empty of {COUNT}" in err


def test_make_refuses_what_check_would_call_wrong(run, folder, tmp_path):
    (folder / "rope.py").write_text("def rope(:\n")
    status, out, _ = run("make", TOP, "--folder", folder)
    assert status == 1 and "rope.py, line 1" in out and not (tmp_path / f"{TOP}.zip").exists()


def test_partial_packs_what_is_there(run, folder, tmp_path):
    (folder / "rope.py").unlink()
    (folder / "lora.py").write_bytes(b"")
    status, out, _ = run("make", TOP, "--folder", folder, "--partial")
    assert status == 0 and f"{COUNT - 2} files" in out and f"1 missing, 1 empty of {COUNT}" in out
    assert len(zipfile.ZipFile(tmp_path / f"{TOP}.zip").namelist()) == COUNT - 2
    assert run("check", f"{TOP}.zip")[0] == 1


def test_partial_with_nothing_there_writes_nothing(run, tmp_path):
    assert run("make", TOP, "--partial")[0] == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["TURING LOVELACE", "../X", "a/b", "", "TÜRING", "_X", "X.zip", "A" * 101, "X\n"])
def test_a_bad_name_is_named_with_the_rule(run, folder, tmp_path, name):
    status, _, err = run("make", name, "--folder", folder)
    assert status == 2 and "SURNAME1_SURNAME2" in err and "letters" in err
    assert os.listdir(tmp_path) == [TOP]


def test_a_folder_that_does_not_exist_is_misuse(run, folder):
    assert run("make", TOP, "--folder", "nowhere")[0] == 2
    status, _, err = run("make", TOP, "--folder", folder, "--out", "nowhere")
    assert status == 2 and "--out nowhere" in err


def test_too_large_names_the_largest_and_keeps_the_zip_that_is_there(run, folder, tmp_path):
    run("make", TOP, "--folder", folder)
    before = (tmp_path / f"{TOP}.zip").read_bytes()
    (folder / "sanity_check.data").write_bytes(random.Random(0).randbytes(submission.MAX_ZIP))
    status, _, err = run("make", TOP, "--folder", folder)
    assert status == 1 and "The largest, packed: sanity_check.data (100" in err
    assert (tmp_path / f"{TOP}.zip").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == [TOP, f"{TOP}.zip"]


def test_a_huge_file_is_refused_unread(run, folder):
    with open(folder / "sanity_check.data", "wb") as file:
        file.truncate(1 << 40)
    status, _, err = run("make", TOP, "--folder", folder)
    assert status == 1 and f"sanity_check.data ({1 << 40} bytes)" in err


def test_make_never_writes_a_zip_that_check_refuses(run, folder, tmp_path):
    (folder / "sst-dev-lora-output.txt").write_bytes(b"0 ||| a\n" * 100_000)
    status, _, err = run("make", TOP, "--folder", folder)
    assert status == 1 and "sst-dev-lora-output.txt" in err and not (tmp_path / f"{TOP}.zip").exists()


def test_a_failed_write_leaves_nothing_behind(run, folder, tmp_path):
    (tmp_path / f"{TOP}.zip").mkdir()
    status, _, err = run("make", TOP, "--folder", folder)
    assert status == 1 and err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == [TOP, f"{TOP}.zip"]


def test_a_link_within_the_folder_is_followed(run, folder, tmp_path):
    (folder / "rope.py").rename(folder / "my_rope.py")
    (folder / "rope.py").symlink_to("my_rope.py")
    assert run("make", TOP, "--folder", folder)[0] == 0
    with zipfile.ZipFile(tmp_path / f"{TOP}.zip") as archive:
        assert archive.read(f"{TOP}/rope.py") == content("rope.py")
        assert stat.S_ISREG(archive.getinfo(f"{TOP}/rope.py").external_attr >> 16)


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "rope.py", "nowhere", "."])
def test_any_other_link_is_refused_even_in_part(run, folder, tmp_path, target):
    (tmp_path / "secret").write_text("x = 1\n")
    (folder / "rope.py").unlink()
    (folder / "rope.py").symlink_to(target)
    status, _, err = run("make", TOP, "--folder", folder, "--partial")
    assert status == 1 and "rope.py" in err and not (tmp_path / f"{TOP}.zip").exists()


def test_a_pipe_under_a_listed_name_is_refused_not_read(run, folder):
    (folder / "rope.py").unlink()
    os.mkfifo(folder / "rope.py")
    status, _, err = run("make", TOP, "--folder", folder)
    assert status == 1 and "rope.py is not a regular file" in err
    assert "neither a file nor a folder" in run("check", folder)[2]


# The command


def test_the_report_survives_a_terminal_without_unicode(folder):
    (folder / "\u043e").write_text("x")
    command = [sys.executable, "-m", "llamalab.submission", "check", str(folder)]
    plain = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and r"\u043e" in done.stdout


@pytest.mark.parametrize("arguments", [["check", "."], ["make", TOP]])
def test_a_reader_that_has_gone_is_no_error(folder, arguments):
    (folder / "rope.py").unlink()
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "llamalab.submission", *arguments]
    plain = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=plain, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_shows_examples(run):
    status, out, _ = run("--help")
    assert status == 0 and "submission make TURING_LOVELACE" in out and "exit status" in out
