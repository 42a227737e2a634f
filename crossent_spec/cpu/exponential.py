"""Exponentials in plain arithmetic, which vectorises to full width.

exp(x) = 2^n·exp(r) with n = round(x/log 2) and r = x − n·log 2.  Adding 1.5·2^23 (1.5·2^52 for
float64) to x/log 2 leaves n in the sum's last bits, and 2^n is a shift away.  The polynomials come
from ``tools/exp_coefficients.py``.

A row's exponentials share a factor that keeps them in range.  In float32 it is a power of two,
2^−K with K = round(m/log 2) for the largest logit m: nothing is subtracted from x, so nothing of
it is lost before the reduction.  In float64, exp(x − m) itself, with what the subtraction loses.
:func:`shared` gives the two numbers that :func:`exp_shared` needs for a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .compiling import kernel
from .numbers import bits32, bits64, from_bits64
from .vectors import at_least, power_of_two

# relative error at most 2^-27.76
SINGLE = (
    np.float32(0.4999999403953552),
    np.float32(0.1666651964187622),
    np.float32(0.04166839271783829),
    np.float32(0.008368778973817825),
    np.float32(0.001381447073072195),
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
INVERSE_LOG2 = 1.4426950408889634
HIGH32 = np.float32(0.6931471805599453)
LOW32 = np.float32(LOG2_HIGH + LOG2_LOW - float(HIGH32))
INVERSE32 = np.float32(INVERSE_LOG2)

ROUNDER32 = np.float32(1.5 * 2.0**23)
#: 1.5·2^52, and the exponent's bias, so that the last bits of the sum are a biased exponent.
ROUNDER = 1.5 * 2.0**52 + 1023
#: Below it exp is less than the smallest normal float64 and counts as zero.
SMALLEST = -708.0


@kernel()
def exp_single(x: Any, low: Any, bias: Any) -> Any:
    """exp(x)·2^−K to 0.75 ulps of float32 in the reduced range; NaN for NaN and for +inf.

    Zero where it would be less than the smallest normal float32.  Of a number or a vector.
    """
    x = at_least(x, low)
    shifted = x * INVERSE32 + ROUNDER32
    n = shifted - ROUNDER32
    r = (x - n * HIGH32) - n * LOW32
    c2, c3, c4, c5, c6 = SINGLE
    one = np.float32(1.0)
    p = one + r * (one + r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * c6)))))
    # A product, unlike a sum of exponents, leaves NaN a NaN and makes an exponent of 0 a zero.
    return p * power_of_two(shifted, bias)


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


@kernel()
def _shared_single(m: Any) -> Any:
    shifted = m * INVERSE32 + ROUNDER32
    low = ((shifted - ROUNDER32) - np.float32(127.0)) * HIGH32
    return low, np.uint32(np.uint32(127) - bits32(shifted))


@kernel()
def _own_single(m: Any) -> Any:
    shifted = m * INVERSE32 + ROUNDER32
    n = np.float64(shifted - ROUNDER32)
    r = (np.float64(m) - n * LOG2_HIGH) - n * LOG2_LOW
    c2, c3, c4, c5, c6, c7, c8, c9, _, _, _, _ = DOUBLE
    q = c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * (c7 + r * (c8 + r * c9))))))
    return 1.0 + (r + r * r * q)


def shared(m: Any) -> Any:
    """Return the two numbers by which a row with the largest logit ``m`` shifts exponentials."""
    raise NotImplementedError("compiled only")


def exp_shared(x: Any, a: Any, b: Any) -> Any:
    """Return exp(x) times the factor of a row, in the type of ``x``."""
    raise NotImplementedError("compiled only")


def own(m: Any) -> Any:
    """Return what :func:`exp_shared` would give for the largest logit itself, in float64."""
    raise NotImplementedError("compiled only")


@overload(shared, inline="always", strict=False)
def _shared(m: Any) -> Any:
    if m == types.float64:
        return lambda m: (m, np.uint32(0))
    return lambda m: _shared_single(m)


@overload(own, inline="always", strict=False)
def _own(m: Any) -> Any:
    if m == types.float64:
        return lambda m: 1.0 + (m - m)
    return lambda m: _own_single(m)


@overload(exp_shared, inline="always", strict=False)
def _exp_shared(x: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    if x == types.float64:

        def double(x, a, b):  # type: ignore[no-untyped-def]  # noqa: ARG001
            d = x - a
            return exp_double(d, lost_by_subtraction(x, a, d))

        return double
    return lambda x, a, b: exp_single(x, a, b)
