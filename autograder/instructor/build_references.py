"""``python -m autograder build-references``: public inputs, the oracles' outputs, the mistakes' fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from autograder import editions, trust
from autograder.editions import Edition
from autograder.engine import fingerprints, references
from autograder.engine.claims import CaseLimits
from autograder.engine.fingerprints import Fingerprint
from autograder.engine.references import Question, References
from autograder.engine.session import Session
from autograder.instructor import bank
from autograder.instructor.bank import Mistake
from autograder.instructor.contract import Case
from autograder.worker import components
from llamalab.errors import UserError
from llamalab.files import write_bytes

PUBLIC_SEED = 2017  # of the inputs that handouts carry
LARGEST = 2_000_000  # bytes of all files of a course together


def run(names: Sequence[str], edition: str | None = None) -> int:
    """Write the references of these components, or of all; the exit status is 0 if they are small enough to ship.

    Args:
        edition: one of the course's; all courses, if none is named.

    Raises:
        UserError: a name that no edition has.
    """
    chosen = [editions.load(edition)] if edition else [editions.load(name) for name in editions.names()]
    courses = {each.course: editions.of_course(each.course) for each in chosen}
    known = {name for course in courses.values() for each in course for name in each.components}
    for name in names:
        if name not in known:
            raise UserError(f"no edition has a component {name!r}; there are {', '.join(sorted(known))}")
    fits = True
    for course, every in courses.items():
        with Session() as session:
            for name in dict.fromkeys(name for each in every for name in each.components):
                if not names or name in names:
                    _write(name, every, session)
        total = sum(path.stat().st_size for path in course.glob(f"components/*/{trust.REFERENCES}"))
        print(f"{course.name}: {total} bytes in all; at most {LARGEST} may ship")
        fits = fits and total <= LARGEST
    return 0 if fits else 1


def _write(component: str, every: Sequence[Edition], session: Session) -> None:
    """Replace a component's file, whole or not at all: a set for each combination of options that an edition has."""
    sets: list[References] = []
    asking = [edition for edition in every if component in edition.components]
    for edition in asking:
        if options_of(edition, component) not in [each.options for each in sets]:
            sets.append(build(edition, component, session))
    path = asking[0].component_folder / component / trust.REFERENCES
    data = references.to_bytes(sets)
    write_bytes(path, data)
    print(f"{path.parent.name}: {len(data)} bytes")


def build(edition: Edition, component: str, session: Session) -> References:
    """The public references of a component, fingerprints included."""
    made = draw(edition, component, PUBLIC_SEED)
    if not edition.components[component].points:  # it informs, and has no bank
        return made
    entries = bank.asked(edition, component, made.options)
    return replace(made, fingerprints=tuple(fingerprint(edition, entry, made, session) for entry in entries))


def fingerprint(edition: Edition, entry: Mistake, made: References, session: Session) -> Fingerprint:
    """What a mistake answers on the inputs of references."""
    submission = bank.submission(entry, edition)
    digests = {
        case: fingerprints.digest(
            session.call(submission, made.component, inputs, made.options, made.question(case).limits), made.drawn
        )
        for case, inputs in made.inputs.items()
    }
    return Fingerprint(entry.name, entry.says, entry.advice, digests, bank.hash_of(entry))


def options_of(edition: Edition, component: str) -> dict[str, Any]:
    """What an edition asks of a component."""
    adapter = components.load(edition.component_folder, component, "adapter")
    return references.resolved(edition.components[component], _known_options(adapter))


def draw(edition: Edition, component: str, seed: int) -> References:
    """Inputs from a seed and the oracle's outputs for them, without fingerprints: what a secret seed is for."""
    torch.set_num_threads(1)
    adapter, cases, oracle = (
        components.load(edition.component_folder, component, part) for part in ("adapter", "cases", "oracle")
    )
    options = options_of(edition, component)
    named = cases.cases(seed, options).items()
    drawn = {name: case if isinstance(case, Case) else Case(case) for name, case in named}
    return References(
        component=component,
        modules=tuple(adapter.MODULES),
        axes=adapter.AXES,
        options=options,
        known_options=_known_options(adapter),
        inputs={name: _numpy(case.inputs) for name, case in drawn.items()},
        expected={
            name: {variant: _numpy(outputs) for variant, outputs in oracle.expected(dict(case.inputs), options).items()}
            for name, case in drawn.items()
        },
        questions={name: question for name, case in drawn.items() if (question := _question(case)) != Question()},
    )


def _known_options(adapter: Any) -> dict[str, tuple[Any, ...]]:
    return getattr(adapter, "OPTIONS", {})


def _question(case: Case) -> Question:
    return Question(dict(case.quick), CaseLimits(case.seconds, case.cpu, case.memory))


def _numpy(values: Mapping[str, Any]) -> dict[str, np.ndarray | Any]:
    return {
        name: value.detach().contiguous().numpy() if isinstance(value, torch.Tensor) else value
        for name, value in values.items()
    }
