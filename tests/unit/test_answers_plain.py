"""Plain values: what travels as JSON comes back as it was, and the first place that differs is told."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

from autograder.answers import difference, digests
from autograder.answers.plain import problem
from autograder.engine.claims import Answer
from autograder.engine.session import Session
from autograder.intake.submission import Submission
from autograder.worker import plain
from autograder.worker.plain import NotPlain
from tests.written_course import course

VALUES = [
    None,
    True,
    -3,
    10**50,
    0.1,
    math.inf,
    -math.inf,
    "ü\n\ud800",
    b"\x00\xffhe",
    [],
    (),
    {},
    [1, [2.5, None], "x"],
    (b" t", b"he"),
    [(b"t", b"h"), (b" t", b"he")],
    {"a": 1, "b": [2]},
    {1: "a", (b"t", b"h"): 0, None: True, 2.5: {}},
    {"bytes": "aGU=", "tuple": [1]},
    {"dict": [[1, 2]]},
]


def travelled(value: object) -> object:
    """A value as it comes back from JSON."""
    return plain.decode(json.loads(json.dumps(plain.encode(value), allow_nan=False)))


def same(a: object, b: object) -> bool:
    return repr(a) == repr(b)  # tells (1,) from [1], True from 1 and 1 from 1.0


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_plain_value_comes_back_as_it_was(value):
    assert same(travelled(value), value)


def test_nan_comes_back():
    assert math.isnan(travelled(math.nan))


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (bytearray(b"he"), b"he"),
        (OrderedDict(a=1), {"a": 1}),
        (namedtuple("Pair", "a b")(1, 2), (1, 2)),
    ],
    ids=repr,
)
def test_a_subclass_counts_as_what_it_derives_from(value, base):
    assert same(travelled(value), base)


@pytest.mark.parametrize(
    ("value", "name"), [({1, 2}, "set"), (object(), "object"), ([3j], "complex"), (len, "builtin")]
)
def test_what_is_not_plain_is_named(value, name):
    with pytest.raises(NotPlain, match=name):
        plain.encode(value)


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def test_values_may_be_so_deep_in_each_other_and_no_deeper():
    assert travelled(nested(plain.DEEPEST)) == nested(plain.DEEPEST)
    for refuse in (plain.encode, plain.decode):
        with pytest.raises(NotPlain, match="more than 50 deep"):
            refuse(nested(plain.DEEPEST + 1))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"a": 1},
        {"bytes": "aGU=", "tuple": []},
        {"bytes": "not base64!"},
        {"bytes": "aGU"},
        {"bytes": 3},
        {"bytes": ["aGU="]},
        {"bytes": "ü"},
        {"float": "1e5"},
        {"float": "Infinity"},
        {"float": 1},
        {"float": []},
        {"tuple": 3},
        {"tuple": {"a": 1}},
        {"dict": {"a": 1}},
        {"dict": [1]},
        {"dict": [[1]]},
        {"dict": [[1, 2, 3]]},
        {"dict": [[[], 1]]},
        {"dict": [[{"dict": []}, 1]]},
        {"dict": [[1, 2], [1, 3]]},
        {"dict": [[1, 2], [True, 3]]},
        {"__class__": "os.system"},
        [{"tuple": [{"nothing": 1}]}],
    ],
    ids=json.dumps,
)
def test_json_that_says_no_value_is_refused(data):
    with pytest.raises(NotPlain):
        plain.decode(data)


# --- through a worker --------------------------------------------------------------------------------------------

ADAPTER = """
MODULES, AXES = ("work",), {}


def run(submission, inputs, options):
    return {"value": submission.module("work").work(inputs["value"])}
