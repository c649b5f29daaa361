"""What a handout consists of, file by file. What is not named here does not ship.

``handout.assemble`` stops when something that ships imports a module that does not.
"""

from __future__ import annotations

from autograder.submissions import ROOT
from autograder.tracks import Component, Track

TOP = (
    "run_llama.py",
    "sanity_check.py",
    "sanity_check.data",
    "setup.sh",
    "requirements.txt",
    "pyproject.toml",
    "checklist.md",
    "LICENSE",
    ".gitignore",
)

PACKAGES = {
    "autograder": """__init__ __main__ call confinement distributions feedback fingerprints forbidden graders judge
        plugin processes protocol references results seccomp session submission_modules submissions table
        tracks worker worker_options""",
    "autograder/adapters": "__init__ context_table norms",
    "tests/graders": "conftest",
}

# Imported by what ships, and left out all the same: whoever imports these does without where they are not.
LEFT_OUT = {
    "llamalab/fast/__init__.py": "the student's parts, solved",
    "llamalab/fast/fused.py": "the student's parts, solved",
    "llamalab/fast/prefixes.py": "the student's parts, solved",
    "autograder/instructor/__init__.py": "the instructor's",
    "autograder/instructor/commands.py": "the instructor's",
}


def copied(track: Track) -> list[str]:
    """Paths of the files that go from the solved tree into a track's handout; of student files, without solutions."""
    modules = [f"{folder}/{name}.py" for folder, names in PACKAGES.items() for name in names.split()]
    components = [path for component in track.components.values() for path in of_component(component).values()]
    return sorted({*TOP, *modules, *runtime(), *components, *track.student_files, *track.provided_files})


def of_component(component: Component) -> dict[str, str]:
    """The paths of a component's own files, by what they are."""
    return {
        "adapter": f"autograder/adapters/{component.name}.py",
        "grader": f"tests/graders/test_{component.name}.py",
        "stored references": f"autograder/references/{component.name}.safetensors",
    }


def runtime() -> list[str]:
    """The runtime: all of ``llamalab`` but ``llamalab/fast``, which holds the student's parts, solved."""
    paths = (path.relative_to(ROOT) for path in (ROOT / "llamalab").rglob("*") if path.suffix in (".py", ".toml"))
    return [path.as_posix() for path in paths if path.parts[1] != "fast"]
