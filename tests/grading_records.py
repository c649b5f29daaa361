"""Records of a small made-up class, for the tests of what is written about one."""

from __future__ import annotations

from autograder.classroom.records import Record
from autograder.engine.results import ComponentResult, Match, Results, TestResult

SEED = 918273645
HOSTILE = (
    "</script><script>document.title='owned';window.owned=1</script>"
    "<img src=http://198.51.100.7/x.png onerror=\"window.owned=1\"><a href='javascript:window.owned=1'>"
    "\u202eexe.gpj\u2066\x00\ud800\x1b[31m\r\n=1+1&amp;{{ 7*7 }}'\""
)
NEGATIVE = Match("negative_angle", "rotation by the negative angle", "Check the sign of the sine terms")
NO_EPS = Match("no_eps", "no eps", "Add eps before the root")
IMPORT_ERROR = "cannot be imported: SyntaxError: invalid syntax\n  rope.py:3  <module>\n    def broken(:"


def ran(outcome: str = "pass", message: str = "", name: str = "", weight: float = 1.0, printed: str = "") -> TestResult:
    name = name or f"test_{outcome.replace(' ', '_')}"
    return TestResult(name, f"Does {name.removeprefix('test_')} hold?", weight, outcome, message, printed)


def component(
    name: str = "rope", *outcomes: str, points: float = 10.0, message: str = "wrong", **more
) -> ComponentResult:
    """A component with one test for each outcome, named by its place."""
    tests = [ran(each, "" if each == "pass" else message, f"test_{i}") for i, each in enumerate(outcomes or ["pass"])]
    return ComponentResult(name, points, tuple(tests), **more)


def record(*components: ComponentResult, slug: str = "ada", **more) -> Record:
    fields = {
        "student": slug.title(),
        "slug": slug,
        "edition": "mmia",
        "status": "graded",
        "source": f"{slug}.zip",
        "submission": "5" * 64,
        "files": {"rope.py": "f" * 64},
        "ignored": (),
        "grader": "a" * 64,
        "seed": SEED,
        "isolation": "bubblewrap",
        "results": Results("mmia", components or (component(),)),
        "environment": {"python": "3.11.0"},
        "times": {"started": "2030-01-02T03:04:05+00:00", "seconds": 1.5},
    }
    return Record(**{**fields, **more})


def without_marks(status: str, problem: str, slug: str, **more) -> Record:
    rows = (component("adamw", "not run", message=""), component("rope", "not run", message=""))
    return record(*rows, slug=slug, status=status, problem=problem, files={}, **more)


def hostile(slug: str = "mallory") -> Record:
    """A record in which everything that comes from a submission is hostile."""
    row = ComponentResult(
        "rope",
        10.0,
        (ran("error", HOSTILE, printed=HOSTILE + "x" * (1 << 21)), ran("fail", "y" * (1 << 21))),
        uses=(HOSTILE,),
        cost=1.0,
    )
    rows = (component("adamw"), row)
    return record(*rows, slug=slug, student=HOSTILE, source=HOSTILE, ignored=(HOSTILE, "z" * 9999))


def a_class() -> list[Record]:
    """Six students: all right, two with a mistake in common, one whose code does not run, one refused, one hostile."""
    wrong = component("rope", "fail", "pass", match=NEGATIVE)
    broken = component("rope", "error", "error", message=IMPORT_ERROR)
    return [
        record(component("adamw"), component("rope", "pass", "pass"), slug="ada"),
        record(component("adamw", "fail", match=NO_EPS), wrong, slug="bob"),
        record(component("adamw", "todo", message="optimizer.py:40  step"), wrong, slug="cem"),
        record(component("adamw", "error", message=IMPORT_ERROR), broken, slug="dan"),
        without_marks("refused", "the archive has a link in it: x", "eve"),
        hostile(),
    ]
