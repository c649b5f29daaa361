"""Editions, banks and references: what an instructor writes, and how its mistakes are reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autograder import editions, trust
from autograder.answers import Draws
from autograder.editions import Edition
from autograder.engine import forbidden, graders, references
from autograder.engine.graders import asks
from autograder.engine.session import Session
from autograder.instructor import bank, build_references, regions, solved
from autograder.instructor.bank import Alternative, Edit, FileEdit
from autograder.intake.submission import Submission
from llamalab.errors import UserError

MMIA = editions.load("mmia")
ASKED = {
    f"{edition}-{name}": (editions.load(edition), name)
    for edition in editions.names()
    for name in editions.load(edition).components
}
GRADED = {key: (edition, name) for key, (edition, name) in ASKED.items() if edition.components[name].points}


@pytest.mark.parametrize("name", editions.names())
def test_a_edition_adds_up_to_100_points(name):
    assert sum(component.points for component in editions.load(name).components.values()) == 100


@pytest.mark.parametrize("name", editions.names())
def test_a_edition_names_regions_and_files_that_exist(name):
    edition = editions.load(name)
    sources = solved.sources(edition)
    found = regions.parse_all(sources)
    assert set(edition.todo_regions) <= found.keys()
    assert {found[region].file for region in edition.todo_regions} <= set(edition.student_files) <= sources.keys()


@pytest.mark.parametrize("name", editions.names())
def test_a_component_needs_only_components_of_its_edition(name):
    edition = editions.load(name)
    assert all(set(component.needs) <= edition.components.keys() for component in edition.components.values())


COMPONENT = "[components.rope]\npoints = 1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "mine.toml: "),
        ("", "needs at least one"),
        ("colour = 1\n" + COMPONENT, "unknown field 'colour'; known are"),
        ("options = 3\n" + COMPONENT, "options must be a table, not 3"),
        ("files = 3\n" + COMPONENT, "files names a folder, seen from .*, and there is no 3"),
        ('files = "nowhere"\n' + COMPONENT, "files names a folder, seen from .*, and there is no 'nowhere'"),
        ('student_files = "rope.py"\n' + COMPONENT, "student_files must be a list of names"),
        ("[components]\nrope = 3\n", r"\[components.rope\] must be a table"),
        ("[components.rope]\n", r"\[components.rope\] needs points"),
        ("[components.rope]\npoints = -1\n", "needs points, a number from 0 up, not -1"),
        ("[components.rope]\npoints = true\n", "needs points"),
        (COMPONENT + "marks = 3\n", "unknown field 'marks'"),
        ("[forbidden]\ncost = 2\n" + COMPONENT, "cost is a share from 0 to 1, not 2"),
    ],
)
def test_a_mistake_in_a_edition_is_named_with_its_file(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        editions.read(path)


def test_an_unknown_edition_or_component_is_named():
    with pytest.raises(UserError, match="no edition 'roclm'; there are minillama, mmia; or name the path of its TOML"):
        editions.load("roclm")
    with pytest.raises(UserError, match="no component 'rop'; it has layer_norm"):
        editions.load("mmia").chosen(["rop"])


def test_an_edition_may_be_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(f'files = ".."\n{COMPONENT}')
    edition = editions.load(str(tmp_path / "mine.toml"))
    assert (edition.name, edition.course, edition.files) == ("mine", tmp_path, tmp_path.parent)
    monkeypatch.chdir(tmp_path)
    assert editions.load("mine.toml") == edition
    with pytest.raises(UserError, match="there is no edition 'yours.toml'"):
        editions.load("yours.toml")


def test_an_edition_without_files_has_them_in_its_own_folder(tmp_path):
    (tmp_path / "mine.toml").write_text(COMPONENT)
    assert editions.read(tmp_path / "mine.toml").files == tmp_path


def test_no_name_means_the_only_edition_and_several_are_named(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="there are several editions; name one with --edition: minillama, mmia"):
        editions.load()
    monkeypatch.setattr(trust, "COURSES", tmp_path)
    (tmp_path / "alpha").mkdir()
    (tmp_path / "alpha/mine.toml").write_text(COMPONENT)
    assert editions.load().name == "mine"


def test_two_courses_have_no_edition_of_one_name(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "COURSES", tmp_path)
    for course in ("alpha", "beta"):
        (tmp_path / course).mkdir()
        (tmp_path / course / "mine.toml").write_text(COMPONENT)
    with pytest.raises(UserError, match="beta/mine.toml and .*alpha/mine.toml have the same name"):
        editions.names()


# --- which attention an edition accepts -----------------------------------------------------------------------------

ATTENTION = """
files = "{files}"
student_files = ["rope.py", "llama.py", "sampling.py"]
provided_files = ["config.py", "base_llama.py", "utils.py"]
options = {{ causal = {causal} }}
[components]
attention = {{points = 1}}
layer = {{points = 1}}
whole = {{points = 0, needs = ["attention"], options = {{ norm = "layernorm" }}}}
"""
AS_THE_CONFIG_SAYS = Alternative("as_the_config_says", [Edit("attention", "T > 1:", "1 < T:")])
NEVER_MASKED = Alternative("never_masked", [Edit("attention", "self.causal and T > 1", "False")])
ALWAYS_MASKED = Alternative("always_masked", [Edit("attention", "self.causal and T > 1", "T > 1")])


@pytest.fixture(scope="module")
def session():
    with Session() as session:
        yield session


@pytest.mark.parametrize(
    ("causal", "entry", "right"),
    [
        ("false", AS_THE_CONFIG_SAYS, True),
        ("false", NEVER_MASKED, True),
        ("false", ALWAYS_MASKED, False),
        ("true", NEVER_MASKED, False),
    ],
)
def test_attention_is_causal_or_full_as_the_edition_says(tmp_path, session, causal, entry, right):
    (tmp_path / "mine.toml").write_text(ATTENTION.format(files=MMIA.files, causal=causal))
    (tmp_path / "components").symlink_to(MMIA.component_folder)
    edition = editions.read(tmp_path / "mine.toml")
    known = {name: build_references.draw(edition, name, seed=1) for name in edition.components}
    tests, submission = graders.collect(edition), bank.submission(entry, edition)
    attention, layer, whole = graders.grade(edition, tests, submission, session, known.__getitem__).components
    assert (attention.state, whole.state) == (("ok", "ok") if right else ("FAIL", "FAIL")) and layer.state == "ok"
    if not right:
        asked, given = ("full", "causal") if causal == "false" else ("causal", "full")
        assert whole.blocked_by == ("attention",)
        assert {test.message for row in (attention, whole) for test in row.tests if test.message} == {
            f"right for '{given}'; this course asks for '{asked}'"
        }


# --- banks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("edition", "component"), GRADED.values(), ids=GRADED)
def test_a_bank_is_large_enough_and_fits_the_solved_tree(edition, component):
    wrong, right = bank.mistakes(edition, component), bank.alternatives(edition, component)
    sources = solved.sources(edition)
    assert len(wrong) >= 8 and len(right) >= 3
    for entry in (*wrong, *right):
        for file, text in bank.apply(entry, sources).items():
            compile(text, f"{entry.name}/{file}", "exec")
    assert not any(entry.says.endswith(".") or entry.advice.endswith(".") for entry in wrong)


def test_an_entry_as_a_submission_has_the_student_files_in_memory():
    entry = Alternative("mine", [FileEdit("rope.py", "D head_dim.", "D.")])
    submission = bank.submission(entry, MMIA)
    assert submission.files.keys() == set(MMIA.student_files)
    changed = {name for name, data in submission.files.items() if data != (MMIA.files / name).read_bytes()}
    assert changed == {"rope.py"} and bank.changed_modules(entry, MMIA) == {"rope"}


# --- stored references -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("edition", "component"), ASKED.values(), ids=ASKED)
def test_stored_references_are_what_the_cases_and_the_oracle_give_now(edition, component):
    stored = references.load(edition, component)
    made = build_references.draw(edition, component, build_references.PUBLIC_SEED)
    assert (stored.modules, stored.axes) == (made.modules, made.axes)
    assert (stored.options, stored.known_options) == (made.options, made.known_options)
    assert_same(stored.inputs, made.inputs)
    assert_same(stored.expected, made.expected)
    assert stored.questions == made.questions


@pytest.mark.parametrize(("edition", "component"), ASKED.values(), ids=ASKED)
def test_stored_fingerprints_are_those_of_the_bank(edition, component):
    stored = references.load(edition, component)
    wrong = asked_mistakes(edition, component, stored)
    facts = [(entry.name, entry.says, entry.advice, entry.made_from) for entry in stored.fingerprints]
    assert facts == [(entry.name, entry.says, entry.advice, bank.hash_of(entry)) for entry in wrong]
    assert all(entry.digests.keys() == stored.inputs.keys() for entry in stored.fingerprints)


def asked_mistakes(edition: Edition, component: str, stored: references.References) -> list[bank.Mistake]:
    """The mistakes that an edition asks about."""
    every = bank.mistakes(edition, component) if edition.components[component].points else []
    return [entry for entry in every if asks(entry.only, stored.options)]


def test_a_sample_of_the_fingerprints_is_what_the_bank_answers_now(session):
    """One of each component, on one case; the audit looks at all of them."""
    for edition, component in {component: (edition, component) for edition, component in GRADED.values()}.values():
        stored = references.load(edition, component)
        case, inputs = next(iter(stored.inputs.items()))
        entry = asked_mistakes(edition, component, stored)[0]
        made = build_references.fingerprint(edition, entry, replace(stored, inputs={case: inputs}), session)
        found, kept = made.digests[case], stored.fingerprints[0].digests[case]
        assert found.signature == kept.signature, component
        np.testing.assert_allclose(found.values, kept.values, rtol=1e-4, atol=1e-5, err_msg=component)


def test_a_changed_entry_is_another_one():
    entry = bank.mistakes(MMIA, "rope")[0]
    changed = replace(entry, changes=[*entry.changes, FileEdit("rope.py", "D head_dim.", "D.")])
    assert bank.hash_of(entry) == bank.hash_of(replace(entry, changes=list(entry.changes))) != bank.hash_of(changed)


def assert_same(stored, made) -> None:
    if isinstance(made, np.ndarray):
        np.testing.assert_allclose(stored, made, rtol=1e-5, atol=1e-6)
        assert stored.dtype == made.dtype
    elif isinstance(made, Draws):
        assert stored.draws == made.draws
        assert_same(stored.probabilities, made.probabilities)
    elif isinstance(made, dict):
        assert stored.keys() == made.keys()
        for name, value in made.items():
            assert_same(stored[name], value)
    else:
        assert stored == made


@pytest.mark.parametrize("component", {component: None for _, component in ASKED.values()})
def test_references_survive_their_file(component):
    """A set for each combination of options that an edition has."""
    sets: list[references.References] = []
    for edition in editions.of_course(MMIA.course):
        if component in edition.components:
            stored = references.load(edition, component)
            sets += [stored] if stored.options not in [each.options for each in sets] else []
    path = MMIA.component_folder / component / trust.REFERENCES
    assert references.to_bytes(sets) == path.read_bytes()
    assert len(sets) == (2 if component in ("generate_sampling", "whole") else 1)


def test_all_references_are_small():
    sizes = [path.stat().st_size for path in MMIA.course.glob(f"components/*/{trust.REFERENCES}")]
    assert sizes and sum(sizes) <= build_references.LARGEST


def elsewhere(folder: Path) -> Edition:
    """An edition whose components lie in another folder, with an empty one for RoPE."""
    (folder / "components/rope").mkdir(parents=True)
    return replace(MMIA, path=folder / "mine.toml")


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_reference_is_named_with_the_remedy(tmp_path, content):
    edition = elsewhere(tmp_path)
    (tmp_path / "components/rope/references.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"rope/references.safetensors is damaged .* take it from the handout again"):
        references.load(edition, "rope")


def test_a_missing_reference_is_named(tmp_path):
    with pytest.raises(UserError, match="rope/references.safetensors is missing"):
        references.load(elsewhere(tmp_path), "rope")


def test_other_seeds_give_other_inputs():
    first, second = (build_references.draw(MMIA, "rope", seed) for seed in (1, 2))
    assert not np.array_equal(first.inputs["plain"]["query"], second.inputs["plain"]["query"])


# --- forbidden imports and calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch\nimport transformers.models\n", "rope.py:2  imports transformers, which this course"),
        ("def f():\n    from peft import LoraConfig\n", "rope.py:2  imports peft, which this course"),
        ("import my_transformers\nx = 'import peft'\n", ""),
        ("this is not Python", ""),
        ("(" * 100_000, ""),
        ("import peft\nx = " + "1 + " * 50_000 + "1\n", "rope.py:1  is nested too deeply to be read"),
    ],
)
def test_forbidden_imports_are_found_with_their_line(tmp_path, source, found):
    (tmp_path / "rope.py").write_text(source)
    edition = editions.load("mmia")
    uses = forbidden.uses(edition, edition.components["rope"], ("rope",), Submission.of(edition, tmp_path))
    assert [use.startswith(found) for use in uses] == ([True] if found else [])


def test_forbidden_calls_are_found_in_the_components_files(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'student_files = ["llama.py", "rope.py"]\n'
        '[components.attention]\npoints = 1\nforbidden_calls = ["scaled_dot_product_attention"]\n'
    )
    for file in ("llama.py", "rope.py"):
        (tmp_path / file).write_text("from torch.nn import functional as F\ny = F.scaled_dot_product_attention(1)\n")
    edition = editions.read(tmp_path / "mine.toml")
    uses = forbidden.uses(edition, edition.components["attention"], ("llama",), Submission.of(edition, tmp_path))
    assert uses == ("llama.py:2  uses scaled_dot_product_attention, which attention is to be written without",)
