"""R = Σ exp(x_c − m) − 1, what a sample's exponentials sum to beside the largest logit's own.

The loss of a sample that is nearly certain, and its target's gradient, are R times something.
Taking the largest logit's own exponential from the sum leaves of a small R what the sum's rounding
has left.  Then the others are summed without it, and where those have no place in float32, in
float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .compiling import kernel
from .exponential import exp_double, lost_by_subtraction
from .numbers import plus, widen


def is_small(rest: Any, like: Any) -> Any:
    """Tell whether too little is left of R, in the type that ``like`` has."""
    raise NotImplementedError("compiled only")


@overload(is_small, inline="always", strict=False)
def _is_small(rest: Any, like: Any) -> Any:  # noqa: ARG001
    limit = 3.0 if like == types.float64 else 2.0**-20
    return lambda rest, like: rest < limit  # noqa: ARG005


def is_tiny(rest: Any, classes: Any, like: Any) -> Any:
    """Tell whether exponentials that were flushed to zero may count beside R."""
    raise NotImplementedError("compiled only")


@overload(is_tiny, inline="always", strict=False)
def _is_tiny(rest: Any, classes: Any, like: Any) -> Any:  # noqa: ARG001
    # What a float64 flushes is less than its smallest normal number, as R then is.
    limit = 5e-324 if like == types.float64 else 2.0**-100
    return lambda rest, classes, like: rest < classes * limit  # noqa: ARG005


@kernel(inline="always")
def others(e: Any, at: Any, n: Any, own: Any) -> Any:
    """Sum of the exponentials that are not ``own``, the largest logit's."""
    at = np.uint64(at)
    total = 0.0
    for i in range(np.uint64(n)):
        value = e[at + i]
        total = plus(total, np.float64(value) if value != own else 0.0)
    return total


@kernel(inline="always")
def rest_of(rest: Any, unit: Any, own: Any, beside: Any) -> Any:
    """R from the sum ``beside`` of all exponentials but those that equal ``own``.

    ``unit`` is what ``own`` is a rounding of.  How many equal it is told by the less exact
    ``rest``: more than one where logits are as large as the largest, or next to it.
    """
    same = np.rint((rest * unit + own - beside) / own)
    return (beside + (same - 1.0) * own) / unit


@kernel(inline="always")
def tiny_rest(x: Any, at: Any, along: Any, n: Any, m: Any) -> Any:
    """R in float64, where one logit is the largest."""
    at, along = np.uint64(at), np.uint64(along)
    m = np.float64(m)
    total = 0.0
    for i in range(np.uint64(n)):
        value = np.float64(widen(x[at + i * along]))
        d = value - m
        total = plus(total, exp_double(d, lost_by_subtraction(value, m, d)) if d < 0 else 0.0)
    return total
