"""Similarity: what counts as shared, which pairs come first, and that hostile files are shown but do nothing."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import pytest

from autograder.__main__ import main
from autograder.classroom import similarity
from autograder.classroom.similarity.pairs import Comparison
from autograder.classroom.similarity.source_code import LARGEST, MOST_TOKENS, NO_RUN, RUN, Reader, Unreadable, tokens
from tests.disguises import EDITION, disguised, honest, written

LONG = "def f(x):\n    return torch.stack((x.cos() * 2, x.sin() * 3), dim=-1).flatten(-2).type_as(x)\n"
OTHER = "def g(a):\n    while a.shape[0] > 7:\n        a = a[1:] + [a.mean() for _ in range(4)] @ a.tril(diagonal=5)\n"
THIRD = 'def h(k):\n    with torch.no_grad():\n        k["s"] -= 0.5 if k.get("t") is None else k.pop("u") ** 9 // 8\n'


@pytest.fixture(scope="module")
def handout() -> list[str]:
    """The Python files of the edition's handout."""
    return similarity.handout(EDITION)


def words(text: str) -> list[str]:
    return [word for word, _, _ in tokens(text)]


def compare(*submissions: dict[str, str], handout: list[str] = ()) -> Comparison:
    reader = Reader(handout)
    codes = [reader.read({name: text.encode() for name, text in files.items()})[0] for files in submissions]
    return Comparison(codes, reader.count)


def alone(number: int) -> dict[str, str]:
    """A submission that shares nothing with those of other numbers."""
    return {"a.py": f"x = [{', '.join(map(str, range(100 * number, 100 * number + 20)))}]\n"}


# --- what a token is compared as ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "y = torch.softmax(z, dim=-1)",
        "x   =  torch.softmax(\n    query,\n    dim=-1)  # a comment",
        '"""A docstring."""\nx = torch.softmax(query, dim=-1)',
        "x = \\\n torch . softmax(query, dim=-1)\r\n",
    ],
)
def test_names_comments_docstrings_and_layout_make_no_difference(text):
    assert words(text) == words("x = torch.softmax(query, dim=-1)")


@pytest.mark.parametrize(
    "text",
    ["x = torch.sigmoid(query, dim=-1)", "x = torch.softmax(query, dim=-2)", "x += torch.softmax(query, dim=-1)"],
)
def test_what_is_called_on_torch_numbers_and_operators_make_a_difference(text):
    assert words(text) != words("x = torch.softmax(query, dim=-1)")


def test_a_student_may_rename_what_hangs_on_self():
    assert words("self.scale = self.temperature * 2") == words("self.s = self.t * 2")


@pytest.mark.parametrize(
    "text",
    [
        'x = "never closed\ny = 1',
        '"""never closed \\',
        "x = (((((\n  )]]",
        "if x\n\tdef def:\n   \x00 $ ?",
        "0x_1e+ 1__2 .5.5",
    ],
)
def test_broken_code_is_read_to_its_end(text):
    spans = [(start, stop) for _, start, stop in tokens(text + "\nlast_name")]
    assert all(start < stop for start, stop in spans) and spans == sorted(spans)
    assert text.startswith('"""') or (text + "\nlast_name")[slice(*spans[-1])] == "last_name"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-7", "cp1252"])
def test_a_file_is_decoded_as_python_would(encoding):
    text = f"# coding: {encoding}\nname = [1, 2, 3, 4, 5, 6]  # a + b\n"
    code, _ = Reader([]).read({"rope.py": text.encode(encoding)})
    assert "name = [1, 2, 3, 4, 5, 6]  # a + b" in code.sources[0].text


@pytest.mark.parametrize(
    "data", [b"# coding: zip\nx = 1", b"# coding: \xff\xfe\nx = 1", b"\xff\x00x = 1", b"# coding: undefined\nx = 1"]
)
def test_an_encoding_that_is_none_is_no_way_out(data):
    code, _ = Reader([]).read({"rope.py": data})
    assert "x = 1" in code.sources[0].text


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"x" * (LARGEST + 1), "larger than 100,000 bytes"),
        (b"x " * (MOST_TOKENS + 1), "more than 10,000 tokens"),
        (b"# coding: punycode\nx = 1", "encoded as punycode"),
    ],
)
def test_a_file_that_would_take_long_is_left_out_and_the_others_are_read(data, reason):
    code, left_out = Reader([]).read({"rope.py": data, "llama.py": LONG.encode()})
    assert [source.name for source in code.sources] == ["llama.py"] and reason in left_out["rope.py"]


def test_a_submission_with_no_file_that_can_be_read_says_so():
    with pytest.raises(Unreadable, match="rope.py: .*larger"):
        Reader([]).read({"rope.py": b"x" * (LARGEST + 1)})


@pytest.mark.parametrize(
    "part",
    [
        "\n",
        " ",
        "(",
        '"""\\"""',
        "'''\"\"\"",
        '"""x\n',
        "'\\",
        'f"{',
        "1_",
        '"%0',
        "\\\n",
        "#",
        "def ",
        "é",
        " \n",
        "rb'",
    ],
)
def test_no_file_takes_long(part):
    data = (part * LARGEST)[:LARGEST].encode()[:LARGEST]
    start = time.process_time()
    try:
        Reader([]).read({"rope.py": data})
    except Unreadable:
        pass
    assert time.process_time() - start < 2  # measured: 0.2


