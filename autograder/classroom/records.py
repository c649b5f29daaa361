"""What is kept of one student's grading. The one model behind the gradebook, the files and the pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.engine.results import Results

SCHEMA = "llamalab-grading/1"
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
KEYS = {"edition": "track"}  # what a field is called in files, where that is older than the field
STATUSES = ("graded", "refused", "failed")


@dataclass(frozen=True)
class Record:
    """One student's result.

    Args:
        student: the student's name, as the submission's file or folder is called. Hostile text.
        slug: names files and rows: ASCII letters, digits, ``.``, ``_`` and ``-``, different for every student.
        edition: the course.
        status: ``graded``; ``refused``, when the submission could not be opened safely; ``failed``, when grading went
            wrong on this side. The last two have no marks, and ``problem`` says why.
        source: the file or folder that was handed in, without its path.
        submission: sha256 of the student's files that count; of the refused file's bytes otherwise.
        files: sha256 of each of them, by name.
        ignored: what else was handed in, and is not looked at.
        grader: sha256 of everything that decides marks.
        seed: of the inputs.
        isolation: ``bubblewrap``, ``user`` or ``process``.
        results: the marks; every planned test is ``not run`` where there are none.
        environment: versions of what ran.
        times: ``started`` (ISO 8601, UTC) and ``seconds``; the only part that differs when a grading is repeated.
    """

    student: str
    slug: str
    edition: str
    status: str
    source: str
    submission: str
    files: Mapping[str, str]
    ignored: tuple[str, ...]
    grader: str
    seed: int
    isolation: str
    results: Results
    problem: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; ``record.schema.json`` describes it."""
        fields = {KEYS.get(name, name): getattr(self, name) for name in self.__dataclass_fields__ if name != "results"}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
        return {"schema": SCHEMA, **plain, "ignored": list(self.ignored), "results": self.results.to_dict()}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=True) + "\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: it is not a record of this version.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"not a record of {SCHEMA}")
        names = {key: name for name, key in KEYS.items()}
        fields = {names.get(key, key): value for key, value in data.items() if key != "schema"}
        try:
            results = Results.from_dict(fields.pop("results"))
            return cls(**{**fields, "ignored": tuple(fields["ignored"]), "results": results})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a record of {SCHEMA}: {error}") from error
