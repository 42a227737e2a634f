"""Gradients of samples where ∂result/∂l, or a weight, is vast: what counts as nothing elsewhere.

As :mod:`crossent_spec.cpu.steep`: an exponential too little for float32 is something once it is
multiplied by 2^100, and infinity times anything but nothing is infinite.  So each logit's gradient
is worked out in float64 from the logit itself, which is read once more.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .fetching import shares_of
from .target import device_function, exp, load, single, store

#: Of the factor of a sample's exponentials.  With less, what float32 flushes is less than 2^-94.
MOST = 2.0**32
#: The least number of float64, and an R that float32 has to all its digits.
LEAST_OF_ALL, LITTLE = 5e-324, 2.0**-60


class Steep(NamedTuple):
    """``beside(…)`` sums a thread's exponentials, ``write(…)`` writes a thread's gradients.

    In between, the group's threads add up their sums.
    """

    beside: Any
    write: Any


@cache
def steep(plan: Any) -> Steep:
    """Return what evaluates a sample whose gradient is steep."""
    real: Any = np.float64 if plan.wide else np.float32
    threads, probabilities, scaled = plan.threads, plan.probabilities, plan.scaled
    dense = probabilities or plan.smooth
    infinity, zero, one = np.float64(np.inf), np.float64(0), np.float64(1)
    least, little = np.float64(LEAST_OF_ALL), np.float64(LITTLE)
    share, _ = shares_of(plan, 1)
    # From float64 to 16 bits by way of float32, as the others are.
    final: Any = single if plan.twice else real

    @device_function
    def below_top(x: Any, place: Any, mult: Any, top: Any) -> Any:
        """How far a logit is below the largest one."""
        value = real(load(x, place))
        if scaled:
            value *= mult
        return np.float64(value) - np.float64(top)

    @device_function
    def something(value: Any, like: Any, s: Any) -> Any:
        """A number with the sign of ``like`` that is not zero if that is not, where s is ∞."""
        if value == zero and like != zero and abs(s) == infinity:
            return math.copysign(least, like)
        return value

    @device_function
    def beside(
        x: Any, begin: Any, step: Any, mult: Any, lane: Any, classes: Any, top: Any
    ) -> Any:  # fmt: skip
        """A thread's part of Σ exp(x − m) over the logits that are not the largest."""
        found = zero
        for c in range(lane, classes, threads):
            d = below_top(x, begin + c * step, mult, top)
            if -infinity < d < zero:
                # Something of each, that none be left out.
                found += max(exp(d), least)
        return found

    @device_function
    def write(
        x: Any, begin: Any, step: Any, mult: Any, q: Any, q_at: Any, q_step: Any, w: Any,
        sharp: Any, uniform: Any, lane: Any, classes: Any, top: Any, beside: Any, little_rest: Any,
        weights: Any, evenly: Any, spike: Any, target: Any, s: Any, out: Any, out_at: Any,
        out_step: Any,
    ) -> None:  # fmt: skip
        """∂result/∂x of a thread's classes, s·(A·exp(x − m)/(1 + R) − a)."""
        rest = np.float64(little_rest)
        if rest < little:
            rest = beside
        of_all = np.float64(weights)
        factor = of_all / (one + rest)
        lacking = of_all * (rest / (one + rest))
        if beside > zero:
            lacking = something(lacking, of_all, s)
        low = rest < one and abs(of_all) < infinity
        for c in range(lane, classes, threads):
            d = below_top(x, begin + c * step, mult, top)
            a = np.float64(share(q, q_at, q_step, w, c, sharp, uniform)) if dense else zero
            own = not probabilities and c == target
            if d == zero and low:
                # Of a class that has nearly all probability, what it lacks.
                g = ((np.float64(evenly) if own else of_all) - a) - lacking
            else:
                g = factor * exp(d)
                if d > -infinity:
                    g = something(g, of_all, s)
                g -= a + np.float64(spike) if own else a
            store(out, out_at + c * out_step, final(s * g))

    return Steep(beside, write)
