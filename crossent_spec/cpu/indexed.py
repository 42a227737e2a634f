"""Class indices without smoothing in float32, classes side by side in memory: the commonest call.

The loops of :mod:`.rows` in vectors.  Of rows that are not long, one loop takes three rows at a
time: the largest logit of the next, the exponentials of this, the gradient of the one before.  So
memory is read and written evenly, while there is arithmetic to do.  A long row does not stay in the
first level of cache until then: its own three loops follow each other, and its gradient goes past
the cache if it is not there anyway.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import exp_shared, exp_single, own, shared
from .logarithm import log1p
from .numbers import beyond, prefetch
from .rest import is_small, is_tiny, others, tiny_rest
from .steep import is_level, steep
from .vectors import (
    LANES,
    LINE,
    larger_of,
    largest,
    load,
    load_first,
    repeated,
    settle,
    store,
    store_first,
    store_past,
    to_line,
    total,
    wide,
)

#: Classes of a long row.
LONG = 4096
#: Elements of arrays that no cache holds.
VAST = 1 << 24

LOWEST = np.float32(-np.inf)
FULL = np.uint64(LANES)


@kernel(inline="always")
def whole(n: Any) -> Any:
    """How many of n elements fill vectors."""
    return np.uint64(n) & ~np.uint64(LANES - 1)


@kernel()
def peak(x: Any, at: Any, n: Any) -> Any:
    """The largest logit of a row."""
    at, n, full = np.uint64(at), np.uint64(n), whole(n)
    m = repeated(LOWEST)
    for i in range(np.uint64(0), full, FULL):
        m = larger_of(m, load(x, at + i))
    if full < n:
        m = larger_of(m, load_first(x, at + full, n - full, LOWEST))
    return largest(m)


@kernel()
def exponentials(
    x: Any, at: Any, ahead: Any, n: Any, a: Any, b: Any, e: Any, e_at: Any, out: Any, to: Any
) -> Any:
    """Exponentials of a long row into ``e`` unless that is empty, and their sum.

    Meanwhile the row ``ahead`` is fetched, and the lines at ``to`` if they will not be written
    past the cache.
    """
    at, ahead, n, full = np.uint64(at), np.uint64(ahead), np.uint64(n), whole(n)
    e_at, to = np.uint64(e_at), np.uint64(to)
    s = repeated(0.0)
    for i in range(np.uint64(0), full, FULL):
        for line in range(0, LANES, LINE):
            prefetch(x, ahead + i + np.uint64(line), False)
        if out.size < VAST:
            for line in range(0, LANES, LINE):
                prefetch(out, to + i + np.uint64(line), True)
        v = exp_single(load(x, at + i), a, b)
        if e.size > 0:
            store(e, e_at + i, v)
        s = s + wide(v)
    if full < n:
        v = exp_single(load_first(x, at + full, n - full, LOWEST), a, b)
        if e.size > 0:
            store(e, e_at + full, v)
        s = s + wide(v)
    return total(s)


@kernel(inline="always")
def peak_and_sum(x: Any, at: Any, ahead: Any, n: Any, a: Any, b: Any) -> Any:
    """The largest logit of the row ahead, and the sum of a row's exponentials."""
    at, ahead, n, full = np.uint64(at), np.uint64(ahead), np.uint64(n), whole(n)
    s, m = repeated(0.0), repeated(LOWEST)
    for i in range(np.uint64(0), full, FULL):
        m = larger_of(m, load(x, ahead + i))
        s = s + wide(exp_single(load(x, at + i), a, b))
    if full < n:
        m = larger_of(m, load_first(x, ahead + full, n - full, LOWEST))
        s = s + wide(exp_single(load_first(x, at + full, n - full, LOWEST), a, b))
    return largest(m), total(s)


@kernel(inline="always")
def three_rows(
    x: Any,
    at: Any,
    ahead: Any,
    n: Any,
    a: Any,
    b: Any,
    e: Any,
    e_at: Any,
    before: Any,
    high: Any,
    low: Any,
    out: Any,
    to: Any,
) -> Any:
    """Peak of the row ahead; exponentials of a row, their sum; gradient of the row before."""
    at, ahead, n, full = np.uint64(at), np.uint64(ahead), np.uint64(n), whole(n)
    e_at, before, to = np.uint64(e_at), np.uint64(before), np.uint64(to)
    s, m = repeated(0.0), repeated(LOWEST)
    for i in range(np.uint64(0), full, FULL):
        m = larger_of(m, load(x, ahead + i))
        v = exp_single(load(x, at + i), a, b)
        store(e, e_at + i, v)
        s = s + wide(v)
        g = load(e, before + i)
        store(out, to + i, g * high + g * low)
    if full < n:
        m = larger_of(m, load_first(x, ahead + full, n - full, LOWEST))
        v = exp_single(load_first(x, at + full, n - full, LOWEST), a, b)
        store(e, e_at + full, v)
        s = s + wide(v)
        g = load(e, before + full)
        store_first(out, to + full, n - full, g * high + g * low)
    return largest(m), total(s)


