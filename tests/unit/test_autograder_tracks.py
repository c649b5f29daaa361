"""Editions, fences, banks and references: what an instructor writes, and how its mistakes are reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autograder import editions
from autograder.engine import forbidden, graders, references
from autograder.engine.session import Session
from autograder.instructor import bank, build_references, regions
from autograder.instructor.bank import Alternative, Body, Edit, File, FileEdit
from autograder.intake.submission import Submission
from llamalab.errors import UserError

COMPONENTS = build_references.editions_by_component()
GRADED = [name for name, edition in COMPONENTS.items() if edition.components[name].points]


@pytest.mark.parametrize("name", editions.names())
def test_a_edition_adds_up_to_100_points(name):
    assert sum(component.points for component in editions.load(name).components.values()) == 100


@pytest.mark.parametrize("name", editions.names())
def test_a_edition_names_regions_and_files_that_exist(name):
    edition, sources = editions.load(name), bank.sources()
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
        ('causal = "maybe"\n' + COMPONENT, "causal must be true, false or"),
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
    with pytest.raises(UserError, match="no edition 'roclm'; assignments/ has"):
        editions.load("roclm")
    with pytest.raises(UserError, match="no component 'rop'; it has layer_norm"):
        editions.load("mmia").chosen(["rop"])


# --- which attention an edition accepts -----------------------------------------------------------------------------

ATTENTION = """
causal = {causal}
student_files = ["rope.py", "llama.py", "sampling.py"]
provided_files = ["config.py", "base_llama.py", "utils.py"]
[components]
attention = {{points = 1}}
layer = {{points = 1}}
whole = {{points = 0, needs = ["attention"]}}
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
    (tmp_path / "mine.toml").write_text(ATTENTION.format(causal=causal))
    edition = editions.read(tmp_path / "mine.toml")
    tests = graders.collect(list(edition.components.values()))
    with bank.written(entry, edition) as submission:
        attention, layer, whole = graders.grade(edition, tests, submission, session).components
    assert (attention.state, whole.state) == (("ok", "ok") if right else ("FAIL", "FAIL")) and layer.state == "ok"
    if not right:
        asked, given = ("full", "causal") if causal == "false" else ("causal", "full")
        assert whole.blocked_by == ("attention",)
        assert {test.message for row in (attention, whole) for test in row.tests if test.message} == {
            f"right for '{given}'; this course asks for '{asked}'"
        }


# --- fences ------------------------------------------------------------------------------------------------------

FENCED = "def f():\n    ### BEGIN SOLUTION one\n    return 1\n    ### END SOLUTION one\n"


def test_a_region_has_its_lines_dedented():
    (region,) = regions.parse(FENCED, "a.py")
    assert (region.name, region.first, region.last, region.indent, region.solution) == ("one", 1, 3, 4, "return 1\n")


def test_a_scaffold_is_uncommented():
    text = FENCED.replace("    ### END", "    ### BEGIN SCAFFOLD\n    # if x:\n    #     ...\n    #\n    ### END")
    (region,) = regions.parse(text, "a.py")
    assert region.solution == "return 1\n" and region.scaffold == "if x:\n    ...\n\n"


def test_a_replaced_region_keeps_what_is_around_it():
    (region,) = regions.parse(FENCED, "a.py")
    assert regions.replace(FENCED, [(region, "if x:\n\n    return 2")]) == FENCED.replace(
        "    return 1\n", "    if x:\n\n        return 2\n"
    )
    assert regions.replace(FENCED, [(region, "pass")], keep_fences=False) == "def f():\n    pass\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("### BEGIN SOLUTION one\n", "a.py:1: the region one is never closed"),
        ("### END SOLUTION one\n", "a.py:1: '### END SOLUTION one' closes nothing"),
        (FENCED.replace("END SOLUTION one", "END SOLUTION two"), "a.py:4: '### END SOLUTION two' closes nothing"),
        (FENCED.replace("    ### END", "  ### END"), "a.py:4: .* at its indent"),
        (FENCED.replace("END SOLUTION one", "END SOLUTION"), "a.py:4: not a fence"),
        (FENCED.replace("### BEGIN", "## BEGIN"), "a.py:2: not a fence"),
        (FENCED.replace("### BEGIN", "### begin"), "a.py:2: not a fence"),
        (FENCED.replace("### BEGIN", "#### BEGIN"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION", "BEGIN SOLUTIONS"), "a.py:2: not a fence: '### BEGIN SOLUTIONS one'; write"),
        (FENCED.replace("BEGIN SOLUTION", "BEGIN SOLUTOIN"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION", "BEGN SOLUTION"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION", "BEGIN_SOLUTION"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION one", "BEGIN SOLUTION: one"), "a.py:2: not a fence"),
        (FENCED.replace("    ### END", "    x = 1  ### END"), "a.py:4: not a fence"),
        (FENCED.replace("END SOLUTION", "END OF SOLUTION"), "a.py:4: not a fence"),
        (FENCED.replace("    return 1", "    ### BEGIN SCAFOLD"), "a.py:3: not a fence"),
        (FENCED.replace("SOLUTION one\n    return", "SOLUTION One\n    return"), "a.py:2: not a fence"),
        (FENCED.replace("return 1", "### BEGIN SOLUTION two"), "a.py:3: two begins inside one"),
        (FENCED + FENCED, "a.py:6: a second region named one"),
        ("### BEGIN SCAFFOLD\n", "a.py:1: a scaffold stands once inside a solution"),
        (FENCED.replace("    return 1", "    ### BEGIN SCAFFOLD\n    return 1"), "a.py:4: a scaffold is commented out"),
    ],
)
def test_a_broken_fence_is_named_with_its_place(text, words):
    with pytest.raises(UserError, match=words):
        regions.parse(text, "a.py")


@pytest.mark.parametrize(
    "comment", ["# the end of the solution", "### Response:", "# ends with a solid line", "x = '#'"]
)
def test_other_comments_are_no_fences(comment):
    assert regions.parse(f"{comment}\n{FENCED}", "a.py") == regions.parse(f"\n{FENCED}", "a.py")


def test_a_region_in_two_files_is_named_with_both_places():
    with pytest.raises(UserError, match="b.py:2: one is also a region of a.py:2"):
        regions.parse_all({"a.py": FENCED, "b.py": FENCED})


# --- banks -------------------------------------------------------------------------------------------------------

FILES = {"a.py": FENCED, "b.py": "x = 1\n"}


@pytest.mark.parametrize(
    ("change", "file", "text"),
    [
        (Edit("one", "return 1", "return 2"), "a.py", FENCED.replace("return 1", "return 2")),
        (Body("one", "\nx = 2\nreturn x\n"), "a.py", FENCED.replace("return 1", "x = 2\n    return x")),
        (FileEdit("b.py", "1", "3"), "b.py", "x = 3\n"),
        (File("b.py", "\ny = 1\n"), "b.py", "y = 1\n"),
    ],
)
def test_a_change_changes_one_file(change, file, text):
    assert bank.apply(Alternative("mine", [change]), FILES) == {**FILES, file: text}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Edit("two", "", ""), "mine: there is no region 'two'; there are one"),
        (Edit("one", "x", "y"), "mine: 'x' occurs 0 times in the region one"),
        (FileEdit("a.py", "SOLUTION", "y"), "mine: 'SOLUTION' occurs 2 times in a.py"),
        (Edit("one", "return 1", "return 1"), "mine: changes nothing"),
    ],
)
def test_a_change_that_does_not_fit_is_named(change, words):
    with pytest.raises(UserError, match=words):
        bank.apply(Alternative("mine", [change]), FILES)


