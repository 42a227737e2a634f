"""The corpus: every case, in a fixed order, from the families of each system."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from functools import cache
from typing import Any

from ..case import Case
from ..clauses import clauses_of
from . import calls, found, linear, logits, pairs, unseen

#: What a case may hold before --quick leaves it to the full corpus.
QUICK_ELEMENTS = 6000
#: How many pairs of field values that none before showed make a case worth its time there.
QUICK_PAIRS = 40


@cache
def _full() -> tuple[Case, ...]:
    all_cases: dict[Case, None] = {}
    for system in ("ce", "oneflow", "unit"):
        all_cases.update(dict.fromkeys(logits.cases(system)))
        all_cases.update(dict.fromkeys(calls.cases(system)))
    all_cases.update(dict.fromkeys(calls.special()))
    all_cases.update(dict.fromkeys(linear.cases()))
    all_cases.update(dict.fromkeys(found.cases()))
    all_cases.update(dict.fromkeys(unseen.cases()))
    all_cases.update(dict.fromkeys(pairs.cases()))
    return tuple(all_cases)


def corpus(quick: bool = False) -> list[Case]:
    """Return the cases, every one once.

    Parameters
    ----------
    quick
        Only about a tenth of them: what shows every clause and every value of every field in
        each system, the sizes where loops change, and nearly half of the pairs of values.
    """
    if not quick:
        return list(_full())
    chosen: dict[Case, None] = {}
    seen: set[tuple[Any, ...]] = set()
    for case in _full():
        single = {(case.system, clause) for clause in clauses_of(case)} | _values(case)
        pairs = _pairs(case)
        small = _elements(case) <= QUICK_ELEMENTS
        if single - seen or (small and len(pairs - seen) >= QUICK_PAIRS):
            chosen[case] = None
            seen |= single | pairs
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


def _values(case: Case) -> set[tuple[Any, ...]]:
    """Return what a case shows by one field, or a few that belong together."""
    own: set[tuple[Any, ...]] = {
        (name, getattr(case, name))
        for name in ("bad", "target_dtype", "ignore_index", "mult", "logits", "probs", "weight")
    }
    own.add(("dtype of bad target", case.bad, case.target_dtype))
    if case.bad == "no":
        if case.system == "ce":
            own.add(("half", case.logits, case.dtype in ("f16", "bf16")))
        if case.script == "once":
            own |= {("options", case.options), ("script", case.script)}
        else:
            own.add(("script", case.script, case.options != "absent", case.retain, case.reduction))
        square = case.num_classes in (case.logits_shape[-1:] if len(case.shape) > 2 else case.shape)
        own.add(("square", square, len(case.logits_shape)))
        if 0 in case.shape or (case.system == "ce" and len(case.shape) > 2):
            own.add(("shape", case.shape))
        if case.system == "linear":
            own |= {("features", case.shape[-1] | 1), ("batch", case.shape[0] | 1)}
        if case.system == "ce" and case.logits in ("last", "peak", "tail"):
            own |= {("classes", case.num_classes), ("batch", case.shape[0] | 1)}
    return {(case.system, *value) for value in own}


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
