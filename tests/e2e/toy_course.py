"""A course made of nothing but files, as ``autograder/README.md`` says: what a new course has to bring.

Four components: one whose answer is a list of pairs of bytes, one where students write a constructor beside a class
that another component grades, one in a notebook, one with a limit of processor time.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

EDITION = """
title = "Toy course"
student_files = ["pairs.py", "block.py", "Lab.ipynb"]
provided_files = ["words.py"]
command_files = ["scripts/count.py"]
smoke = ["scripts/count.py low lower"]

[components.merges]
points = 40
regions = ["merges2"]
options = { ties = "greater" }

[components.block]
points = 30
regions = ["block"]

[components.lab]
points = 20
regions = ["lab"]

[components.speed]
points = 10
regions = ["merges2"]
needs = ["merges"]
"""

PAIRS = '''
"""Which pairs of bytes are the most frequent?"""

from collections import Counter

from words import split


def most_frequent_pairs(text: str, count: int) -> list[tuple[bytes, bytes]]:
    """The ``count`` most frequent pairs of neighbouring bytes in the words of a text; of equals the greater one first.

    >>> most_frequent_pairs("low low lower", 2)
    [(b'o', b'w'), (b'l', b'o')]
    """
    ### BEGIN SOLUTION merges2
    pairs = Counter()
    for word in split(text):
        data = word.encode("utf-8")
        pairs.update((data[i : i + 1], data[i + 1 : i + 2]) for i in range(len(data) - 1))
    ordered = sorted(pairs, key=lambda pair: (pairs[pair], pair), reverse=True)
    return ordered[:count]
    ### END SOLUTION merges2
'''

BLOCK = '''
"""A layer between two norms."""

import torch
from torch import nn


class Norm(nn.Module):
    """Divides by the largest absolute value of the last axis."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.abs().amax(dim=-1, keepdim=True)


class Block(nn.Module):
    """``second(linear(first(x)))``: two norms of their own around a linear layer without bias."""

    def __init__(self, dim: int) -> None:
        ### BEGIN SOLUTION block
        super().__init__()
        self.first, self.second = Norm(dim), Norm(dim)
        self.linear = nn.Linear(dim, dim, bias=False)
        ### BEGIN SCAFFOLD
        # super().__init__()
        # raise NotImplementedError("block: two norms and a linear layer")
        ### END SOLUTION block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.linear(self.first(x)))
'''

LAB = '''
def token_id(vocabulary, piece):
    """The smallest id of a piece, or -1."""
    ### BEGIN SOLUTION lab
    found_ids = [number for number, known in vocabulary.items() if known == piece]
    return min(found_ids, default=-1)
    ### END SOLUTION lab
