"""The catalogue: every statement of the documentation pages, as a check on a framework.

>>> by_id("index.mean.divides-by-target-weights").formula
'ℓ = Σ_n l_n / Σ_n w[y_n] · 1{y_n ≠ ignore_index}, not Σ_n l_n / N'
>>> clauses_of(Case.parse("oneflow/index/8x5/f32/mean,bad=input-unbatched"))
('oneflow.input.batched-only',)
"""

from __future__ import annotations

import difflib

from conformance.case import SYSTEMS, Case
from conformance.clauses import (
    dtypes,
    examples,
    ignore,
    index,
    inputs,
    legacy,
    linear,
    oneflow,
    probabilities,
    reduction,
    shapes,
    smoothing,
    state,
    unit,
    weight,
)
from conformance.clauses.clause import PAGES, Clause, Source

__all__ = ["CATALOGUE", "PAGES", "Clause", "Source", "by_id", "clauses_of"]

#: Every clause: what the pages share in the order of page 002, then what one page adds.
CATALOGUE: tuple[Clause, ...] = (
    *inputs.CLAUSES,
    *index.CLAUSES,
    *probabilities.CLAUSES,
    *weight.CLAUSES,
    *legacy.CLAUSES,
    *ignore.CLAUSES,
    *reduction.CLAUSES,
    *smoothing.CLAUSES,
    *shapes.CLAUSES,
    *dtypes.CLAUSES,
    *linear.CLAUSES,
    *state.CLAUSES,
    *unit.CLAUSES,
    *oneflow.CLAUSES,
    *examples.CLAUSES,
)

_BY_ID = {clause.id: clause for clause in CATALOGUE}
_OBSERVABLE = {
    system: tuple(clause for clause in CATALOGUE if clause.observable and system in clause.systems)
    for system in SYSTEMS
}


def by_id(clause_id: str) -> Clause:
    """Return one clause.

    >>> by_id("unit.losses")
    Traceback (most recent call last):
    ...
    ValueError: clause: got 'unit.losses'; did you mean unit.loss?
    """
    if clause_id in _BY_ID:
        return _BY_ID[clause_id]
    near = difflib.get_close_matches(clause_id, _BY_ID, n=3)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        groups = dict.fromkeys(clause.group for clause in CATALOGUE)
        hint = f"the groups are {', '.join(groups)}"
    raise ValueError(f"clause: got {clause_id!r}; {hint}")


def clauses_of(case: Case) -> tuple[str, ...]:
    """Return the ids of the clauses that the case observes, in the catalogue's order."""
    return tuple(clause.id for clause in _OBSERVABLE[case.system] if clause.covers(case))
