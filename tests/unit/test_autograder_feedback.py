"""What is said about a wrong answer: each sentence once."""

from __future__ import annotations

import numpy as np
import pytest

from autograder.answers import difference, digests
from autograder.engine import fingerprints
from autograder.engine.claims import Answer, Fault
from autograder.engine.fingerprints import Fingerprint, Observed, digest
from autograder.worker.protocol import DTYPES

AXES = {"x": ("batch", "position", "head", "channel")}
X = np.random.default_rng(0).standard_normal((2, 5, 3, 4)).astype("f4")


def said(found, expected=X, axes=AXES) -> str | None:
    return difference({"x": found}, {"right": {"x": expected}}, axes)


def changed(*index, by: float = 1.0) -> np.ndarray:
    x = X.copy()
    x[index] += by
    return x


def test_nothing_is_said_about_a_right_answer():
    assert said(X.copy()) is None


def test_rounding_is_no_difference():
    assert said(X * (1 + 5e-5)) is None and said(X + 5e-6) is None


def test_more_than_rounding_is():
    assert said(X + 1e-3) is not None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "None came back; a tensor of shape (2, 5, 3, 4) was expected"),
        ("yes", "'yes' came back; a tensor of shape (2, 5, 3, 4) was expected"),
        (X[0], "shape (5, 3, 4); (2, 5, 3, 4) was expected: (batch, position, head, channel)"),
        (
            X.swapaxes(1, 2),
            "shape (2, 3, 5, 4); (2, 5, 3, 4) was expected: (batch, position, head, channel); "
            "position and head are swapped",
        ),
        (X.astype("f8"), "is float64; float32 was expected"),
        (np.zeros(X.shape, DTYPES["bfloat16"]), "is bfloat16; float32 was expected"),
        (X > 0, "is bool; float32 was expected"),
        (X * np.nan, "every value is NaN, first at batch 0, position 0, head 0, channel 0"),
        (
            changed(1, 2, 0, 3, by=np.inf),
            "1 of 120 values is infinite, first at batch 1, position 2, head 0, channel 3",
        ),
        (changed(1, 2, by=np.nan), "12 of 120 values are NaN, first at batch 1, position 2, head 0, channel 0"),
    ],
)
def test_what_cannot_be_compared_is_named_before_any_value(found, words):
    assert said(found) == words


def test_shape_is_named_before_dtype_and_dtype_before_nan():
    assert said(X[0].astype("f8") * np.nan).startswith("shape")
    assert said(X.astype("f8") * np.nan).startswith("is float64")


def test_the_first_wrong_index_and_the_largest_error_are_given():
    x = changed(1, 3, 2, 0, by=0.5)
    x[1, 4, 0, 1] += 2
    first, right = x[1, 3, 2, 0], X[1, 3, 2, 0]
    assert said(x).splitlines()[1] == (
        f"first at batch 1, position 3, head 2, channel 0: {first:.4g} where {right:.4g} is right; largest error 2"
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (changed(slice(None), slice(1, None)), "wrong from position 1 on"),
        (changed(slice(None), slice(0, 2)), "wrong at position 0 to 1"),
        (changed(slice(None), [0, 3]), "wrong at position 0, 3"),
        (changed(1), "wrong at batch 1 only"),
        (changed(slice(None), slice(None), 2), "wrong at head 2 only"),
        (changed(..., [1, 3]), "wrong at every odd channel"),
        (changed(0, slice(2, None)), "wrong at batch 0 only, from position 2 on"),
        (X + 1, "every value is wrong"),
        (-X, "every value is wrong; right but for the sign"),
        (X / 4, "every value is wrong; right but for a factor of 0.25"),
        (0 * X, "every value is wrong; all zero"),
        (X + np.arange(5, dtype="f4")[:, None, None], "wrong from position 1 on; error grows with position"),
    ],
)
def test_the_axis_that_carries_the_error_is_named(found, words):
    assert said(found).splitlines()[0] == words


