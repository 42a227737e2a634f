"""What no implementation can beat: the bytes moved once, the bare matrix products."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.bench.contestant import GRADIENT, LOSS, Contestant
from conformance.bench.workloads import LINEAR, Inputs, Workload
from crossent_spec.cpu import threads
from crossent_spec.cpu.products import multiply

Array = NDArray[Any]

#: Bytes that a thread takes at a time: cut and dealt to the threads as the library does it.
SLICE = 1 << 18

READ, COPY, PRODUCTS = "bare read", "plain copy", "three bare products"


@cache
def _sum() -> Callable[[Array], int]:
    """Compile the sum of 64-bit integers.

    Integers, because the compiler may add them in any order and so adds vectors of them, in
    several accumulators; it reads as fast as memory allows.  ``np.add.reduce`` does not.
    """
    import numba

    @numba.njit("int64(int64[::1])", nogil=True)  # type: ignore[untyped-decorator]
    def total(words: Array) -> int:
        found = 0
        for position in range(words.size):
            found += words[position]
        return found

    return total


def words(array: Array) -> Array:
    """Return the memory of an array as 64-bit integers, without the bytes that fill none."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return flat[: flat.size // 8 * 8].view(np.int64)


def read(array: Array) -> int:
    """Read all of an array, with as many threads as the library uses; return its sum modulo 2^64.

    >>> read(np.arange(100))
    4950
    """
    total, memory = _sum(), words(array)
    sums: list[int] = []
    threads.in_parts(lambda a, b: sums.append(total(memory[a:b])), memory.size, SLICE // 8)
    return (sum(sums) + 2**63) % 2**64 - 2**63


def copy(array: Array, to: Array) -> Array:
    """Copy a contiguous array, with as many threads as the library uses."""
    source, goal = array.reshape(-1), to.reshape(-1)
    part = SLICE // array.itemsize
    threads.in_parts(lambda a, b: np.copyto(goal[a:b], source[a:b]), source.size, part)
    return to


def contestants(workload: Workload, inputs: Inputs) -> list[Contestant]:
    """Return the bases of a workload's tasks."""
    if workload.kind == LINEAR:
        return [_products(inputs)]
    x, target = inputs.x, inputs.target
    # Probabilities are as many bytes as the logits, and are read as well.
    others = [target] if target.dtype == x.dtype else []
    buffer = np.ones_like(x)

    def read_all() -> int:
        for other in others:
            read(other)
        return read(x)

    def copy_all() -> Array:
        for other in others:
            read(other)
        return copy(x, buffer)

    def check_sum(result: Any) -> str:
        return "" if result == int(words(x).sum()) else "it did not read everything"

    def check_copy(result: Any) -> str:
        return "" if np.array_equal(words(result), words(x)) else "it did not copy everything"

    note = "of logits and probabilities (which a copy only reads)" if others else ""
    return [
        Contestant(READ, LOSS, read_all, check_sum, note),
        Contestant(COPY, GRADIENT, copy_all, check_copy, note),
    ]


def _products(inputs: Inputs) -> Contestant:
    """Return the products that no evaluation can do without, by the library's own BLAS."""
    features, matrix = inputs.x, inputs.linear_weight
    assert matrix is not None
    # The logits stand for their gradient: the time of a product does not depend on its numbers.
    logits = np.ones((len(features), len(matrix)), features.dtype)
    of_features, of_matrix = np.ones_like(features), np.ones_like(matrix)

    def products() -> tuple[Array, Array, Array]:
        multiply(features, matrix.T, logits)
        multiply(logits, matrix, of_features)
        multiply(logits.T, features, of_matrix)
        return logits, of_features, of_matrix

    def check(result: Any) -> str:
        some = slice(0, 8)
        made, of_features, of_matrix = result
        pairs = (
            (made[some], features[some] @ matrix.T),
            (of_features[some], made[some] @ matrix),
            (of_matrix[some], made[:, some].T @ features),
        )
        close = all(
            np.allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
            for found, wanted in pairs
        )
        return "" if close else "the products are wrong"

    return Contestant(PRODUCTS, GRADIENT, products, check, "into memory that is there already")
