"""Class indices without smoothing in float32, few classes: a block of samples at a time.

What is to be found of a sample costs as much as its classes do, and is found for many at once.  The
classes of a sample lie side by side in memory (:func:`short_rows`), or samples do
(:func:`side_by_side`).  The formulas are those of :mod:`.rows`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .blocks import (
    HIGH,
    LOW,
    OTHERS,
    PEAK,
    TARGET,
    TOTAL,
    UNIT,
    A,
    M,
    corrected,
    found,
    rests,
    shifts,
    targets,
)
from .compiling import kernel
from .fours import (
    ROWS,
    load_rows,
    load_rows_first,
    one_each,
    store_peaks,
    store_rows,
    store_rows_first,
    store_sums,
)
from .lanes import small_rests
from .numbers import prefetch
from .powers import powers
from .single import LOWEST, VAST
from .vectors import (
    LANES,
    LINE,
    larger_of,
    load,
    load_first,
    nothing_where_equal,
    repeated,
    settle,
    store,
    store_first,
    store_past,
    to_line,
    wide,
)

#: Elements of a block of rows, and of samples side by side: runs of these should be long.
BLOCK, SIDE_BLOCK = 1 << 12, 1 << 14
#: Most samples of a block of either layout.  All blocks' numbers of samples are powers of two, so
#: that the blocks are the same wherever a multiple of this is cut off.
ROWS_AT_ONCE, WIDTH = 128, 512
FULL, NEXT = np.uint64(LANES), np.uint64(LINE)


@kernel(inline="always")
def samples_of_block(elements: Any, block: Any, least: Any, most: Any) -> Any:
    """Samples of a block whose samples take so many elements of memory."""
    while most > least and most * elements > block:
        most //= 2
    return most


@kernel(inline="always")
def peaks_of_rows(x: Any, start: Any, step: Any, classes: Any, count: Any, m: Any) -> None:
    """The largest logit of each row."""
    step, n = np.uint64(step), np.uint64(classes)
    full = n & ~np.uint64(LINE - 1)
    for first in range(0, count, ROWS):
        row = np.uint64(min(first, count - ROWS))
        at = np.uint64(start) + row * step
        v = repeated(LOWEST)
        for i in range(np.uint64(0), full, NEXT):
            v = larger_of(v, load_rows(x, at + i, step))
        if full < n:
            v = larger_of(v, load_rows_first(x, at + full, step, n - full))
        store_peaks(m, row, v)


@kernel(inline="always")
def fetch_rows(x: Any, at: Any, step: Any) -> None:
    """Ask for a line of each of four rows."""
    for row in range(np.uint64(ROWS)):
        prefetch(x, at + row * step, False)


@kernel(inline="always")
def exponentials_of_rows(
    x: Any, start: Any, step: Any, classes: Any, count: Any, a: Any, b: Any, e: Any, pitch: Any
) -> None:
    """The exponentials of each row; zeros where its last line goes on.

    Meanwhile as many rows that follow these are fetched.
    """
    step, n, pitch = np.uint64(step), np.uint64(classes), np.uint64(pitch)
    full = n & ~np.uint64(LINE - 1)
    for first in range(0, count, ROWS):
        row = np.uint64(min(first, count - ROWS))
        at, e_at = np.uint64(start) + row * step, row * pitch
        low, bias = one_each(a, row), one_each(b, row)
        ahead = at + np.uint64(count) * step
        for i in range(np.uint64(0), full, NEXT):
            fetch_rows(x, ahead + i, step)
            store_rows(e, e_at + i, pitch, powers(load_rows(x, at + i, step), low, bias))
        if full < n:
            fetch_rows(x, ahead + full, step)
            v = load_rows_first(x, at + full, step, n - full)
            store_rows(e, e_at + full, pitch, powers(v, low, bias))


@kernel(inline="always")
def sums_of_rows(e: Any, pitch: Any, count: Any, total: Any) -> None:
    """The sum of each row.

    A loop of its own: what waits for one row's sum would keep the next row's exponentials waiting.
    """
    pitch = np.uint64(pitch)
    for first in range(0, count, ROWS):
        row = np.uint64(min(first, count - ROWS))
        s = wide(load_rows(e, row * pitch, pitch))
        for i in range(NEXT, pitch, NEXT):
            s = s + wide(load_rows(e, row * pitch + i, pitch))
        store_sums(total, row, s)


@kernel(inline="always")
def others_of_rows(e: Any, pitch: Any, count: Any, own_e: Any, beside: Any) -> None:
    """The sum of each row's exponentials that are not the largest logit's."""
    pitch = np.uint64(pitch)
    for first in range(0, count, ROWS):
        row = np.uint64(min(first, count - ROWS))
        top, s = one_each(own_e, row), repeated(0.0)
        for i in range(np.uint64(0), pitch, NEXT):
            s = s + wide(nothing_where_equal(load_rows(e, row * pitch + i, pitch), top))
        store_sums(beside, row, s)


@kernel(inline="always")
def gradients_of_rows(
    e: Any,
    pitch: Any,
    classes: Any,
    count: Any,
    high: Any,
    low: Any,
    out: Any,
    to: Any,
    step: Any,
) -> None:
    """The exponentials of each row times its factor."""
    step, n, pitch = np.uint64(step), np.uint64(classes), np.uint64(pitch)
    full = n & ~np.uint64(LINE - 1)
    for first in range(0, count, ROWS):
        row = np.uint64(min(first, count - ROWS))
        at, e_at = np.uint64(to) + row * step, row * pitch
        f, g = one_each(high, row), one_each(low, row)
        for i in range(np.uint64(0), full, NEXT):
            v = load_rows(e, e_at + i, pitch)
            store_rows(out, at + i, step, v * f + v * g)
        if full < n:
            v = load_rows(e, e_at + full, pitch)
            store_rows_first(out, at + full, step, n - full, v * f + v * g)


@kernel()
def rows_in_blocks(
    e: Any,
    single: Any,
    double: Any,
    b: Any,
    begin: Any,
    end: Any,
    classes: Any,
    x: Any,
    x_start: Any,
    x_step: Any,
    y: Any,
    keep: Any,
    w: Any,
    losses: Any,
    left: Any,
    scale: Any,
    out: Any,
    out_start: Any,
    out_step: Any,
) -> None:
    """Losses and gradients, given memory for a block: see :func:`short_rows`."""
    fused = scale.size > 0
    pitch = -(-classes // LINE) * LINE
    width = b.size
    at = begin
    while at < end:
        count = min(width, end - at)
        if 0 < end - at - count < ROWS:
            count -= ROWS  # for the next block to have enough
        lone = count < ROWS
        # A row that has not enough beside it stands for all of four.
        rows = ROWS if lone else count
        count = 1 if lone else count
        step, out_row = (0, 0) if lone else (x_step, out_step)
        start, to = x_start + (at - begin) * x_step, out_start + (at - begin) * out_step
        peaks_of_rows(x, start, step, classes, rows, single[M])
        if shifts(rows, single[M], single[A], b, double[UNIT]):
            left[at : at + count] = True
            at += count
            continue
        targets(x[start:], x_step, 1, y, at, count, single[TARGET])
        exponentials_of_rows(x, start, step, classes, rows, single[A], b, e, pitch)
        sums_of_rows(e, pitch, rows, double[TOTAL])
        if rests(rows, single[M], single[A], b, double[UNIT], single[PEAK], double[TOTAL]):
            others_of_rows(e, pitch, rows, single[PEAK], double[OTHERS])
            small_rests(
                x, start, step, 1, classes, rows, single[M], double[UNIT], single[PEAK],
                double[OTHERS], double[TOTAL],
            )  # fmt: skip
        odd = found(
            at, count, classes, x, start, x_step, 1, e, pitch, 1, y, keep, w, losses, scale,
            single, double,
        )  # fmt: skip
        if fused:
            if lone:
                single[HIGH, :ROWS] = single[HIGH, 0]
                single[LOW, :ROWS] = single[LOW, 0]
            gradients_of_rows(e, pitch, classes, rows, single[HIGH], single[LOW], out, to, out_row)
            corrected(at, count, classes, y, keep, e, pitch, 1, odd, double, out, to, out_step, 1)
        at += count


@kernel(allocates=True)
def short_rows(begin: Any, end: Any, classes: Any, x: Any, *others: Any) -> None:
    """Losses and, with ``scale``, gradients of samples whose classes lie side by side.

    The parameters are those of :func:`.rows.rows`; of a block, all samples are ``left`` or none.
    """
    pitch = -(-classes // LINE) * LINE
    width = samples_of_block(pitch, BLOCK, 2 * ROWS, ROWS_AT_ONCE)
    e = np.empty(width * pitch, x.dtype)
    single, double = np.empty((6, width), x.dtype), np.empty((6, width))
    b = np.empty(width, np.uint32)
    rows_in_blocks(e, single, double, b, begin, end, classes, x, *others)


@kernel(inline="always")
def peaks_side_by_side(
    x: Any, start: Any, step: Any, classes: Any, count: Any, e: Any, pitch: Any, m: Any
) -> None:
    """The largest logit of each sample, and all of them into ``e``.

    Lines a power of two apart, as classes often are, push each other out of the cache: they had
    better be read once, and as many as follow each other in a row.
    """
    n = np.uint64(count)
    for c in range(classes):
        at, e_at = np.uint64(start + c * step), np.uint64(c * pitch)
        for i in range(np.uint64(0), n, FULL):
            v = load(x, at + i) if i + FULL <= n else load_first(x, at + i, n - i, LOWEST)
            store(e, e_at + i, v)
            store(m, i, larger_of(load(m, i), v) if c > 0 else v)


@kernel(inline="always")
def exponentials_side_by_side(
    classes: Any, count: Any, a: Any, b: Any, e: Any, pitch: Any, total: Any
) -> None:
    """The exponentials of each sample in the place of its logits, and their sum."""
    n, pitch = np.uint64(count), np.uint64(pitch)
    for i in range(np.uint64(0), n, FULL):
        e_at, s = i, repeated(0.0)
        low, bias = load(a, i), load(b, i)
        for _ in range(classes):
            v = powers(load(e, e_at), low, bias)
            store(e, e_at, v)
            s = s + wide(v)
            e_at += pitch
        store(total, i, s)


@kernel(inline="always")
def others_side_by_side(
    classes: Any, count: Any, e: Any, pitch: Any, own_e: Any, beside: Any
) -> None:
    """The sum of each sample's exponentials that are not the largest logit's."""
    n, pitch = np.uint64(count), np.uint64(pitch)
    for i in range(np.uint64(0), n, FULL):
        e_at, s, top = i, repeated(0.0), load(own_e, i)
        for _ in range(classes):
            s = s + wide(nothing_where_equal(load(e, e_at), top))
            e_at += pitch
        store(beside, i, s)


@kernel(inline="always")
def gradients_side_by_side(
    e: Any,
    pitch: Any,
    classes: Any,
    count: Any,
    high: Any,
    low: Any,
    out: Any,
    to: Any,
    step: Any,
) -> None:
    """The exponentials of each sample times its factor."""
    n, lines = np.uint64(count), np.uint64(LINE - 1)
    past = out.nbytes >= VAST and (to_line(out, np.uint64(to)) | np.uint64(step) & lines) == 0
    for c in range(classes):
        at, e_at = np.uint64(to + c * step), np.uint64(c * pitch)
        for i in range(np.uint64(0), n, FULL):
            v = load(e, e_at + i)
            v = v * load(high, i) + v * load(low, i)
            if i + FULL > n:
                store_first(out, at + i, n - i, v)
            elif past:
                store_past(out, at + i, v)
            else:
                store(out, at + i, v)


@kernel()
def blocks_side_by_side(
    e: Any,
    single: Any,
    double: Any,
    b: Any,
    begin: Any,
    end: Any,
    classes: Any,
    x: Any,
    x_start: Any,
    x_step: Any,
    y: Any,
    keep: Any,
    w: Any,
    losses: Any,
    left: Any,
    scale: Any,
    out: Any,
    out_start: Any,
    out_step: Any,
) -> None:
    """Losses and gradients, given memory for a block: see :func:`side_by_side`."""
    fused, width = scale.size > 0, b.size
    for at in range(begin, end, width):
        count = min(width, end - at)
        start, to = x_start + (at - begin), out_start + (at - begin)
        peaks_side_by_side(x, start, x_step, classes, count, e, width, single[M])
        if shifts(count, single[M], single[A], b, double[UNIT]):
            left[at : at + count] = True
            continue
        targets(e, 1, width, y, at, count, single[TARGET])
        exponentials_side_by_side(classes, count, single[A], b, e, width, double[TOTAL])
        if rests(count, single[M], single[A], b, double[UNIT], single[PEAK], double[TOTAL]):
            others_side_by_side(classes, count, e, width, single[PEAK], double[OTHERS])
            small_rests(
                x, start, 1, x_step, classes, count, single[M], double[UNIT], single[PEAK],
                double[OTHERS], double[TOTAL],
            )  # fmt: skip
        odd = found(
            at, count, classes, x, start, 1, x_step, e, 1, width, y, keep, w, losses, scale,
            single, double,
        )  # fmt: skip
        if fused:
            gradients_side_by_side(
                e, width, classes, count, single[HIGH], single[LOW], out, to, out_step
            )
            corrected(at, count, classes, y, keep, e, 1, width, odd, double, out, to, 1, out_step)
    if fused and out.nbytes >= VAST:
        settle()


@kernel(allocates=True)
def side_by_side(begin: Any, end: Any, classes: Any, x: Any, *others: Any) -> None:
    """Losses and, with ``scale``, gradients of samples that lie side by side.

    The parameters are those of :func:`.lanes.lanes`.
    """
    width = samples_of_block(classes, SIDE_BLOCK, LANES, WIDTH)
    e = np.empty(width * classes, x.dtype)
    single, double = np.empty((6, width), x.dtype), np.empty((6, width))
    b = np.empty(width, np.uint32)
    blocks_side_by_side(e, single, double, b, begin, end, classes, x, *others)
