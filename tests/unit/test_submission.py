"""Packing a submission, and checking one that may be incomplete, damaged or hostile."""

from __future__ import annotations

import os
import random
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from llamalab import submission
from llamalab.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = [name for names in submission.required_files().values() for name in names]
COUNT = len(REQUIRED)
TOP = "TURING_LOVELACE"


def content(name: str) -> bytes:
    """The least that counts as the content of a file of the list."""
    if name.endswith(".py"):
        return b'"""A module."""\n\nx = 1\n'
    if name.endswith("-output.txt"):
        return b"3 ||| A fine film .\n0 ||| \n"
    return f"what {name} holds\n".encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete submission."""
    folder = tmp_path / TOP
    folder.mkdir()
    for name in REQUIRED:
        (folder / name).write_bytes(content(name))
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command in tmp_path: its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        try:
            status = submission.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        out, err = capsys.readouterr()
        return status, out, err

    return command


def write_zip(path: Path, entries: dict | None = None, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A complete submission, followed by the entries given."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in REQUIRED:
            archive.writestr(f"{TOP}/{name}", content(name))
        for name, data in (entries or {}).items():
            archive.writestr(name, data, method)
    return path


def patch_last_entry(path: Path, offset: int, form: str, value: int) -> None:
    """Change a field of the last record of a zip's central directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.rindex(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)


def refused(run, path: Path, *words: str) -> None:
    """Check must refuse a zip in one sentence with these words, and print no report."""
    status, out, err = run("check", path)
    assert (status, out) == (1, ""), err
    assert err.startswith("llamalab.submission: ") and err.count("\n") == 1
    for word in words:
        assert word in err


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


# check: what is missing or wrong


def test_a_complete_folder_passes(run, folder):
    status, out, err = run("check", folder)
    assert (status, err) == (0, "") and f"complete, all {COUNT} files" in out and "Warnings" not in out


def test_the_zip_may_be_named_without_its_suffix(run, tmp_path):
    write_zip(tmp_path / f"{TOP}.zip")
    assert run("check", TOP)[0] == 0


def test_missing_files_are_reported_under_their_section(run, folder):
    (folder / "lora.py").unlink()
    (folder / "cfimdb-dev-lora-output.txt").unlink()
    status, out, _ = run("check", folder)
    code, runs = out.split("\nOutput of the runs\n")
    assert status == 1 and "missing" in code and code.startswith("Code\n")
    assert "--option lora" in runs and out.endswith(f"not complete: 2 missing of {COUNT} files\n")


def test_extras_are_warnings(run, folder):
    (folder / "notes").mkdir()
    (folder / "notes" / "todo.txt").write_text("x")
    status, out, _ = run("check", folder)
    assert status == 0
    assert out.split("Warnings\n")[1].split("\n")[0].split(maxsplit=3)[::2] == ["extra", "notes/todo.txt"]


def test_a_name_that_only_looks_right_is_shown_for_what_it_is(run, folder):
    (folder / "rope.py").rename(folder / "r\u043epe.py")  # a Cyrillic o
    status, out, _ = run("check", folder)
    assert status == 1 and r"'r\u043epe.py'" in out


def test_names_cannot_speak_to_the_terminal(run, folder):
    (folder / "x\x1b[2J\u202e").write_text("x")
    out = run("check", folder)[1]
    assert "\x1b" not in out and "\u202e" not in out and r"x\x1b[2J\u202e" in out


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"x = 1\n\ndef f(:\n    pass\n", "rope.py, line 3: "),
        (b"x = 1\x00\n", "rope.py, line 1: "),
        (b"x = '\xff'\n", "rope.py"),
        (b"# coding: nonsense\nx = 1\n", "unknown encoding"),
        (b"-" * 100_000 + b"1\n", "nested too deeply"),
        (b"x = 1\n" * 200_000, "at most 500000 are read"),
    ],
)
def test_python_that_does_not_parse_is_wrong(run, folder, source, said):
    (folder / "rope.py").write_bytes(source)
    status, out, _ = run("check", folder)
    assert status == 1 and "wrong" in out and said in out and f"1 wrong of {COUNT}" in out


