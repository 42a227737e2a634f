"""The suite's own random numbers: the same on every machine and NumPy version.

A stream is named by a text.  Its k-th number is SplitMix64 (Steele, Lea and Flood, *Fast
splittable pseudorandom number generators*, 2014) at the state seed + k·GOLDEN, where the seed is
the first eight bytes, little-endian, of the SHA-256 of the name.  Everything after that is exact
or one correctly rounded IEEE operation at a time, in a fixed order.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def bits(name: str, count: int) -> NDArray[np.uint64]:
    """The first ``count`` 64-bit numbers of a stream.

    >>> [hex(number) for number in bits("example", 2).tolist()]
    ['0x569832a0fb8c8950', '0xe30af7861ae29731']
    """
    seed = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        z = seed + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Multiples of 2^-53, uniform in [0, 1)."""
    count = int(np.prod(shape, dtype=np.int64))
    high = (bits(name, count) >> np.uint64(11)).astype(np.float64)
    return (high * 2.0**-53).reshape(shape)


def normal(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Sums of twelve uniform numbers, minus six: mean 0, variance 1, within ±6."""
    parts = uniform(name, (12, *shape))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total - 6.0


def integers(name: str, shape: tuple[int, ...], bound: int) -> NDArray[np.int64]:
    """Integers, uniform in [0, bound)."""
    return (uniform(name, shape) * bound).astype(np.int64)
