"""What an adapter sees of a student's files: stubs, packages in memory, stand-ins for the rest."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from textwrap import dedent

import pytest

from autograder.engine.claims import Answer, Fault
from autograder.engine.session import Session
from autograder.intake.submission import Submission
from autograder.worker import components
from tests.written_course import course


@pytest.fixture(scope="module")
def session():
    with Session() as session:
        yield session


# --- stubs -------------------------------------------------------------------------------------------------------

STUBBED = """
student_files = ["model.py", "loading.py"]
[components.part]
points = 10
"""
MODEL = """
from loading import load

class Norm:
    def __init__(self, size):
        raise NotImplementedError("the norm")

def scale(x):
    raise NotImplementedError("the scale")

class Layer:
    def __init__(self):
        self.norm = Norm(3)

    def forward(self, x):
        raise NotImplementedError("forward")

    def both(self, x):
        return self.forward(x) + scale(x)

def loaded():
    return load("weights")
"""
ADAPTER = """
MODULES, AXES = ("model",), {{}}


class Known:
    def __init__(self, size):
        self.size = size


def run(submission, inputs, options):
    stubs = {stubs}
    for name, known in stubs.items():
        submission.stub(name, known)
    model = submission.module("model")
    return {{"value": {value}}}
"""
NORM = "{'model.Norm': Known}"


@pytest.fixture
def run(session, tmp_path):
    """What an adapter with these stubs gets from ``MODEL``."""

    def run(stubs: str, value: str) -> Answer | Fault:
        edition = course(Path(mkdtemp(dir=tmp_path)), STUBBED, adapter=ADAPTER.format(stubs=stubs, value=value))
        files = {"model.py": MODEL.encode(), "loading.py": b"raise SystemExit('broken')\n"}
        return session.call(Submission(edition, files), "part", {})

    return run


def test_a_constructor_in_the_same_file_uses_a_known_class(run):
    assert run(NORM, "model.Layer().norm.size").outputs == {"value": 3}
    assert run("{}", "model.Layer().norm.size").kind == "todo"


def test_a_known_function_and_a_known_method_are_called(run):
    stubs = f"{{**{NORM}, 'model.scale': lambda x: 100 * x, 'model.Layer.forward': lambda self, x: x + self.norm.size}}"
    assert run(stubs, "model.Layer().both(2)").outputs == {"value": 205}


def test_a_file_that_does_not_run_gets_names_that_work(run):
    stubs = "{'loading.load': lambda name: ['known', name]}"
    assert run(stubs, "model.loaded()").outputs == {"value": ["known", "weights"]}
    fault = run("{}", "model.loaded()")
    assert fault.kind == "error" and "loading.load was called; this test is about another file" in fault.message


def test_what_a_stub_stands_for_must_be_there(run):
    fault = run("{'model.Missing.forward': Known}", "1")
    assert fault.kind == "import_error" and "has no attribute 'Missing'" in fault.message


# --- packages ----------------------------------------------------------------------------------------------------

TREE = """
student_tree = ["basics/**/*.py"]
[components.part]
points = 10
"""
WHOLE = """
MODULES, AXES = ("basics",), {}


def run(submission, inputs, options):
    return {"value": submission.module("basics.model").answer()}
"""
PACKAGE = {
    "basics/__init__.py": "NAME = 'basics'\n",
    "basics/model.py": """
        from . import NAME
        from .layers.norms import norm
        import basics.layers as layers

        def answer():
            return [NAME, norm(), layers.__name__, __name__, __package__, __file__]
        """,
    "basics/layers/__init__.py": "",
    "basics/layers/norms.py": "from ..model import answer\n\ndef norm():\n    return 'norm'\n",
}


def tree(folder: Path, files: dict[str, str], adapter: str = WHOLE) -> Submission:
    """A submission of these files, written below an edition's folder."""
    edition = course(folder, TREE, adapter=adapter)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return Submission.of(edition, folder)