# --- what is shared ----------------------------------------------------------------------------------------------


def test_the_handout_itself_is_nobodys_own(handout):
    code, _ = Reader(handout).read({"rope.py": next(text for text in handout if "TODO(rope)" in text).encode()})
    assert (code.runs == NO_RUN).all()


def test_only_what_is_outside_of_the_handout_is_shared(handout):
    text = next(text for text in handout if "TODO(rope)" in text)
    assert compare({"rope.py": text}, {"rope.py": text}, handout=handout).pairs == []
    (pair,) = compare({"rope.py": text + LONG}, {"rope.py": text + LONG}, handout=handout).pairs
    assert pair.tokens == pair.own and pair.own[0] <= len(words(LONG))


def test_less_than_a_run_is_not_shared():
    short = "x = y.cos() + 1\n"
    assert len(words(short)) < RUN
    assert compare({"a.py": LONG + short}, {"a.py": OTHER + short}).pairs == []


def test_each_side_has_its_own_percentage():
    (pair,) = compare({"a.py": LONG}, {"a.py": OTHER + THIRD + LONG}).pairs
    assert pair.tokens[0] == pair.own[0] and pair.tokens[1] < pair.own[1] / 2


def test_order_and_place_of_functions_make_no_difference():
    (pair,) = compare({"a.py": LONG + OTHER, "b.py": THIRD}, {"a.py": THIRD + OTHER, "b.py": LONG}).pairs
    assert pair.tokens == pair.own == (len(words(LONG + OTHER + THIRD)),) * 2


@pytest.mark.parametrize("size, counts", [(9, True), (12, False)])
def test_what_more_than_a_third_have_does_not_count_in_a_class_of_ten_or_more(size, counts):
    comparison = compare(*[{"a.py": LONG}] * 5, *map(alone, range(size - 5)))
    assert bool(comparison.pairs) == counts
    assert [stretch.holders for stretch in comparison.common()] == ([] if counts else [(0, 1, 2, 3, 4)])


def test_a_stretch_that_does_not_count_is_shown_as_it_was_written():
    both = {"first.py": "a = 1\n", "second.py": f"b = 2\n{LONG}"}
    (stretch,) = compare(*[both] * 8, *map(alone, range(8))).common()
    assert stretch.text.endswith(LONG.rstrip()) and stretch.tokens == len(words(both["second.py"]))


def test_percentages_are_of_what_counts():
    """Who has what everybody has, and copied the rest, copied everything."""
    copies = [{"a.py": LONG + OTHER}] * 2
    pair = compare(*copies, *[{"a.py": LONG}] * 4, *map(alone, range(6))).pairs[0]
    assert (pair.first, pair.second) == (0, 1) and pair.tokens == pair.own < (len(words(LONG + OTHER)),) * 2


def test_the_same_region_has_the_same_number_on_both_sides():
    comparison = compare({"a.py": LONG + OTHER}, {"a.py": "# mine\n" + OTHER + LONG})
    (pair,) = comparison.pairs
    texts = []
    for side, numbers in zip((pair.first, pair.second), comparison.regions(pair), strict=True):
        source = comparison.codes[side].sources[0]
        of = {}
        for (start, stop), number in zip(source.spans, numbers, strict=True):
            of.setdefault(int(number), []).append(source.text[start:stop])
        texts.append({number: "".join(found) for number, found in of.items()})
    assert texts[0] == texts[1] and len(texts[0]) == 2


# --- who comes first ---------------------------------------------------------------------------------------------


def test_a_disguised_copy_comes_before_every_honest_pair():
    students = [honest(entry) for entry in range(4)]
    comparison = compare(*students, disguised(students[0]))
    first, *others = comparison.pairs
    assert (first.first, first.second) == (0, 4)
    assert min(first.tokens) > 0.8 * first.own[0]
    assert all(pair.score < first.score / 4 for pair in others if 4 not in (pair.first, pair.second))


def test_a_disguised_copy_of_whole_files_is_found_in_a_class(handout):
    names = [
        ("attention", "online_softmax"),
        ("rope", "sines_and_cosines"),
        ("adamw", "lerp"),
        ("lora", "one_merged_weight"),
    ]
    classmates = [
        written(("rope", "rotation_matrices"), ("adamw", "textbook_moments")),
        written(("attention", "heads_one_by_one"), ("classifier", "gather")),
        written(*names),
    ]
    pair = compare(*classmates, disguised(classmates[2]), handout=handout).pairs[0]
    assert (pair.first, pair.second) == (2, 3)


# --- what is written ---------------------------------------------------------------------------------------------

