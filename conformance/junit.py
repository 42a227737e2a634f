"""A run as JUnit XML, which CI systems show.

A suite holds the cases of one system and clause group.  A wrong result is a ``failure``, a crash
or a timeout an ``error``, an unsupported case ``skipped``.  With a file of expected failures
those are skipped, too, and what exits with 1 otherwise, such as an unexpected pass, is a
``failure``, so that the report is green exactly when the exit code is 0.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from conformance.case import SYSTEMS, Case
from conformance.clauses import by_id
from conformance.departures import departure, likeliest_clauses
from conformance.expected import Entry, Judgement
from conformance.files import write_whole
from conformance.report import command_for
from conformance.result import HARMLESS, Result, Run

#: What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ERRORS = frozenset({"crash", "timeout"})

Element = ElementTree.Element


def write(
    run: Run, path: Path, *, again: str, repro: str = "", judgement: Judgement | None = None
) -> None:
    """Write the file.

    Parameters
    ----------
    run
        What happened.
    path
        The file.
    again, repro
        As for :func:`conformance.report.print_run`.
    judgement
        What a file of expected failures makes of the run.
    """
    root = ElementTree.Element("testsuites", name=_clean(f"crossent {run.adapter}"))
    judgement = judgement or Judgement()
    passes = {
        result.case: entry for entry, results in judgement.passes.items() for result in results
    }
    likeliest = likeliest_clauses(run.results)
    suites: dict[str, list[Result]] = defaultdict(list)
    for result in run.results:
        system = SYSTEMS[Case.parse(result.case).system]
        group = by_id(result.clauses[0]).group if result.clauses else "none"
        suites[f"{system}.{group}"].append(result)
    for name, results in suites.items():
        suite = _suite(root, name, sum(result.seconds for result in results))
        if run.versions:
            properties = ElementTree.SubElement(suite, "properties")
            for package, version in run.versions.items():
                _add(properties, "property", name=package, value=version)
        for result in results:
            case = _case(suite, name, result.case, result.seconds)
            command = command_for(result.case, again=again, repro=repro)
            if result.case in judgement.covered:
                reason = _because(judgement.covered[result.case])
                _add(case, "skipped", f"{result.verdict}: {result.message}", message=reason)
            elif result.case in passes:
                entry = passes[result.case]
                text = f"{entry.title}\n{_because(entry)}\n{command}"
                message = "passes, although it is expected to fail"
                _add(case, "failure", text, type="unexpected pass", message=message)
            elif result.verdict == "unsupported":
                _add(case, "skipped", message=result.message)
            elif result.verdict not in HARMLESS:
                lines = [
                    result.message,
                    "".join(departure(likeliest[result.case], result.case)),
                ]
                kind = "error" if result.verdict in _ERRORS else "failure"
                message = result.message.split("\n", 1)[0]
                text = "\n".join([*lines, command])
                _add(case, kind, text, type=result.verdict, message=message)
    _complain(root, "expected failures", "entry", _complaints(judgement))
    if not run.complete:
        what = [("all cases", "incomplete", "the run was stopped before its last case")]
        _complain(root, "run", "run", what)
    for element in (*root, root):
        for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if element is not root or counted != "skipped":
                element.set(counted, str(sum(1 for _ in element.iter(tag))))
        element.set("tests", str(sum(1 for _ in element.iter("testcase"))))
    root.set("time", f"{run.seconds:.3f}")
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    write_whole(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + text)


def _complaints(judgement: Judgement) -> Iterable[tuple[str, str, str]]:
    for entry in judgement.unmet:
        yield entry.title, "not met", f"none of its cases fails as expected: {_because(entry)}"
    for entry in judgement.unknown:
        yield entry.title, "about no case", f"the corpus has no such case: {_because(entry)}"


def _complain(
    root: Element, suite_name: str, classname: str, complaints: Iterable[tuple[str, str, str]]
) -> None:
    """Add a suite of what is wrong with the run as a whole, if anything is."""
    complaints = list(complaints)
    if complaints:
        suite = _suite(root, suite_name, 0.0)
        for name, kind, message in complaints:
            _add(_case(suite, classname, name, 0.0), "failure", type=kind, message=message)


def _because(entry: Entry) -> str:
    return f"{entry.reason} ({entry.link})" if entry.link else entry.reason


def _suite(root: Element, name: str, seconds: float) -> Element:
    return _add(root, "testsuite", name=name, time=f"{seconds:.3f}")


def _case(suite: Element, classname: str, name: str, seconds: float) -> Element:
    return _add(suite, "testcase", name=name, classname=classname, time=f"{seconds:.3f}")


def _add(parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
    cleaned = {name: _clean(value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, cleaned)
    element.text = _clean(text) or None
    return element


def _clean(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
