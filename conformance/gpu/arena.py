"""The memory of :mod:`.machine`: what is there, what has been written, and who was where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Bytes at whose multiples arrays begin, as CUDA's do, and least bytes between them.
ALIGNED = 256
#: How far threads are apart: of one, of a warp, of a block, of several blocks.
ONE, IN_WARP, IN_BLOCK = 0, 1, 2


class FaultError(RuntimeError):
    """A kernel did what a GPU would not do, or not always in the same way."""


class Memory:
    """Bytes at addresses of the host's, which hold nothing until something is written.

    Parameters
    ----------
    size
        Bytes.
    base
        Address of the first; ``None`` for where it lies.
    """

    def __init__(self, size: int, base: int | None = None) -> None:
        self._owner = np.zeros(size + ALIGNED, np.uint8)
        begin = -self._owner.ctypes.data % ALIGNED
        self.data = self._owner[begin : begin + size // 8 * 8]
        self.base = self.data.ctypes.data if base is None else base
        self.allocated = np.zeros(self.data.size, bool)
        self.written = np.zeros(self.data.size, bool)
        #: Where arrays begin and how long they are, in order.
        self._arrays: list[tuple[int, int]] = []

    @property
    def used(self) -> int:
        """Bytes up to the end of the last array."""
        return sum(self._arrays[-1]) if self._arrays else 0

    def allocate(self, size: int) -> int:
        """Return the address of so many bytes that nobody else has."""
        begin = 0
        for start, length in self._arrays:
            if begin + size < start:
                break
            # A byte at least stays between two.
            begin = -(-(start + length + 1) // ALIGNED) * ALIGNED
        if begin + size > self.data.size:
            raise MemoryError(f"the machine has {self.data.size} bytes only")
        self._arrays = sorted([*self._arrays, (begin, size)])
        self.allocated[begin : begin + size] = True
        self.written[begin : begin + size] = False
        return self.base + begin

    def free(self, address: int) -> None:
        """Take back what :meth:`allocate` gave."""
        begin = address - self.base
        (size,) = (length for start, length in self._arrays if start == begin)
        self._arrays.remove((begin, size))
        self.allocated[begin : begin + size] = False

    def view(self, address: int, size: int, writing: bool) -> Array:
        """Return the bytes at an address for the host to read or to write."""
        begin = address - self.base
        span = slice(begin, begin + size)
        if begin < 0 or begin + size > self.data.size or not self.allocated[span].all():
            raise FaultError(
                f"the host accesses {size} bytes at {address:#x}, outside of all arrays"
            )
        if writing:
            self.written[span] = True
        return self.data[span]

    def during(self, shadow: Shadow) -> Accesses:
        """Return the memory as a launch has it."""
        return Accesses(self, shadow)


class Shadow:
    """When threads last waited for each other, in steps of a launch."""

    def __init__(self, block: Array, warp: Array) -> None:
        self.block, self.warp = block, warp
        self.now = 1
        self._block_waited = np.zeros(block[-1] + 1, np.int64)
        self._warp_waited = np.zeros(warp[-1] + 1, np.int64)

    def ordered(self, groups: Array, warps: bool) -> None:
        """Note that the threads of blocks, or of warps, have waited for each other now."""
        self.now += 1
        (self._warp_waited if warps else self._block_waited)[groups] = self.now
        self.now += 1

    def apart(self, who: Array, last: _Last, places: Array) -> Array:
        """Tell where there was another thread with no barrier since, or others are among those."""
        before, scope, when = last.who[places], last.scope[places], last.when[places]
        there = (before > 0) & ((before != who + 1) | (scope > ONE))
        reach = np.maximum(scope, self.relation(who, np.maximum(before - 1, 0)))
        waited = (reach <= IN_WARP) & (when < self._warp_waited[self.warp[who]])
        waited |= (reach <= IN_BLOCK) & (when < self._block_waited[self.block[who]])
        return there & ~waited

    def relation(self, one: Array, other: Array) -> Array:
        """Tell how near threads are to each other."""
        apart = (one != other).astype(np.int8)
        apart += self.warp[one] != self.warp[other]
        apart += self.block[one] != self.block[other]
        return apart


class _Last:
    """Who accessed each byte last, of how many they are one, and when.

    Threads count from 1 here, so that memory that nobody touches is never touched here either.
    """

    def __init__(self, size: int) -> None:
        self.who = np.zeros(size, np.int32)
        self.scope = np.zeros(size, np.int8)
        self.when = np.zeros(size, np.int64)


class Accesses:
    """A memory during a launch."""

    def __init__(self, memory: Memory, shadow: Shadow) -> None:
        self._memory, self._shadow = memory, shadow
        size = memory.used
        self._size = size
        self._reader, self._writer = _Last(size), _Last(size)

    def load(self, address: Array, who: Array, dtype: Any, count: int) -> Array:
        """Return ``count`` elements at each thread's address, a row to a thread."""
        places = self._places(address, count * np.dtype(dtype).itemsize, "loads")
        if not self._memory.written[places].all():
            raise FaultError("loads what nobody has written")
        self._check(self._writer, who, places, "loads what another thread wrote")
        last, reader = self._reader, who[:, None]
        # One reader stands for all since a barrier, with how far apart these are.
        others = self._shadow.apart(reader, last, places)
        relation = self._shadow.relation(reader, np.maximum(last.who[places] - 1, 0))
        scope = np.where(others, np.maximum(last.scope[places], relation), ONE)
        scope = np.maximum(scope, self._at_once(address, who)[:, None])
        last.who[places], last.when[places] = reader + 1, self._shadow.now
        last.scope[places] = scope
        return np.ascontiguousarray(self._memory.data[places]).view(dtype)

    def store(self, address: Array, who: Array, values: Array) -> None:
        """Write each thread's row of elements to its address."""
        size = values.shape[1] * values.dtype.itemsize
        places = self._places(address, size, "stores")
        if np.unique(address).size != address.size:
            raise FaultError("stores from several threads to one place")
        self._check(self._writer, who, places, "stores over what another thread wrote")
        self._check(self._reader, who, places, "stores where another thread reads")
        self._memory.data[places] = values.view(np.uint8).reshape(places.shape)
        self._memory.written[places] = True
        self._writer.who[places], self._writer.when[places] = who[:, None] + 1, self._shadow.now

    def combine(self, address: Array, values: Array, work: Callable[[Any, Any], Any]) -> Array:
        """Do an atomic operation, one thread after the other; return what was there before."""
        places = self._places(address, values.dtype.itemsize, "changes")
        if not self._memory.written[places].all():
            raise FaultError("changes what nobody has written")
        before = np.empty_like(values)
        for number, place in enumerate(places):
            held = self._memory.data[place].view(values.dtype)
            before[number] = held[0]
            self._memory.data[place] = work(held, values[number : number + 1]).view(np.uint8)
        return before

    def _places(self, address: Array, size: int, does: str) -> Array:
        """Return the numbers of the bytes, a row to a thread."""
        wrong = address % size != 0
        if wrong.any():
            where = int(address[wrong][0])
            raise FaultError(f"{does} {size} bytes at {where:#x}, which is not aligned to them")
        begin = address - self._memory.base
        limit = self._size
        outside = (begin < 0) | (begin + size > limit)
        inside = np.where(outside, 0, begin)
        places: Array = inside[:, None] + np.arange(size)
        outside |= ~self._memory.allocated[np.minimum(places, limit - 1)].all(axis=1)
        if outside.any():
            where = int(address[outside][0])
            raise FaultError(f"{does} {size} bytes at {where:#x}, outside of all arrays")
        return places

    def _at_once(self, address: Array, who: Array) -> Array:
        """Tell how far apart the threads are that come to the same place at once."""
        unique, group = np.unique(address, return_inverse=True)
        if unique.size == address.size:
            return np.zeros(address.size, np.int8)
        first, last = np.full(unique.size, who.max()), np.zeros(unique.size, int)
        np.minimum.at(first, group, who)
        np.maximum.at(last, group, who)
        # Numbers of threads grow with those of warps and blocks.
        return self._shadow.relation(first, last)[group]

    def _check(self, last: _Last, who: Array, places: Array, said: str) -> None:
        if self._shadow.apart(who[:, None], last, places).any():
            raise FaultError(f"{said}, without a barrier between them")
