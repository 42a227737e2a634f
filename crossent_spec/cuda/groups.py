"""Reductions over the threads that share a sample: part of a warp, a warp, or a whole block."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from numba import cuda

from .target import WARP, device_function, over_lanes


@device_function
def larger(a: Any, b: Any) -> Any:
    """The larger of two numbers; ``a`` where ``b`` is NaN."""
    return b if b > a else a


@device_function
def plus(a: Any, b: Any) -> Any:
    """The sum."""
    return a + b


class Group(NamedTuple):
    """Maximum and sum over a group's threads, which each of them receives.

    In an order of their own that no other block changes, and the same for every thread: results
    are the same from run to run.
    """

    largest: Any
    total: Any


@cache
def group(threads: int, real: Any) -> Group:
    """Return the reductions over ``threads`` consecutive threads, a power of two.

    All threads of a block must take part.
    """
    return Group(*(_reduction(threads, real, *of) for of in ((larger, float("-inf")), (plus, 0.0))))


def _reduction(threads: int, real: Any, combine: Any, neutral: float) -> Any:
    lanes, warps = min(threads, WARP), max(threads // WARP, 1)
    nothing = real(neutral)
    assert threads & (threads - 1) == 0

    within_warp = over_lanes(combine, lanes)
    if warps == 1:
        return within_warp

    @device_function
    def within_block(value: Any) -> Any:
        parts = cuda.shared.array(WARP, real)
        thread = cuda.threadIdx.x
        value = within_warp(value)
        cuda.syncthreads()
        if thread % WARP == 0:
            parts[thread // WARP] = value
        cuda.syncthreads()
        mine = thread % WARP
        return within_warp(parts[mine] if mine < warps else nothing)

    return within_block
