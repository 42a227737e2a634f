"""Memory layouts of the caller's arrays.

========== ======================================================================
c          contiguous, C order
transposed contiguous with the axes in reverse order (Fortran order)
strided    every second element of a longer buffer
offset     a slice from the middle of a longer buffer
broadcast  zero stride along the first axis: every row is the same memory
readonly   contiguous, write-protected
reversed   negative stride along the last axis
========== ======================================================================

Elements of the buffer beside the view hold a filler, which spoils a result that reads it and
shows it when something is written there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def place(values: Array, layout: str, filler: Any) -> tuple[Array, Array]:
    """Return a one-dimensional buffer and a view into it that holds ``values``.

    >>> base, view = place(np.array([1, 2]), "strided", 9)
    >>> base, view
    (array([1, 9, 2, 9]), array([1, 2]))
    """
    shape, size = values.shape, values.size
    if layout in ("c", "readonly") or size == 0 or values.ndim == 0:
        base = values.reshape(-1).copy()
        view = base.reshape(shape)
        if layout == "readonly":
            view.flags.writeable = False
        return base, view
    if layout == "transposed":
        base = values.T.reshape(-1).copy()
        return base, base.reshape(shape[::-1]).T
    if layout == "strided":
        base = np.full(2 * size, filler, dtype=values.dtype)
        view = base.reshape(*shape[:-1], 2 * shape[-1])[..., ::2]
    elif layout == "offset":
        base = np.full(size + 8, filler, dtype=values.dtype)
        view = base[3 : 3 + size].reshape(shape)
    elif layout == "broadcast":
        base = values[0].reshape(-1).copy()
        return base, _writeable_broadcast(base, shape)
    else:
        base = np.empty(size, dtype=values.dtype)
        view = base.reshape(shape)[..., ::-1]
    view[...] = values
    return base, view


def repeat_first(values: Array, layout: str) -> Array:
    """Make the rows alike where the layout keeps only one of them."""
    if layout == "broadcast" and values.ndim and values.size:
        return np.broadcast_to(values[:1], values.shape).copy()
    return values


def _writeable_broadcast(base: Array, shape: tuple[int, ...]) -> Array:
    first = base.reshape(shape[1:])
    return np.lib.stride_tricks.as_strided(first, shape, (0, *first.strides))
