"""Matrix products into memory that is there already: SciPy's BLAS, called where its code lies.

NumPy's ``matmul`` cannot add to its result, and SciPy's own wrappers copy an operand that is not
contiguous without a word.  Here nothing is copied or converted, the interpreter's lock is free
while BLAS works, and what BLAS cannot take is refused.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from numba.extending import get_cython_function_address
from numpy.typing import NDArray

Array = NDArray[Any]

_NUMBERS: dict[str, tuple[str, Any]] = {
    "float32": ("sgemm", ctypes.c_float),
    "float64": ("dgemm", ctypes.c_double),
}


def fits(matrix: Array) -> bool:
    """Tell whether BLAS can take a matrix as it lies in memory."""
    return _layout(matrix) is not None


def multiply(left: Array, right: Array, out: Array, add: bool = False) -> None:
    """Write left·right into ``out``, or add it to what is there.

    Parameters
    ----------
    left, right, out
        Matrices (m, k), (k, n), (m, n) of one dtype, float32 or float64, that :func:`fits` takes,
        ``out`` with its columns side by side.
    """
    if out.size == 0:
        return
    name, number = _NUMBERS[out.dtype.name]
    layouts = [_layout(matrix) for matrix in (right, left, out)]
    if not left.dtype == right.dtype == out.dtype or None in layouts:
        raise ValueError("multiply: operands of one dtype and with adjacent rows or columns only")
    # BLAS counts along columns, so to it every array is its transpose: outᵀ = rightᵀ·leftᵀ.
    (of_right, right_step), (of_left, left_step), (of_out, out_step) = layouts  # type: ignore[misc]
    (m, k), n = left.shape, right.shape[1]
    if of_out != b"N" or right.shape[0] != k or out.shape != (m, n):
        raise ValueError(f"multiply: {left.shape} by {right.shape} into {out.shape}")
    sizes = [ctypes.byref(ctypes.c_int(size)) for size in (n, m, k)]
    steps = [ctypes.byref(ctypes.c_int(step)) for step in (right_step, left_step, out_step)]
    one, beta = ctypes.byref(number(1.0)), ctypes.byref(number(1.0 if add else 0.0))
    _gemm(name)(
        of_right, of_left, *sizes, one, right.ctypes.data, steps[0], left.ctypes.data, steps[1],
        beta, out.ctypes.data, steps[2],
    )  # fmt: skip


def _layout(matrix: Array) -> tuple[bytes, int] | None:
    """Return whether BLAS is to transpose what it sees, and the distance of rows (columns)."""
    if matrix.dtype.name not in _NUMBERS or not (matrix.dtype.isnative and matrix.flags.aligned):
        return None
    size = matrix.itemsize
    for flag, along, across in ((b"N", 1, 0), (b"T", 0, 1)):
        extent, count = matrix.shape[along], matrix.shape[across]
        distance = matrix.strides[across] if count > 1 else extent * size
        adjacent = extent <= 1 or matrix.strides[along] == size
        if adjacent and distance % size == 0 and distance >= extent * size:
            return flag, max(1, distance // size)
    return None


@cache
def _gemm(name: str) -> Any:
    address = get_cython_function_address("scipy.linalg.cython_blas", name)
    pointer = ctypes.c_void_p
    return ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, *[pointer] * 11)(address)