@pytest.mark.filterwarnings("error")
def test_python_that_only_warns_is_right(run, folder):
    (folder / "rope.py").write_text("x = '\\d' is 'd'\n")
    status, _, err = run("check", folder)
    assert (status, err) == (0, "")


def test_python_is_parsed_and_never_executed(run, folder, tmp_path):
    (folder / "rope.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(7)\n")
    assert run("check", folder)[0] == 0
    assert not (tmp_path / "ran").exists() and not list(folder.glob("__pycache__"))


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (b"3 ||| good\n\n2 ||| bad\n", 2),
        (b"3 ||| good\ngood ||| 3\n", 2),
        (b"3 || good\n", 1),
        (b"-1 ||| unknown is no prediction\n", 1),
        (b"3 ||| good\n2.0 ||| bad\n1\n", 2),
        (b"3 ||| good\n3|||bad\n", 2),
        (b"3 ||| \xff\n", 1),
        ("\u0663 ||| an Arabic 3\n".encode(), 1),
    ],
)
def test_the_first_line_that_is_no_prediction_is_named(run, folder, lines, number):
    (folder / "sst-dev-lora-output.txt").write_bytes(lines)
    status, out, _ = run("check", folder)
    assert status == 1 and f"sst-dev-lora-output.txt, line {number} is not" in out


@pytest.mark.parametrize(
    "lines", [b"0 ||| a ||| b", b"12 ||| a\r\n0 ||| b\r\n", b"1 |||\r\n", "1 ||| a\u2028b\x85\n".encode()]
)
def test_unusual_predictions_are_right(run, folder, lines):
    (folder / "sst-dev-lora-output.txt").write_bytes(lines)
    assert run("check", folder)[0] == 0


# check: what is refused


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{TOP}/../../evil.py", "leaves its folder"),
        ("../evil.py", "leaves its folder"),
        (f"{TOP}/./evil.py", "leaves its folder"),
        (f"{TOP}//evil.py", "leaves its folder"),
        ("/etc/evil", "absolute"),
        ("C:/evil.py", "absolute"),
        (f"{TOP}\\evil.py", "backslash"),
        (f"{TOP}/a\nb", "control characters"),
        (f"{TOP}/a\x1b[2J", "control characters"),
        (f"{TOP}/LLAMA.py", "appears twice"),
    ],
)
def test_hostile_names_are_refused(run, tmp_path, name, said):
    refused(run, write_zip(tmp_path / "a.zip", {name: b"x"}), said, "nothing was unpacked")
    assert os.listdir(tmp_path) == ["a.zip"]


def test_a_name_cut_short_by_a_nul_is_refused(run, tmp_path):
    path = write_zip(tmp_path / "a.zip", {f"{TOP}/x.py_hidden": b"x"})
    path.write_bytes(path.read_bytes().replace(b"x.py_hidden", b"x.py\0hidden"))
    refused(run, path, "control characters")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(run, tmp_path):
    refused(run, write_zip(tmp_path / "a.zip", {f"{TOP}/llama.py": b"x"}), "llama.py", "appears twice")


@pytest.mark.parametrize(
    ("kind", "said"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "neither"), (stat.S_IFCHR, "neither")]
)
def test_links_and_devices_in_a_zip_are_refused(run, tmp_path, kind, said):
    info = zipfile.ZipInfo(f"{TOP}/evil")
    info.external_attr = (kind | 0o777) << 16
    refused(run, write_zip(tmp_path / "a.zip", {info: b"/etc/passwd"}), said, f"{TOP}/evil")


def test_links_in_a_folder_are_refused(run, folder):
    (folder / "passwords").symlink_to("/etc")
    refused(run, folder, "'passwords' is a link")


