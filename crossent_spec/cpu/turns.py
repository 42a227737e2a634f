"""Parts of a batch, taken by turns inside a kernel.

Going back to Python for each part costs as much as ten thousand exponentials, and only one thread
at a time is there.  So every thread enters once, and parts are so small that all end together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from .compiling import kernel


class Turns(NamedTuple):
    """The samples from ``first`` on: so many runs of ``length``, cut into parts of ``samples``."""

    counter: NDArray[np.int64]
    first: int
    runs: int
    length: int
    samples: int


def all_at_once(begin: int, end: int) -> Turns:
    """Return the samples from ``begin`` to ``end`` as one part."""
    return Turns(np.zeros(1, np.int64), begin, 1, end - begin, end - begin)


@intrinsic
def _taken(_context: Any, counter: Any) -> Any:
    """The number in an array of one, which is one more for whoever comes next."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", address, ir.IntType(64)(1), "seq_cst")

    return types.int64(counter), code


@kernel(inline="always")
def next_part(turns: Any, x_start: Any, x_steps: Any, out_start: Any, out_steps: Any) -> Any:
    """The first and last + 1 sample of a part nobody has taken, and where its arrays begin.

    Steps are the distances between runs and between samples, and one that the kernel itself takes.
    No sample is left where the first is the last + 1.
    """
    per_run = -(-turns.length // turns.samples)
    number = _taken(turns.counter)
    if number >= turns.runs * per_run:
        return turns.first, turns.first, x_start, out_start
    run = number // per_run
    within = (number - run * per_run) * turns.samples
    begin = turns.first + run * turns.length + within
    return (
        begin,
        begin + min(turns.samples, turns.length - within),
        x_start + run * x_steps[0] + within * x_steps[1],
        out_start + run * out_steps[0] + within * out_steps[1],
    )
