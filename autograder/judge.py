"""What a grader is given: it asks for a case by name and is told whether the submission gets it right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from autograder import distributions, feedback, fingerprints
from autograder.fingerprints import Observed
from autograder.references import References
from autograder.results import Match
from autograder.session import Answer, Fault
from autograder.tracks import Track

FAULT_OUTCOMES = {
    "todo": "todo",
    "error": "error",
    "import_error": "error",
    "timeout": "timeout",
    "memory": "out of memory",
    "crashed": "crashed",
    "bad_answer": "fail",
    "not_run": "not run",
}


FIRST_ALONE = 8  # rows that are continued one at a time even where most are one batch


class Finding(Exception):
    """Why a test did not pass. ``outcome`` is one of ``results.OUTCOMES``; ``printed`` is the submission's output."""

    def __init__(self, outcome: str, message: str, printed: str = "") -> None:
        super().__init__(message)
        self.outcome, self.message, self.printed = outcome, message, printed


class Judge:
    """Runs one component of one submission, and remembers what it saw.

    Args:
        references: inputs, expected outputs and fingerprints.
        track: for what a course accepts, such as ``track.attention_variants``.
        run: inputs to a worker's answer, or fault.
    """

    def __init__(
        self, references: References, track: Track, run: Callable[[Mapping[str, Any]], Answer | Fault]
    ) -> None:
        self.references, self.track = references, track
        self._run = run
        self._results: dict[str, Answer | Fault] = {}
        self._observed: dict[str, Observed] = {}
        self._together: dict[str, bool] = {}

    def equal(
        self,
        case: str,
        *outputs: str,
        accept: Collection[str] = (),
        atol: float = feedback.ATOL,
        rtol: float = feedback.RTOL,
    ) -> None:
        """The submission's outputs on a case are the expected ones.

        Args:
            outputs: only these; all that the reference has, for none.
            accept: only these of the reference's variants; any of them, for none.
            atol, rtol: an element is right within ``atol + rtol * |expected|``.

        Raises:
            Finding: they are not, in words.
        """
        answer = self._answer(case)
        variants = {
            variant: {name: value for name, value in expected.items() if not outputs or name in outputs}
            for variant, expected in self.expected(case).items()
        }

        def difference(names: Collection[str]) -> str | None:
            some = {name: variants[name] for name in names}
            return feedback.difference(answer.outputs, some, self.references.axes, atol, rtol)

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
        words = feedback.unlike(value, like, self.references.axes.get(output, ()))
        self.require(words is None, f"{output}: {words}", case)
        return value

    def distribution(self, case: str) -> None:
        """The submission's ``counts`` (groups, V) on a case fit the ``probabilities`` of one of the variants.

        They are as many as the reference's ``draws`` says.

        Raises:
            Finding: they do not, in words; by chance in fewer than one of 10^7 right submissions.
        """
        if not self._fits_together(case):
            words = self._draws_problem(case, self._answer(case))
            self.require(words is None, words or "", case)

    def _fits_together(self, case: str) -> bool:
        """Whether a case of one row at a time already fits with most rows as one batch, which is far faster.

        If not, nothing is decided: the code may handle one row only.
        """
        if not self.inputs(case).get("alone"):
            return False
        if case not in self._together:
            result = self._run({**self.inputs(case), "first_alone": FIRST_ALONE})
            self._together[case] = isinstance(result, Answer) and self._draws_problem(case, result) is None
        return self._together[case]

    def _draws_problem(self, case: str, answer: Answer) -> str | None:
        variants = list(self.expected(case).values())
        accepted, draws = [variant["probabilities"] for variant in variants], variants[0]["draws"]
        counts = answer.outputs.get(fingerprints.DRAWS)
        words = feedback.unlike(counts, np.zeros(accepted[0].shape, np.int64), ("group", "rank"))
        if words:
            return f"{fingerprints.DRAWS}: {words}"
        if counts.min() < 0 or counts.sum() != draws:
            return f"these are not {draws} draws"
        return distributions.difference(counts, accepted)

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
        """The misconception that explains what has been seen so far."""
        for case, fits in self._together.items():
            if fits and case not in self._results:  # passed in an abridged form, of which no fingerprint is known
                self._look_at(case)
        found = fingerprints.nearest(self._observed, self.references.expected_digests(), self.references.fingerprints)
        return Match(found.name, found.says, found.advice) if found else None

    def _answer(self, case: str) -> Answer:
        """A case is run once, whichever tests ask for it."""
        if case not in self._results:
            self._results[case] = self._run({**self.inputs(case), "causal": self.track.causal is not False})
            self._observed[case] = Observed(fingerprints.digest(self._results[case]), passed=True)
        result = self._results[case]
        if isinstance(result, Fault):
            self._failed(case)
            raise_finding(result)
        return result

    def _look_at(self, case: str) -> None:
        self._results[case] = self._run(self.inputs(case))
        self._observed[case] = Observed(fingerprints.digest(self._results[case]), passed=True)

    def _failed(self, case: str) -> None:
        self._observed[case] = Observed(self._observed[case].digest, passed=False)


def raise_finding(fault: Fault) -> NoReturn:
    """A worker's fault as a finding, in words."""
    raise Finding(FAULT_OUTCOMES[fault.kind], _words(fault), fault.printed)


def _words(fault: Fault) -> str:
    if fault.kind == "todo" and fault.frames:
        return str(fault.frames[-1])
    lines = [fault.message]
    if fault.kind == "import_error":
        lines = [f"cannot be imported: {fault.message}"]
    for frame in fault.frames:
        lines.append(f"  {frame}")
        if frame.source:
            lines.append(f"    {frame.source}")
    return "\n".join(lines)
