"""Sums over samples, exact to less than an ulp of float64 and always in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel

LANES = 16


@kernel()
def compensated(values: Any) -> Any:
    """Σ values, the rounding errors of every addition summed beside (Neumaier, 1974), in lanes."""
    high = np.zeros(LANES)
    low = np.zeros(LANES)
    whole = values.size - values.size % LANES
    for begin in range(0, whole, LANES):
        for lane in range(LANES):
            a = high[lane]
            b = values[begin + lane]
            total = a + b
            part = total - a
            low[lane] += (a - (total - part)) + (b - part)
            high[lane] = total
    total = 0.0
    rest = 0.0
    for i in range(LANES + values.size - whole):
        b = high[i] if i < LANES else values[whole + i - LANES]
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
