"""llamalab VERB: every command by one name, and nothing loaded that its verb does not need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import run_llama
from llamalab import __main__ as llamalab
from llamalab import run_model

ROOT = Path(__file__).parents[2]
VERBS = [*llamalab.MODEL_VERBS, *llamalab.OTHER_VERBS]


def test_help_lists_every_verb_and_shows_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        llamalab.main(["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and "examples:\n  llamalab assets fetch default" in out
    for verb in VERBS:
        assert re.search(rf"^    {verb}\s", out, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_of_its_own_with_examples(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        llamalab.main([verb, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and out.startswith(f"usage: llamalab {verb}") and "examples:\n" in out


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["lora", "--help"], ["data", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = "import sys\nfrom llamalab.__main__ import main\ntry: main(sys.argv[1:])\n"
    code += "finally: assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("arguments", [[], ["generat"], ["data", "shew"], ["generate", "--lora_rank", "2"]])
def test_what_it_does_not_know_is_misuse(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        llamalab.main(arguments)
    assert stop.value.code == 2 and "usage: llamalab" in capsys.readouterr().err


def test_an_error_names_the_verb(tmp_path, capsys):
    assert llamalab.main(["data", "show", str(tmp_path / "none.txt")]) == 1
    assert capsys.readouterr().err.startswith(f"llamalab data: {tmp_path / 'none.txt'} does not exist")
    assert llamalab.main(["inspect", str(tmp_path / "none.gguf")]) == 1
    assert capsys.readouterr().err.startswith(f"llamalab: {tmp_path / 'none.gguf'}: no such file")


@pytest.mark.parametrize("verb", llamalab.MODEL_VERBS)
def test_a_verb_and_an_option_of_run_llama_have_the_same_defaults(verb):
    whole = vars(run_model.parser("run_llama.py", run_llama.EXAMPLES).parse_args(["--option", verb]))
    part = vars(run_model.verb("llamalab", verb, "", "").parse_args([]))
    assert part.items() <= whole.items()


def test_what_cannot_be_trained_is_misuse(capsys):
    assert llamalab.main(["finetune", "--dtype", "int8"]) == 2
    assert capsys.readouterr().err == "llamalab finetune: --dtype int8 cannot be trained; take float32 or bfloat16\n"


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "llamalab", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: llamalab")
