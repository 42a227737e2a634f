"""Samples of any layout and storage, to and from the layouts and types that kernels work in."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .numbers import narrow, widen


@kernel()
def _copy(
    count: Any,
    length: Any,
    source: Any,
    start: Any,
    along: Any,
    across: Any,
    to: Any,
    to_start: Any,
    to_along: Any,
    to_across: Any,
) -> None:
    """Copy ``count`` lines of ``length`` numbers, in the order that is quickest.

    Counted unsigned and by addition: see :mod:`.rows`.
    """
    at, place = np.uint64(start), np.uint64(to_start)
    along, across = np.uint64(along), np.uint64(across)
    to_along, to_across = np.uint64(to_along), np.uint64(to_across)
    for _ in range(count):
        if along == 1 and to_along == 1:
            for i in range(np.uint64(length)):
                to[place + i] = narrow(widen(source[at + i]), to[place])
        else:
            near, far = at, place
            for _ in range(length):
                to[far] = narrow(widen(source[near]), to[far])
                near += along
                far += to_along
        at += across
        place += to_across


@kernel()
def move(
    begin: Any,
    end: Any,
    positions: Any,
    classes: Any,
    source: Any,
    start: Any,
    steps: Any,
    to: Any,
    to_start: Any,
    to_steps: Any,
) -> None:
    """Copy samples; each number is rounded once, if at all, to the type it is stored in.

    Parameters
    ----------
    begin, end
        Samples: n·D + d is position d of batch item n.
    source, start, steps
        Flat memory, the place of sample 0 and class 0, distances along batch, classes, positions.
    to, to_start, to_steps
        The same of where they go.
    """
    n = begin // positions
    d = begin - n * positions
    done = begin
    while done < end:
        count = min(positions - d, end - done)
        at = start + n * steps[0] + d * steps[2]
        place = to_start + n * to_steps[0] + d * to_steps[2]
        if steps[2] == 1 and to_steps[2] == 1:
            _copy(classes, count, source, at, 1, steps[1], to, place, 1, to_steps[1])
        else:
            _copy(
                count, classes, source, at, steps[1], steps[2], to, place, to_steps[1], to_steps[2]
            )
        done += count
        n += 1
        d = 0
