"""Every attack, one after the other, in one worker: what it earns, what it is called, and what it leaves behind."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from autograder.engine.claims import Answer
from autograder.engine.references import References
from autograder.intake import opening
from autograder.worker import components
from rope import apply_rotary_emb
from tests.e2e.attacks.arena import BOUND, Arena, feedback, processes_named, stored_references
from tests.e2e.attacks.attack import EDITION, RIGHT, SOLVED, Attack
from tests.e2e.attacks.groups import ATTACKS, GROUPS

pytestmark = pytest.mark.slow
LAST = {attack.group: attack for attack in ATTACKS}
SLEEPER = "86399.5"  # seconds that a process left behind by an attack would sleep

PLANTED = """
import torch
mark = "secret-of-" + "others-0123456789abcdef"
def apply_rotary_emb(query, key, *rest):
    print(mark * 100)
    return torch.full((200_000,), 1234.5678), key
"""
SCAN = """
import numpy, os, re
own = "secret-of-myself-fedcba9876543210"
value = numpy.full(4096, 1234.5678, "f4")
bits = int(value.view("u4")[0])
value[:] = 0

def apply_rotary_emb(query, key, *rest):
    pattern = re.compile(b"secret-of-" + b"([a-z]+)-[0-9a-f]{16}")
    found, repeats, read = set(), 0, 0
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    for line in open("/proc/self/maps").read().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if not line.split()[1].startswith("rw") or end - start > 1 << 28:
            continue
        for at in range(start, end, 1 << 20):
            try:
                piece = os.pread(memory, min(1 << 20, end - at), at)
            except OSError:
                continue
            read += len(piece)
            found |= {match.group(1).decode() for match in pattern.finditer(piece)}
            repeats += int((numpy.frombuffer(piece, "u4") == bits).sum())
    print(sorted(found), repeats > 500, read > 50 << 20)
    return query, key
"""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.group} {attack.name}")
def test_attack(arena: Arena, attack: Attack):
    graded = arena.attack(attack)
    if attack.outcome:
        assert {test.outcome for test in graded.row.tests} <= {"pass", attack.outcome, "not run"}, graded.row
        assert graded.row.earned == attack.points, graded.row
    else:
        arena.assert_like_honest(attack, graded.row)
    assert attack.says in graded.feedback
    arena.host.assert_untouched()
    assert graded.seconds < BOUND
    assert not processes_named(SLEEPER)
    if attack is LAST[attack.group]:  # those in between are compared with honest ones themselves
        arena.assert_neighbour_as_before()


def test_every_group_is_tried():
    assert {attack.group for attack in ATTACKS} == GROUPS.keys() - {26}


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.control], ids=lambda attack: attack.name)
def test_without_the_sandbox_it_gets_somewhere(unprotected: Arena, attack: Attack):
    result = unprotected.call(attack.files(unprotected.host.known())["rope.py"].decode())
    assert "REACHED" in result.message


def test_nothing_of_another_submission_is_in_memory(arena: Arena):
    assert "secret-of-others" in arena.call(PLANTED).printed
    assert arena.call(SCAN).printed.splitlines() == ["['myself'] False True"]


def test_memory_can_be_searched_for_what_it_holds(arena: Arena):
    planted = PLANTED.replace("def apply_rotary_emb", "def plant").replace("return", "global kept; kept =")
    both = f"{planted}\nplant(0, 0)\n{SCAN}"
    assert arena.call(both).printed.splitlines()[-1] == "['myself', 'others'] True True"


def test_a_table_of_the_public_answers_is_worth_nothing_on_fresh_inputs(arena: Arena):
    fresh = _fresh_references(seed=20_011)
    submission = {"rope.py": _table_of_answers().encode()}
    assert arena.grade_rope(submission).earned == 15
    row = arena.grade_rope(submission, lambda name: fresh)
    assert row.earned == 0 and {test.outcome for test in row.tests} == {"error"} and "KeyError" in feedback(row)
    assert arena.grade_rope({"rope.py": RIGHT.encode()}, lambda name: fresh).earned == 15


def _fresh_references(seed: int) -> References:
    """Other inputs, with the solution's own answers: those of the oracle would take seconds."""
    stored = stored_references("rope")
    cases = components.load(EDITION.component_folder, "rope", "cases").cases(seed, dict(stored.options))
    inputs = {name: dict(values) for name, values in cases.items()}
    expected = {}
    for name, values in inputs.items():
        options = {key: values[key] for key in ("max_seq_len", "theta") if key in values}
        pair = apply_rotary_emb(values["query"], values["key"], values["query"].shape[-1], **options)
        expected[name] = {"right": dict(zip(("query", "key"), (x.numpy() for x in pair), strict=True))}
        inputs[name] |= {key: values[key].numpy() for key in ("query", "key")}
    return replace(stored, inputs=inputs, expected=expected, fingerprints=())


def _table_of_answers() -> str:
    """A ``rope.py`` that knows the answers to the inputs that ship with a handout, and nothing else."""
    public = stored_references("rope")
    table = {}
    for case, inputs in public.inputs.items():
        (right,) = public.expected[case].values()
        table[round(float(inputs["query"].sum()), 3)] = right["query"].tolist(), right["key"].tolist()
    return (
        f"import torch\ntable = {table}\n"
        "def apply_rotary_emb(query, key, *rest, **options):\n"
        "    return tuple(map(torch.tensor, table[round(float(query.sum()), 3)]))\n"
    )


@pytest.mark.parametrize("method", ["__init__", "forward", "_norm", "__call__", "__setattr__"])
def test_an_exit_in_a_method_costs_that_component(arena: Arena, method: str):
    text = (SOLVED / "llama.py").read_text(
        "utf-8"
    ) + f"\ndef leave(*_):\n    raise SystemExit(0)\nLayerNorm.{method} = leave\n"
    norm, rope = arena.grade({"llama.py": text.encode(), "rope.py": RIGHT.encode()}).components
    assert (norm.earned, rope.earned) == (0, 15)
    assert {test.outcome for test in norm.tests} == {"error"} and "SystemExit: 0" in feedback(norm)


def test_reading_a_submission_does_not_run_it(arena: Arena, tmp_path: Path):
    """Group 25: it is opened, searched for forbidden imports and read, all in this process."""
    mark, folder = tmp_path / "it ran", tmp_path / "submission"
    folder.mkdir()
    (folder / "rope.py").write_text(f"open({str(mark)!r}, 'w').close()\nimport transformers\n{RIGHT}")
    opened = opening.open_submission(folder, EDITION)
    row = arena.grade_rope(opened.files)
    assert row.uses == ("rope.py:2  imports transformers, which this course does not allow",) and row.earned == 0
    assert not mark.exists()


def test_a_submission_that_always_hangs_is_given_up(arena: Arena):
    started = time.monotonic()
    row = arena.attack(Attack(21, "", call="time.sleep(99)", seconds=0.5)).row
    assert [test.outcome for test in row.tests] == ["timeout"] * 2 + ["not run"]
    assert time.monotonic() - started < BOUND / 2


def test_a_worker_serves_on_after_all_this(arena: Arena):
    assert isinstance(arena.call(RIGHT), Answer)