"""


@pytest.fixture(scope="module")
def session():
    with Session() as session:
        yield session


@pytest.fixture
def call(session, tmp_path):
    """What comes back for an input from a ``work`` with this body."""
    edition = course(tmp_path, adapter=ADAPTER)

    def call(body: str, value: object = None):
        source = f"import numpy, torch\ndef work(value):\n    {body}\n"
        return session.call(Submission(edition, {"work.py": source.encode()}), "part", {"value": value})

    return call


def test_plain_values_travel_to_a_submission_and_back(call):
    for value in VALUES:
        answer = call("return value", value)
        assert isinstance(answer, Answer) and same(answer.outputs["value"], value), answer
    assert same(call("return {(b't', b'h'): [float('-inf'), (1, None)]}").outputs["value"], VALUES_BACK)


VALUES_BACK = {(b"t", b"h"): [-math.inf, (1, None)]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return {1, 2}", "value came back as set; a plain value was expected"),
        ("return [1, {2: torch}]", "value came back as list with module inside; a plain value was expected"),
        ("return numpy.zeros(3)", "value came back as ndarray; a plain value was expected"),
        ("x = []; x.append(x); return x", "value came back as list with values more than 50 deep in each other inside"),
    ],
)
def test_what_is_not_plain_is_a_bad_answer(call, body, words):
    fault = call(body)
    assert fault.kind == "bad_answer" and words in fault.message


@pytest.mark.parametrize(
    "forged", ["{'bytes': 3}", "{'dict': [[1, 2], [1, 3]]}", "{'a': 1}", "[' '] and eval('[' * 80 + ']' * 80)"]
)
def test_json_that_a_submission_forges_is_a_bad_answer(call, forged):
    body = f"from autograder.worker import plain\n    plain.encode = lambda *_: {forged}\n    return 1"
    fault = call(body)
    assert fault.kind == "bad_answer" and fault.message.startswith("the answer is malformed"), fault


# --- the first place that differs --------------------------------------------------------------------------------

MERGES = [(b"t", b"h"), (b" t", b"h"), (b"h", b"e")]
LONG = "abcdefghij" * 20


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_nothing_is_said_of_a_right_value(value):
    assert problem(value, travelled(value)) is None


@pytest.mark.parametrize(
    ("value", "expected", "words"),
    [
        (3, 4, "3 where 4 is right"),
        ("a", "b", "'a' where 'b' is right"),
        (None, 4, "None where 4 is right"),
        (True, 1, "True where 1 is right"),
        (1, True, "1 where True is right"),
        ("a", b"a", "'a' (str) where b'a' (bytes) is right"),
        ([1], (1,), "[1] (list) where (1,) (tuple) is right"),
        ([(b"t", b"h"), (b" t", b"he"), (b"h", b"e")], MERGES, "merge 1: (b' t', b'he') where (b' t', b'h') is right"),
        (MERGES[:2], MERGES, "merge 2 is missing: (b'h', b'e') is right (2 in all where 3 are right)"),
        (MERGES, MERGES[:2], "merge 2 is too much: (b'h', b'e') (3 in all where 2 are right)"),
        ({"a": 1}, {"a": 1, 2: "b"}, "merge 2 is missing; 'b' is right (1 in all where 2 are right)"),
        ({"a": 1, b"x": 2}, {"a": 1}, "merge b'x' should not be there (2 in all where 1 are right)"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "merge 'a': item 1: 2 where 3 is right"),
        ([[*LONG], [*LONG, "k"]], [[*LONG], [*LONG, "l"]], "merge 1: item 200: 'k' where 'l' is right"),
        (
            LONG + "x" + LONG,
            LONG + "y" + LONG,
            "from character 200 on: ...'efghijabcdefghijxabcdefghijabcde' where ...'efghijabcdefghijyabcdefghijabcde' "
            "is right (401 characters in all where 401 are right)",
        ),
        (
            (LONG + "x").encode(),
            LONG.encode(),
            "from byte 200 on: ...b'efghijabcdefghijx' where ...b'efghijabcdefghij' is right "
            "(201 bytes in all where 200 are right)",
        ),
        (10**400, 1.0, "1" + "0" * 76 + "... where 1.0 is right"),
        (math.nan, 1.0, "nan where 1.0 is right"),
        (1.0, math.inf, "1.0 where inf is right"),
    ],
)
def test_the_first_difference_is_told(value, expected, words):
    assert problem(value, expected, item="merge") == words


def test_floats_have_a_tolerance_and_whole_numbers_have_none():
    assert problem([1.001], [1.0], atol=0.01) is None and problem([1.001], [1.0]) is not None
    assert problem([1010.0], [1000.0], rtol=0.01) is None
    assert problem([1001], [1000], rtol=0.01) is not None
    assert problem(2, 2.0) is None
    assert problem(1.0, math.inf, rtol=1e-4) is not None and problem(math.inf, 1.0, rtol=1e-4) is not None
    assert problem(10**400, math.inf, rtol=1e-4) is not None and problem(math.nan, 1.0, rtol=1e-4) is not None
    assert problem(math.nan, math.nan) is None and problem(math.inf, math.inf) is None


def test_an_output_names_its_items():
    words = difference({"merges": [MERGES[1]]}, {"right": {"merges": MERGES[:1]}}, {"merges": "merge"})
    assert words == "merges: merge 0: (b' t', b'h') where (b't', b'h') is right"


# --- digests -----------------------------------------------------------------------------------------------------


def signature(value: object) -> str:
    return digests.of_outputs({"x": value}).signature


def test_the_order_of_a_mapping_makes_no_difference_to_a_digest():
    ordered = {b"a": 1, (1, 2): {"x": 1, "y": 2}, 3: None}
    assert signature(ordered) == signature({3: None, (1, 2): {"y": 2, "x": 1}, b"a": 1})
    assert signature({number: number for number in range(99)}) == signature({98 - n: 98 - n for n in range(99)})


@pytest.mark.parametrize(
    ("a", "b"), [([1, 2], [2, 1]), ([1], (1,)), ("a", b"a"), ({1: 2}, {2: 1}), (1, True), (1, 1.0)], ids=repr
)
def test_other_values_have_other_digests(a, b):
    assert signature(a) != signature(b)


def test_a_digest_of_a_long_value_is_short():
    assert len(signature(list(range(10_000)))) < 80
    assert signature(list(range(10_000))) != signature(list(range(10_001)))
