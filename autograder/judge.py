"""What a grader is given: it asks for a case by name and is told whether the submission gets it right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
        run: inputs of several cases to a worker's answers, or faults.
    """

    def __init__(
        self, references: References, track: Track, run: Callable[[Sequence[Mapping[str, Any]]], list[Answer | Fault]]
    ) -> None:
        self.references, self.track = references, track
        self._run = run
        self._results: dict[str, Answer | Fault] = {}
        self._abridged: dict[str, Answer | Fault] = {}
        self._uncertain: list[tuple[dict[str, Answer | Fault], str]] = []
        self._observed: dict[str, Observed] = {}
        self._together: dict[str, bool] = {}

    def run_ahead(self, cases: Sequence[str]) -> bool:
        """Run in one process what will be asked for, which takes far less time than a process for each.

        What comes of it is good enough to see that all is well, or that nothing is written yet: false where it cannot
        be one of these. Whatever else it may be, ``begin_anew`` and ask again: one case may have spoilt another.
        """
        abridged = [case for case in cases if self.inputs(case).get("alone")]
        whole = [case for case in cases if case not in abridged]
        results = self._run([*map(self._abridged_inputs, abridged), *map(self._whole_inputs, whole)])
        kept = [*((self._abridged, case) for case in abridged), *((self._results, case) for case in whole)]
        for (memory, case), result in zip(kept, results, strict=False):
            memory[case] = result
        self._uncertain = kept[1 : len(results)]
        to_do = [isinstance(result, Fault) and result.kind == "todo" for result in results]
        return len(results) == len(cases) and (all(to_do) or all(isinstance(result, Answer) for result in results))

    def begin_anew(self) -> None:
        """Forget what has been seen, but for the first result of ``run_ahead``: nothing came before it."""
        for memory, case in self._uncertain:
            del memory[case]
        self._uncertain = []
        self._observed, self._together = {}, {}

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
            if case not in self._abridged:
                (self._abridged[case],) = self._run([self._abridged_inputs(case)])
            result = self._abridged[case]
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
            if fits and case not in self._observed:  # passed in an abridged form, of which no fingerprint is known
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
            (self._results[case],) = self._run([self._whole_inputs(case)])
        if case not in self._observed:
            self._observed[case] = Observed(fingerprints.digest(self._results[case]), passed=True)
        return self._results[case]

    def _whole_inputs(self, case: str) -> Mapping[str, Any]:
        return {**self.inputs(case), "causal": self.track.causal is not False}

    def _abridged_inputs(self, case: str) -> Mapping[str, Any]:
        return {**self._whole_inputs(case), "first_alone": FIRST_ALONE}

    def _failed(self, case: str) -> None:
        self._observed[case] = Observed(self._observed[case].digest, passed=False)


class Rehearsal(Judge):
    """Gives the reference's own answers, and remembers the ``cases`` that a right submission is asked for."""

    def __init__(self, references: References, track: Track) -> None:
        super().__init__(references, track, lambda cases: [])
        self.cases: list[str] = []

    def _answer(self, case: str) -> Answer:
        if case not in self.cases:
            self.cases.append(case)
        return Answer(dict(next(iter(self.expected(case).values()))))

    def _fits_together(self, case: str) -> bool:
        return False

    def _failed(self, case: str) -> None:
        pass


def raise_finding(fault: Fault) -> NoReturn:
    """A worker's fault as a finding, in words."""
    raise Finding(FAULT_OUTCOMES[fault.kind], _words(fault), fault.printed)


def _words(fault: Fault) -> str:
    if fault.kind == "todo" and fault.frames:
        return str(fault.frames[-1])
    if fault.kind == "timeout":
        return fault.message
    lines = [fault.message]
    if fault.kind == "import_error":
        lines = [f"cannot be imported: {fault.message}"]
    for frame in fault.frames:
        lines.append(f"  {frame}")
        if frame.source:
            lines.append(f"    {frame.source}")
    return "\n".join(lines)