'''

ADAPTERS = {
    "merges": '''
        """Calls ``pairs.most_frequent_pairs``."""

        MODULES = ("pairs",)
        AXES = {"pairs": "pair"}
        OPTIONS = {"ties": ("any", "greater")}


        def run(submission, inputs, options):
            return {"pairs": submission.module("pairs").most_frequent_pairs(inputs["text"], inputs["count"])}
    ''',
    "block": '''
        """Builds a ``Block`` around a known norm."""

        import torch
        from torch import nn

        from .._shared.adapters.norms import Halving

        MODULES = ("block",)
        AXES = {"output": ("row", "channel")}


        def run(submission, inputs, options):
            submission.stub("block.Norm", Halving)
            block = submission.module("block").Block(inputs["x"].shape[1])
            with torch.no_grad():
                block.linear.weight.copy_(inputs["weight"])
            return {"output": block(inputs["x"].clone()).detach(), "parameters": len(list(block.parameters()))}
    ''',
    "lab": '''
        """Runs the notebook's graded cells and calls what they define."""

        MODULES = ("Lab",)
        AXES = {}


        def run(submission, inputs, options):
            lab = submission.module("Lab")
            return {"ids": [lab.token_id(inputs["vocabulary"], piece) for piece in inputs["pieces"]]}
    ''',
    "speed": '''
        """The same call as ``merges``, on a long text."""

        MODULES = ("pairs",)
        AXES = {"pairs": "pair"}


        def run(submission, inputs, options):
            return {"pairs": submission.module("pairs").most_frequent_pairs(inputs["text"], 3)}
    ''',
}

CASES = {
    "merges": """
        import random


        def cases(seed, options):
            draw = random.Random(seed)
            words = ["".join(draw.choices("abcde", k=draw.randint(2, 6))) for _ in range(200)]
            return {"many": {"text": " ".join(words), "count": 8}, "few": {"text": "low low lower", "count": 2}}
    """,
    "block": """
        import torch

        from autograder.instructor.contract import normal


        def cases(seed, options):
            generator = torch.Generator().manual_seed(seed)
            return {"rows": {"x": normal(generator, 5, 3), "weight": normal(generator, 3, 3)}}
    """,
    "lab": """
        def cases(seed, options):
            vocabulary = {3: b"th", 1: b"he", 2: b"th", 259: bytes([seed % 256, 255])}
            return {"ids": {"vocabulary": vocabulary, "pieces": [b"th", b"he", b"none", vocabulary[259]]}}
    """,
    "speed": """
        from autograder.instructor.contract import Case


        def cases(seed, options):
            return {"long": Case({"text": " ".join(f"word{seed}x{number}" for number in range(3000))}, cpu=1.0)}
    """,
}

ORACLES = {
    "merges": """
        import re
        from collections import Counter


        def expected(inputs, options):
            words = [word.encode() for word in re.findall(r"\\S+", inputs["text"])]
            pairs = Counter(pair for word in words for pair in zip(word, word[1:]))
            best = sorted(pairs.items(), key=lambda item: (-item[1], tuple(-byte for byte in item[0])))
            return {"right": {"pairs": [(bytes([a]), bytes([b])) for (a, b), _ in best[: inputs["count"]]]}}
    """,
    "block": """
        def expected(inputs, options):
            output = ((inputs["x"].double() / 2) @ inputs["weight"].double().T / 2).float()
            return {"right": {"output": output, "parameters": 1}}
    """,
    "lab": """
        def expected(inputs, options):
            found = {piece: number for number, piece in sorted(inputs["vocabulary"].items(), reverse=True)}
            return {"right": {"ids": [found.get(piece, -1) for piece in inputs["pieces"]]}}
    """,
    "speed": """
        from ..merges.oracle import expected as pairs


        def expected(inputs, options):
            return pairs({**inputs, "count": 3}, options)
    """,
}

TESTS = {
    "merges": '''
        """Pairs: are the most frequent ones found, in order?"""

        import pytest

        pytestmark = pytest.mark.component("merges")


        @pytest.mark.weight(3)
        def test_pairs(judge):
            """Are they the most frequent pairs, the most frequent first?"""
            judge.equal("few")


        @pytest.mark.option(ties="greater")
        def test_ties(judge):
            """Is the greater pair first where two are as frequent?"""
            judge.equal("many")


        @pytest.mark.option(ties="any")
        def test_never_asked(judge):
            """A question that this edition does not ask."""
            judge.require(False, "asked all the same", "few")
    ''',
    "block": '''
        """The block: is it built of two norms and a linear layer?"""

        import pytest

        pytestmark = pytest.mark.component("block")


        def test_output(judge):
            """Does a block built of known norms compute the norm of the linear map of the norm?"""
            judge.equal("rows", "output")


        def test_parameters(judge):
            """Has it one parameter, the matrix?"""
            judge.equal("rows", "parameters")
    ''',
    "lab": '''
        """The lab: are ids looked up?"""

        import pytest

        pytestmark = pytest.mark.component("lab")


        def test_ids(judge):
            """Is it the smallest id, or -1?"""
            judge.equal("ids")
    ''',
    "speed": '''
        """Speed: does a long text take less than a second of work?"""

        import pytest

        pytestmark = pytest.mark.component("speed")


        def test_time(judge):
            """Are the pairs of 3,000 words counted within a second of processor time?"""
            judge.equal("long")
    ''',
}

MISTAKES = {
    "merges": """
        from autograder.instructor.contract import Edit, Mistake

        BANK = [
            Mistake(
                "least_frequent",
                "the least frequent pairs",
                "The most frequent come first: reverse=True (Sennrich et al. 2016, algorithm 1)",
                [Edit("merges2", ", reverse=True", "")],
                also=("speed",),
            ),
            Mistake(
                "lesser_of_equals",
                "of equally frequent pairs the lesser one first",
                "Of equals the greater pair comes first",
                [Edit("merges2", "key=lambda pair: (pairs[pair], pair), reverse=True",
                      "key=lambda pair: (-pairs[pair], pair)")],
                also=("speed",),
                only={"ties": "greater"},
            ),
        ]
    """,
    "block": """
        from autograder.instructor.contract import Edit, Mistake

        BANK = [
            Mistake("a_bias", "a linear layer with a bias", "bias=False", [Edit("block", ", bias=False", "")]),
        ]
    """,
    "lab": """
        from autograder.instructor.contract import Edit, Mistake

        BANK = [Mistake("largest", "the largest id", "Of several ids the smallest counts", [Edit("lab", "min(", "max(")])]
    """,
    "speed": """
        from autograder.instructor.contract import Edit, Mistake

        BANK = [
            Mistake(
                "counts_again",
                "every pair counted anew for each word",
                "Count each pair once",
                [Edit("merges2", "    data = word", "    sum(i * i for i in range(20000))\\n    data = word")],
            ),
        ]
    """,
}

ALTERNATIVE = {
    "merges": """
        from autograder.instructor.contract import Alternative, Edit

        BANK = [
            Alternative(
                "most_common",
                [Edit("merges2", "ordered = sorted(pairs, key=lambda pair: (pairs[pair], pair), reverse=True)",
                      "ordered = [p for p, _ in sorted(pairs.items(), key=lambda item: item[::-1])[::-1]]")],
            )
        ]
    """,
    "block": """
        from autograder.instructor.contract import Alternative, Edit

        BANK = [Alternative("after", [Edit("block", "self.first, self.second = Norm(dim), Norm(dim)",
                                           "self.second = Norm(dim)\\nself.first = Norm(dim=dim)")])]
    """,
    "lab": "BANK = []\n",
    "speed": "BANK = []\n",
}

SHARED = '''
"""A norm that halves, for what is built around norms."""

