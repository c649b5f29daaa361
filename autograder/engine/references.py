"""Stored inputs, expected outputs and fingerprints of one component: one safetensors file, no code.

    tensors   SET/inputs/CASE/NAME   SET/expected/CASE/VARIANT/NAME   SET/fingerprints/MISTAKE/CASE
    metadata  everything that is not an array, as JSON

There is a set for each combination of options that an edition has. Made by ``python -m autograder build-references``.
Where several results are right there are several variants.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from autograder import trust
from autograder.answers import Axes, Draws, digests
from autograder.answers.digests import Digest
from autograder.editions import Component, Edition, Options
from autograder.engine.claims import CaseLimits
from autograder.engine.fingerprints import Fingerprint
from autograder.worker import plain
from llamalab.errors import UserError

Named = dict[str, Any]  # arrays, draws and plain values, by name


@dataclass(frozen=True)
class Question:
    """What belongs to a case besides its inputs.

    Args:
        quick: other inputs with which the case is run first, because that is faster; it decides only if it passes, and
            not where there are limits.
        limits: of time and memory, where they are part of the question.
    """

    quick: Named = field(default_factory=dict)
    limits: CaseLimits = CaseLimits()


@dataclass(frozen=True)
class References:
    """All that is known about a component's right and wrong answers.

    Args:
        modules: the student modules that the component runs.
        axes: what the axes of each output are called, or the items of a list, for feedback.
        options: what is asked for, of the component's ``known_options``.
        known_options: the values that each option may have, the one that is taken where an edition is silent first.
        inputs: by case.
        expected: by case, then variant.
        questions: by case, for those that have more than inputs.
        fingerprints: of the known mistakes.
    """

    component: str
    modules: tuple[str, ...]
    axes: Axes
    options: Options
    known_options: Mapping[str, tuple[Any, ...]]
    inputs: Mapping[str, Named]
    expected: Mapping[str, Mapping[str, Named]]
    questions: Mapping[str, Question] = field(default_factory=dict)
    fingerprints: tuple[Fingerprint, ...] = ()

    def question(self, case: str) -> Question:
        return self.questions.get(case, Question())

    @cached_property
    def drawn(self) -> frozenset[str]:
        """The outputs that are tables of draws."""
        variants = [outputs for each in self.expected.values() for outputs in each.values()]
        return frozenset(name for outputs in variants for name, value in outputs.items() if isinstance(value, Draws))

    def expected_digests(self) -> dict[str, list[Digest]]:
        """The digests of the accepted answers, by case."""
        plain_or_tensors = {
            case: [{n: value for n, value in o.items() if not isinstance(value, Draws)} for o in variants.values()]
            for case, variants in self.expected.items()
        }
        return {case: [digests.of_outputs(o) for o in outputs] for case, outputs in plain_or_tensors.items()}


def resolved(component: Component, known: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """A component's options: what its edition says, and the first value there is where that is silent.

    Raises:
        UserError: a value that is none of them.
    """
    found = {name: component.options.get(name, values[0]) for name, values in known.items()}
    for name, value in found.items():
        if value not in known[name]:
            words = ", ".join(map(repr, known[name]))
            raise UserError(f"the option {name} of {component.name} is one of {words}, not {value!r}")
    return found


def load(edition: Edition, component: str) -> References:
    """Read a component's stored references, as an edition asks for them.

    Raises:
        UserError: the file is missing or damaged, or has none for the edition's options.
    """
    return read(edition, component, edition.component_folder / component / trust.REFERENCES)


def read(edition: Edition, component: str, path: Path) -> References:
    """Read a component's references from a file.

    Raises:
        UserError: it is missing or damaged, or has none for the edition's options.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; without it {component} cannot be checked. Take it from the handout again")
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads(file.metadata()["facts"])
            known = {name: tuple(values) for name, values in facts["options"].items()}
            wanted = resolved(edition.components[component], known)
            sets = [plain.decode(each["options"]) for each in facts["sets"]]
            if wanted not in sets:
                raise UserError(
                    f"{path} has no references for {wanted}; make them with `python -m autograder build-references`"
                )
            number = sets.index(wanted)
            names = [name for name in file.keys() if name.startswith(f"{number}/")]  # noqa: SIM118  not a dict
            arrays = {name: file.get_tensor(name) for name in names}
        return _from_file(component, facts, known, number, arrays)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); take it from the handout again") from error