def test_axes_without_a_name_are_numbered():
    assert said(changed(1), axes={}).startswith("wrong at axis 0 1 only")


def test_a_single_number_needs_no_place():
    assert said(np.array(2.0, "f4"), np.array(1.0, "f4")).startswith("every value is wrong\n2 where 1")


def test_the_output_that_is_wrong_is_named_and_the_other_called_right():
    words = difference({"query": X, "key": -X}, {"right": {"query": X, "key": X}}, {})
    assert words.startswith("key: every value is wrong; right but for the sign") and words.endswith("(query: right)")


def test_a_missing_output_is_named():
    assert difference({}, {"right": {"x": X, "y": X}}, {}) == "x: nothing came back"


@pytest.mark.parametrize(
    ("name", "found", "right", "words"),
    [
        ("tokens drawn", 3, 4, "tokens drawn: 3 where 4 is right"),
        ("linear layer", "trained", "frozen", "linear layer: 'trained' where 'frozen' is right"),
    ],
)
def test_a_plain_value_is_named_even_when_it_is_the_only_one(name, found, right, words):
    assert difference({name: found}, {"right": {name: right}}, {}) == words
    assert difference({name: found, "x": X}, {"right": {name: right, "x": X}}, {}) == f"{words}\n(x: right)"


def test_any_of_several_right_answers_will_do():
    variants = {"before": {"x": X}, "after": {"x": X + 1}}
    assert difference({"x": X + 1}, variants, AXES) is None


def test_a_wrong_answer_is_compared_with_the_nearest_right_one():
    variants = {"before": {"x": X + 7}, "after": {"x": X}}
    assert said(changed(1)) == difference({"x": changed(1)}, variants, AXES)


# --- recognising mistakes ----------------------------------------------------------------------------------


def known(name: str, **outputs) -> Fingerprint:
    return Fingerprint(
        name, f"says {name}", "advice", {case: digests.of_outputs({"x": x}) for case, x in outputs.items()}
    )


def seen(x: np.ndarray, passed: bool = False) -> Observed:
    return Observed(digest(Answer({"x": x})), passed)


RIGHT = {"a": [digests.of_outputs({"x": X})], "b": [digests.of_outputs({"x": X})]}
BANK = (known("sign", a=-X, b=-X), known("double", a=2 * X, b=2 * X), known("only_b", a=X, b=-X))


def nearest(**observed: Observed) -> str | None:
    found = fingerprints.nearest(observed, RIGHT, BANK)
    return found.name if found else None


def test_a_known_mistake_is_recognised():
    assert nearest(a=seen(2 * X), b=seen(2 * X)) == "double"


def test_rounding_does_not_hide_it():
    assert nearest(a=seen(-X * 1.001 + 1e-4), b=seen(-X)) == "sign"


def test_an_unknown_mistake_matches_nothing():
    assert nearest(a=seen(X + 1), b=seen(X + 1)) is None


def test_a_case_that_passes_counts_against_a_mistake_that_would_fail_it():
    assert nearest(a=seen(X, passed=True), b=seen(-X)) == "only_b"


def test_an_answer_of_another_shape_is_another_mistake():
    assert nearest(a=seen(-X.swapaxes(1, 2)), b=seen(-X.swapaxes(1, 2))) is None


def test_a_fault_is_recognised_by_its_message():
    fault = Fault("error", "TypeError: sqrt(): argument 'input' must be Tensor, not int")
    bank = (Fingerprint("sqrt", "", "", {"a": digest(fault)}),)
    assert fingerprints.nearest({"a": Observed(digest(fault), False)}, RIGHT, bank).name == "sqrt"
    other = Observed(digest(Fault("error", "TypeError: something else")), False)
    assert fingerprints.nearest({"a": other}, RIGHT, bank) is None


def test_a_digest_of_a_large_answer_is_small():
    assert len(digests.of_outputs({"x": np.zeros((100, 100), "f4")}).values) == digests.PLACES
