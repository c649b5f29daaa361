"""run_llama.py as its user runs it: a process, its output, its files and its exit status."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from config import LlamaConfig
from llama import Llama
from llamalab import formats

ROOT = Path(__file__).resolve().parents[2]
TEXT = "Once upon a time there was a little girl named Lily, and é was her favourite letter. " * 20


def run(*arguments: str | bytes | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "run_llama.py", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A small random model of the project's own format with a byte-level tokenizer trained on a few lines."""
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("checkpoint")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([TEXT], vocab_size=300, special_tokens=["<s>", "</s>"])
    bpe.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    llama = Llama(LlamaConfig(vocab_size=300, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, max_seq_len=64))
    for parameter in llama.parameters():
        parameter.data *= 5 if parameter.dim() == 2 else 1
    path = folder / "model"
    formats.save(
        formats.Checkpoint(
            llama.config.to_dict(), llama.state_dict(), "llamalab", path, folder / "tokenizer.json"
        ),
        path,
    )
    return path


def test_writes_both_continuations_of_the_prompt(checkpoint, tmp_path):
    result = run("--pretrained-model-path", checkpoint, "--prompt", "Once upon", "--max_new_tokens", "8", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("generated-sentence-temp-0.txt", "generated-sentence-temp-1.txt"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.startswith("Once upon") and len(text) > len("Once upon")
        assert text in result.stdout
    assert "named by --pretrained-model-path" in result.stderr and "tokens/s" in result.stderr


def test_a_given_temperature_prints_the_text_alone_and_writes_nothing(checkpoint, tmp_path):
    result = run(
        "--pretrained-model-path", checkpoint, "--prompt", "Once", "--temperature", "0", "--max_new_tokens", "5",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout.startswith("Once")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_streamed_text_is_the_text_that_is_not_streamed(checkpoint, tmp_path, precision):
    common = ["--pretrained-model-path", checkpoint, "--temperature", "1", "--prompt", "é", "--dtype", precision]
    streamed = run(*common, "--stream", cwd=tmp_path)
    whole = run(*common, "--no-stream", cwd=tmp_path)
    assert streamed.stdout == whole.stdout and streamed.returncode == 0


def test_the_seed_decides(checkpoint, tmp_path):
    common = ["--pretrained-model-path", checkpoint, "--temperature", "1", "--prompt", "a"]
    first, second = (run(*common, "--seed", "1", cwd=tmp_path).stdout for _ in range(2))
    assert first == second != run(*common, "--seed", "2", cwd=tmp_path).stdout


def test_an_empty_prompt_starts_from_bos(checkpoint, tmp_path):
    result = run("--pretrained-model-path", checkpoint, "--prompt", "", "--temperature", "0", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_zero_new_tokens_prints_the_prompt(checkpoint, tmp_path):
    common = ["--pretrained-model-path", checkpoint, "--prompt", "Once", "--temperature", "0"]
    assert run(*common, "--max_new_tokens", "0", cwd=tmp_path).stdout == "Once\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--pretrained-model-path", "nowhere.pt"], "nowhere.pt"),
        (["--temperature", "-1"], "--temperature"),
        (["--top_p", "1.5"], "--top_p"),
        (["--max_new_tokens", "many"], "--max_new_tokens"),
        (["--option", "generat"], "--option"),
    ],
)
def test_bad_input_is_one_sentence_and_a_failure(arguments, expected, tmp_path):
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode != 0 and result.stdout == ""
    assert expected in result.stderr and "Traceback" not in result.stderr


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU here")
def test_use_gpu_without_one_is_an_error(checkpoint, tmp_path):
    result = run("--pretrained-model-path", checkpoint, "--use_gpu", cwd=tmp_path)
    assert result.returncode == 1 and "--use_gpu" in result.stderr and "Traceback" not in result.stderr


def test_without_any_model_the_message_names_the_command_that_fetches_one(tmp_path):
    result = run(cwd=tmp_path, LLAMALAB_HOME=str(tmp_path))
    assert result.returncode == 1 and "python -m llamalab.assets fetch" in result.stderr


def test_a_hostile_checkpoint_is_not_opened(tmp_path):
    import pickle

    class Payload:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'owned'}",))

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Payload()))
    result = run("--pretrained-model-path", "model.pt", cwd=tmp_path)
    assert result.returncode == 1 and "model.pt" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "owned").exists()


def test_a_prompt_that_is_no_text_is_explained(checkpoint, tmp_path):
    result = run("--pretrained-model-path", checkpoint, "--prompt", b"caf\xe9", cwd=tmp_path)
    assert result.returncode == 1 and "UTF-8" in result.stderr and "Traceback" not in result.stderr


def test_an_unwritable_output_file_is_named(checkpoint, tmp_path):
    result = run(
        "--pretrained-model-path", checkpoint, "--generated_sentence_low_temp_out", "no/such/folder.txt", cwd=tmp_path
    )
    assert result.returncode == 1 and "no/such" in result.stderr and "Traceback" not in result.stderr


def test_a_reader_that_has_seen_enough_ends_it_quietly(checkpoint, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable, ROOT / "run_llama.py", "--pretrained-model-path", checkpoint, "--prompt", "Once upon",
            "--temperature", "0", "--max_new_tokens", "100000", "--stream",
        ],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.read(20).startswith("Once upon")
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert "Error" not in process.stderr.read()


def test_text_streams_to_a_terminal_and_ctrl_c_ends_it_cleanly(checkpoint, tmp_path):
    terminal, child_end = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable, ROOT / "run_llama.py", "--pretrained-model-path", checkpoint, "--prompt", "Once upon",
            "--temperature", "0", "--max_new_tokens", "100000",
        ],
        cwd=tmp_path, stdout=child_end, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(child_end)
    seen = b""
    while len(seen) < 60:  # text arrives while the process is still writing more
        seen += os.read(terminal, 1024)
    assert process.poll() is None and seen.startswith(b"Once upon")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    os.close(terminal)
    assert process.returncode == 130 and "Traceback" not in errors
