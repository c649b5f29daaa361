"""Stored inputs, expected outputs and fingerprints of one component: one safetensors file, no code.

    tensors   inputs/CASE/NAME   expected/CASE/VARIANT/NAME   fingerprints/MISCONCEPTION/CASE
    metadata  everything that is not an array, as JSON

Made by ``python -m autograder build-references``. Where several results are right there are several variants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from autograder.fingerprints import Digest, Fingerprint, digest_outputs
from llamalab.errors import UserError

FOLDER = Path(__file__).with_name("references")

Named = dict[str, Any]  # arrays and plain JSON, by name


@dataclass(frozen=True)
class References:
    """All that is known about a component's right and wrong answers.

    Args:
        modules: the student modules that the component runs.
        axes: what the axes of each output are called, for feedback.
        inputs: by case.
        expected: by case, then variant.
        fingerprints: of the known misconceptions.
    """

    component: str
    modules: tuple[str, ...]
    axes: Mapping[str, tuple[str, ...]]
    inputs: Mapping[str, Named]
    expected: Mapping[str, Mapping[str, Named]]
    fingerprints: tuple[Fingerprint, ...] = ()

    def expected_digests(self) -> dict[str, list[Digest]]:
        """The digests of the accepted answers, by case."""
        return {case: [digest_outputs(o) for o in variants.values()] for case, variants in self.expected.items()}

    def to_bytes(self) -> bytes:
        """The file's content; the same references give the same bytes."""
        arrays: dict[str, np.ndarray] = {}
        for case, values in self.inputs.items():
            arrays |= _arrays(f"inputs/{case}", values)
        for case, variants in self.expected.items():
            for variant, values in variants.items():
                arrays |= _arrays(f"expected/{case}/{variant}", values)
        for entry in self.fingerprints:
            for case, digest in entry.digests.items():
                arrays[f"fingerprints/{entry.name}/{case}"] = digest.values
        facts = {
            "modules": list(self.modules),
            "axes": {name: list(axes) for name, axes in self.axes.items()},
            "inputs": {case: _plain(values) for case, values in self.inputs.items()},
            "expected": {
                case: {variant: _plain(values) for variant, values in variants.items()}
                for case, variants in self.expected.items()
            },
            "fingerprints": [
                {
                    "name": entry.name,
                    "says": entry.says,
                    "advice": entry.advice,
                    "made_from": entry.made_from,
                    "signatures": {case: digest.signature for case, digest in entry.digests.items()},
                }
                for entry in self.fingerprints
            ],
        }
        return save(
            {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}, {"facts": json.dumps(facts)}
        )


def path_of(component: str) -> Path:
    return FOLDER / f"{component}.safetensors"


def load(component: str) -> References:
    """Read a component's stored references.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read(component, path_of(component))


def read(component: str, path: Path) -> References:
    """Read a component's references from a file.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; without it {component} cannot be checked. Take it from the handout again")
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads(file.metadata()["facts"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        return _from_file(component, facts, arrays)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); take it from the handout again") from error


def _from_file(component: str, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> References:
    inputs = {case: dict(values) for case, values in facts["inputs"].items()}
    expected = {
        case: {variant: dict(values) for variant, values in variants.items()}
        for case, variants in facts["expected"].items()
    }
    samples: dict[tuple[str, str], np.ndarray] = {}
    for name, array in arrays.items():
        kind, first, *rest = name.split("/")
        if kind == "inputs":
            inputs[first][rest[0]] = array
        elif kind == "expected":
            expected[first][rest[0]][rest[1]] = array
        else:
            samples[first, rest[0]] = array
    fingerprints = tuple(
        Fingerprint(
            entry["name"],
            entry["says"],
            entry["advice"],
            {case: Digest(text, samples[entry["name"], case]) for case, text in entry["signatures"].items()},
            entry["made_from"],
        )
        for entry in facts["fingerprints"]
    )
    axes = {name: tuple(names) for name, names in facts["axes"].items()}
    return References(component, tuple(facts["modules"]), axes, inputs, expected, fingerprints)


def _arrays(prefix: str, values: Named) -> dict[str, np.ndarray]:
    return {f"{prefix}/{name}": value for name, value in values.items() if isinstance(value, np.ndarray)}


def _plain(values: Named) -> Named:
    return {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}
