"""Copies between layouts, for arrays whose positions do not lie in one run."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from ..device_array import DeviceArray
from . import memory
from .launching import launch
from .target import kernel

THREADS = 256


@cache
def _copy() -> Any:
    @kernel(THREADS)
    def copy(source: Any, source_start: Any, source_steps: Any, to: Any, to_start: Any,
             to_steps: Any, shape: Any, size: Any) -> None:  # fmt: skip
        i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if i < size:
            rest = i
            at = source_start
            put = to_start
            for back in range(len(shape)):
                axis = len(shape) - 1 - back
                within = rest % shape[axis]
                rest = rest // shape[axis]
                at += within * source_steps[axis]
                put += within * to_steps[axis]
            to[put] = source[at]

    return copy


def copy(source: DeviceArray, to: DeviceArray, stream: Any) -> None:
    """Copy between arrays of one shape and dtype."""
    places = []
    for array in (source, to):
        size = array.dtype.itemsize
        steps = tuple(step // size for step in array.strides)
        spans = [step * (extent - 1) for step, extent in zip(steps, array.shape, strict=True)]
        start = -sum(span for span in spans if span < 0)
        extent = 1 + sum(abs(span) for span in spans)
        first = array.pointer - start * size
        places += [memory.flat(first, extent, memory.storage(array.dtype), array), start, steps]
    blocks = -(-source.size // THREADS)
    launch(_copy(), blocks, min(THREADS, source.size), stream, *places, source.shape, source.size)


def contiguous_copy(array: DeviceArray, stream: Any) -> DeviceArray:
    """Return a copy in C order."""
    made = memory.empty(array.shape, array.dtype, stream)
    if array.size:
        if array.ndim == 0:
            array, made = (DeviceArray(a, a.pointer, (1,), a.dtype) for a in (array, made))
        copy(array, made, stream)
    return made
