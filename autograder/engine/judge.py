"""What a grader is given: it asks for a case by name and is told whether the submission gets it right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from autograder import answers
from autograder.answers import tensors
from autograder.editions import Options
from autograder.engine import fingerprints
from autograder.engine.claims import NO_LIMITS, Answer, CaseLimits, Fault
from autograder.engine.fingerprints import Observed
from autograder.engine.references import References
from autograder.engine.results import Match

FAULT_OUTCOMES = {
    "todo": "todo",
    "error": "error",
    "import_error": "error",
    "timeout": "timeout",
    "slow": "timeout",
    "memory": "out of memory",
    "crashed": "crashed",
    "bad_answer": "fail",
    "not_run": "not run",
}

Run = Callable[[Sequence[Mapping[str, Any]], CaseLimits], list[Answer | Fault]]


class Finding(Exception):
    """Why a test did not pass. ``outcome`` is one of ``results.OUTCOMES``; ``printed`` is the submission's output."""

    def __init__(self, outcome: str, message: str, printed: str = "") -> None:
        super().__init__(message)
        self.outcome, self.message, self.printed = outcome, message, printed


class Judge:
    """Runs one component of one submission, and remembers what it saw.

    Args:
        references: inputs, expected outputs and fingerprints, for the options that an edition has.
        run: inputs of several cases, and limits of their own, to a worker's answers, or faults.
    """

    def __init__(self, references: References, run: Run) -> None:
        self.references = references
        self._run = run
        self._results: dict[str, Answer | Fault] = {}
        self._quick: dict[str, Answer | Fault] = {}
        self._uncertain: list[tuple[dict[str, Answer | Fault], str]] = []
        self._observed: dict[str, Observed] = {}
        self._passed_quickly: dict[str, bool] = {}

    def run_ahead(self, cases: Sequence[str]) -> bool:
        """Run in one process what will be asked for, which takes far less time than a process for each.

        What comes of it is good enough to see that all is well, or that nothing is written yet: false where it cannot
        be one of these. Whatever else it may be, ``begin_anew`` and ask again: one case may have spoilt another.
        """
        # Quick inputs stand in for a case's own where they may decide it; if they do not pass, it is run alone later.
        questions = {case: self.references.question(case) for case in cases}
        apart = [case for case in cases if questions[case].limits != NO_LIMITS]  # a limit is one process's
        quick = [case for case in cases if questions[case].quick and case not in apart]
        whole = [case for case in cases if case not in quick and case not in apart]
        together = [*map(self._quick_inputs, quick), *map(self.inputs, whole)]
        results = self._run(together, NO_LIMITS) if together else []
        kept = [*((self._quick, case) for case in quick), *((self._results, case) for case in whole)]
        for (memory, case), result in zip(kept, results, strict=False):
            memory[case] = result
        self._uncertain = kept[1 : len(results)]  # before the first, nothing of the submission's had run
        if len(results) < len(together):  # one ended the process: what those after it would answer is not known
            return False
        for case in apart:
            (self._results[case],) = self._run([self.inputs(case)], questions[case].limits)
        results += [self._results[case] for case in apart]
        # One case to do and another answered may be a solution half written, or one case that spoilt the other.
        to_do = [isinstance(result, Fault) and result.kind == "todo" for result in results]
        return all(to_do) or all(isinstance(result, Answer) for result in results)

    def begin_anew(self) -> None:
        """Forget what has been seen, but for the first result of ``run_ahead``: nothing came before it."""
        for memory, case in self._uncertain:
            del memory[case]
        self._uncertain = []
        self._observed, self._passed_quickly = {}, {}

    @property
    def options(self) -> Options:
        """What the edition asks for, by option."""
        return self.references.options

    def equal(
        self,
        case: str,
        *outputs: str,
        accept: Collection[str] = (),
        atol: float = answers.ATOL,
        rtol: float = answers.RTOL,
    ) -> None:
        """The submission's outputs on a case are the expected ones; draws fit the expected distribution.

        By chance, draws of fewer than one of 10^7 right submissions do not.

        Args:
            outputs: only these; all that the reference has, for none.
            accept: only these of the reference's variants; any of them, for none.
            atol, rtol: an element is right within ``atol + rtol * |expected|``.

        Raises:
            Finding: they are not, in words.
        """
        if not outputs and self._passes_quickly(case):
            return
        answer = self._answer(case)
        variants = {
            variant: {name: value for name, value in expected.items() if not outputs or name in outputs}
            for variant, expected in self.expected(case).items()
        }

        def difference(names: Collection[str]) -> str | None:
            some = {name: variants[name] for name in names}
            return answers.difference(answer.outputs, some, self.references.axes, atol, rtol)

        accepted = [variant for variant in variants if not accept or variant in accept]
        if words := difference(accepted):
            self._failed(case)
            for other in variants.keys() - accepted:
                if difference([other]) is None:
                    words = f"right for {other!r}; this course asks for {' or '.join(map(repr, accepted))}"
            raise Finding("fail", words, answer.printed)

    def answer(self, case: str) -> dict[str, Any]:
        """The submission's outputs on a case, for a test that needs more than equality.

        Raises:
            Finding: there are none, because the code failed.
        """
        return self._answer(case).outputs

    def array(self, case: str, output: str, like: np.ndarray) -> np.ndarray:
        """One output, which has the shape and dtype of ``like``.

        Raises:
            Finding: it has not, or the code failed.
        """
        value = self._answer(case).outputs.get(output)
        words = tensors.unlike(value, like, tuple(self.references.axes.get(output, ())))
        self.require(words is None, f"{output}: {words}", case)
        return value

    def _passes_quickly(self, case: str) -> bool:
        """Whether a case with other, quicker inputs passes with these. If not, nothing is decided.

        With limits of its own, a case asks whether its inputs are answered within them: others cannot say.
        """
        question = self.references.question(case)
        if not question.quick or question.limits != NO_LIMITS:
            return False
        if case not in self._passed_quickly:
            if case not in self._quick:
                (self._quick[case],) = self._run([self._quick_inputs(case)], NO_LIMITS)
            result, variants = self._quick[case], self.expected(case)
            passed = isinstance(result, Answer) and answers.difference(result.outputs, variants, {}) is None
            self._passed_quickly[case] = passed
        return self._passed_quickly[case]

    @contextmanager
    def beyond(self, simple: Callable[[], None], words: str) -> Iterator[None]:
        """Begin a failure inside with ``words`` if ``simple`` passes: the code only handles the simple case."""
        try:
            yield
        except Finding as finding:
            try:
                simple()
            except Finding:
                raise finding from None
            raise Finding(finding.outcome, f"{words}: {finding.message}", finding.printed) from None

    def expected(self, case: str) -> Mapping[str, Mapping[str, Any]]:
        """The reference's outputs, by variant."""
        return self.references.expected[case]

    def inputs(self, case: str) -> Mapping[str, Any]:
        return self.references.inputs[case]

    def require(self, condition: bool, message: str, case: str) -> None:
        """Fail with ``message``, about the outputs on ``case``, unless the condition holds."""
        if not condition:
            self._failed(case)
            raise Finding("fail", message, self._answer(case).printed)

    def match(self) -> Match | None:
        """The mistake that explains what has been seen so far."""
        for case, passed in self._passed_quickly.items():
            if passed and case not in self._observed:  # with other inputs, of which no fingerprint is known
                self._observe(case)
        found = fingerprints.nearest(self._observed, self.references.expected_digests(), self.references.fingerprints)
        return Match(found.name, found.says, found.advice) if found else None

    def _answer(self, case: str) -> Answer:
        """A case is run once, whichever tests ask for it."""
        result = self._observe(case)
        if isinstance(result, Fault):
            self._failed(case)
            raise_finding(result)
        return result

    def _observe(self, case: str) -> Answer | Fault:
        if case not in self._results:
            (self._results[case],) = self._run([self.inputs(case)], self.references.question(case).limits)
        if case not in self._observed:
            seen = fingerprints.digest(self._results[case], self.references.drawn)
            self._observed[case] = Observed(seen, passed=True)
        return self._results[case]

    def _quick_inputs(self, case: str) -> Mapping[str, Any]:
        return {**self.inputs(case), **self.references.question(case).quick}

    def _failed(self, case: str) -> None:
        self._observed[case] = Observed(self._observed[case].digest, passed=False)


class Rehearsal(Judge):
    """Gives the reference's own answers, and remembers the ``cases`` that a right submission is asked for."""

    def __init__(self, references: References) -> None:
        super().__init__(references, lambda cases, limits: [])
        self.cases: list[str] = []

    def equal(self, case: str, *outputs: str, **settings: Any) -> None:
        self._answer(case)

    def _answer(self, case: str) -> Answer:
        if case not in self.cases:
            self.cases.append(case)
        return Answer(dict(next(iter(self.expected(case).values()))))

    def _failed(self, case: str) -> None:
        pass


def raise_finding(fault: Fault) -> NoReturn:
    """A worker's fault as a finding, in words."""
    raise Finding(FAULT_OUTCOMES[fault.kind], _words(fault), fault.printed)


def _words(fault: Fault) -> str:
    if fault.kind == "todo" and fault.frames:
        return str(fault.frames[-1])
    if fault.kind in ("timeout", "slow"):
        return fault.message
    lines = [fault.message]
    if fault.kind == "import_error":
        lines = [f"cannot be imported: {fault.message}"]
    for frame in fault.frames:
        lines.append(f"  {frame}")
        if frame.source:
            lines.append(f"    {frame.source}")
    return "\n".join(lines)