import torch
from torch import nn


class Halving(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2
'''

WORDS = 'def split(text: str) -> list[str]:\n    """Words between spaces."""\n    return text.split()\n'
SCRIPT = """
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from pairs import most_frequent_pairs

    print(most_frequent_pairs(" ".join(sys.argv[1:]), 1))
"""
README = "# {{ edition.title }}\n\n{% for name in edition.components %}\n- {{ name }}\n{% endfor %}\n"


def notebook(code: str) -> str:
    """A notebook of three cells, of which the second is graded."""

    def cell(kind: str, source: str, *tags: str) -> dict:
        more = {"outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}], "execution_count": 3}
        lines = source.splitlines(keepends=True)
        return {"cell_type": kind, "metadata": {"tags": [*tags]}, "source": lines, **(more if kind == "code" else {})}

    cells = [
        cell("markdown", "# Lab"),
        cell("code", code.strip() + "\n", "graded"),
        cell("code", "%time token_id({}, b'')\nraise RuntimeError('never run')"),
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def write(folder: Path) -> Path:
    """Write the course into a folder and return its edition's file."""
    course = folder / "toy"
    files = {
        "toy101.toml": EDITION,
        "pairs.py": PAIRS,
        "block.py": BLOCK,
        "Lab.ipynb": notebook(LAB),
        "words.py": WORDS,
        "scripts/count.py": SCRIPT,
        "handout/README.md": README,
        "components/_shared/adapters/norms.py": SHARED,
    }
    parts = (
        ("adapter.py", ADAPTERS),
        ("cases.py", CASES),
        ("oracle.py", ORACLES),
        ("mistakes.py", MISTAKES),
        ("alternatives.py", ALTERNATIVE),
    )
    for part, texts in parts:
        files |= {f"components/{name}/{part}": textwrap.dedent(text) for name, text in texts.items()}
    files |= {f"components/{name}/test_{name}.py": textwrap.dedent(text) for name, text in TESTS.items()}
    for name, text in files.items():
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).write_text(text.lstrip("\n"), encoding="utf-8")
    return course / "toy101.toml"
