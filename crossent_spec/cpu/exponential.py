"""exp of numbers that are not positive, in plain arithmetic, which vectorises to full width.

exp(d) = 2^k·exp(r) with k = round(d/log 2) and r = d − k·log 2.  Adding 1.5·2^52 to d/log 2 leaves
k in the sum's last bits, and 2^k is a shift away.  The polynomials come from
``tools/exp_coefficients.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .compiling import kernel
from .numbers import bits64, from_bits64

# relative error at most 2^-32.00
SINGLE = (
    1.000000004726356,
    0.5000000047078592,
    0.16666635040258235,
    0.041666352717937345,
    0.008338589113269467,
    0.0013941140875441222,
    0.00017378944397834,
)
# relative error at most 2^-60.57
DOUBLE = (
    0.5,
    0.16666666666666666,
    0.041666666666666706,
    0.008333333333333269,
    0.0013888888888865607,
    0.00019841269841475295,
    2.4801587360854454e-05,
    2.7557318932303223e-06,
    2.755724361499213e-07,
    2.5052289513196564e-08,
    2.092395047730008e-09,
    1.6029203980821767e-10,
)
LOG2_HIGH = 0.6931471803691238
LOG2_LOW = 1.9082149292705877e-10
LOG2 = 0.6931471805599453
INVERSE_LOG2 = 1.4426950408889634

#: 1.5·2^52, and the exponent's bias, so that the last bits of the sum are a biased exponent.
ROUNDER = 1.5 * 2.0**52 + 1023
#: Below it exp is less than the smallest normal float64 and counts as zero.
SMALLEST = -708.0


@kernel()
def exp_single(d: Any) -> Any:
    """exp(d) for d ≤ 0 to 2^-31, in float64 arithmetic; exactly 1 for 0, NaN for NaN.

    Less than 10^-307 below -708, not zero: nothing beside a float32.
    """
    d = SMALLEST if d < SMALLEST else d
    shifted = d * INVERSE_LOG2 + ROUNDER
    r = d - (shifted - ROUNDER) * LOG2
    c1, c2, c3, c4, c5, c6, c7 = SINGLE
    p = 1.0 + r * (c1 + r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * c7))))))
    return p * from_bits64(bits64(shifted) << 52)


@kernel()
def exp_double(d: Any, lost: Any) -> Any:
    """exp(d + lost) for d ≤ 0 to less than an ulp of float64; exactly 1 for 0, NaN for NaN.

    Results below the smallest normal number are zero.
    """
    shifted = d * INVERSE_LOG2 + ROUNDER
    k = shifted - ROUNDER
    high = d - k * LOG2_HIGH
    low = k * LOG2_LOW
    r = high - low
    # exp(r + lost) = exp(r) + lost·exp(r), to first order.
    rest = (high - r) - low + lost * (1.0 + r * (1.0 + 0.5 * r))
    c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13 = DOUBLE
    q = c8 + r * (c9 + r * (c10 + r * (c11 + r * (c12 + r * c13))))
    q = c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * (c7 + r * q)))))
    p = 1.0 + (r + (rest + r * r * q))
    e = p * from_bits64(bits64(shifted) << 52)
    return 0.0 if d < SMALLEST else e


@kernel()
def lost_by_subtraction(x: Any, m: Any, d: Any) -> Any:
    """X − m − d exactly, where d is x − m rounded (Knuth's TwoSum); 0 for infinities."""
    part = d - x
    error = (x - (d - part)) - (m + part)
    return error if abs(d) <= -SMALLEST else 0.0


def exp_shifted(x: Any, m: Any, mult: Any) -> Any:
    """Return d = mult·(x − m) ≤ 0 and exp(d), as exact as numbers of the type of ``x`` need it."""
    raise NotImplementedError("compiled only")


@overload(exp_shifted, inline="always", strict=False)
def _exp_shifted(x: Any, m: Any, mult: Any) -> Any:  # noqa: ARG001
    if x == types.float64:

        def double(x, m, mult):  # type: ignore[no-untyped-def]
            d = x - m
            lost = lost_by_subtraction(x, m, d)
            return mult * d, exp_double(mult * d, mult * lost)

        return double

    def single(x, m, mult):  # type: ignore[no-untyped-def]
        d = mult * (np.float64(x) - m)
        return d, exp_single(d)

    return single
