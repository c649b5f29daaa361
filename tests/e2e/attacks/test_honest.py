"""Group 26: honest submissions that are broken, odd or slow get the marks they deserve, and a sentence that helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.e2e.attacks.arena import Arena, feedback
from tests.e2e.attacks.attack import RIGHT, SOLVED

pytestmark = pytest.mark.slow
ROPE, NORM = 15.0, 10.0  # points of the components that are graded here
LLAMA = (SOLVED / "llama.py").read_text("utf-8")
START = "    T = query.shape[1]\n"  # of apply_rotary_emb's body


@dataclass(frozen=True)
class Case:
    """A submission: the solved ``rope.py`` and ``llama.py``, or other texts for them.

    Args:
        rope, norm: points of the two components.
        outcome: of the tests that do not pass.
        says: words of the feedback.
    """

    name: str
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    rope: float = ROPE
    norm: float = NORM
    outcome: str = ""
    says: str = ""

    def content(self) -> dict[str, bytes]:
        texts = {"rope.py": RIGHT, "llama.py": LLAMA, **self.files}
        return {
            name: text if isinstance(text, bytes) else text.encode() for name, text in texts.items() if text is not None
        }


def rope(body: str = "", end: str = "") -> dict[str, str]:
    """``rope.py`` with lines before the body of ``apply_rotary_emb``, and after everything."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return {"rope.py": RIGHT.replace(START, lines + START) + end}


def renamed(text: str) -> dict[str, str]:
    return {"rope.py": RIGHT.replace("def apply_rotary_emb(", f"def {text}(")}


IN_FLOAT64 = RIGHT.replace("torch.promote_types(query.dtype, torch.float32)", "torch.float64")
LATIN_1 = ("# -*- coding: latin-1 -*-\n" + RIGHT + "\nGREETING = 'é'\n").encode("latin-1")

BROKEN = (
    Case(
        "a syntax error in one file",
        {"rope.py": RIGHT.replace("def rotate(x: torch.Tensor)", "def rotate(x: torch.Tensor")},
        rope=0,
        outcome="error",
        says="cannot be imported: SyntaxError: invalid syntax\n  rope.py:",
    ),
    Case(
        "a tab among spaces",
        {"rope.py": RIGHT.replace(START, f"{START}\tx = 1\n")},
        rope=0,
        outcome="error",
        says="TabError: inconsistent use of tabs",
    ),
    Case("a missing file", {"rope.py": None}, rope=0, outcome="error", says="rope.py is missing"),
    Case("an empty file", {"rope.py": ""}, rope=0, outcome="error", says="has no attribute 'apply_rotary_emb'"),
    Case(
        "a function of another name",
        renamed("apply_rope"),
        rope=0,
        outcome="error",
        says="AttributeError: module 'rope' has no attribute 'apply_rotary_emb'",
    ),
    Case(
        "a class of another name",
        {"llama.py": LLAMA.replace("class LayerNorm(", "class MyNorm(")},
        norm=0,
        outcome="error",
        says="NameError: name 'LayerNorm' is not defined",
    ),
    Case(
        "a component that is not written",
        rope('raise NotImplementedError("rope: rotate query and key")'),
        rope=0,
        outcome="todo",
        says="rope.py:",
    ),
    Case(
        "one broken component",
        {"llama.py": LLAMA.replace("centred = x - x.mean(", "centred = x - y.mean(")},
        norm=0,
        outcome="error",
        says="NameError: name 'y' is not defined\n  llama.py:",
    ),
    Case(
        "an exception whose text cannot be shown",
        rope("class Mine(Exception):\n    def __str__(self): raise self\n    __repr__ = __str__\nraise Mine"),
        rope=0,
        outcome="error",
        says="Mine\n  rope.py:",
    ),
    Case("a missing package", rope("import seaborn_2"), rope=0, outcome="error", says="No module named 'seaborn_2'"),
    Case(
        "a file that is not there",
        rope("open('data.txt')"),
        rope=0,
        outcome="error",
        says="No such file or directory: 'data.txt'",
    ),
    Case("a question at import", rope(end="name = input('Name? ')"), rope=0, outcome="error", says="EOFError"),
    Case("a graphics card", rope("query = query.cuda()"), rope=0, outcome="error", says="CUDA"),
    Case(
        "a download",
        rope("import urllib.request; urllib.request.urlopen('http://example.org')"),
        rope=0,
        outcome="error",
        says="URLError",
    ),
    Case(
        "an answer in float64",
        {"rope.py": RIGHT.replace(".type_as(x)", ".double()")},
        rope=0,
        outcome="fail",
        says="is float64; float32 was expected",
    ),
    Case(
        "source in latin-1 that does not say so",
        {"rope.py": LATIN_1.partition(b"\n")[2]},
        rope=0,
        outcome="error",
        says="SyntaxError: this is not UTF-8; save the file as UTF-8\n  rope.py:",
    ),
    Case(
        "source in UTF-16",
        {"rope.py": RIGHT.encode("utf-16")},
        rope=0,
        outcome="error",
        says="cannot be imported: SyntaxError",
    ),
)