def in_functions(files: dict[str, str]) -> dict[str, str]:
    return {**files, "basics/layers/norms.py": "def norm():\n    from ..model import NAME\n    return NAME\n"}


def test_a_tree_is_taken_whole_with_its_folders(tmp_path):
    submission = tree(tmp_path, {**PACKAGE, "other/model.py": "", "basics/notes.txt": ""})
    assert submission.files.keys() == PACKAGE.keys()
    assert set(submission.sources) == {"basics", "basics.model", "basics.layers", "basics.layers.norms"}


def test_a_package_is_run_from_memory_with_its_relative_imports(session, tmp_path):
    submission = tree(tmp_path, in_functions(PACKAGE))
    for name in submission.files:
        (tmp_path / name).write_text("raise SystemExit('read from the disk')\n")
    answer = session.call(submission, "part", {})
    assert answer.outputs["value"] == [
        *("basics", "basics", "basics.layers", "basics.model", "basics", "basics/model.py"),
    ]


def test_folders_need_no_init(session, tmp_path):
    files = {
        "basics/model.py": "from .inner.deep import x\n\ndef answer():\n    return x\n",
        "basics/inner/deep.py": "x = 5\n",
    }
    assert session.call(tree(tmp_path, files), "part", {}).outputs == {"value": 5}


def test_an_error_in_a_package_has_its_file_and_line(session, tmp_path):
    files = {**in_functions(PACKAGE), "basics/layers/norms.py": "def norm():\n    return 1 / 0\n"}
    fault = session.call(tree(tmp_path, files), "part", {})
    assert fault.kind == "error" and str(fault.frames[-1]) == "basics/layers/norms.py:2  norm"


def test_a_circle_of_imports_and_a_missing_module_are_import_errors(session, tmp_path):
    fault = session.call(tree(tmp_path, PACKAGE), "part", {})
    assert fault.kind == "import_error" and "circular import" in fault.message
    without = {name: text for name, text in PACKAGE.items() if not name.endswith("norms.py")}
    fault = session.call(tree(tmp_path / "again", without), "part", {})
    assert fault.kind == "import_error" and "No module named 'basics.layers.norms'" in fault.message


def test_a_component_of_one_module_does_without_the_others_of_its_package(session, tmp_path):
    adapter = 'MODULES, AXES = ("basics.layers.norms",), {}\n\n\ndef run(submission, inputs, options):\n'
    adapter += '    return {"value": submission.module("basics.layers.norms").norm()}\n'
    files = {**PACKAGE, "basics/model.py": "raise SystemExit('broken')\n"}
    assert session.call(tree(tmp_path, files, adapter), "part", {}).outputs == {"value": "norm"}


def test_a_package_leaves_nothing_to_the_next_case(session, tmp_path):
    model = "from basics.state import calls\n\ndef answer():\n    calls.append(1)\n    return len(calls)\n"
    submission = tree(tmp_path, {"basics/model.py": model, "basics/state.py": "calls = []\n"})
    results = session.calls(submission, "part", [{}, {}, {}])
    assert [result.outputs["value"] for result in results] == [1, 1, 1]


# --- the files of a component ------------------------------------------------------------------------------------


def test_components_of_one_name_in_two_courses_are_apart(tmp_path):
    for name in ("alpha", "beta"):
        part = course(tmp_path / name, adapter="from .._shared.adapters.common import NAME\n").component_folder
        (part / "_shared/adapters").mkdir(parents=True)
        (part / "_shared/adapters/common.py").write_text(f"NAME = {name!r}\n")
    for name in ("alpha", "beta", "alpha"):
        assert components.load(tmp_path / name / "components", "part", "adapter").NAME == name


def test_a_course_that_moved_is_loaded_from_where_it_is(tmp_path):
    for place in ("here", "there"):
        course(tmp_path / place / "alpha", adapter=f"NAME = {place!r}\n")
        assert components.load(tmp_path / place / "alpha/components", "part", "adapter").NAME == place
