"""Float64 arrays as arrays of balls, and back: python-flint's ``arb`` in NumPy object arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

Array = NDArray[Any]
Float = NDArray[np.float64]


def to_float(values: Array) -> Float:
    """Return float64 numbers."""
    return np.asarray(values, dtype=np.float64)


def to_balls(values: Array) -> Array:
    """Return balls at the precision in force, around float64 numbers."""
    balls = np.empty(values.size, dtype=object)
    balls[:] = [arb(value) for value in np.asarray(values, dtype=np.float64).ravel().tolist()]
    return balls.reshape(values.shape)


def split(balls: Array, ieee: Array, shape: tuple[int, ...]) -> tuple[Float, Float, Float]:
    """Balls as midpoints (high + low) and radii.

    Where there is no finite ball, the value is what IEEE arithmetic makes of the formula (a ball
    knows no x/0 = ∞); a number there means that the precision did not suffice.
    """
    flat = [ball if isinstance(ball, arb) else arb(ball) for ball in balls.ravel().tolist()]
    finite = [ball.is_finite() for ball in flat]
    special = ieee.ravel().tolist()
    high = [
        float(ball.mid()) if ok else value
        for ball, value, ok in zip(flat, special, finite, strict=True)
    ]
    low = [
        float(ball.mid() - value) if ok else 0.0
        for ball, value, ok in zip(flat, high, finite, strict=True)
    ]
    radius = [float(ball.rad()) if ok else np.inf for ball, ok in zip(flat, finite, strict=True)]
    arrays = [np.array(values).reshape(shape) for values in (high, low, radius)]
    return arrays[0], arrays[1], arrays[2]
