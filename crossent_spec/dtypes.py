"""The element types of the library, rounding to them, and division."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Names of the supported types of real arguments.  bfloat16 is ml_dtypes', recognised by name so
#: that the library needs no package for callers who do not use it.
FLOATING = ("float16", "bfloat16", "float32", "float64")


@cache
def is_floating(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is one of the supported floating types, in any byte order."""
    return dtype.name in FLOATING


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is a signed or unsigned integer type (``bool`` is not)."""
    return dtype.kind in "iu"


def floating_dtype(value: Any, name: str, error: type[Exception]) -> np.dtype[Any]:
    """Return a supported floating dtype given as NumPy takes it, or by its name.

    ``error`` is what a value that is none raises, naming the argument ``name``.
    """
    try:
        if value == "bfloat16":
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)
        dtype = np.dtype(value)
    except (ImportError, TypeError):
        dtype = None
    if dtype is None or not is_floating(dtype):
        raise error(f"{name}: got {value!r}, allowed are {', '.join(FLOATING)}")
    return dtype


def to_float64(array: NDArray[Any]) -> NDArray[np.float64]:
    """Convert a supported floating array to native float64, which holds its values exactly."""
    return array.astype(np.float64)


@cache
def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is that of ml_dtypes, which NumPy's own functions may not know."""
    return dtype.name == "bfloat16"


@cache
def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in the machine's byte order, which is the only one that bfloat16 has."""
    return dtype if is_bfloat16(dtype) else dtype.newbyteorder("=")


def round_to(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round float64 values to the nearest of ``dtype``, ties to even; overflow gives infinity.

    >>> round_to(np.float64(0.1), np.dtype("float16"))
    array(0.1, dtype=float16)
    """
    values = np.asarray(values, dtype=np.float64)
    dtype = native(dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if is_bfloat16(dtype):
            return _round_to_odd_float32(values).astype(dtype)
        return values.astype(dtype)


def quotient(a: float, b: float) -> float:
    """Return a/b as IEEE 754 has it, infinite or NaN where b is zero.

    >>> quotient(-1.0, 0.0), quotient(0.0, 0.0)
    (-inf, nan)
    """
    return a / b if b else a * math.copysign(math.inf, b)


def _round_to_odd_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32 so that a second rounding, to a shorter type, is as if there were one.

    Rounding to odd: truncate, then set the last bit if anything was lost.  (Boldo and
    Melquiond, *When double rounding is odd*, 2005.)
    """
    nearest = np.atleast_1d(values.astype(np.float32))
    wide = np.atleast_1d(values)
    bits = nearest.view(np.uint32)
    finite = np.isfinite(wide) & np.isfinite(nearest)
    # One step toward zero where rounding went away from it.
    bits -= (finite & (np.abs(nearest.astype(np.float64)) > np.abs(wide))).astype(np.uint32)
    bits |= (finite & (nearest.astype(np.float64) != wide)).astype(np.uint32)
    return nearest.reshape(values.shape)
