"""Puts every framework of the catalogue to the corpus, in this process and its forks.

A lane takes every n-th case, works out its request and expectation once, when first wanted, and
shares them over all frameworks.  A fault is left alone after the first case that kills it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from conformance import worker
from conformance.case import Case
from conformance.expect import Expected, expect
from conformance.request import Request, build
from conformance.result import Result
from conformance.verdict import judge

from .adapter import Adapter
from .reference import Reference


@dataclass(frozen=True)
class Kill:
    """The first case that a framework does not pass.

    Attributes
    ----------
    number
        Place of the case in the order in which the cases were tried.
    """

    number: int
    case: str
    clauses: tuple[str, ...]
    verdict: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What became of one framework: killed by a case, or passed them all."""

    name: str
    tried: int
    kill: Kill | None


@cache
def prepared(case: Case) -> tuple[Request, dict[str, Any], Expected]:
    """Return the request of a case, its message and what it must give."""
    request = build(case)
    return request, request.message(), expect(case, request)


def verdict_on(framework: type[Reference], case: Case) -> Result:
    """Judge one framework on one case."""
    request, message, expected = prepared(case)
    return judge(request, expected, worker.answer(Adapter(framework), message))


def first_kill(framework: type[Reference], cases: Iterable[tuple[int, Case]]) -> Outcome:
    """Try cases until one kills."""
    adapter = Adapter(framework)
    tried = 0
    for number, case in cases:
        request, message, expected = prepared(case)
        result = judge(request, expected, worker.answer(adapter, message))
        tried += 1
        if result.verdict not in ("pass", "unsupported"):
            kill = Kill(number, result.case, result.clauses, result.verdict, result.message)
            return Outcome(name_of(framework), tried, kill)
    return Outcome(name_of(framework), tried, None)


def name_of(framework: type[Reference]) -> str:
    """Return a framework's name: its class's, in lower case with hyphens.

    >>> from conformance.strength.reference import Reference
    >>> name_of(Reference)
    'reference'
    """
    text = framework.__name__
    return "".join("-" * (i > 0 and c.isupper()) + c.lower() for i, c in enumerate(text))


def measure(
    frameworks: Sequence[type[Reference]], cases: Sequence[Case], jobs: int | None = None
) -> Iterator[Outcome]:
    """Yield what became of each framework, in their order.

    Parameters
    ----------
    frameworks
        Faults, variants, or both.
    cases
        What to try, in this order.
    jobs
        Processes; by default one a processor.
    """
    count = max(1, min(jobs or os.cpu_count() or 1, len(cases)))
    numbered = list(enumerate(cases))
    if count == 1:
        for framework in frameworks:
            yield first_kill(framework, numbered)
        return
    context = multiprocessing.get_context("fork")
    lanes = []
    for start in range(count):
        near, far = context.Pipe(duplex=False)
        lane = context.Process(
            target=_lane, args=(far, frameworks, numbered[start::count]), daemon=True
        )
        lane.start()
        far.close()
        lanes.append((near, lane))
    try:
        for framework in frameworks:
            found = [near.recv() for near, _ in lanes]
            kills = [outcome.kill for outcome in found if outcome.kill is not None]
            first = min(kills, key=lambda kill: kill.number, default=None)
            yield Outcome(name_of(framework), sum(outcome.tried for outcome in found), first)
    finally:
        for near, lane in lanes:
            near.close()
            lane.terminate()
            lane.join()


def _lane(
    connection: Any, frameworks: Sequence[type[Reference]], cases: list[tuple[int, Case]]
) -> None:
    for framework in frameworks:
        connection.send(first_kill(framework, cases))


def cost(case: Case) -> int:
    """Elements that a case computes with: cheap cases are tried first."""
    count = case.shape[-1] if case.system == "linear" else 1
    for extent in case.logits_shape:
        count *= extent
    return count
