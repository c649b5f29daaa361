"""Opening what students hand in: which files are taken, from wherever they lie, and which names are refused."""

from __future__ import annotations

import os
import tempfile

import pytest

from autograder.intake import opening
from autograder.intake.opening import open_submission
from llamalab import text
from tests.handed_in import (
    CONTAINERS,
    EDITION,
    FILES,
    LLAMA,
    ROPE,
    every_container,
    folder_of,
    hand_in,
    pax_tar,
    reason,
    submit,
    tar_header,
    zip_of,
)

__all__ = ["submit"]


@every_container
def test_a_container_is_recognised_by_its_content(submit, container):
    assert open_submission(submit(FILES, container), EDITION).files == FILES


@every_container
@pytest.mark.parametrize("top", ["hw/", "Ada's homework/final version (2)/", "a/b/c/d/e/f/g/h/", "./hw/", "Übung/"])
def test_the_files_are_found_in_whatever_folder_they_lie_together(submit, container, top):
    assert (
        open_submission(submit({top + name: data for name, data in FILES.items()}, container), EDITION).files == FILES
    )


@every_container
def test_only_the_editions_student_files_are_taken_and_the_rest_is_listed(submit, container):
    extra = {"hw/config.py": b"evil", "hw/conftest.py": b"evil", "hw/data/x.csv": b"1", "hw/torch/__init__.py": b"evil"}
    found = open_submission(submit({"hw/llama.py": LLAMA, **extra}, container), EDITION)
    assert found.files == {"llama.py": LLAMA}
    assert found.ignored == tuple(sorted(extra))


@every_container
def test_what_tools_leave_behind_is_neither_taken_nor_listed(submit, container):
    clutter = [
        "__MACOSX/hw/llama.py",
        "__MACOSX/hw/._llama.py",
        "hw/.DS_Store",
        "hw/__pycache__/llama.pyc",
        "hw/Icon\r",
    ]
    clutter += [".git/rope.py", "hw/.ipynb_checkpoints/rope.py", "hw/venv/lib/rope.py", "hw/.llama.py.swp"]
    found = open_submission(submit({"hw/llama.py": LLAMA} | dict.fromkeys(clutter, b"no"), container), EDITION)
    assert found.files == {"llama.py": LLAMA} and found.ignored == ()


def test_links_in_what_tools_leave_behind_do_no_harm(submit):
    path = submit(FILES)
    (path / "venv").mkdir()
    (path / "venv" / "python").symlink_to("/usr/bin/python3")
    assert open_submission(path, EDITION).files == FILES


def test_the_hash_is_the_same_in_every_container_and_whatever_else_is_there(tmp_path):
    contents = [FILES, {"hw/rope.py": ROPE, "hw/notes.txt": b"x", "hw/llama.py": LLAMA}]
    hashes = {
        open_submission(hand_in(tmp_path / f"{container}{number}", files, container), EDITION).sha256
        for container in CONTAINERS
        for number, files in enumerate(contents)
    }
    assert len(hashes) == 1


def test_the_hash_tells_apart_what_is_in_which_file(tmp_path):
    contents = [
        FILES,
        {"llama.py": LLAMA},
        {"llama.py": ROPE, "rope.py": LLAMA},
        {"llama.py": LLAMA + ROPE, "rope.py": b""},
    ]
    paths = [hand_in(tmp_path / str(number), files, "zip") for number, files in enumerate(contents)]
    assert len({open_submission(path, EDITION).sha256 for path in paths}) == len(contents)


def test_source_in_any_encoding_is_taken_as_it_is(submit):
    files = {"llama.py": b"\xef\xbb\xbf# \xff\r\n\0", "rope.py": b""}
    assert open_submission(submit(files, "zip"), EDITION).files == files


def test_a_folder_that_holds_one_archive_is_that_archive(tmp_path):
    folder = folder_of(
        tmp_path / "ada", [("hw.zip", zip_of([("hw/llama.py", LLAMA), ("readme", b"1")])), ("readme", b"2")]
    )
    found = open_submission(folder, EDITION)
    assert found.files == {"llama.py": LLAMA} and found.ignored == ("readme", "readme")


def test_a_folder_with_student_files_is_not_looked_through_for_archives(tmp_path):
    folder = folder_of(tmp_path / "ada", [("hw.zip", zip_of(FILES.items())), ("rope.py", ROPE)])
    found = open_submission(folder, EDITION)
    assert found.files == {"rope.py": ROPE} and found.ignored == ("hw.zip",)


