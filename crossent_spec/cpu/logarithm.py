"""log(1 + r) of numbers that are not negative, in lanes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .compiling import kernel
from .exponential import LOG2_HIGH, LOG2_LOW
from .numbers import bits64, from_bits64

LOG2 = LOG2_HIGH + LOG2_LOW


@kernel()
def _log1p_single(r: Any) -> Any:
    """log(1 + r) to a relative error below 2^-31: enough for a result in float32.

    1 + r = 2^k·f with f in [√½, √2), and log f = 2·artanh(s), s = (f − 1)/(f + 1).
    """
    u = 1.0 + r
    # Half of the octave below √2 belongs to the next power of two.
    bits = bits64(u) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    k = np.float64((bits >> 52) - 1023)
    f = from_bits64((bits & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD)
    s = (f - 1.0) / (f + 1.0)
    t = s * s
    p = t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t * (1 / 13))))))
    large = k * LOG2 + 2.0 * (s + s * p)
    small = r * (1.0 - r * (0.5 - r * (1 / 3)))
    result = small if r < 2.0**-20 else large
    # Infinity and NaN have no exponent.
    return result if r < 1e300 else r + r


def log1p(r: Any, like: Any) -> Any:
    """log(1 + r), as exact as a result in the type of ``like`` needs it."""
    raise NotImplementedError("compiled only")


@overload(log1p, inline="always", strict=False)
def _log1p(r: Any, like: Any) -> Any:  # noqa: ARG001
    if like == types.float64:
        return lambda r, like: math.log1p(r)  # noqa: ARG005
    return lambda r, like: _log1p_single(r)  # noqa: ARG005
