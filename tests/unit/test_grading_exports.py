"""Whose a submission is: names of one's own, learning platforms' names, and names that somebody made up to do harm."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.intake.exports import slug_of
from autograder.intake.opening import find
from llamalab.errors import UserError
from tests.handed_in import FILES, tar_of, zip_of

ZIP = zip_of(FILES.items())
SLUG = re.compile(r"[a-z0-9_][a-z0-9._-]{0,99}")


def put(folder: Path, *names: str, content: bytes = ZIP) -> Path:
    """A folder with entries of these names: a zip each, or a folder where the name ends with a slash."""
    for name in names:
        if name.endswith("/"):
            (folder / name).mkdir()
            (folder / name / "llama.py").write_bytes(b"")
        else:
            (folder / name).write_bytes(content)
    return folder


def students(folder: Path) -> dict[str, str]:
    """Which entry is whose."""
    return {found.student: found.path.name for found in find(folder)}


def test_folders_zips_and_tars_are_each_a_student_of_that_name(tmp_path):
    put(tmp_path, "ada/", "bob.zip", "cyd.v2/")
    put(tmp_path, "dan.tar.gz", "eve.TGZ", "fay", content=tar_of(FILES.items()))
    found = find(tmp_path)
    assert [one.student for one in found] == ["ada", "bob", "cyd.v2", "dan", "eve", "fay"]
    assert [one.slug for one in found] == ["ada", "bob", "cyd.v2", "dan", "eve", "fay"]


def test_a_folder_and_an_archive_of_one_name_are_kept_apart(tmp_path):
    assert students(put(tmp_path, "ada/", "ada.zip", "bob.zip")) == {
        "ada": "ada",
        "ada.zip": "ada.zip",
        "bob": "bob.zip",
    }


def test_loose_files_and_hidden_ones_are_no_submissions(tmp_path):
    put(tmp_path, "ada.zip", ".git/", "__MACOSX/", ".hidden.zip")
    put(tmp_path, "grades.csv", "README.md", "submission_metadata.yml", "llama.py", ".DS_Store", content=b"text")
    assert students(tmp_path) == {"ada": "ada.zip"}


@pytest.mark.parametrize("name", ["ada.zip", "ada.rar", "ada.7z", "ada.tar.gz"])
def test_what_calls_itself_an_archive_and_is_none_is_not_passed_over(tmp_path, name):
    assert students(put(tmp_path, name, content=b"not an archive")) == {"ada": name}


def test_links_and_pipes_are_found_so_that_opening_them_says_why_not(tmp_path):
    (tmp_path / "ada").symlink_to("/etc")
    os.mkfifo(tmp_path / "bob")
    assert students(tmp_path) == {"ada": "ada", "bob": "bob"}


def test_canvas_names_give_the_student_and_the_number(tmp_path):
    put(tmp_path, "lovelaceada_12345_67890_hw.zip", "turingalan_LATE_12346_67891_My Homework.zip")
    found = find(tmp_path)
    assert [(one.student, one.slug) for one in found] == [
        ("lovelaceada", "lovelaceada-12345"),
        ("turingalan", "turingalan-12346"),
    ]


def test_canvas_students_of_one_name_are_told_apart(tmp_path):
    found = find(put(tmp_path, "doejane_11_101_hw.zip", "doejane_12_102_hw.zip"))
    assert [one.slug for one in found] == ["doejane-11", "doejane-12"]


def test_the_latest_of_several_attempts_counts_and_the_others_are_named(tmp_path):
    (found,) = find(put(tmp_path, "doejane_11_99_hw.zip", "doejane_LATE_11_101_hw-2.zip", "doejane_11_100_hw-1.zip"))
    assert found.path.name == "doejane_LATE_11_101_hw-2.zip"
    assert found.older == ("doejane_11_100_hw-1.zip", "doejane_11_99_hw.zip")


def test_the_tenth_attempt_is_later_than_the_ninth(tmp_path):
    (found,) = find(put(tmp_path, "doejane_11_100_hw-9.zip", "doejane_11_100_hw-10.zip"))
    assert found.path.name == "doejane_11_100_hw-10.zip"


def test_an_archive_counts_before_other_files_of_the_same_student(tmp_path):
    put(tmp_path, "doejane_11_100_hw.zip")
    put(tmp_path, "doejane_11_101_report.pdf", "doejane_11_102_llama.py", content=b"text")
    (found,) = find(tmp_path)
    assert found.path.name == "doejane_11_100_hw.zip" and len(found.older) == 2


def test_a_student_with_loose_files_only_is_not_passed_over(tmp_path):
    put(tmp_path, "doejane_11_101_llama.py", "doejane_11_102_rope.py", content=b"text")
    (found,) = find(tmp_path)
    assert found.student == "doejane" and found.older == ("doejane_11_101_llama.py",)


def test_names_that_only_look_like_a_platforms_hide_nobodys_work(tmp_path):
    names = ["hw_2026_101_ada.zip", "hw_2026_102_bob.zip"]
    assert students(put(tmp_path, *names)) == {name.removesuffix(".zip"): name for name in names}


def test_moodle_folders_and_files_give_the_student(tmp_path):
    put(tmp_path, "Ada Lovelace_12345_assignsubmission_file_/", "Alan Turing_12346_assignsubmission_file/")
    put(tmp_path, "Grace Hopper_12347_assignsubmission_file_my_hw.zip")
    found = find(tmp_path)
    assert [(one.student, one.slug) for one in found] == [
        ("Ada Lovelace", "ada-lovelace-12345"),
        ("Alan Turing", "alan-turing-12346"),
        ("Grace Hopper", "grace-hopper-12347"),
    ]


def test_what_a_student_typed_into_moodle_does_not_count_beside_files(tmp_path):
    put(tmp_path, "Ada_1_assignsubmission_file_/", "Ada_1_assignsubmission_onlinetext_/")
    assert students(tmp_path) == {"Ada": "Ada_1_assignsubmission_file_"}


def test_gradescope_folders_are_found_and_the_metadata_is_not_read(tmp_path):
    put(tmp_path, "submission_12345/", "submission_12346/")
    put(tmp_path, "submission_metadata.yml", content=b"!!python/object/apply:os.abort []")
    assert [found.slug for found in find(tmp_path)] == ["submission_12345", "submission_12346"]


def test_brightspace_folders_give_the_student_and_the_latest_date(tmp_path):
    names = ["959 AM", "110 PM", "1100 AM"]
    put(tmp_path, *(f"12-34 - Ada Lovelace - Jan 31, 2026 {time}/" for time in names))
    put(tmp_path, "13-34 - Alan Turing - Feb 1, 2026 1159 PM - hw.zip")
    ada, alan = find(tmp_path)
    assert (ada.student, ada.slug) == ("Ada Lovelace", "ada-lovelace-12-34") and ada.path.name.endswith("110 PM")
    assert (alan.student, alan.slug) == ("Alan Turing", "alan-turing-13-34")


def test_blackboard_archives_give_the_student_and_the_latest_attempt(tmp_path):
    names = [f"HW1_alovelace_attempt_2026-01-{day}-23-59-59_hw.zip" for day in ("09", "31", "10")]
    put(tmp_path, *names)
    put(tmp_path, "HW1_alovelace_attempt_2026-01-31-23-59-59.txt", content=b"text")
    (found,) = find(tmp_path)
    assert found.student == "alovelace" and found.path.name == names[1] and len(found.older) == 3


@pytest.mark.parametrize(
    ("name", "victim", "student"),
    [
        ("eve_1_2_alice_99_100_hw.zip", "alice_99_100_hw.zip", "eve"),
        (
            "HW1_eve_attempt_2026-01-01-00-00-00_HW1_alice_attempt_2027-01-01-00-00-00_hw.zip",
            "HW1_alice_attempt_2026-01-01-00-00-00_hw.zip",
            "eve",
        ),
        ("Eve_1_assignsubmission_file_Al_9_assignsubmission_file_x.zip", "Al_9_assignsubmission_file_x.zip", "Eve"),
    ],
)
def test_a_file_name_cannot_take_the_place_of_anothers_submission(tmp_path, name, victim, student):
    found = students(put(tmp_path, name, victim))
    assert len(found) == 2 and found[student] == name


HOSTILE = [
    "Ada Lovelace",
    "ada lovelace",
    "ada-lovelace",
    "Ada",
    "ADA",
    "ada",
    "Zoë",
    "Zoe\u0308",
    "李雷",
    "Ольга",
    "\u202eevil",
    "a\nb",
    "\x1b[2J",
    "-rf",
    "--out=x",
    "=HYPERLINK(1)",
    "<script>alert(1)</script>".replace("/", "\u2215"),
    "con",
    "AUX",
    "nul.x",
    "com1",
    "trailing.",
    "trailing ",
    "x" * 240,
    "x" * 239 + "y",
    "ada-12345678",
    "%s%n",
    "'; DROP TABLE records; --",
    os.fsdecode(b"\xff\xfe"),
    os.fsdecode(b"\xff\xfd"),
]


def test_slugs_are_plain_and_different_whatever_the_names(tmp_path):
    found = find(put(tmp_path, *(name + "/" for name in HOSTILE)))
    slugs = [one.slug for one in found]
    assert len(found) == len(HOSTILE) == len(set(slugs)) and slugs == sorted(slugs)
    assert all(SLUG.fullmatch(slug) and not slug.endswith(".") for slug in slugs)
    assert not {"con", "aux", "nul", "com1"} & {slug.split(".")[0] for slug in slugs}


def test_students_names_are_safe_to_show(tmp_path):
    assert all(found.student.isprintable() for found in find(put(tmp_path, *(name + "/" for name in HOSTILE))))


def test_a_slug_does_not_depend_on_who_else_handed_in(tmp_path):
    together = {found.path.name: found.slug for found in find(put(tmp_path, *(name + "/" for name in HOSTILE)))}
    for number, name in enumerate(HOSTILE):
        (tmp_path / f"alone{number}").mkdir()
        (alone,) = find(put(tmp_path / f"alone{number}", name + "/"))
        assert alone.slug == together[name]


def test_slugs_that_would_be_equal_are_made_longer(tmp_path):
    first, second = find(put(tmp_path, "Zoë_1_10_hw.zip", "Zoe_1_11_hw.zip"))
    assert first.slug != second.slug and first.slug.startswith("zoe-1-") and second.slug.startswith("zoe-1-")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=300), number=st.sampled_from(["", "12345", "12-34"]))
def test_every_text_has_a_plain_slug(name, number):
    assert SLUG.fullmatch(slug_of(name, number))


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_cannot_be_listed_is_reported_in_one_sentence(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=f"{name}: .*; name the folder of the submissions"):
        find(tmp_path / name)


def test_a_folder_without_submissions_has_none(tmp_path):
    assert find(tmp_path) == []
