"""The instructions of :mod:`.instructions` for the CUDA simulator, which runs kernels as Python.

It has neither 128-bit accesses nor shuffles.  What a kernel loads and stores is counted, which is
how its memory traffic is held against the least there can be.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numba.cuda.simulator.kernelapi import FakeCUDAShared

from ..dtypes import round_to

WIDE, WARP = 16, 32


def kernel(threads: int, blocks: int = 0) -> Callable[[Any], Any]:
    """Decorate a kernel; the limits matter to registers only."""
    del threads, blocks
    return cuda.jit


def device_function(function: Any) -> Any:
    """Decorate what kernels call."""
    return cuda.jit(device=True)(function)


def _shared_array(self: Any, shape: int, dtype: Any, alignment: None = None) -> Any:
    """Return the memory that a block's threads share at the place of the call.

    In the simulator's stead, where two threads that come at once have one each, and which reads
    the whole stack at every call.
    """
    del alignment
    caller = sys._getframe(1)
    place = caller.f_code.co_filename, caller.f_lineno
    # Of several threads the first one's memory stays; setdefault is one step.
    return self._allocations.setdefault(place, np.empty(shape, dtype))


FakeCUDAShared.array = _shared_array

#: Bytes by 'load' or 'store', address of the memory, and bytes of an access.
_counted: Counter[tuple[str, int, int]] = Counter()


class Traffic(NamedTuple):
    """Bytes that kernels loaded from and stored to memory, and those of them in wide accesses."""

    loaded: int
    stored: int
    loaded_wide: int
    stored_wide: int


def forget_traffic() -> None:
    """Begin to count anew."""
    _counted.clear()


def traffic(address: int) -> Traffic:
    """Return what was counted of the memory whose first element, in any order, has an address."""

    def count(kind: str, *widths: int) -> int:
        return sum(_counted[kind, address, width] for width in widths)

    every = (2, 4, 8, WIDE)
    return Traffic(
        count("load", *every), count("store", *every), count("load", WIDE), count("store", WIDE)
    )


def _count(kind: str, memory: np.ndarray[Any, Any], elements: int = 1) -> None:
    size = elements * memory.itemsize
    _counted[kind, memory.ctypes.data, size] += size


def _widened(values: Any) -> Any:
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32) if values.dtype.itemsize == 2 else values


def _narrowed(values: Any, dtype: np.dtype[Any]) -> Any:
    if dtype != np.uint16:
        return values.astype(dtype)
    import ml_dtypes

    return round_to(values.astype(np.float64), np.dtype(ml_dtypes.bfloat16)).view(np.uint16)


def _memory(array: Any) -> Any:
    return array._item._ary


def load(array: Any, index: Any) -> Any:
    """Element ``index`` of flat memory, as float32 or float64."""
    memory = _memory(array)
    _count("load", memory)
    return _widened(memory[index : index + 1])[0]


def store(array: Any, index: Any, value: Any) -> None:
    """Round ``value`` to element ``index`` of flat memory."""
    memory = _memory(array)
    _count("store", memory)
    memory[index] = _narrowed(np.asarray([value]), memory.dtype)[0]


def load_wide(array: Any, index: Any, held: Any, at: int) -> None:
    """Load 16 bytes from element ``index`` on, widened to ``held[at]`` and what follows."""
    memory = _memory(array)
    size = WIDE // memory.itemsize
    assert (memory.ctypes.data + index * memory.itemsize) % WIDE == 0
    assert 0 <= index <= memory.size - size
    _count("load", memory, size)
    held[at : at + size] = _widened(memory[index : index + size])


def store_wide(array: Any, index: Any, held: Any, at: int) -> None:
    """Round 16 bytes' worth of elements, ``held[at]`` and what follows, to ``index`` on."""
    memory = _memory(array)
    size = WIDE // memory.itemsize
    assert (memory.ctypes.data + index * memory.itemsize) % WIDE == 0
    assert 0 <= index <= memory.size - size
    _count("store", memory, size)
    memory[index : index + size] = _narrowed(held[at : at + size], memory.dtype)


def exp(value: Any) -> Any:
    """Exponential, in the type of its argument."""
    return np.exp(value)


def log1p(value: Any) -> Any:
    """log(1 + value), in the type of its argument."""
    return np.log1p(value)


def single(value: Any) -> Any:
    """Round a float64 to float32 such that rounding it again to 16 bits is rounding once."""
    nearest = np.float32(value)
    if not np.isfinite(nearest) or np.float64(nearest) == value:
        return nearest
    if abs(np.float64(nearest)) > abs(value):
        nearest = np.nextafter(nearest, np.float32(0))
    return (nearest.view(np.uint32) | np.uint32(1)).view(np.float32)


@device_function
def wait_for_lanes() -> None:
    """Do nothing: what reductions exchange has had the threads wait for each other."""


def over_lanes(combine: Any, lanes: int) -> Any:
    """Return the reduction over groups of consecutive lanes, in the order of the shuffles."""
    # As it was written: at each call of a device function the simulator looks through its module.
    plain = combine.fn

    @device_function
    def reduce_lanes(value: Any) -> Any:
        if lanes == 1:
            return value
        places = cuda.shared.array(1024, np.dtype(np.float64))
        thread = cuda.threadIdx.x
        places[thread] = value
        cuda.syncthreads()
        values = [type(value)(places[thread ^ other]) for other in range(lanes)]
        # No thread may come here again before all have read.
        cuda.syncthreads()
        distance = lanes // 2
        while distance > 0:
            # Of what the other lanes find only what this one is to receive.
            values = [plain(values[i], values[i + distance]) for i in range(distance)]
            distance //= 2
        return values[0]

    return reduce_lanes
