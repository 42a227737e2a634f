"""Copies between layouts and types, for arrays that kernels or products cannot take as they are."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from ..device_array import DeviceArray
from . import memory
from .fetching import at
from .launching import launch
from .target import device_function, kernel, load, single, store

THREADS = 256


@cache
def copies(numbers: bool, twice: bool) -> Any:
    """Compile: copy elements as they are, or as floating numbers, rounded once."""

    @device_function
    def final(value: Any) -> Any:
        return single(value) if twice else value

    @kernel(THREADS)
    def copy_elements(
        source: Any, source_start: Any, source_steps: Any, to: Any, to_start: Any,
        to_steps: Any, shape: Any, size: Any,
    ) -> None:  # fmt: skip
        i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if i < size:
            rest = i
            begin = source_start
            put = to_start
            for back in range(len(shape)):
                axis = len(shape) - 1 - back
                within = rest % shape[axis]
                rest = rest // shape[axis]
                begin += within * source_steps[axis]
                put += within * to_steps[axis]
            if numbers:
                store(to, put, final(load(source, begin)))
            else:
                to[put] = source[begin]

    return copy_elements


def copy(source: DeviceArray, to: DeviceArray, stream: Any) -> None:
    """Copy between arrays of one shape, rounding to the type of ``to``."""
    if source.size == 0:
        return
    places = []
    for array in (source, to):
        size = array.dtype.itemsize
        steps = tuple(step // size for step in array.strides)
        spans = [step * (extent - 1) for step, extent in zip(steps, array.shape, strict=True)]
        start = -sum(span for span in spans if span < 0)
        extent = 1 + sum(abs(span) for span in spans)
        first = array.pointer - start * size
        places += [memory.flat(first, extent, memory.storage(array.dtype), array), start, steps]
    numbers = source.dtype != to.dtype
    kernel_of_types = copies(numbers, source.dtype.itemsize == 8 and to.dtype.itemsize == 2)
    threads = min(THREADS, source.size)
    blocks = -(-source.size // threads)
    launch(kernel_of_types, blocks, threads, stream, *places, source.shape, source.size)


def contiguous_copy(array: DeviceArray, stream: Any) -> DeviceArray:
    """Return a copy in C order."""
    return converted(array, array.dtype, stream, always=True)


def converted(
    array: DeviceArray, dtype: np.dtype[Any], stream: Any, always: bool = False
) -> DeviceArray:
    """Return an array in C order and of a floating dtype; a copy only where it must be."""
    if not always and array.dtype == dtype and memory.is_contiguous(array):
        return array
    made = memory.empty(array.shape, dtype, stream)
    if array.ndim == 0:
        one = [DeviceArray(a, a.pointer, (1,), a.dtype) for a in (array, made)]
        copy(one[0], one[1], stream)
    else:
        copy(array, made, stream)
    return made


@cache
def zeroes() -> Any:
    """Compile: set to zero the rows whose targets are ignored at every position."""

    @kernel(THREADS)
    def zero_ignored_rows(
        matrix: Any, width: Any, y: Any, y_place: Any, ignored: Any, positions: Any, batch: Any
    ) -> None:
        n = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if n < batch:
            kept = False
            for position in range(positions):
                if np.int64(y[at(y_place, n, position)]) != ignored:
                    kept = True
            if not kept:
                for i in range(width):
                    store(matrix, n * width + i, 0.0)

    return zero_ignored_rows


def zero_rows(matrix: DeviceArray, call: Any, stream: Any) -> None:
    """Set the rows of a matrix to zero whose samples are ignored at every position.

    ``call`` is that of these samples, some of which are ignored.
    """
    batch, width = matrix.shape
    threads = min(THREADS, batch)
    launch(
        zeroes(), -(-batch // threads), threads, stream, memory.memory_of(matrix), width,
        call.y, call.y_place, call.ignored, call.positions, batch,
    )  # fmt: skip