def test_encrypted_entries_are_refused(run, tmp_path):
    path = write_zip(tmp_path / "a.zip", {f"{TOP}/evil": b"x"})
    patch_last_entry(path, 8, "<H", 1)
    refused(run, path, f"{TOP}/evil", "is encrypted")


def test_other_compression_methods_are_refused(run, tmp_path):
    refused(run, write_zip(tmp_path / "a.zip", method=zipfile.ZIP_LZMA), "another method than deflate")


def test_a_bomb_is_refused_for_its_ratio(run, tmp_path):
    refused(run, write_zip(tmp_path / "a.zip", {f"{TOP}/bomb": bytes(1_000_000)}), f"{TOP}/bomb", "200 times")


def test_more_than_50_megabytes_unpacked_are_refused(run, tmp_path):
    some = random.Random(0)
    mild = b"".join(some.randbytes(500) + bytes(80_000) for _ in range(125))  # compresses about 140 times
    path = write_zip(tmp_path / "a.zip", {f"{TOP}/part{i}": mild for i in range(5)})
    refused(run, path, "unpacks to", "at most 50000000")


def test_more_than_a_thousand_entries_are_refused(run, tmp_path, folder):
    refused(run, write_zip(tmp_path / "a.zip", {f"{TOP}/{i}": b"" for i in range(1_000)}), f"{1_000 + COUNT} entries")
    for i in range(1_000):
        (folder / f"{i}").touch()
    refused(run, folder, "more than 1000 entries")


def test_a_zip_of_ten_megabytes_is_refused_unopened(run, tmp_path):
    (tmp_path / "a.zip").write_bytes(bytes(submission.MAX_ZIP))
    refused(run, tmp_path / "a.zip", "less than 10000000")


def test_an_entry_that_lies_about_its_size_is_wrong_and_read_no_further(run, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{TOP}/llama.py", b"x = 1\n" * 1_000)
    patch_last_entry(path, 24, "<I", 6)
    status, out, _ = run("check", path)
    assert status == 1 and "wrong" in out and "cannot be read: Bad CRC-32" in out


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04 cut off", b"\x1f\x8b a tarball"])
def test_what_is_no_zip_is_said_in_one_sentence(run, tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    refused(run, tmp_path / "a.zip", "a.zip is not a zip file")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({}, "holds nothing"),
        ({"llama.py": b"x"}, "holds llama.py"),
        ({"Makefile": b"x"}, "holds Makefile"),
        ({"A/llama.py": b"x", "A": b""}, "A"),
        ({"A/llama.py": b"x", "B/": b""}, "holds A, B"),
        ({"TURING LOVELACE/llama.py": b"x"}, "holds TURING LOVELACE"),
    ],
)
def test_there_is_exactly_one_top_folder_and_its_name_follows_the_rule(run, tmp_path, entries, said):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    refused(run, tmp_path / "a.zip", said, "SURNAME1_SURNAME2")


def test_a_folder_with_a_bad_name_is_refused(run, folder):
    refused(run, folder.rename(folder.with_name("my work")), "'my work'", "SURNAME1_SURNAME2")


def test_what_does_not_exist_is_misuse(run, tmp_path):
    status, _, err = run("check", "nowhere.zip")
    assert status == 2 and "nowhere.zip" in err
    os.mkfifo(tmp_path / "pipe")
    assert run("check", "pipe")[0] == 2
    assert run("check")[0] == 2 and run()[0] == 2


def test_a_damaged_zip_never_ends_in_a_traceback(run, tmp_path):
    sound, chosen, seen = write_zip(tmp_path / "a.zip").read_bytes(), random.Random(1), set()
    for _ in range(300):
        damaged = bytearray(sound)
        for _ in range(chosen.choice([1, 2, 4])):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        cut = chosen.choice([len(damaged), len(damaged), chosen.randrange(len(damaged))])
        (tmp_path / "a.zip").write_bytes(damaged[:cut])
        status, out, err = run("check", "a.zip")
        assert status in (0, 1) and (out or err.count("\n") == 1)
        seen.add((status, bool(out)))
    assert {(1, False), (1, True)} <= seen


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
