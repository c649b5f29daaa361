"""sanity_check.py: says yes to the model in the tree, and says what is wrong with a broken one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.make_sanity_data import build

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    "base_llama.py", "config.py", "llama.py", "rope.py", "sampling.py", "sanity_check.data", "sanity_check.py",
)  # fmt: skip


def check(folder: Path, **changes: tuple[str, str]) -> subprocess.CompletedProcess:
    """Run the check on a copy of the student's files, each named one changed by a replacement."""
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for module, (old, new) in changes.items():
        path = folder / f"{module}.py"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    return subprocess.run([sys.executable, "sanity_check.py"], cwd=folder, capture_output=True, text=True, timeout=60)


def test_the_model_in_the_tree_is_correct(tmp_path):
    result = check(tmp_path)
    assert (result.returncode, result.stdout) == (0, "Your Llama implementation is correct!\n")


def test_a_wrong_layer_is_named_with_its_error(tmp_path):
    result = check(tmp_path, llama=("/ math.sqrt(query.shape[-1])", "/ query.shape[-1]"))
    assert result.returncode == 1 and "layers.0: off by up to" in result.stdout


def test_a_wrong_last_norm_is_not_blamed_on_the_layers(tmp_path):
    result = check(tmp_path, llama=("h = self.norm(h)\n", "h = 2 * self.norm(h)\n"))
    assert "rmsnorm: norm: off by" in result.stdout and "layers" not in result.stdout


def test_a_missing_causal_mask_is_recognised(tmp_path):
    result = check(tmp_path, llama=("mask is None and self.causal and T > 1", "False"))
    assert result.returncode == 1 and "no causal mask" in result.stdout


def test_what_is_not_written_yet_is_named_with_its_place(tmp_path):
    result = check(tmp_path, rope=("    T = query.shape[1]\n", "    raise NotImplementedError\n"))
    assert "not implemented yet: apply_rotary_emb (rope.py:" in result.stdout and not result.stderr


def test_a_crash_is_one_line_with_its_place(tmp_path):
    result = check(tmp_path, llama=("return self._norm(", "return self._nrm("))
    assert "AttributeError in" in result.stdout and "llama.py" not in result.stderr


def test_a_damaged_data_file_is_named(tmp_path):
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "sanity_check.data").write_bytes(b"nothing")
    result = subprocess.run([sys.executable, "sanity_check.py"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "sanity_check.data" in result.stderr and "Traceback" not in result.stderr


def test_the_data_file_is_what_transformers_computes():
    stored, (fresh, _) = load_file(ROOT / "sanity_check.data"), build()
    assert stored.keys() == fresh.keys()
    for name, tensor in stored.items():
        torch.testing.assert_close(tensor, fresh[name], atol=1e-6, rtol=1e-5, msg=f"{name} is stale")


def test_the_data_file_is_small():
    assert (ROOT / "sanity_check.data").stat().st_size <= 1_000_000


@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm"])
def test_both_norms_are_checked(norm, tmp_path):
    old = "return x * torch.rsqrt(" if norm == "rmsnorm" else "return centred * torch.rsqrt("
    result = check(tmp_path, llama=(old, old.replace("return ", "return 1.01 * ")))
    assert f"{norm}: layers.0" in result.stdout and result.stdout.count("\n") == 1