def test_a_folder_with_two_archives_is_refused(tmp_path):
    archive = zip_of(FILES.items())
    assert "'a.zip', 'b.zip'" in reason(folder_of(tmp_path / "ada", [("a.zip", archive), ("b.zip", archive)]))


def test_an_archive_in_an_archive_is_not_opened(submit):
    assert "has none of the files llama.py, rope.py, but 'hw.zip'" in reason(
        submit({"hw.zip": zip_of(FILES.items())}, "zip")
    )


def test_the_outermost_of_several_files_is_taken(submit):
    files = {f"hw/{name}": data for name, data in FILES.items()} | {"hw/old/llama.py": b"old", "hw/a/b/rope.py": b"old"}
    found = open_submission(submit(files), EDITION)
    assert found.files == FILES and found.ignored == ("hw/a/b/rope.py", "hw/old/llama.py")


def test_files_in_several_folders_are_taken_where_each_is_there_once(submit):
    assert open_submission(submit({"model/llama.py": LLAMA, "model/parts/rope.py": ROPE}), EDITION).files == FILES


def test_two_equally_deep_files_of_one_name_are_refused_by_naming_both(submit):
    said = reason(submit({"hw/llama.py": LLAMA, "hw copy/llama.py": LLAMA}, "zip"))
    assert "'hw/llama.py' and 'hw copy/llama.py'" in said


def test_versions_of_several_folders_are_never_mixed(submit):
    said = reason(submit({"llama.py": LLAMA, "old/llama.py": LLAMA, "old/rope.py": ROPE}, "zip"))
    assert "'llama.py' and 'old/llama.py'" in said


@pytest.mark.parametrize(
    "folder",
    [
        "autograder/adapters",
        "tests/graders",
        "courses/mini_llama/components/rope",
        "courses/mini_llama/components/_shared/adapters",
    ],
)
def test_the_handouts_own_files_are_not_taken_for_a_students(submit, folder):
    found = open_submission(submit({"hw/llama.py": LLAMA, f"hw/{folder}/rope.py": b"the grader's"}), EDITION)
    assert found.files == {"llama.py": LLAMA} and found.ignored == (f"hw/{folder}/rope.py",)


@every_container
def test_a_submission_without_a_students_file_says_what_was_expected_and_found(submit, container):
    said = reason(submit({"hw/main.py": b"", "hw/llama.txt": b""}, container))
    assert "none of the files llama.py, rope.py" in said and "'llama.txt', 'main.py'" in said


@every_container
def test_an_empty_submission_says_so(submit, container):
    path = submit([], container) if container != "zip" else submit(zip_of([]))
    assert "but nothing" in reason(path) or "neither" in reason(path)  # an empty tar is all zeros


HOSTILE_NAMES = {
    "../llama.py": "leads out",
    "hw/../../etc/llama.py": "leads out",
    "hw/..": "leads out",
    "/etc/llama.py": "absolute",
    "//host/share/llama.py": "absolute",
    "..\\llama.py": "backslash",
    "hw\\llama.py": "backslash",
    "C:llama.py": "absolute",
    "c:/llama.py": "absolute",
    "llama.py\n": "control character",
    "a\nb.txt": "control character",
    "\x1b[2J.txt": "control character",
    "hw\x7f/llama.py": "control character",
    "d/" * 25 + "llama.py": "folders deep",
    "n" * 1500: "more than 1,000 characters",
}


