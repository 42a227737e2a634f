"""Samples of any layout and storage, to and from the layouts and types that kernels work in."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .numbers import narrow, widen


@kernel()
def load(
    begin: Any,
    end: Any,
    positions: Any,
    classes: Any,
    x: Any,
    start: Any,
    steps: Any,
    to: Any,
    to_steps: Any,
) -> None:
    """Copy the samples from ``begin`` to ``end``, sample n·D + d being position d of batch item n.

    Parameters
    ----------
    x, start, steps
        Flat memory, position of its first element, distances along batch, classes, positions.
    to, to_steps
        Flat memory from 0 on, distances along samples and classes.
    """
    if to_steps[1] == 1:
        for sample in range(begin, end):
            n = sample // positions
            at = start + n * steps[0] + (sample - n * positions) * steps[2]
            line = to[(sample - begin) * to_steps[0] : (sample - begin) * to_steps[0] + classes]
            if steps[1] == 1:
                row = x[at : at + classes]
                for c in range(classes):
                    line[c] = widen(row[c])
            else:
                for c in range(classes):
                    line[c] = widen(x[at + c * steps[1]])
        return
    n = begin // positions
    d = begin - n * positions
    done = 0
    while done < end - begin:
        count = min(positions - d, end - begin - done)
        at = start + n * steps[0] + d * steps[2]
        if steps[2] == 1:
            for c in range(classes):
                row = x[at + c * steps[1] : at + c * steps[1] + count]
                line = to[done + c * to_steps[1] : done + c * to_steps[1] + count]
                for lane in range(count):
                    line[lane] = widen(row[lane])
        else:
            for lane in range(count):
                for c in range(classes):
                    to[done + lane + c * to_steps[1]] = widen(
                        x[at + lane * steps[2] + c * steps[1]]
                    )
        done += count
        n += 1
        d = 0


@kernel()
def store(
    begin: Any,
    end: Any,
    positions: Any,
    classes: Any,
    out: Any,
    start: Any,
    steps: Any,
    source: Any,
    source_steps: Any,
) -> None:
    """Copy back what :func:`load` brought, each number rounded to the type it is stored in."""
    if source_steps[1] == 1:
        for sample in range(begin, end):
            n = sample // positions
            at = start + n * steps[0] + (sample - n * positions) * steps[2]
            first = (sample - begin) * source_steps[0]
            line = source[first : first + classes]
            if steps[1] == 1:
                row = out[at : at + classes]
                for c in range(classes):
                    row[c] = narrow(np.float64(line[c]), row[c])
            else:
                for c in range(classes):
                    out[at + c * steps[1]] = narrow(np.float64(line[c]), out[at])
        return
    n = begin // positions
    d = begin - n * positions
    done = 0
    while done < end - begin:
        count = min(positions - d, end - begin - done)
        at = start + n * steps[0] + d * steps[2]
        if steps[2] == 1:
            for c in range(classes):
                row = out[at + c * steps[1] : at + c * steps[1] + count]
                line = source[done + c * source_steps[1] : done + c * source_steps[1] + count]
                for lane in range(count):
                    row[lane] = narrow(np.float64(line[lane]), row[lane])
        else:
            for lane in range(count):
                for c in range(classes):
                    value = np.float64(source[done + lane + c * source_steps[1]])
                    out[at + lane * steps[2] + c * steps[1]] = narrow(value, out[at])
        done += count
        n += 1
        d = 0
