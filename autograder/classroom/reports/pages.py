"""The pages: one a student, one for the class. Each is a single file that asks nobody for anything.

The templates escape everything. The policy in the head allows one stylesheet and one script, by hash, and nothing
else: no image, no font, no frame, no form, no style attribute, no address.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from autograder.classroom.records import Record
from autograder.classroom.reports import class_summary, findings
from autograder.editions import Edition
from autograder.engine import marks
from llamalab import text

TEMPLATES = Path(__file__).with_name("templates")


def student(record: Record, edition: Edition) -> str:
    """What one student is told. Nothing on it is about anybody else, and nothing says which inputs were drawn."""
    rows = findings.components(record)
    graded = record.status == "graded"
    ignored, more_ignored = findings.names(record.ignored, findings.IGNORED)
    return render(
        "student.html",
        title=edition.title,
        name=class_summary.student(record).name,
        record=record,
        notice=findings.notice(record),
        rows=rows if graded else [],
        next=findings.next_step(rows) if graded else None,
        missing=[name for name in edition.student_files if name not in record.files] if graded else [],
        ignored=ignored,
        more_ignored=more_ignored,
    )


def class_page(records: Sequence[Record], edition: Edition) -> str:
    """What the class got wrong, and everyone's marks."""
    started = sorted(str(record.times["started"])[:10] for record in records if "started" in record.times)
    return render(
        "class.html",
        "sort.js",
        title=edition.title,
        summary=class_summary.ClassSummary(records),
        days=sorted({text.line(day, 10) for day in started[:1] + started[-1:]}),
        seeds=sorted({record.seed for record in records}),
        graders=len({record.grader for record in records}),
        unprotected=sum(record.isolation == "process" for record in records),
    )


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy of a page with this stylesheet and this script, or none."""
    scripts = f"; script-src {_hash(script)}" if script else ""
    return f"default-src 'none'; style-src {_hash(style)}{scripts}; base-uri 'none'; form-action 'none'"


def render(template: str, *extra: str, folder: Path = TEMPLATES, **facts: object) -> str:
    """A page with the stylesheet that all have, and ``extra`` ones and scripts; what is not in ``folder`` is here."""
    environment = _environment(folder)
    sources = {name: environment.loader.get_source(environment, name)[0] for name in ("style.css", *extra)}
    style, script = ("".join(text for name, text in sources.items() if name.endswith(end)) for end in (".css", ".js"))
    facts |= {"style": Markup(style), "script": Markup(script), "policy": policy(style, script)}
    return environment.get_template(template).render(facts)


@functools.cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"marks": marks.figure, "tone": findings.tone, "seconds": class_summary.seconds}
    environment.globals |= {"percent": marks.percent, "count": marks.count}
    return environment


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