FINE = (
    Case("as it is"),
    Case("prints at import", rope(end="print('loading ...')")),
    Case("prints in every call", rope("print(query)\nfor i in range(1000): print(i)")),
    Case("shows a progress bar", rope("from tqdm import tqdm\nfor _ in tqdm(range(200)): pass")),
    Case("slow", rope("import time; time.sleep(0.2)")),
    Case("in float64 inside", {"rope.py": IN_FLOAT64}),
    Case(
        "loads data in two processes",
        rope(
            "import torch.utils.data as data\n"
            "rows = data.DataLoader(data.TensorDataset(torch.arange(8)), batch_size=2, num_workers=2)\n"
            "assert sum(len(batch) for (batch,) in rows) == 8"
        ),
    ),
    Case(
        "works in a pool of four processes",
        rope(
            "import multiprocessing\nwith multiprocessing.Pool(4) as pool: assert pool.map(abs, range(-9, 0))[0] == 9"
        ),
    ),
    Case("leaves eight threads set", rope("torch.set_num_threads(8)\nquery @ query.mT")),
    Case(
        "leaves threads running",
        rope("import threading, time\nfor _ in range(8): threading.Thread(target=time.sleep, args=(60,)).start()"),
    ),
    Case("leaves torch's defaults changed", rope("torch.set_default_dtype(torch.float64)\ntorch.manual_seed(3)")),
    Case("changes its inputs", rope("query = query.contiguous()\nquery.mul_(1)\nkey.add_(0)")),
    Case("writes a log file", rope("open('log.txt', 'a').write('called')")),
    Case("calls what it wrote when it is run as a script", rope(end="if __name__ == '__main__': raise SystemExit(1)")),
    Case("reads its arguments", rope(end="import argparse; argparse.ArgumentParser().parse_args()")),
    Case("is compiled by TorchScript", rope(end="apply_rotary_emb = torch.jit.ignore(apply_rotary_emb)")),
    Case("warns", rope("import warnings; warnings.warn('careful', UserWarning, stacklevel=1)")),
    Case("has Windows line endings", {"rope.py": RIGHT.replace("\n", "\r\n")}),
    Case("has a byte order mark", {"rope.py": b"\xef\xbb\xbf" + RIGHT.encode()}),
    Case("is in latin-1 and says so", {"rope.py": LATIN_1}),
    Case("has no newline at the end", {"rope.py": RIGHT.rstrip()}),
    Case(
        "imports what another file has", {"rope.py": RIGHT + "\nfrom llama import Llama, RMSNorm\n", "llama.py": LLAMA}
    ),
)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_what_is_broken_costs_its_own_marks_and_is_explained(arena: Arena, case: Case):
    norm, rope = arena.grade(case.content()).components
    assert (norm.earned, rope.earned) == (case.norm, case.rope)
    row = rope if case.rope < ROPE else norm
    assert {test.outcome for test in row.tests} == {case.outcome}
    assert case.says in feedback(row)
    assert len(row.tests[0].message.splitlines()[0]) < 200


@pytest.mark.parametrize("case", FINE, ids=lambda case: case.name)
def test_what_is_right_gets_full_marks(arena: Arena, case: Case):
    row = arena.grade_rope(case.content())
    assert row.earned == ROPE, feedback(row)
