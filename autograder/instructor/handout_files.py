"""What a handout consists of, file by file. What is not named here does not ship.

``handout.assemble`` stops when something that ships imports a module that does not.
"""

from __future__ import annotations

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
    "llamalab": """__init__ adapters allocator classification datasets errors fast files finetune generation models
        movie_reviews plots prompting results runs single_row submission submission_files""",
    "llamalab/assets": "__init__ __main__ manifest mirror store transfer",
    "llamalab/formats": """__init__ __main__ chat checkpoint checks gguf_blocks gguf_file gguf_header huggingface
        llama2c_bin llama2c_pt native safetensors_files scored_bpe tokenizer_files tokenizers vocabulary writing""",
    "autograder": """__init__ __main__ call confinement distributions feedback fingerprints forbidden graders judge
        plugin processes protocol references results seccomp session submission_modules submissions table
        tracks worker worker_options""",
    "autograder/adapters": "__init__ context_table norms",
    "tests/graders": "conftest",
}

DATA = ("llamalab/assets/manifest.toml",)

# Imported by what ships, and left out all the same: whoever imports these does without where they are not.
LEFT_OUT = {
    "llamalab/fused.py": "attention, norms and the layer, solved",
    "llamalab/packing.py": "needed by fused.py alone",
    "llamalab/prefixes.py": "RoPE, attention and the layer, solved",
    "autograder/instructor/__init__.py": "the instructor's",
    "autograder/instructor/commands.py": "the instructor's",
}


def copied(track: Track) -> list[str]:
    """Paths of the files that go from the solved tree into a track's handout; of student files, without solutions."""
    modules = [f"{folder}/{name}.py" for folder, names in PACKAGES.items() for name in names.split()]
    components = [path for component in track.components.values() for path in of_component(component).values()]
    return sorted({*TOP, *modules, *DATA, *components, *track.student_files, *track.provided_files})


def of_component(component: Component) -> dict[str, str]:
    """The paths of a component's own files, by what they are."""
    return {
        "adapter": f"autograder/adapters/{component.name}.py",
        "grader": f"tests/graders/test_{component.name}.py",
        "stored references": f"autograder/references/{component.name}.safetensors",
    }
