"""The pages of a class: what they tell a student and an instructor, and that no submission can use them."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest

from autograder import editions
from autograder.classroom.reports import class_summary, findings, pages
from llamalab import text
from tests.grading_records import (
    IMPORT_ERROR,
    NEGATIVE,
    NO_EPS,
    SEED,
    a_class,
    component,
    record,
    without_marks,
)

EDITION = editions.load("mmia")
DANGEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\ud800", "\ufeff", "\uffff"]
)
def test_what_hides_reorders_or_breaks_text_is_replaced(bad):
    assert text.plain(f"a{bad}b") == "a\ufffdb"


def test_other_text_stays_as_it_is():
    kept = "Łukasz Nguyễn\tمحمد 伟 می‌خواهم 👩‍💻\n"
    assert text.plain(kept) == kept


def test_line_ends_become_one_kind():
    assert text.plain("a\r\nb\rc\u2028d") == "a\nb\nc\nd"


def test_piles_of_accents_are_cut():
    assert len(text.plain("e" + "\u0301" * 500)) == 4


def test_a_name_is_one_short_line():
    assert text.line("  Ada\n\tLovelace ") == "Ada Lovelace"
    assert text.line("x" * 10_000) == "x" * 119 + "…"


def test_an_excerpt_says_what_it_leaves_out():
    assert text.lines("1\n2\n3\n4", most=2) == "1\n2\n… (2 more lines)"
    assert text.lines("x" * 25, width=20) == "x" * 20 + "… (5 more characters)"
    assert text.lines("x\n" * 30, longest=20).endswith("… (40 more characters)")


def test_megabytes_without_a_line_end_take_no_time():
    started = time.perf_counter()
    assert len(text.lines("\x00" * (32 << 20))) < 1000
    assert time.perf_counter() - started < 0.5


# --- what a student is told -------------------------------------------------------------------------------------------


def next_of(*rows) -> str:
    step = findings.next_step(findings.components(record(*rows)))
    return step.component.name if step else ""


def test_what_is_wrong_comes_before_what_is_not_written():
    assert next_of(component("a"), component("b", "todo"), component("c", "fail")) == "c"


def test_what_others_need_comes_before_them():
    assert next_of(component("whole", "fail", blocked_by=("rope",)), component("rope", "fail")) == "rope"


def test_nothing_is_next_when_everything_is_right():
    assert next_of(component("a"), component("b")) == ""


def test_one_error_that_stops_several_components_is_told_once():
    rows = [component(name, "error", message=IMPORT_ERROR) for name in ("a", "b")]
    step = findings.next_step(findings.components(record(*rows, component("c", "fail"))))
    assert (step.component.name, step.same) == ("a", ("b",))
    wrong = findings.next_step(findings.components(record(component("a", "fail"), component("b", "fail"))))
    assert wrong.same == ()


def test_a_students_page_has_marks_feedback_and_advice():
    row = component("rope", "fail", "pass", points=15, message="wrong from position 1 on\nfirst at ...", match=NEGATIVE)
    page = words(pages.student(record(row, ignored=("notes.txt",)), EDITION))
    for expected in ("Ada", "7.5 of 15", "Fix next: rope", "wrong from position 1 on", "0 of 7.5", "notes.txt"):
        assert expected in page
    assert "Looks like rotation by the negative angle. Check the sign of the sine terms." in page


def test_a_students_page_names_files_that_are_missing():
    assert "Not in the submission: llama.py, sampling.py" in words(pages.student(record(), EDITION))


def test_a_refused_student_reads_why_and_gets_no_marks():
    page = words(pages.student(without_marks("refused", "the archive has a link in it: x", "eve"), EDITION))
    assert "nothing of it was graded: the archive has a link in it: x" in page and "of 20" not in page


@pytest.mark.parametrize("made", a_class(), ids=lambda made: made.slug)
def test_a_students_page_tells_no_seed_and_no_time(made):
    page = pages.student(made, EDITION)
    assert str(SEED) not in page and "2030" not in page


# --- what an instructor is told ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def summary() -> class_summary.ClassSummary:
    return class_summary.ClassSummary(a_class())


def slugs(students) -> list[str]:
    return [who.slug for who in students]


def test_marks_are_summed_up_over_those_who_have_any(summary):
    assert (summary.graded, summary.mean, summary.median, summary.full) == (5, 8, 5, 1)


def test_every_mark_is_in_one_column_of_the_histogram(summary):
    assert [bar.students for bar in summary.bars] == [1, 0, 2, 0, 0, 1, 0, 0, 0, 1]
    assert (summary.bars[0].low, summary.bars[-1].high) == (0, 20)


def test_mistakes_are_in_order_of_how_many_made_them_with_everyone_behind_them(summary):
    assert [(mistake.says, slugs(mistake.students)) for mistake in summary.mistakes] == [
        (NEGATIVE.says, ["bob", "cem"]),
        (NO_EPS.says, ["bob"]),
    ]


def test_wrong_answers_without_a_known_mistake_are_kept_apart(summary):
    assert {each.name: slugs(each.unknown) for each in summary.components} == {"adamw": [], "rope": ["mallory"]}


def test_components_and_tests_have_pass_rates(summary):
    adamw, rope = summary.components
    assert (adamw.tones, rope.tones["part"]) == ({"ok": 2, "none": 2, "todo": 1}, 2)
    assert [(test.passed, test.wrong) for test in rope.tests[:2]] == [(1, 2), (3, 0)]
    assert adamw.tests[0].otherwise == "1 to do, 1 with an error, 1 wrong"


def test_each_component_names_the_question_that_most_got_wrong(summary):
    assert [(test.component, test.wrong) for test in summary.hardest] == [("rope", 2), ("adamw", 1)]


def test_code_that_does_not_run_at_all_is_kept_apart_from_components_that_stop(summary):
    assert slugs(note.student for note in summary.broken) == ["dan"]
    assert [(stop.outcome, stop.component, slugs(stop.students)) for stop in summary.stopped] == [
        ("error", "rope", ["mallory"])
    ]


def test_refused_failed_and_slowest_submissions_are_listed():
    records = [*a_class(), without_marks("failed", "disk full", "fay"), record(slug="gil", times={"seconds": 99.0})]
    made = class_summary.ClassSummary(records)
    assert [(note.student.slug, note.words) for note in (*made.refused, *made.failed)] == [
        ("eve", "the archive has a link in it: x"),
        ("fay", "disk full"),
    ]
    assert (made.slowest[0].student.slug, made.slowest[0].words) == ("gil", "99.0 s")


def test_the_class_page_says_when_marks_cannot_be_compared_or_trusted():
    page = words(pages.class_page([record(isolation="process"), record(slug="bob", grader="b" * 64)], EDITION))
    assert "1 submission was graded without a sandbox" in page and "2 versions of the graders" in page


@pytest.mark.parametrize("records", [[], [without_marks("refused", "a bomb", "eve")]], ids=["nobody", "none graded"])
def test_a_class_without_marks_has_a_page_too(records):
    assert f"{len(records)} student" in words(pages.class_page(records, EDITION))


# --- the pages are safe -----------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects a page's elements, each with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))


def between(tag: str, page: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return found.group(1) if found else ""


def words(page: str) -> str:
    """A page's text, without its markup."""
    return " ".join(re.sub("<[^>]*>", "", page).split())


