"""The class as JUnit XML, which test reports of build servers read: a suite a student, a case a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from autograder.classroom.records import Record
from autograder.engine.results import TestResult
from llamalab import text

LINES, WIDTH = 24, 300
SKIPPED = ("todo", "not run")


def xml(records: Sequence[Record]) -> str:
    """The document. What XML 1.0 cannot hold is among what ``text`` replaces."""
    suites = [_suite(record) for record in records]
    root = Element("testsuites", _counts(suites))
    root.extend(suites)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(record: Record) -> Element:
    suite = Element("testsuite")
    if record.status != "graded":
        case = SubElement(suite, "testcase", {"classname": record.slug, "name": "submission"})
        kind = "failure" if record.status == "refused" else "error"
        SubElement(case, kind, {"type": record.status, "message": text.line(record.problem, 600)})
    for row in record.results.components:
        for test in row.tests:
            _add_case(suite, f"{record.slug}.{row.name}", test)
        for use in row.uses[:1]:
            case = SubElement(suite, "testcase", {"classname": f"{record.slug}.{row.name}", "name": "not_allowed"})
            SubElement(case, "failure", {"type": "not allowed", "message": text.line(use)})
    suite.attrib = {"name": record.slug, **_counts([suite]), "time": f"{record.times.get('seconds', 0):.3f}"}
    return suite


def _add_case(suite: Element, classname: str, test: TestResult) -> None:
    case = SubElement(suite, "testcase", {"classname": classname, "name": test.name})
    headline, _, details = text.lines(test.message, LINES, WIDTH).partition("\n")
    if test.outcome in SKIPPED:
        SubElement(case, "skipped", {"message": f"{test.outcome} {headline}".rstrip()})
    elif test.outcome != "pass":
        kind = "failure" if test.outcome == "fail" else "error"
        problem = SubElement(case, kind, {"type": test.outcome, "message": headline})
        problem.text = "\n".join(filter(None, (test.question, headline, details)))
    if test.printed:
        SubElement(case, "system-out").text = text.lines(test.printed, LINES, WIDTH)


def _counts(suites: Sequence[Element]) -> dict[str, str]:
    found = Counter(mark.tag for suite in suites for case in suite for mark in case)
    counts = {"failures": found["failure"], "errors": found["error"], "skipped": found["skipped"]}
    return {name: str(number) for name, number in {"tests": sum(map(len, suites)), **counts}.items()}
