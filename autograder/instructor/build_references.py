"""``python -m autograder build-references``: public inputs, the oracles' outputs, the misconceptions' fingerprints."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from autograder import fingerprints, references, tracks
from autograder.call import load_adapter
from autograder.fingerprints import Fingerprint
from autograder.instructor import bank
from autograder.instructor.bank import Misconception
from autograder.references import References
from autograder.session import Session
from autograder.tracks import Track
from llamalab.errors import UserError

PUBLIC_SEED = 2017  # of the inputs that handouts carry
LARGEST = 2_000_000  # bytes of all files together


def run(names: Sequence[str]) -> int:
    """Write the references of these components, or of all; the exit status is 0 if they are small enough to ship.

    Raises:
        UserError: a name that no track has.
    """
    components = tracks_by_component()
    for name in names:
        if name not in components:
            raise UserError(f"no track has a component {name!r}; there are {', '.join(components)}")
    with Session() as session:
        for name, track in components.items():
            if not names or name in names:
                _write(name, build(name, track, session).to_bytes())
    total = sum(path.stat().st_size for path in references.FOLDER.glob("*.safetensors"))
    print(f"{total} bytes in all; at most {LARGEST} may ship")
    return 0 if total <= LARGEST else 1


def tracks_by_component() -> dict[str, Track]:
    """Every component, with the first track that grades it."""
    found: dict[str, Track] = {}
    for name in (tracks.default(), *tracks.names()):
        track = tracks.load(name)
        for component in track.components:
            found.setdefault(component, track)
    return found


def build(component: str, track: Track, session: Session) -> References:
    """The public references of a component, fingerprints included."""
    made = draw(component, PUBLIC_SEED)
    if not track.components[component].points:  # it informs, and has no bank
        return made
    found = [fingerprint(component, entry, made.inputs, track, session) for entry in bank.misconceptions(component)]
    return replace(made, fingerprints=tuple(found))


def fingerprint(
    component: str, entry: Misconception, inputs: Mapping[str, Mapping[str, Any]], track: Track, session: Session
) -> Fingerprint:
    """What a misconception answers on inputs by case."""
    with bank.written(entry, track) as submission:
        digests = {
            case: fingerprints.digest(session.call(submission, component, values)) for case, values in inputs.items()
        }
    return Fingerprint(entry.name, entry.says, entry.advice, digests, bank.hash_of(entry))


def draw(component: str, seed: int) -> References:
    """Inputs from a seed and the oracle's outputs for them, without fingerprints: what a secret seed is for."""
    torch.set_num_threads(1)
    adapter = load_adapter(component)
    cases = importlib.import_module(f"autograder.cases.{component}").cases(seed)
    oracle = importlib.import_module(f"autograder.instructor.oracles.{component}")
    return References(
        component=component,
        modules=tuple(adapter.MODULES),
        axes=adapter.AXES,
        inputs={case: _numpy(inputs) for case, inputs in cases.items()},
        expected={
            case: {variant: _numpy(outputs) for variant, outputs in oracle.expected(inputs).items()}
            for case, inputs in cases.items()
        },
    )


def _numpy(values: Mapping[str, Any]) -> dict[str, np.ndarray | Any]:
    return {
        name: value.detach().contiguous().numpy() if isinstance(value, torch.Tensor) else value
        for name, value in values.items()
    }


def _write(component: str, data: bytes) -> None:
    """Replace a component's file, whole or not at all."""
    path = references.path_of(component)
    path.parent.mkdir(exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    print(f"{path.name}: {len(data)} bytes")
