"""A matrix in the working type, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import threads
from .compiling import kernel
from .memory import stored
from .numbers import widen
from .products import fits

Array = NDArray[Any]

#: Bytes of a block: small enough to stay cached between its conversion and its product.
BLOCK = 8 << 20
#: Elements that one thread converts at a time.
PART = 1 << 17


@kernel()
def widened(begin: Any, end: Any, matrix: Any, out: Any) -> None:
    """Convert the rows from ``begin`` to ``end``."""
    for i in range(begin, end):
        for j in range(matrix.shape[1]):
            out[i, j] = widen(matrix[i, j])


def blocks(matrix: Array, dtype: np.dtype[Any]) -> Iterator[tuple[slice, Array]]:
    """Yield all rows of a matrix with their place, in a form that products take.

    The matrix itself where it is in that form; otherwise blocks of it, each of which lasts until
    the next.
    """
    rows, columns = matrix.shape
    if matrix.dtype == dtype and fits(matrix):
        yield slice(0, rows), matrix
        return
    count = rows_of_block(columns, dtype)
    memory = np.empty((min(count, rows), columns), dtype)
    for begin in range(0, rows, count):
        part = slice(begin, min(begin + count, rows))
        block = memory[: part.stop - begin]
        convert(matrix[part], block)
        yield part, block


def rows_of_block(columns: int, dtype: np.dtype[Any]) -> int:
    """Return how many rows of so many columns make a block."""
    return max(1, BLOCK // max(1, columns * dtype.itemsize))


def convert(matrix: Array, out: Array) -> None:
    """Convert a matrix into ``out``, of a dtype that holds all its values."""
    source = stored(matrix).view()
    source.flags.writeable = False

    operands = [source, out]

    def work(begin: int, end: int) -> None:
        widened(begin, end, *operands)

    threads.in_parts(work, len(out), max(1, PART // max(1, out.shape[1])))
    # A helper that came too late may still hold ``work``, but not the memory.
    operands.clear()