@pytest.mark.parametrize("container", ["zip", "tar"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_is_refused_even_if_the_file_is_not_wanted(submit, container, name):
    assert HOSTILE_NAMES[name] in reason(submit([*FILES.items(), (name, b"")], container))


@pytest.mark.parametrize("name", ["a\nb.txt", "a\\b.txt", "\x1b[2J"])
def test_a_hostile_name_in_a_folder_is_refused(submit, name):
    assert text.line(name) in reason(submit({**FILES, name: b""}))


def test_a_name_in_a_folder_that_is_not_utf8_is_refused(submit):
    path = submit(FILES)
    (path / os.fsdecode(b"\xff.txt")).write_bytes(b"")
    assert "not UTF-8" in reason(path)


def test_a_name_in_a_tar_that_is_not_utf8_is_refused(submit):
    assert "not UTF-8" in reason(submit(tar_header(b"\xff\xfe.py") + bytes(1024)))


def test_a_name_in_a_zip_that_claims_to_be_utf8_and_is_not_is_refused(submit):
    assert "not UTF-8" in reason(submit(zip_of([("llämä.py", b"")]).replace("ä".encode(), b"\xff\xfe")))


def test_an_old_zips_name_is_readable_whatever_its_encoding(submit):
    archive = zip_of([("llama.py", LLAMA), ("notes-XX.txt", b"")])
    assert open_submission(submit(archive.replace(b"XX", "é".encode())), EDITION).ignored == ("notes-é.txt",)
    assert open_submission(submit(archive.replace(b"XX", b"\x82\x82")), EDITION).ignored == ("notes-éé.txt",)


def test_a_nul_does_not_cut_a_name(submit):
    assert "control character" in reason(submit(zip_of([("llama.pyX.txt", b"")]).replace(b"pyX", b"py\0")))
    assert "control character" in reason(submit(pax_tar({"path": "llama.py\0.txt"})))


@pytest.mark.parametrize("container", ["folder", "zip", "tar"])
@pytest.mark.parametrize("twin", ["LLAMA.py", "Llama.PY"])
def test_two_names_that_differ_in_capital_letters_are_refused(submit, container, twin):
    assert f"'hw/{twin}' and 'llama.py' differ only in capital letters" in reason(
        submit({"hw/llama.py": LLAMA, f"hw/{twin}": b""}, container)
    )


def test_a_name_in_capital_letters_alone_is_ignored_with_a_note(submit):
    found = open_submission(submit({"Llama.py": LLAMA, "rope.py": ROPE, "a.txt": b""}), EDITION)
    assert found.files == {"rope.py": ROPE}
    assert found.ignored == ("Llama.py (is not llama.py: capital letters count)", "a.txt")


@pytest.mark.parametrize("container", ["folder", "zip", "tar"])
@pytest.mark.parametrize(
    "name",
    [
        "ll\u0430ma.py",  # a Cyrillic a
        "rop\u0435.py",
        "r\u03bfpe.py",  # a Greek o
        "llama\u200b.py",  # a space of no width
        "\ufeffllama.py",
        "\u202ellama.py",
        "\uff4clama.py",  # a full-width l
        "llam\u0430\u0301.py",
        "llama\u0301.py",
        "rope.py ",
        "rope.py.",
        "rope\u00a0.py",
        "rope.p\u1160y",
    ],
)
def test_a_name_that_only_looks_like_a_students_file_is_refused(submit, container, name):
    assert "looks like" in reason(submit({"llama.py": LLAMA, f"hw/{name}": b""}, container))


@pytest.mark.parametrize("name", ["llama (1).py", "llama-1.py", "тесты.py", "llama.py.bak", "лама.py", "prope.py"])
def test_a_name_that_is_only_similar_is_an_ignored_file(submit, name):
    assert open_submission(submit({**FILES, name: b""}, "tar"), EDITION).ignored == (name,)


def test_ignored_names_are_safe_to_show_and_limited_in_number(submit):
    names = [f"{number:04}\u202e\u2028.txt" for number in range(500)]
    ignored = open_submission(submit([*FILES.items(), *((name, b"") for name in names)], "zip"), EDITION).ignored
    assert len(ignored) == opening.MAX_LISTED + 1 and ignored[-1] == "and 400 more"
    assert all(line.isprintable() for line in ignored) and ignored[0] == "0000\ufffd .txt"


@pytest.mark.parametrize("container", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("twins", [("llama.py", "llama.py"), ("llama.py", "./llama.py"), ("a/x", "a//x")])
def test_a_name_that_is_there_twice_is_refused(submit, container, twins):
    assert "is there twice" in reason(submit([(twins[0], LLAMA), (twins[1], ROPE)], container))


def test_only_a_students_files_are_kept_in_memory_and_nothing_is_written(submit, tmp_path, monkeypatch):
    path = submit({**FILES, "conftest.py": b"evil"}, "zip")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    before = sorted(tmp_path.rglob("*"))
    found = open_submission(path, EDITION)
    assert found.files == FILES and all(type(data) is bytes for data in found.files.values())
    assert sorted(tmp_path.rglob("*")) == before


def test_opening_a_submission_writes_nothing(submit, tmp_path):
    path = submit({**FILES, "../escaped.py": b""}, "zip")
    before = sorted(tmp_path.rglob("*"))
    reason(path)
    assert sorted(tmp_path.rglob("*")) == before