PAGES = [
    ("class", lambda: pages.class_page(a_class(), EDITION)),
    *((made.slug, lambda made=made: pages.student(made, EDITION)) for made in a_class()),
]


@pytest.fixture(scope="module", params=[make for _, make in PAGES], ids=[name for name, _ in PAGES])
def page(request) -> str:
    return request.param()


def test_a_page_has_no_element_of_a_submission(page):
    tags = [tag for tag, _ in Reader(page).tags]
    assert tags.count("script") == ("the class" in between("title", page))
    assert not {"img", "iframe", "object", "embed", "base", "form", "link", "input", "image"} & set(tags)


def test_a_page_has_no_handler_and_no_inline_style(page):
    names = {name for _, attributes in Reader(page).tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]


def test_a_page_links_to_students_and_places_in_itself_only(page):
    attributes = [pair for _, attributes in Reader(page).tags for pair in attributes.items()]
    links = [value for name, value in attributes if name in ("href", "src")]
    assert all(re.fullmatch(r"#[a-z_]+|students/[A-Za-z0-9._-]+\.html", link) for link in links)


def test_a_page_allows_its_own_style_and_script_only(page):
    (content,) = [each["content"] for _, each in Reader(page).tags if each.get("http-equiv")]
    assert content == pages.policy(between("style", page), between("script", page))
    assert content.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in content


def test_a_page_has_no_text_that_hides_or_reorders_and_is_not_endless(page):
    assert not DANGEROUS.search(page) and len(page.encode("utf-8")) < 60_000
