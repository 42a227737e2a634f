"""Which cases become vectors: small ones that a file in any language's hands can say in full."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable
from typing import Any

from ..case import Case
from ..clauses import clauses_of
from .vector import CALLS

#: Elements of the largest array of a vector, but for a clause that nothing smaller shows.
LARGEST, LARGEST_OF_ALL = 200, 1000

_LAYOUTS = [field.name for field in dataclasses.fields(Case) if field.name.endswith("layout")]


def select(cases: Iterable[Case]) -> list[Case]:
    """Return the cases that become vectors, sorted by id.

    A case is taken if it is the first to show a clause of its system, or two field values
    together.
    """
    chosen: list[Case] = []
    seen: set[tuple[Any, ...]] = set()
    for case in cases:
        elements = _elements(case)
        if not _is_plain(case) or elements > LARGEST_OF_ALL:
            continue
        shown = {(case.system, clause) for clause in clauses_of(case)}
        if elements <= LARGEST:
            shown |= _pairs(case)
        if not shown <= seen:
            chosen.append(case)
            seen |= shown
    return sorted(chosen, key=lambda case: case.id)


def _is_plain(case: Case) -> bool:
    """Tell whether values and one short script say all of a case."""
    return case.script in CALLS and all(getattr(case, name) == "c" for name in _LAYOUTS)


def _elements(case: Case) -> int:
    """Return the size of the largest array."""
    sizes = [math.prod(case.shape), math.prod(case.logits_shape)]
    if case.system == "linear":
        sizes.append(math.prod(case.classes) * case.shape[-1])
    return max(sizes)


def _pairs(case: Case) -> set[tuple[Any, ...]]:
    """Return every two of a case's field values, with shapes by their kind."""
    values: dict[str, Any] = {
        field.name: getattr(case, field.name)
        for field in dataclasses.fields(case)
        if field.name not in ("system", "shape", "classes", "seed", "form", "reduction")
        and (field.name in ("target", "dtype") or getattr(case, field.name) != field.default)
    }
    values["reduction"] = case.effective_reduction
    rank = len(case.logits_shape)
    values["kind"] = (case.target, case.dtype)
    values["empty"] = 0 in case.sample_shape
    values["rank"] = min(rank, 4)
    values["classes"] = min(case.num_classes, 5)
    return {
        (case.system, *first, *second)
        for first, second in itertools.combinations(sorted(values.items()), 2)
    }
