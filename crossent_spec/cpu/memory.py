"""The caller's arrays as flat memory, with positions and distances counted in elements."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..dtypes import native

Array = NDArray[Any]


class Flat(NamedTuple):
    """An array's memory: element (i, j, k) of it is ``memory[start + i·s0 + j·s1 + k·s2]``."""

    memory: Array
    start: int
    steps: tuple[int, ...]


def stored(array: Array) -> Array:
    """Return an array in a form that kernels read: native, aligned, 16-bit types as integers.

    A copy only where byte order or alignment demand one.
    """
    dtype, flags = array.dtype, array.flags
    if not dtype.isnative:
        dtype = native(dtype)
        array = array.astype(dtype)
    size = dtype.itemsize
    if not flags.aligned or (not flags.c_contiguous and any(step % size for step in array.strides)):
        array = array.copy()
    return array.view(storage(dtype)) if size == 2 else array


@cache
def storage(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the element type that stands for a dtype in kernels."""
    return np.dtype({"float16": "int16", "bfloat16": "uint16"}[dtype.name])


def flat(array: Array, writeable: bool = False) -> Flat:
    """Return the memory that the elements of an array span, without a copy."""
    size = array.dtype.itemsize
    if array.size == 0:
        return Flat(np.empty(0, array.dtype), 0, (0,) * array.ndim)
    steps = tuple(step // size for step in array.strides)
    if array.flags.c_contiguous:
        memory = array.reshape(-1)
        memory.flags.writeable = writeable
        return Flat(memory, 0, steps)
    lowest = array[tuple(slice(None, None, -1) if step < 0 else slice(None) for step in steps)]
    spans = [step * (count - 1) for step, count in zip(steps, array.shape, strict=True)]
    extent = 1 + sum(abs(span) for span in spans)
    memory = as_strided(lowest, (extent,), (size,), writeable=writeable)
    return Flat(memory, -sum(span for span in spans if span < 0), steps)


def read_only(array: Array) -> Array:
    """Make every argument of one kind one type to the compiler: contiguous and read-only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
