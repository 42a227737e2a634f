"""Rows in float32 and 16 bits, classes side by side in memory: every kind of target, in vectors.

The formulas are those of :mod:`.rows`.  Of rows that are not long, some are taken at once, so that
what is to be found of a row alone, one after the other, keeps no row waiting: the largest logits of
all of them, then the exponentials and their sums, then the losses, then the gradients.  Loops are
short: each keeps one kind of the processor's units busy, and its numbers in registers.  Meanwhile
what comes next is fetched, so that memory is read while there is arithmetic to do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import own
from .logarithm import log1p
from .numbers import line_of, narrow, prefetch, widen
from .powers import FARTHEST, powers, shared_powers
from .rest import is_small, is_tiny, others, tiny_rest
from .steep import is_level, is_steep, steep
from .terms import NOTHING, below_top, coefficients, first_coefficients
from .vectors import (
    LANES,
    LINE,
    WIDE,
    first_lane,
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
)
from .wide_vectors import (
    load_wide,
    load_wide_first,
    nothing,
    store_narrow,
    store_narrow_first,
    summed,
    whole_wide,
)

#: Elements of the rows that are taken at once, so that they and their exponentials stay in the
#: first level of cache: without and with a gradient.
AT_ONCE, FUSED_AT_ONCE = 4096, 2048
#: Elements of the part of a row whose exponentials are summed at once.
BLOCK = 1024
#: Classes of a long row, and bytes of arrays that no cache holds.  What is written there goes
#: past the cache, without being read first.
LONG, VAST = 2048, 3 << 24

LOWEST = np.float32(-np.inf)
FULL, HALF = np.uint64(LANES), np.uint64(WIDE)


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
    x: Any,
    at: Any,
    ahead: Any,
    n: Any,
    a: Any,
    b: Any,
    e: Any,
    e_at: Any,
    out: Any,
    to: Any,
) -> None:
    """Exponentials of a row, or of a part of one, while the row ``ahead`` is fetched.

    And the row of the gradient, unless ``out`` is empty: of all loops this one has the most
    arithmetic to do meanwhile.  In one that only adds, fetching costs more than it saves.
    The last vector goes on in zeros.
    """
    at, ahead, n, full = np.uint64(at), np.uint64(ahead), np.uint64(n), whole(n)
    e_at, to = np.uint64(e_at), np.uint64(to)
    for i in range(np.uint64(0), full, FULL):
        for line in range(0, LANES, line_of(x)):
            prefetch(x, ahead + i + np.uint64(line), False)
        if out.size > 0:
            for line in range(0, LANES, line_of(out)):
                prefetch(out, to + i + np.uint64(line), True)
        store(e, e_at + i, powers(load(x, at + i), a, b))
    if full < n:
        store(e, e_at + full, powers(load_first(x, at + full, n - full, LOWEST), a, b))


@kernel()
def sums(
    x: Any,
    at: Any,
    n: Any,
    first: Any,
    m: Any,
    e: Any,
    e_at: Any,
    base: Any,
    q: Any,
    q_at: Any,
    q_ahead: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
) -> Any:
    """Sums over n classes from ``first`` on: of exponentials, Σ a_c·(m − x_c), and Σ a_c.

    The second of dense targets only, the third of probabilities, those ``ahead`` of which are
    fetched meanwhile.
    """
    at, first, e_at, n = np.uint64(at), np.uint64(first), np.uint64(e_at), np.uint64(n)
    q_at, q_ahead = np.uint64(q_at), np.uint64(q_ahead)
    top, one = np.float64(m), np.float64(e.size > 0)
    s, other, below, weights = nothing(), nothing(), nothing(), nothing()
    full = whole_wide(n)
    if q is None and base is None:
        # Exponentials go on in zeros to the end of a vector.
        full = whole_wide(n + HALF - np.uint64(1))
    for i in range(np.uint64(0), full, HALF):
        s, other = other, s
        s = summed(s, load_wide(e, e_at + i), one)
        if q is not None:
            for line in range(0, WIDE, line_of(q)):
                prefetch(q, q_ahead + first + i + np.uint64(line), False)
        if q is not None or base is not None:
            share = coefficients(first + i, base, q, q_at, w, sharp, uniform)
            below = below + share * (top - load_wide(x, at + first + i))
            if q is not None:
                weights = weights + share
    if full < n:
        count = n - full
        s = summed(s, load_wide_first(e, e_at + full, count, NOTHING), one)
        if q is not None or base is not None:
            share = first_coefficients(first + full, count, base, q, q_at, w, sharp, uniform)
            below = below + share * (top - load_wide_first(x, at + first + full, count, m))
            if q is not None:
                weights = weights + share
    return total(s + other), total(below), total(weights)


@kernel()
def gradients(e: Any, e_at: Any, n: Any, high: Any, low: Any, out: Any, to: Any) -> None:
    """Gradient of a row but for its target: exponentials times the factor ``high + low``.

    The lesser product is small enough for its rounding not to matter.
    """
    e_at, n, to = np.uint64(e_at), np.uint64(n), np.uint64(to)
    first = np.uint64(0)
    past = out.nbytes >= VAST and n >= np.uint64(LONG)
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


@kernel()
def dense_gradients(
    e: Any,
    e_at: Any,
    n: Any,
    factor: Any,
    s: Any,
    base: Any,
    q: Any,
    q_at: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    out: Any,
    to: Any,
) -> None:
    """Gradient of a row: exponential·factor − s·a_c, rounded once."""
    e_at, q_at, n, to = np.uint64(e_at), np.uint64(q_at), np.uint64(n), np.uint64(to)
    first = np.uint64(0)
    past = out.nbytes >= VAST and n >= np.uint64(LONG)
    if past:
        # To a line, or the middle of one that holds more than a vector.
        first = to_line(out, to) & np.uint64(WIDE - 1)
        share = first_coefficients(np.uint64(0), first, base, q, q_at, w, sharp, uniform)
        store_narrow_first(out, to, first, load_wide(e, e_at) * factor - share * s)
    full = first + whole_wide(n - first)
    for i in range(first, full, HALF):
        share = coefficients(i, base, q, q_at, w, sharp, uniform)
        g = load_wide(e, e_at + i) * factor - share * s
        if past:
            store_narrow(out, to + i, g, True)
        else:
            store_narrow(out, to + i, g, False)
    if full < n:
        share = first_coefficients(full, n - full, base, q, q_at, w, sharp, uniform)
        store_narrow_first(out, to + full, n - full, load_wide(e, e_at + full) * factor - share * s)


@kernel()
def rows_at_once(
    e: Any,
    which: Any,
    peaks: Any,
    kept: Any,
    begin: Any,
    end: Any,
    classes: Any,
    x: Any,
    x_start: Any,
    x_step: Any,
    y: Any,
    keep: Any,
    q: Any,
    q_start: Any,
    q_step: Any,
    base: Any,
    base_sum: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    losses: Any,
    left: Any,
    scale: Any,
    out: Any,
    out_start: Any,
    out_step: Any,
) -> None:
    """Losses and gradients, given memory for the rows taken at once: see :func:`single_rows`."""
    fused = scale.size > 0
    is_dense = q is not None or base is not None
    most = which.size
    width = np.int64(whole(classes)) + LANES
    start = np.int64(to_line(e, np.uint64(0)))
    # Where the gradient goes past the cache nothing is fetched for it.
    past = out.nbytes >= VAST and classes >= LONG
    fetched = out[:0] if past else out
    total_, below, weights, rests = kept[0], kept[1], kept[2], kept[3]
    factors, at_target, of_targets = kept[4], kept[5], kept[6]
    target = -1
    n = begin
    while n < end:
        count = 0
        while n < end and count < most:
            if keep[n]:
                m = peak(x, x_start + (n - begin) * x_step, classes)
                if FARTHEST < abs(m) < np.inf:
                    left[n] = True
                else:
                    which[count], peaks[count] = n, m
                    count += 1
            else:
                losses[n] = 0.0
                if fused:
                    to = out_start + (n - begin) * out_step
                    for i in range(classes):
                        out[to + i] = 0
            n += 1
        for k in range(count):
            at = x_start + (which[k] - begin) * x_step
            q_at = q_start + (which[k] - begin) * q_step
            to = out_start + (which[k] - begin) * out_step
            m = peaks[k]
            a, b = shared_powers(m)
            e_at = start + (k * width if fused else 0)
            total_[k], below[k], weights[k] = 0.0, 0.0, base_sum
            for first in range(0, classes, BLOCK):
                length = min(BLOCK, classes - first)
                part_at = e_at + (first if fused else 0)
                ahead = at + most * x_step
                exponentials(
                    x, at + first, ahead + first, length, a, b, e, part_at, fetched, to + first
                )
                parts = sums(
                    x, at, length, first, m, e, part_at, base, q, q_at, q_at + most * q_step, w,
                    sharp, uniform,
                )  # fmt: skip
                total_[k] += parts[0]
                below[k] += parts[1]
                weights[k] += parts[2]
        for k in range(count):
            at = x_start + (which[k] - begin) * x_step
            e_at = start + (k * width if fused else 0)
            m = peaks[k]
            a, b = shared_powers(m)
            own_e, unit, top = first_lane(powers(repeated(m), a, b)), own(m), np.float64(m)
            rest = (total_[k] - np.float64(own_e)) / unit
            if is_small(rest, m):
                if not fused:
                    exponentials(x, at, at, classes, a, b, e, e_at, out, 0)
                rest = others(e, e_at, classes, own_e) / unit
                if is_tiny(rest, classes, m):
                    rest = tiny_rest(x, at, 1, classes, m)
            log = log1p(rest, m)
            weight = weights[k]
            own_logit, of_target, apart = top, 0.0, 0.0
            if is_dense and below[k] != below[k]:
                q_at = q_start + (which[k] - begin) * q_step
                below[k] = below_top(
                    x, at, 1, classes, m, base, q, q_at, 1, w, sharp, uniform
                )  # fmt: skip
            if y is not None:
                target = y[which[k]]
                own_logit, of_target = np.float64(widen(x[at + target])), sharp
                if w is not None and sharp != 0:
                    of_target *= w[target]
                weight += of_target
                if base is None:
                    losses[which[k]] = weight * ((top - own_logit) + log)
                else:
                    # Smoothed wholly, the target's class is like the others, however far away.
                    if sharp != 0 and own_logit != top:
                        below[k] += of_target * (top - own_logit)
                    of_target += base[target]
                    # What of all coefficients is not the target's.
                    apart = base_sum - base[target]
            if is_dense:
                losses[which[k]] = below[k] + weight * log
            if fused:
                factor = weight / (unit * (1.0 + rest))
                if y is not None:
                    if own_logit == top:
                        at_target[k] = apart - weight * (rest / (1.0 + rest))
                    else:
                        at_target[k] = np.float64(e[e_at + target]) * factor - of_target
                factors[k], rests[k], weights[k], of_targets[k] = factor, rest, weight, of_target
        if not fused:
            continue
        for k in range(count):
            at = x_start + (which[k] - begin) * x_step
            q_at = q_start + (which[k] - begin) * q_step
            to = out_start + (which[k] - begin) * out_step
            e_at = start + k * width
            s = scale[which[k] if scale.size > 1 else 0]
            factor = s * factors[k]
            if y is not None:
                target = y[which[k]]
            if is_steep(factor) or not (is_dense or is_level(factor)):
                steep(
                    x, at, 1, classes, peaks[k], rests[k], weights[k], base, q, q_at, 1, w, sharp,
                    uniform, target, of_targets[k], s, out, to, 1,
                )  # fmt: skip
                continue
            if is_dense:
                dense_gradients(
                    e, e_at, classes, factor, s, base, q, q_at, w, sharp, uniform, out, to
                )
            else:
                high = np.float32(factor)
                low = np.float32(factor - np.float64(high))
                gradients(e, e_at, classes, high, low, out, to)
            if y is not None:
                out[to + target] = narrow(s * at_target[k], out[to + target])
    if past:
        settle()


@kernel(allocates=True)
def single_rows(begin: Any, end: Any, classes: Any, x: Any, *others: Any) -> None:
    """Losses of the samples from ``begin`` to ``end`` and, with ``scale``, the logits' gradient.

    The parameters are those of :func:`.rows.rows`; ``w`` may be ``None`` where probabilities have
    no weights.
    """
    scale = others[-4]  # before out, out_start and out_step
    most = max(1, (FUSED_AT_ONCE if scale.size > 0 else AT_ONCE) // classes)
    e = np.empty(most * (np.int64(whole(classes)) + LANES) + 2 * LINE, np.float32)
    which, peaks, kept = np.empty(most, np.int64), np.empty(most, np.float32), np.empty((7, most))
    rows_at_once(e, which, peaks, kept, begin, end, classes, x, *others)
