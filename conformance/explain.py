"""A clause, or a case, in full and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conformance.case import SYSTEMS, Case
from conformance.clauses import Clause, by_id, clauses_of
from conformance.expect import Expected, expect
from conformance.openings import Opening, opening_of
from conformance.request import build

#: How many of a clause's cases are listed.
_CASES = 10


def clause_lines(clause: Clause, cases: Sequence[Case]) -> Iterator[str]:
    """Yield the lines that explain a clause, given the corpus."""
    yield clause.id
    yield f"  holds for  {', '.join(SYSTEMS[system] for system in clause.systems)}"
    for source in clause.sources:
        yield f"  page {source.page}   “{source.words}”"
    yield f"  check      {clause.check}"
    if clause.formula:
        yield f"  formula    {clause.formula}"
    if not clause.observable:
        yield f"  no cases   {clause.why}"
        return
    ids = [case.id for case in cases if clause.covers(case)]
    yield f"  {len(ids)} cases" + (", the first of them:" if len(ids) > _CASES else ":")
    for case_id in ids[:_CASES]:
        yield f"    {case_id}"


def case_lines(case: Case) -> Iterator[str]:
    """Yield the lines that explain a case: the call, its clauses and what is expected."""
    request = build(case)
    yield case.id
    yield f"  calls {SYSTEMS[case.system]} as a {case.form}"
    if case.bad != "no":
        yield f"  breaks a requirement: {case.bad}"
    for name, value in request.arguments.items():
        yield f"  {name} = {value!r}"
    for name, array in request.arrays.items():
        strides = [stride // array.view.itemsize for stride in array.view.strides]
        shape = " x ".join(map(str, array.view.shape)) or "scalar"
        words = f"  {name}: {shape} {array.dtype}"
        if not array.view.flags.c_contiguous:
            words += f", strides {strides}"
        if not array.view.flags.writeable:
            words += ", read-only"
        yield words + f"; {_range(array.values)}"
    yield "  steps:"
    for step in request.steps:
        yield f"    {_step(step, request.wrt)}"
    yield "  observes:"
    for clause_id in clauses_of(case):
        yield f"    {clause_id}: {by_id(clause_id).check}"
    yield "  expected:"
    expected = expect(case, request)
    for line in expected.summary():
        yield f"    {line}"
    for opening in _openings(expected):
        yield f"  open: {opening.what}"
        yield f"    {opening.why}"
        for source in opening.sources:
            yield f"    page {source.page}   “{source.words}”"


def _openings(expected: Expected) -> list[Opening]:
    """Return the questions that the pages leave open about a case, each once."""
    names = ["accepted" for step in expected.steps if step.raises == "may"] + [
        reading.name
        for step in expected.steps
        for output in step.outputs.values()
        for reading in output.readings
    ]
    found = (opening_of(name) for name in names)
    return list(dict.fromkeys(opening for opening in found if opening is not None))


def _range(values: Any) -> str:
    if not values.size:
        return "empty"
    if values.size == 1:
        return f"{values.reshape(-1)[0]}"
    return f"from {values.min()} to {values.max()}"


def _step(step: dict[str, Any], wrt: Sequence[str]) -> str:
    if step["do"] == "forward":
        return f"{step['as']} = forward({', '.join(step['arrays'].values())})"
    words = f"backward of {step['of']} to {', '.join(wrt)}"
    if step["grad_output"] is not None:
        words += f", with {step['grad_output']}"
    return words + (", to be repeated" if step["retain"] else "")