@kernel()
def gradients(e: Any, e_at: Any, n: Any, high: Any, low: Any, out: Any, to: Any) -> None:
    """Gradient of a row but for its target: exponentials times the factor ``high + low``.

    The lesser product is small enough for its rounding not to matter.
    """
    e_at, n, to = np.uint64(e_at), np.uint64(n), np.uint64(to)
    first = np.uint64(0)
    past = out.size >= VAST and n >= np.uint64(LONG)
    if past:
        first = to_line(out, to)
        g = load(e, e_at)
        store_first(out, to, first, g * high + g * low)
    full = first + whole(n - first)
    for i in range(first, full, FULL):
        g = load(e, e_at + i)
        if past:
            store_past(out, to + i, g * high + g * low)
        else:
            store(out, to + i, g * high + g * low)
    if full < n:
        g = load(e, e_at + full)
        store_first(out, to + full, n - full, g * high + g * low)


@kernel(inline="always")
def following(keep: Any, n: Any, end: Any) -> Any:
    """The next sample from n on that counts."""
    while n < end and not keep[n]:
        n += 1
    return n


@kernel()
def indexed(
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
    """Losses of the samples from ``begin`` to ``end`` and, with ``scale``, the logits' gradient.

    The parameters are those of :func:`.rows.rows`.
    """
    fused = scale.size > 0
    is_long = classes >= LONG
    width = np.int64(whole(classes)) + LANES
    e = np.empty((2 if fused and not is_long else 1) * width + 2 * LINE, x.dtype)
    none = e[:0]
    # Two rows of exponentials by turns.
    one = np.int64(to_line(e, np.uint64(0)))
    other = one + width
    e_at, before = one, other
    high, low = np.float32(0.0), np.float32(0.0)
    at_target, pending = 0.0, -1
    for n in range(begin, end):
        if not keep[n]:
            losses[n] = 0.0
            if fused:
                to = out_start + (n - begin) * out_step
                for i in range(classes):
                    out[to + i] = 0.0
    n = following(keep, begin, end)
    m = LOWEST
    if n < end and not is_long:
        m = peak(x, x_start + (n - begin) * x_step, classes)
    while n < end:
        at = x_start + (n - begin) * x_step
        after = following(keep, n + 1, end)
        ahead = x_start + (after - begin) * x_step if after < end else at
        to = out_start + (n - begin) * out_step
        next_m = m
        if is_long:
            m = peak(x, at, classes)
        a, b = shared(m)
        if pending >= 0:
            back = out_start + (pending - begin) * out_step
            next_m, sum_ = three_rows(
                x, at, ahead, classes, a, b, e, e_at, before, high, low, out, back
            )
            out[back + y[pending]] = at_target
            pending = -1
        elif fused or is_long:
            kept = e if fused else none
            sum_ = exponentials(x, at, ahead, classes, a, b, kept, e_at, out, to)
            if not is_long:
                next_m = peak(x, ahead, classes)
        else:
            next_m, sum_ = peak_and_sum(x, at, ahead, classes, a, b)
        if beyond(m):
            left[n] = True
        else:
            top, unit = np.float64(m), own(m)
            own_e = exp_shared(m, a, b)
            rest = (sum_ - np.float64(own_e)) / unit
            if is_small(rest, m):
                if not fused:
                    exponentials(x, at, at, classes, a, b, e, e_at, out, to)
                rest = others(e, e_at, classes, own_e) / unit
                if is_tiny(rest, classes, m):
                    rest = tiny_rest(x, at, 1, classes, m)
            weight, target = w[y[n]], np.float64(x[at + y[n]])
            losses[n] = weight * ((top - target) + log1p(rest, m))
            if fused:
                s, factor = scale[n if scale.size > 1 else 0], weight / (unit * (1.0 + rest))
                if target == top:
                    at_target = -s * (weight * (rest / (1.0 + rest)))
                else:
                    at_target = s * (np.float64(e[e_at + y[n]]) * factor - weight)
                whole_factor = s * factor
                if is_level(whole_factor):
                    high = np.float32(whole_factor)
                    low = np.float32(whole_factor - np.float64(high))
                    if is_long:
                        gradients(e, e_at, classes, high, low, out, to)
                        out[to + y[n]] = at_target
                    else:
                        pending = n
                        before, e_at = e_at, before
                else:
                    steep(
                        x, at, 1, classes, m, rest, weight, None, None, 0, 0, w, 1.0, 0.0,
                        y[n], weight, s, out, to, 1,
                    )  # fmt: skip
        m = next_m
        n = after
    if pending >= 0:
        to = out_start + (pending - begin) * out_step
        gradients(e, before, classes, high, low, out, to)
        out[to + y[pending]] = at_target
    if fused and is_long and out.size >= VAST:
        settle()
