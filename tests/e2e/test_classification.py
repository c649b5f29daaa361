"""prompt, finetune and lora as their users run them: a process, its output, its files and its exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open

import run_llama
from config import LlamaConfig
from llama import Llama
from llamalab import formats
from llamalab.data.sentences import read_examples

ROOT = Path(__file__).resolve().parents[2]
WORDS = {0: ["dull", "bad", "a waste"], 1: ["bright", "good", "a joy"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small random model with its tokenizer, and films that are good or bad."""
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("classification")
    lines = [
        f"{label} ||| {'so ' * (i % 7)}{WORDS[label][i % 3]} film number {i}" for i in range(24) for label in (0, 1)
    ]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([*lines, "Is this movie bad or good?"], vocab_size=300, special_tokens=["<s>", "</s>"])
    bpe.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    llama = Llama(LlamaConfig(vocab_size=300, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, max_seq_len=128))
    weights = formats.Checkpoint(
        llama.config.to_dict(), llama.state_dict(), "llamalab", folder, folder / "tokenizer.json"
    )
    formats.save(weights, folder / "model")
    for name, part in {"train": lines[:32], "dev": lines[32:40], "test": lines[40:]}.items():
        (folder / f"{name}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
    (folder / "names.json").write_text('["bad", "good"]', encoding="utf-8")
    return folder


def arguments(folder: Path, option: str, *more: str) -> list[str]:
    files = [f"--{name}={folder / name}.txt" for name in ("train", "dev", "test")]
    model = f"--pretrained-model-path={folder / 'model'}"
    training = [] if option == "prompt" else ["--lr=0.01", "--epochs=2", "--batch_size=4"]
    names = f"--label-names={folder / 'names.json'}"
    return [sys.executable, str(ROOT / "run_llama.py"), "--option", option, *files, names, model, *training, *more]


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Run the command in this process, which saves starting one, from an empty folder."""

    def run(option: str, *more: str, cwd: Path = tmp_path) -> Result:
        monkeypatch.chdir(cwd)
        monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))  # where runs/ is
        capsys.readouterr()
        try:
            returncode = run_llama.main(arguments(folder, option, *more)[2:])
        except SystemExit as end:  # from argparse
            returncode = end.code
        return Result(returncode, *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    "option, word, more",
    [
        ("prompt", "prompting", ()),
        ("prompt", "prompting", ("--prompt_scoring=full", "--calibrate", "--dtype=float16")),
        ("finetune", "finetuning", ()),
        ("lora", "lora", ("--lora_rank=2", "--lora_alpha=4", "--grad_accum=2")),
    ],
)
def test_every_sentence_is_answered_in_the_courses_files(folder, run, tmp_path, option, word, more):
    result = run(option, *more)
    assert result.returncode == 0, result.stderr
    for name in ("dev", "test"):
        answered = read_examples(tmp_path / f"{name}-{word}-output.txt", 2)
        asked = read_examples(folder / f"{name}.txt", 2)
        assert [example.sentence for example in answered] == [example.sentence for example in asked]
        assert f"{name} (" in result.stdout and "majority class" in result.stdout


def test_padding_and_batches_change_no_answer(folder, run, tmp_path):
    outputs = []
    for size in ("1", "8"):
        assert run("prompt", "--batch_size", size).returncode == 0
        outputs.append((tmp_path / "dev-prompting-output.txt").read_bytes())
    assert outputs[0] == outputs[1]


def test_a_report_holds_the_figures_and_the_plots(folder, run, tmp_path):
    result = run("finetune", "--report", "report")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["splits"]["dev"]["examples"] == 8 and len(report["history"]["steps"]) == 16
    assert report["settings"]["lr"] == 0.01
    for plot in report["plots"]:
        assert (tmp_path / "report" / plot).read_bytes().startswith(b"\x89PNG")


def test_several_seeds_end_in_mean_and_deviation(folder, run, tmp_path):
    result = run("finetune", "--seeds", "1,2,3", "--epochs=1")
    assert result.returncode == 0, result.stderr
    table = result.stdout[result.stdout.index("3 seeds") :]
    assert "mean" in table and "std" in table
    assert len(list(tmp_path.glob("runs/finetune-train-seed*/dev-finetuning-output.txt"))) == 3


def test_lora_leaves_an_adapter_that_is_small(folder, run, tmp_path):
    assert run("lora", "--lora_rank=1").returncode == 0
    [adapter] = tmp_path.glob("runs/*/adapter.safetensors")
    with safe_open(adapter, framework="pt") as file:
        assert all("lora_" in name or "classifier_head" in name for name in file.keys())


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_files(folder, tmp_path):
    command = arguments(folder, "finetune", "--epochs=12", "--run_dir=run")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for place in (whole, broken):
        place.mkdir()
    subprocess.run(command, cwd=whole, check=True, capture_output=True)
    process = subprocess.Popen(command, cwd=broken, stderr=subprocess.DEVNULL)
    _wait_for_steps(broken / "run" / "log.jsonl", 19)
    process.kill()
    process.wait()
    assert not (broken / "dev-finetuning-output.txt").exists()
    subprocess.run([*command, "--resume"], cwd=broken, check=True, capture_output=True)
    for name in ("run/best.safetensors", "dev-finetuning-output.txt", "test-finetuning-output.txt"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_ctrl_c_says_how_to_go_on_and_that_works(folder, run, tmp_path):
    more = ("--epochs=40", "--run_dir=run")
    process = subprocess.Popen(
        arguments(folder, "lora", *more), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _wait_for_steps(tmp_path / "run" / "log.jsonl", 3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing is lost; go on with" in stderr and "Traceback" not in stderr
    again = run("lora", *more)
    assert again.returncode == 1 and "add --resume" in again.stderr
    assert stderr.rstrip().endswith("--resume")
    resumed = run("lora", *more, "--resume")
    assert resumed.returncode == 0, resumed.stderr


def _wait_for_steps(log: Path, steps: int) -> None:
    deadline = time.monotonic() + 60
    while not log.exists() or log.read_text(encoding="utf-8").count('"step"') < steps:
        assert time.monotonic() < deadline, "the run takes no steps"
        time.sleep(0.01)


def fails_with_one_sentence(result: Result) -> str:
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("option", ["prompt", "finetune", "lora"])
def test_missing_data_names_the_command_that_fetches_it(run, tmp_path, monkeypatch, option):
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))
    message = fails_with_one_sentence(run(option, "--label-names=data/cfimdb-label-mapping.json"))
    assert "data/cfimdb-label-mapping.json does not exist" in message
    assert "python -m llamalab.assets fetch cfimdb" in message


def test_a_line_that_does_not_parse_stops_before_any_work(folder, run, tmp_path):
    (tmp_path / "bad.txt").write_text("1 ||| fine\nno separator\n", encoding="utf-8")
    message = fails_with_one_sentence(run("finetune", "--train", str(tmp_path / "bad.txt")))
    assert "bad.txt" in message and "line 2" in message
    assert not (tmp_path / "runs").exists()


def test_use_gpu_without_a_gpu_is_an_error(folder, run, tmp_path):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    for option in ("prompt", "finetune"):
        assert "--use_gpu" in fails_with_one_sentence(run(option, "--use_gpu"))


@pytest.mark.parametrize(
    "more, message",
    [
        (("--batch_size=0",), "--batch_size: must be between"),
        (("--lr=-1",), "--lr: must be between"),
        (("--seeds=1,1",), "names a seed twice"),
        (("--seeds=a",), "--seeds"),
        (("--dtype=int8",), "cannot be trained"),
        (("--dev_out=no/such/folder/out.txt",), "does not exist"),
        (("--lora_targets=compute_nothing",), "no layer named compute_nothing"),
    ],
)
def test_a_value_out_of_range_is_one_sentence(run, more, message):
    assert message in fails_with_one_sentence(run("lora", *more))


def test_training_lines_without_a_label_are_left_out_and_counted(folder, run, tmp_path):
    text = (folder / "train.txt").read_text(encoding="utf-8") + "-1 ||| who knows\n"
    (tmp_path / "train.txt").write_text(text, encoding="utf-8")
    result = run("finetune", "--epochs=1", "--train", str(tmp_path / "train.txt"))
    assert result.returncode == 0 and "left out 1 lines without a label" in result.stderr


def test_a_model_that_learns_nothing_is_visible(folder, run, tmp_path):
    result = run("finetune", "--epochs=1", "--lr=0")
    assert result.returncode == 0
    assert "whatever the sentence" in result.stdout or "-" in result.stdout.split("accuracy")[1].splitlines()[0]


@pytest.mark.slow
def test_200_real_sentences_teach_a_real_model_more_than_the_majority(asset, tmp_path):
    """Of SST, the clearest: awful against excellent."""
    model = asset("smollm2")
    for split, count in (("train", 100), ("dev", 25)):
        examples = read_examples(asset(f"sst-{split}"), 5)
        chosen = [
            f"{label // 4} ||| {example.sentence}\n"
            for label in (0, 4)
            for example in [e for e in examples if e.label == label and len(e.sentence) < 80][:count]
        ]
        assert len(chosen) == 2 * count
        (tmp_path / f"{split}.txt").write_text("".join(chosen), encoding="utf-8")
    (tmp_path / "names.json").write_text('["awful", "excellent"]', encoding="utf-8")
    files = [f"--{name}={tmp_path / name}.txt" for name in ("train", "dev")] + [f"--test={tmp_path / 'dev.txt'}"]
    command = ["--option=finetune", *files, f"--label-names={tmp_path / 'names.json'}", "--epochs=1", "--lr=5e-5"]
    result = subprocess.run(
        [sys.executable, ROOT / "run_llama.py", *command, "--batch_size=10", f"--pretrained-model-path={model}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    accuracy = float(result.stdout.split("accuracy")[1].split()[0])
    assert accuracy > 0.6  # the majority has 0.5; a standard error is 0.07
