"""Gradients of a sample where ∂result/∂l is vast: what counts as nothing elsewhere may count.

An exponential too little for float32 is something once it is multiplied by 2^100, and an infinite
∂result/∂l makes infinity of everything but nothing.  So each logit's gradient is worked out in
float64 from the logit itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import lost_by_subtraction
from .numbers import narrow, widen
from .terms import coefficient

#: Between these the factor of a gradient's exponentials and what its rounding to float32 leaves are
#: normal numbers, and so are the products that are; beyond the larger one a sample is steep.  With
#: less, what is lost is less than 2^-94.
LEAST, MOST = 2.0**-100, 2.0**32

#: The least number of float64.
LEAST_OF_ALL = 5e-324


@kernel(inline="always")
def is_steep(factor: Any) -> Any:
    """Tell whether a factor of exponentials is so large, or NaN."""
    return not abs(factor) < MOST


@kernel(inline="always")
def is_level(factor: Any) -> Any:
    """Tell whether exponentials may be multiplied by a factor in float32."""
    return ((abs(factor) > LEAST) & (abs(factor) < MOST)) | (factor == 0.0)


@kernel(inline="always")
def something(value: Any, like: Any, s: Any) -> Any:
    """A number with the sign of ``like`` that is not zero if that is not, of which s makes ∞."""
    flushed = value == 0.0 and like != 0.0 and math.isinf(s)
    return math.copysign(LEAST_OF_ALL, like) if flushed else value


@kernel()
def steep(
    x: Any,
    at: Any,
    along: Any,
    n: Any,
    m: Any,
    rest: Any,
    total: Any,
    base: Any,
    q: Any,
    q_at: Any,
    q_along: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    target: Any,
    of_target: Any,
    s: Any,
    out: Any,
    to: Any,
    out_along: Any,
) -> None:
    """Gradient of a sample, s·(A·exp(x_c − m)/(1 + R) − a_c).

    Parameters
    ----------
    rest, total
        R and A.
    target, of_target
        The target's class and its a_c; a class of −1 where there is none.
    s
        ∂result/∂l of the sample.

    The others are those of :func:`.rows.rows`.
    """
    m = np.float64(m)
    alone = True
    others = 0.0
    for i in range(n):
        value = np.float64(widen(x[at + i * along]))
        if -np.inf < value < m:
            alone = False
            others += math.exp(value - m)
    if rest == 0.0:
        rest = others
    for i in range(n):
        a = coefficient(i, base, q, q_at, q_along, w, sharp, uniform)
        if i == target:
            a = of_target
        value = np.float64(widen(x[at + i * along]))
        d = value - m
        if d == 0.0 and rest < 1.0 and abs(total) < np.inf:
            # Of a class that has nearly all probability, what it lacks.
            lacking = total * (rest / (1.0 + rest))
            g = (total - a) - (lacking if alone else something(lacking, total, s))
        else:
            share = total / (1.0 + rest) * math.exp(d)
            # Not a sum, of which ∞ would make NaN.
            share *= 1.0 + lost_by_subtraction(value, m, d)
            g = (something(share, total, s) if d > -np.inf else share) - a
        place = to + i * out_along
        out[place] = narrow(s * g, out[place])
