"""Where a handout's files have gone since its list was recorded: the one table through which lists are compared."""

from __future__ import annotations

import re

COMPONENTS = "courses/mini_llama/components"
MOVED = {  # pattern of an old path: new path, or None for what no longer ships as a file of its own
    r"assignments/(\w+)\.toml": r"courses/mini_llama/\1.toml",
    r"autograder/adapters/__init__\.py": "autograder/worker/contract.py",
    r"autograder/adapters/(context_table|norms)\.py": rf"{COMPONENTS}/_shared/adapters/\1.py",
    r"autograder/adapters/(\w+)\.py": rf"{COMPONENTS}/\1/adapter.py",
    r"autograder/references/(\w+)\.safetensors": rf"{COMPONENTS}/\1/references.safetensors",
    r"autograder/worker\.py": "autograder/worker/main.py",
    r"autograder/worker_options\.py": "autograder/worker/options.py",
    r"autograder/submission_modules\.py": "autograder/worker/student_modules.py",
    r"autograder/(call|confinement|processes|protocol|seccomp)\.py": r"autograder/worker/\1.py",
    r"autograder/tracks\.py": "autograder/editions.py",
    r"autograder/submissions\.py": "autograder/intake/submission.py",
    r"autograder/feedback\.py": "autograder/answers/tensors.py",
    r"autograder/distributions\.py": "autograder/answers/draws.py",
    r"autograder/(fingerprints|forbidden|graders|judge|plugin|references|results|session|table)\.py": (
        r"autograder/engine/\1.py"
    ),
    r"llamalab/(adapters|allocator|finetune|runs)\.py": r"llamalab/training/\1.py",
    r"llamalab/(plots|prompting|results)\.py": r"llamalab/evaluation/\1.py",
    r"llamalab/movie_reviews\.py": "llamalab/data/movie_reviews.py",
    r"llamalab/fast\.py": "llamalab/speed.py",
    r"llamalab/formats/chat\.py": "llamalab/vocab/chat_templates.py",
    r"llamalab/formats/scored_bpe\.py": "llamalab/vocab/pieces.py",
    r"llamalab/formats/(tokenizer_files|tokenizers|vocabulary)\.py": r"llamalab/vocab/\1.py",
}
ADDED = re.compile(  # what ships besides: the rooms' rules decide, and `autograder/trust.py` says them
    r"autograder/(trust\.py|(worker|answers|engine|intake)/\w+\.py)|llamalab/(\w+/)?\w+\.py|setup\.py"
)
CHANGED = {  # files of the course whose content is not what it was, and why
    "README.md": "commands by their new names",
    "structure.md": "rooms by their new names",
    "llama.py": "says why the dense places are as they are",
    "optimizer.py": "says why the update is as it is",
    "tokenizer.py": "imports by their new names; home by llamalab.places",
    "run_llama.py": "thin: the commands are llamalab.run_model's",
    "sanity_check.py": "what is to do and what fails are told in one place",
    "setup.sh": "installs the project",
    "pyproject.toml": "the project is a package",
}


def now(path: str) -> str | None:
    """Where a file is that lay at ``path``."""
    for pattern, target in MOVED.items():
        if re.fullmatch(pattern, path):
            return target and re.sub(pattern, target, path)
    return path
