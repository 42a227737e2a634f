"""How families of cases are written down: fields, each with its values."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from ..case import Case

DTYPES = ("f32", "f64", "f16", "bf16")
REDUCTIONS = ("none", "mean", "sum")
TARGETS = ("index", "prob")
LAYOUTS = ("transposed", "strided", "offset", "broadcast", "readonly", "reversed")
FINITE_EXTREMES = ("wide", "offset", "equal", "zeros", "denormal", "tiny", "ascending", "first",
                   "last", "edge", "peak", "target", "against", "tail")  # fmt: skip

#: Requirements that several systems document, by the argument that breaks them.
INVALID_INDEX = (
    "target-length",
    "target-extra-axis",
    "target-shape-of-input",
    "target-too-large",
    "target-negative",
    "target-float",
)
INVALID_SMOOTHING = ("smoothing-negative", "smoothing-above-one", "smoothing-nan")
INVALID_WEIGHT = ("weight-short", "weight-long", "weight-2d", "weight-scalar")


def product(**fields: Iterable[Any]) -> Iterator[Case]:
    """Cases of every combination, each field given by its values.

    A combination that means nothing is mended, not dropped: losses that are not reduced need a
    ``grad_output``, and probabilities have no ignored index.
    """
    names = list(fields)
    for values in itertools.product(*fields.values()):
        yield mend(Case(**dict(zip(names, values, strict=True))))


def mend(case: Case) -> Case:
    """Make the fields of a case fit together; see :func:`product`."""
    changes: dict[str, Any] = {}
    if case.effective_reduction == "none" and case.grad == "default":
        changes["grad"] = "mixed"
    if not case.is_index:
        changes["ignored"] = "nowhere"
    elif case.probs != "soft" and case.logits != "page":
        changes["probs"] = "soft"
    if case.dtype == "f16" and case.weight == "large" and case.grad == "large":
        changes["grad"] = "mixed"  # their product leaves the range of float16
    if case.system == "unit":
        changes.update(weight="absent", smoothing=None)
    return dataclasses.replace(case, **changes)


def rotate(cases: Iterable[Case], **fields: tuple[Any, ...]) -> Iterator[Case]:
    """Give the cases, one after the other, the next value of each field."""
    for number, case in enumerate(cases):
        changes = {
            name: values[_turn(number, step, len(values))]
            for step, (name, values) in enumerate(fields.items())
        }
        yield mend(dataclasses.replace(case, **changes))


@cache
def _turn(number: int, step: int, length: int) -> int:
    """Return which of a field's values is next; every one comes.

    Fields go at different paces, so that those of equal length do not move in step.
    """
    turns = [at * (2 * step + 1) // (step + 1) % length for at in range(length * (step + 1))]
    if set(turns) == set(range(length)):
        return turns[number % len(turns)]
    # This pace would leave values out.
    return (number + number // length) % length