@pytest.mark.parametrize("component", GRADED)
def test_a_bank_is_large_enough_and_fits_the_solved_tree(component):
    wrong, right, sources = bank.mistakes(component), bank.alternatives(component), bank.sources()
    assert len(wrong) >= 8 and len(right) >= 3
    for entry in (*wrong, *right):
        for file, text in bank.apply(entry, sources).items():
            compile(text, f"{entry.name}/{file}", "exec")
    assert not any(entry.says.endswith(".") or entry.advice.endswith(".") for entry in wrong)


# --- stored references -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", COMPONENTS)
def test_stored_references_are_what_the_cases_and_the_oracle_give_now(component):
    stored, made = references.load(component), build_references.draw(component, build_references.PUBLIC_SEED)
    assert (stored.modules, stored.axes) == (made.modules, made.axes)
    assert_same(stored.inputs, made.inputs)
    assert_same(stored.expected, made.expected)


@pytest.mark.parametrize("component", COMPONENTS)
def test_stored_fingerprints_are_those_of_the_bank(component):
    stored = references.load(component)
    wrong = bank.mistakes(component) if component in GRADED else []
    facts = [(entry.name, entry.says, entry.advice, entry.made_from) for entry in stored.fingerprints]
    assert facts == [(entry.name, entry.says, entry.advice, bank.hash_of(entry)) for entry in wrong]
    assert all(entry.digests.keys() == stored.inputs.keys() for entry in stored.fingerprints)


def test_a_sample_of_the_fingerprints_is_what_the_bank_answers_now(session):
    """One of each component, on one case; the audit looks at all of them."""
    for component in GRADED:
        stored, entry = references.load(component), bank.mistakes(component)[0]
        case, inputs = next(iter(stored.inputs.items()))
        made = build_references.fingerprint(component, entry, {case: inputs}, COMPONENTS[component], session)
        found, kept = made.digests[case], stored.fingerprints[0].digests[case]
        assert found.signature == kept.signature, component
        np.testing.assert_allclose(found.values, kept.values, rtol=1e-4, atol=1e-5, err_msg=component)


def test_a_changed_entry_is_another_one():
    entry = bank.mistakes("rope")[0]
    changed = replace(entry, changes=[*entry.changes, FileEdit("rope.py", "D head_dim.", "D.")])
    assert bank.hash_of(entry) == bank.hash_of(replace(entry, changes=list(entry.changes))) != bank.hash_of(changed)


def assert_same(stored, made) -> None:
    if isinstance(made, np.ndarray):
        np.testing.assert_allclose(stored, made, rtol=1e-5, atol=1e-6)
        assert stored.dtype == made.dtype
    elif isinstance(made, dict):
        assert stored.keys() == made.keys()
        for name, value in made.items():
            assert_same(stored[name], value)
    else:
        assert stored == made


def test_references_survive_their_file():
    stored = references.load("rope")
    assert stored.to_bytes() == references.path_of("rope").read_bytes()


def test_all_references_are_small():
    assert sum(path.stat().st_size for path in references.FOLDER.iterdir()) <= build_references.LARGEST


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_reference_is_named_with_the_remedy(tmp_path, monkeypatch, content):
    monkeypatch.setattr(references, "FOLDER", tmp_path)
    (tmp_path / "rope.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"rope.safetensors is damaged .* take it from the handout again"):
        references.load("rope")


def test_a_missing_reference_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(references, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="rope.safetensors is missing"):
        references.load("rope")


def test_other_seeds_give_other_inputs():
    first, second = (build_references.draw("rope", seed) for seed in (1, 2))
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
