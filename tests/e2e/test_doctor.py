"""``doctor`` finds a sound sandbox sound, and notices one that leaks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from autograder.classroom import doctor, isolation
from autograder.engine.claims import Limits

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]


def test_bubblewrap_holds_here():
    done = subprocess.run([sys.executable, "-m", "autograder", "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BROKEN" not in done.stdout and done.stdout.count("  held") == len(doctor.PROBED) + 4


def test_a_worker_without_a_sandbox_is_found_out():
    limits = Limits(seconds=5.0, memory=256 << 20)
    with doctor._course() as edition, isolation.session("process", edition, [doctor.COMPONENT], limits) as session:
        found = {finding.tried: finding for finding in islice(doctor.examine(edition, session), 4)}
    broken = {tried for tried, finding in found.items() if not finding.held}
    assert {"reach a server on this machine", "read the user's files", "read the right answers"} <= broken


def test_without_bubblewrap_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.run() == 1
    said = capsys.readouterr().out
    assert "not installed" in said and "apt install bubblewrap" in said