def to_bytes(sets: Iterable[References]) -> bytes:
    """A file's content: the references of one component, a set for each combination of options.

    The same references give the same bytes.
    """
    sets = list(sets)
    arrays: dict[str, np.ndarray] = {}
    facts = {
        "modules": list(sets[0].modules),
        "axes": {name: axes if isinstance(axes, str) else list(axes) for name, axes in sets[0].axes.items()},
        "options": {name: list(values) for name, values in sets[0].known_options.items()},
        "sets": [_facts(each, str(number), arrays) for number, each in enumerate(sets)],
    }
    stored = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    return save(stored, {"facts": json.dumps(facts)})


def _facts(references: References, number: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Everything of a set that is no array. Its arrays join ``arrays``, by their names in the file."""

    def kept(place: str, values: Named) -> Named:
        """The plain values of one place; arrays and distributions are put below it."""
        bare = {name: value.probabilities if isinstance(value, Draws) else value for name, value in values.items()}
        below = {name: value for name, value in bare.items() if isinstance(value, np.ndarray)}
        arrays.update({f"{number}/{place}/{name}": value for name, value in below.items()})
        return {name: plain.encode(value) for name, value in bare.items() if name not in below}

    for entry in references.fingerprints:
        kept(f"fingerprints/{entry.name}", {case: digest.values for case, digest in entry.digests.items()})
    return {
        "options": plain.encode(dict(references.options)),
        "inputs": {case: kept(f"inputs/{case}", values) for case, values in references.inputs.items()},
        "questions": {
            case: {"quick": plain.encode(question.quick), "limits": vars(question.limits)}
            for case, question in references.questions.items()
        },
        "expected": {
            case: {variant: kept(f"expected/{case}/{variant}", values) for variant, values in variants.items()}
            for case, variants in references.expected.items()
        },
        "draws": {case: _draws(variants) for case, variants in references.expected.items()},
        "fingerprints": [
            {
                "name": entry.name,
                "says": entry.says,
                "advice": entry.advice,
                "made_from": entry.made_from,
                "signatures": {case: digest.signature for case, digest in entry.digests.items()},
            }
            for entry in references.fingerprints
        ],
    }


def _draws(variants: Mapping[str, Named]) -> dict[str, int]:
    values = [each for outputs in variants.values() for each in outputs.items()]
    return {name: value.draws for name, value in values if isinstance(value, Draws)}


def _from_file(
    component: str,
    facts: dict[str, Any],
    known: Mapping[str, tuple[Any, ...]],
    number: int,
    arrays: dict[str, np.ndarray],
) -> References:
    chosen = facts["sets"][number]

    def named(place: str, values: Named, draws: Mapping[str, int] | None = None) -> Named:
        """The plain values of one place, and the arrays that lie below it; of those in ``draws``, distributions."""
        # No name has a slash in it, so that nothing lies below a place but its own arrays.
        start = f"{number}/{place}/"
        below = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
        drawn = {name: Draws(below[name], count) for name, count in (draws or {}).items() if name in below}
        return {**{name: plain.decode(value) for name, value in values.items()}, **below, **drawn}

    fingerprints = tuple(
        Fingerprint(
            entry["name"],
            entry["says"],
            entry["advice"],
            {
                case: Digest(signature, arrays[f"{number}/fingerprints/{entry['name']}/{case}"])
                for case, signature in entry["signatures"].items()
            },
            entry["made_from"],
        )
        for entry in chosen["fingerprints"]
    )
    questions = {
        case: Question(plain.decode(question["quick"]), CaseLimits(**question["limits"]))
        for case, question in chosen["questions"].items()
    }
    return References(
        component=component,
        modules=tuple(facts["modules"]),
        axes={name: axes if isinstance(axes, str) else tuple(axes) for name, axes in facts["axes"].items()},
        options=plain.decode(chosen["options"]),
        known_options=known,
        inputs={case: named(f"inputs/{case}", values) for case, values in chosen["inputs"].items()},
        expected={
            case: {
                variant: named(f"expected/{case}/{variant}", values, chosen["draws"][case])
                for variant, values in variants.items()
            }
            for case, variants in chosen["expected"].items()
        },
        questions=questions,
        fingerprints=fingerprints,
    )
