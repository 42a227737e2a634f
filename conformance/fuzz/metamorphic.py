"""The relations by name, the cases from which they start, and how one is judged.

What each says stands in :mod:`.derivations`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.case import SYSTEMS, Case
from conformance.corpus.combine import FINITE_EXTREMES, mend
from conformance.request import build
from conformance.result import Result
from conformance.runner import Ask

from . import derivations, relation
from .relation import Derive

#: Logits of the one-reading, finite kind.
FINITE = ("normal", *FINITE_EXTREMES)


def base(case: Case) -> Case:
    """Return the nearest case from which relations can start, once it is mended."""
    changes: dict[str, Any] = {"bad": "no", "script": "once", "target_dtype": "auto"}
    if case.logits not in FINITE:
        changes["logits"] = "normal"
    if case.grad == "skip":
        changes["grad"] = "default"
    for name in ("layout", "target_layout", "weight_layout", "grad_layout"):
        if getattr(case, name) == "broadcast":
            changes[name] = "c"
    if case.probs == "page":
        changes["probs"] = "soft"
    if not case.is_index:
        changes["ignore_index"] = None  # which a framework may refuse
    return replace(case, **changes)


def prepared(name: str, case: Case) -> relation.Prepared | None:
    """Return the calls of a relation from a case; None where it does not apply."""
    if base(case) != case or 0 in case.logits_shape:
        return None
    if case.system == "unit" and case.effective_reduction == "mean" and case.ignored != "nowhere":
        return None  # page 001 says two things about that mean
    arrays = {key: array.values for key, array in build(case).arrays.items()}
    found = relation.prepare(RELATIONS[name].derive, case, arrays)
    if found is not None:
        try:
            found.check_formulas()
        except relation.SpecificationError as error:
            raise relation.SpecificationError(f"{name}:{case.id}: {error}") from None
    return found


def examine(name: str, case: Case, ask: Ask) -> Result | None:
    """Judge a framework by one relation from one case."""
    found = prepared(name, case)
    if found is None:
        return None
    return relation.examine(name, f"{name}:{case.id}", found, ask)


def _spatial(case: Case) -> Case:
    return replace(case, shape=(2, 3, 2)) if len(case.shape) < 3 else case


def _two_rows(case: Case) -> Case:
    if len(case.logits_shape) == 1:
        # The linear loss has its features there, the others their classes.
        return replace(case, shape=(2, *case.shape))
    return replace(case, shape=(max(2, case.shape[0]), *case.shape[1:]))


@dataclass(frozen=True)
class Relation:
    """A relation and the cases from which it can start.

    Attributes
    ----------
    derive
        Makes its calls and equations.
    starts
        Systems of the cases.
    also
        Other systems that it calls.
    suit
        Gives a case of those systems what the relation needs.
    """

    derive: Derive
    starts: tuple[str, ...] = tuple(SYSTEMS)
    also: tuple[str, ...] = ()
    suit: Callable[[Case], Case] = base


def _kept(case: Case) -> Case:
    return replace(case, ignored="nowhere", ignore_index=None)


_ON_LOGITS = ("ce", "oneflow", "unit")

RELATIONS: dict[str, Relation] = {
    "shift": Relation(
        derivations.shift,
        suit=lambda case: replace(case, bias="yes") if case.system == "linear" else case,
    ),
    "permute": Relation(derivations.permute),
    "absent": Relation(
        derivations.absent, suit=lambda case: _two_rows(replace(case, target="index", probs="soft"))
    ),
    "scale-weight": Relation(
        derivations.scale_weight,
        ("ce", "linear", "oneflow"),
        suit=lambda case: replace(case, weight="mixed") if case.weight == "absent" else case,
    ),
    "one-hot": Relation(
        derivations.one_hot, suit=lambda case: _kept(replace(case, target="index", probs="soft"))
    ),
    "smooth": Relation(
        derivations.smooth,
        ("ce", "linear", "oneflow"),
        suit=lambda case: _kept(replace(case, smoothing=None)),
    ),
    "flatten": Relation(derivations.flatten, _ON_LOGITS, suit=_spatial),
    "split": Relation(derivations.split, suit=_two_rows),
    "project": Relation(derivations.project, ("linear",), also=("ce",)),
    "identity": Relation(derivations.identity, ("linear",)),
}


def applicable(systems: Sequence[str]) -> list[str]:
    """Return the relations of which a framework with these systems can show something."""
    return [
        name
        for name, one in RELATIONS.items()
        if set(one.also) <= set(systems) and set(one.starts) & set(systems)
    ]


def start(name: str, case: Case) -> Case:
    """Return the nearest case from which a relation can start."""
    return mend(base(RELATIONS[name].suit(case)))
