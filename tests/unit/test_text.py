"""llamalab/text.py: what a stranger wrote can be read, and does nothing else."""

from __future__ import annotations

import time
import unicodedata

import pytest

from llamalab import text

HOSTILE = {
    "terminal escape": "\x1b",
    "its 8-bit form": "\x9b",
    "bell": "\x07",
    "backspace": "\x08",
    "NUL": "\x00",
    "delete": "\x7f",
    "right-to-left override": "\u202e",
    "right-to-left isolate": "\u2067",
    "right-to-left mark": "\u200f",
    "zero-width space": "\u200b",
    "soft hyphen": "\u00ad",
    "word joiner": "\u2060",
    "byte-order mark": "\ufeff",
    "Hangul filler": "\u3164",
    "half of a pair": "\ud800",
    "noncharacter": "\uffff",
    "tag": "\U000e0041",
}


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE)
def test_what_hides_moves_or_reorders_is_replaced_where_it_stands(bad):
    for show in (text.plain, text.line, text.lines):
        assert show(f"a{bad}b") == "a\ufffdb"


def test_nothing_that_is_left_controls_anything():
    everything = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(c) for c in text.plain(everything) if c not in "\n\t\u200c\u200d"}
    assert not {c for c in ("Cc", "Cs", "Zl", "Zp") if c in left}
    bidirectional = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not bidirectional & {unicodedata.bidirectional(c) for c in text.plain(everything)}


def test_names_and_code_in_any_script_stay_as_they_are():
    kept = "Łukasz Nguyễn\tمحمد 伟 می‌خواهم 👩‍💻 \u00a0 <b>&amp;</b> 'it\\x1b'\n"
    assert text.plain(kept) == kept


def test_line_ends_become_one_kind():
    assert text.plain("a\r\nb\rc\u2028d\x85e") == "a\nb\nc\nd\ne"


def test_piles_of_accents_are_cut():
    assert text.plain("e" + "\u0301" * 500) == "e" + "\u0301" * 3


def test_bytes_are_read_as_utf_8_wherever_they_are():
    assert text.plain(b"\xc3\xa9\xff") == "é\ufffd"
    assert text.line(b"\xc3\xa9" * 1000, longest=10) == "é" * 9 + "…"


def test_a_line_is_one_and_short():
    assert text.line("  Ada\n\tLovelace ") == "Ada Lovelace"
    assert text.line("x" * text.LINE) == "x" * text.LINE
    assert text.line("x" * 10_000) == "x" * (text.LINE - 1) + "…"
    assert text.line("abcdef", longest=4) == "abc…"
    assert text.line("a" + " " * 10_000 + "b", longest=10).endswith("…")
    assert text.line("") == ""


def test_lines_say_what_they_leave_out():
    assert text.lines("1\n2\n3\n4", most=2) == "1\n2\n… (2 more lines)"
    assert text.lines("x" * 25, width=20) == "x" * 20 + "… (5 more characters)"
    assert text.lines("x\n" * 30, longest=20).endswith("… (40 more characters)")
    assert text.lines("a\tb\n") == "a   b" and text.lines("") == ""


def test_megabytes_without_a_line_end_take_no_time():
    started = time.perf_counter()
    assert len(text.lines("\x00" * (32 << 20))) < 1000
    assert len(text.line("\x00" * (32 << 20))) <= text.LINE
    assert time.perf_counter() - started < 0.5
