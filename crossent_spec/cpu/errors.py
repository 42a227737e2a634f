"""Rounding errors that are carried along with sums (Knuth's TwoSum)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel


@kernel(inline="always")
def summed_up(total: Any, error: Any, part: Any) -> Any:
    """Sum and its rounding error with another part.

    So the error of a long row's sum is that of its parts.
    """
    new = total + part
    again = new - total
    return new, error + ((total - (new - again)) + (part - again))


@kernel(inline="always")
def settled(total: Any, error: Any) -> Any:
    """The sum with its error; infinity has none."""
    return total + (error if error == error else 0.0)


@kernel(inline="always")
def absorb(count: Any, parts: Any, totals: Any, errors: Any) -> None:
    """Per lane, add the parts to sums and to their rounding errors, and empty them."""
    for kind in range(len(parts)):
        part, total, error = parts[kind], totals[kind], errors[kind]
        for lane in range(np.uint64(count)):
            total[lane], error[lane] = summed_up(total[lane], error[lane], part[lane])
            part[lane] = 0.0


@kernel(inline="always")
def settle_sums(count: Any, totals: Any, errors: Any) -> None:
    """Per lane, take the sums' errors in."""
    for kind in range(len(totals)):
        total, error = totals[kind], errors[kind]
        for lane in range(np.uint64(count)):
            total[lane] = settled(total[lane], error[lane])