HOSTILE = f"""</code></pre><script>alert(1)</script>\u202e = "<img src=x onerror=alert(2)>"
open({"ran"!r}, "w"); print("\x1b[2J")
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, handout) -> Path:
    """A class of five and one that is refused; a file of one of them is too large."""
    folder = tmp_path_factory.mktemp("class")
    submissions, out = folder / "submissions", folder / "out"
    texts = {
        "=cmd()": HOSTILE + LONG + OTHER,
        "<b>bob": LONG + OTHER + HOSTILE,
        "carol": THIRD,
        "dan": THIRD,
        "eve": "",
    }
    for name, text in texts.items():
        (submissions / name).mkdir(parents=True)
        (submissions / name / "rope.py").write_text(text)
    (submissions / "carol" / "llama.py").write_text("x" * (LARGEST + 1))
    (submissions / "refused").mkdir()
    (submissions / "refused" / "unknown.txt").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "handout", lambda edition: handout)
        assert main(["similarity", "mmia", str(submissions), "--out", str(out)]) == 0
    return out


def pages_of(out: Path) -> list[Path]:
    return sorted((out / "pairs").iterdir())


def test_every_pair_that_shares_something_has_a_page(results):
    index = (results / "index.html").read_text()
    assert len(pages_of(results)) == 2
    for page in pages_of(results):
        assert f'href="pairs/{page.name}"' in index
    assert "carol" in index and "100%" in index


def test_nothing_of_a_submission_is_markup(results):
    for page in (results / "index.html", *pages_of(results)):
        text = page.read_text()
        assert "<script" not in text and "<img" not in text and "<b>" not in text
        assert "\u202e" not in text and "\x1b" not in text
    assert any("&lt;script&gt;alert(1)" in page.read_text() for page in pages_of(results))


def test_the_pages_ask_nobody_for_anything(results):
    for page in (results / "index.html", *pages_of(results)):
        text = page.read_text()
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert policy.startswith("default-src &#39;none&#39;") and "unsafe" not in policy
        assert not re.search(r"(src|href)=\"(https?:|//)|url\(|@import|style=", text)


def test_every_link_within_a_page_has_its_target(results):
    for page in pages_of(results):
        text = page.read_text()
        links = re.findall(r'href="#(\w+)"', text)
        assert links and set(links) == set(re.findall(r' id="(\w+)"', text))


def test_no_cell_of_the_table_is_a_formula(results):
    rows = list(csv.reader((results / "pairs.csv").read_text().splitlines()))
    assert rows[0][:3] == ["rank", "first", "second"] and len(rows) == 3
    assert not any(cell.startswith("=") for row in rows for cell in row)


def test_what_is_left_out_is_listed_with_the_reason(results):
    index = (results / "index.html").read_text()
    assert "llama.py: it is larger than 100,000 bytes" in index
    assert "refused" in index and "none of the files" in index
    assert "Nothing of their own" in index and "eve" in index


def test_nothing_was_executed(results):
    assert not list(results.parent.rglob("ran")) and not Path("ran").exists()


@pytest.fixture
def no_handout(monkeypatch):
    monkeypatch.setattr(similarity, "handout", lambda edition: [])


def hand_in(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "rope.py").write_text(text)
    return folder


def test_pages_of_an_earlier_run_go_away_and_other_files_stay(no_handout, tmp_path):
    first = hand_in(tmp_path / "first", ada=LONG, bob=LONG)
    second = hand_in(tmp_path / "second", carol=LONG, dan=LONG)
    out = tmp_path / "out"
    similarity.run("mmia", first, out)
    (out / "pairs" / "notes.txt").write_text("mine")
    similarity.run("mmia", second, out)
    assert [page.name for page in pages_of(out)] == ["carol--dan.html", "notes.txt"]


def test_the_pairs_that_share_most_are_printed(no_handout, tmp_path, capsys):
    similarity.run("mmia", hand_in(tmp_path / "in", ada=LONG, bob=LONG + OTHER, eve=THIRD), tmp_path / "out")
    printed = capsys.readouterr().out
    assert re.search(r"100% and +\d\d%  ada, bob", printed) and "eve" not in printed
    assert str(tmp_path / "out" / "index.html") in printed


def test_a_class_that_shares_nothing_has_a_list_all_the_same(no_handout, tmp_path):
    similarity.run("mmia", hand_in(tmp_path / "in", ada=LONG, bob=OTHER), tmp_path / "out")
    assert "No two submissions share anything" in (tmp_path / "out" / "index.html").read_text()


def test_one_submission_cannot_be_compared(no_handout, tmp_path, capsys):
    folder = hand_in(tmp_path / "in", ada=LONG)
    (folder / "bob").mkdir()
    assert main(["similarity", "mmia", str(folder), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "left out: bob: it has none of the files" in error and "has 1 submission to compare; it takes two" in error


def test_the_pages_are_not_written_among_the_submissions(no_handout, tmp_path, capsys):
    folder = hand_in(tmp_path / "in", ada=LONG, bob=LONG)
    assert main(["similarity", "mmia", str(folder), "--out", str(folder / "similarity")]) == 2
    assert "write somewhere else" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(no_handout, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    folder = hand_in(tmp_path / "in", ada=LONG, bob=LONG)
    assert main(["similarity", "mmia", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "out" in (error := capsys.readouterr().err) and "name another folder" in error
