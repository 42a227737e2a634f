"""The corpus: every case, in a fixed order, from the families of each system."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from functools import cache
from typing import Any

from ..case import Case
from ..clauses import clauses_of
from . import calls, found, linear, logits

#: What a case may hold before --quick leaves it to the full corpus.
QUICK_ELEMENTS = 6000


@cache
def _full() -> tuple[Case, ...]:
    all_cases: dict[Case, None] = {}
    for system in ("ce", "oneflow", "unit"):
        all_cases.update(dict.fromkeys(logits.cases(system)))
        all_cases.update(dict.fromkeys(calls.cases(system)))
    all_cases.update(dict.fromkeys(calls.special()))
    all_cases.update(dict.fromkeys(linear.cases()))
    all_cases.update(dict.fromkeys(found.cases()))
    return tuple(all_cases)


def corpus(quick: bool = False) -> list[Case]:
    """Return the cases, every one once.

    Parameters
    ----------
    quick
        Only about a tenth of them: small ones that between them show most pairs of field values
        of each system, and every clause.
    """
    if not quick:
        return list(_full())
    chosen: dict[Case, None] = {}
    seen: set[tuple[Any, ...]] = set()
    covered: set[tuple[str, str]] = set()
    for case in _full():
        new_clauses = {(case.system, clause) for clause in clauses_of(case)} - covered
        pairs = _pairs(case)
        if new_clauses or (_elements(case) <= QUICK_ELEMENTS and len(pairs - seen) >= 9):
            chosen[case] = None
            seen |= pairs
            covered |= new_clauses
    return list(chosen)


def clauses_by_rarity(case: Case) -> tuple[str, ...]:
    """Return the clauses that a case shows, those that few cases of its system show first.

    The first is what the case is about: every case shows that ``reduction`` has a default or
    that logits are unnormalised, few that an ignored index may lie outside the class range.
    """
    counts = _clause_counts()
    return tuple(sorted(clauses_of(case), key=lambda clause: counts[case.system, clause]))


@cache
def _clause_counts() -> Counter[tuple[str, str]]:
    return Counter((case.system, clause) for case in _full() for clause in clauses_of(case))


def _pairs(case: Case) -> set[tuple[Any, ...]]:
    """Pairs of what a case sets, with shapes by their kind."""
    values = {
        field.name: getattr(case, field.name)
        for field in dataclasses.fields(case)
        if field.name not in ("shape", "classes", "seed", "system", "form")
        and getattr(case, field.name) != field.default
    }
    rank = len(case.logits_shape)
    values["rank"] = "unbatched" if rank == 1 else "batched" if rank == 2 else "spatial"
    values["classes"] = min(case.num_classes.bit_length(), 8)
    return {
        (case.system, *first, *second)
        for first, second in itertools.combinations(sorted(values.items()), 2)
    }


def _elements(case: Case) -> int:
    count = 1
    for extent in (*case.logits_shape, case.shape[-1] if case.system == "linear" else 1):
        count *= extent
    return count
