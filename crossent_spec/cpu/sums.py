"""Sums over samples, exact to less than an ulp of float64 and always in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .vectors import LANES, load, repeated, store


@kernel(allocates=True)
def compensated(values: Any) -> Any:
    """Σ values, the rounding errors of every addition summed beside (Neumaier, 1974), in lanes."""
    n = np.uint64(values.size)
    full = n & ~np.uint64(LANES - 1)
    highs, lows = repeated(0.0), repeated(0.0)
    for i in range(np.uint64(0), full, np.uint64(LANES)):
        b = load(values, i)
        sums = highs + b
        part = sums - highs
        lows = lows + ((highs - (sums - part)) + (b - part))
        highs = sums
    high, low = np.empty(LANES), np.empty(LANES)
    store(high, np.uint64(0), highs)
    store(low, np.uint64(0), lows)
    total = 0.0
    rest = 0.0
    for i in range(np.uint64(LANES) + n - full):
        b = high[i] if i < LANES else values[full + i - np.uint64(LANES)]
        rest += low[i] if i < LANES else 0.0
        a = total
        total = a + b
        part = total - a
        rest += (a - (total - part)) + (b - part)
    # The errors of an infinite or undefined sum mean nothing.
    return total + rest if np.isfinite(total) else total


@kernel()
def gathered(weights: Any, y: Any, keep: Any, found: Any) -> None:
    """Weight of every sample's class, 0 where the sample is ignored."""
    for n in range(y.size):
        found[n] = weights[y[n]] if keep[n] else 0.0
