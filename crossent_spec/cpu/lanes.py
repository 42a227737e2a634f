"""Samples side by side in memory: lanes along the samples, for few classes and strided ones.

The three loops of :mod:`.rows`, for a block of samples at a time that stays in cache.  Loops count
unsigned in flat memory, for the reason given there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .errors import absorb, settle_sums
from .exponential import exp_shared, own, shared
from .logarithm import log1p
from .numbers import beyond, larger
from .rest import is_small, is_tiny, rest_of, tiny_rest
from .steep import is_steep, steep
from .terms import below_top

#: Elements of a block.
BLOCK = 1 << 12
#: So many classes' terms are added up by themselves, so that a sum's error does not grow with them.
GROUP = 16
# Sums over the classes.
TOTAL, BELOW, WEIGHTS, OTHERS = range(4)


@kernel(inline="always")
def peaks(x: Any, start: Any, step: Any, classes: Any, count: Any, m: Any) -> None:
    """Per lane, the largest logit."""
    start, count = np.uint64(start), np.uint64(count)
    for lane in range(count):
        m[lane] = x[start + lane]
    for c in range(1, classes):
        at = start + np.uint64(c) * np.uint64(step)
        for lane in range(count):
            m[lane] = larger(m[lane], x[at + lane])


@kernel(inline="always")
def shifts(count: Any, m: Any, a: Any, b: Any, unit: Any) -> Any:
    """Per lane, what its exponentials share; tell whether some lane has none."""
    hard = False
    for lane in range(np.uint64(count)):
        hard |= beyond(m[lane])
    for lane in range(np.uint64(count)):
        a[lane], b[lane] = shared(m[lane])
    for lane in range(np.uint64(count)):
        unit[lane] = own(m[lane])
    return hard


@kernel()
def sums(
    begin: Any,
    end: Any,
    x: Any,
    start: Any,
    step: Any,
    count: Any,
    m: Any,
    a: Any,
    b: Any,
    e: Any,
    base: Any,
    q: Any,
    q_start: Any,
    q_step: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    total: Any,
    below: Any,
    weights: Any,
) -> None:
    """Per lane, the exponentials into ``e`` and the sums that :func:`.rows.moments` takes.

    Of the classes from ``begin`` to ``end``.
    """
    count = np.uint64(count)
    for c in range(begin, end):
        at = np.uint64(start) + np.uint64(c) * np.uint64(step)
        e_at = np.uint64(c) * count
        for lane in range(count):
            e[e_at + lane] = exp_shared(x[at + lane], a[lane], b[lane])
        for lane in range(count):
            total[lane] += np.float64(e[e_at + lane])
        if q is not None:
            q_at = np.uint64(q_start) + np.uint64(c) * np.uint64(q_step)
            for lane in range(count):
                share = w[c] * (sharp * np.float64(q[q_at + lane]) + uniform)
                weights[lane] += share
                below[lane] += share * (np.float64(m[lane]) - np.float64(x[at + lane]))
        if base is not None:
            share = base[c]
            for lane in range(count):
                below[lane] += share * (np.float64(m[lane]) - np.float64(x[at + lane]))


@kernel(inline="always")
def rests(count: Any, m: Any, a: Any, b: Any, unit: Any, own_e: Any, total: Any) -> Any:
    """Turn sums of exponentials into those beside the largest; tell whether some are too small."""
    few = False
    for lane in range(np.uint64(count)):
        value = exp_shared(m[lane], a[lane], b[lane])
        rest = (total[lane] - np.float64(value)) / unit[lane]
        few |= is_small(rest, m[lane])
        own_e[lane] = value
        total[lane] = rest
    return few


@kernel(inline="always")
def others_of(begin: Any, end: Any, e: Any, count: Any, own_e: Any, beside: Any) -> None:
    """Per lane, add up the exponentials that are not the largest logit's."""
    count = np.uint64(count)
    for c in range(begin, end):
        at = np.uint64(c) * count
        for lane in range(count):
            value = e[at + lane]
            beside[lane] += np.float64(value) if value != own_e[lane] else 0.0


@kernel(inline="always")
def small_rests(
    x: Any,
    start: Any,
    step: Any,
    along: Any,
    classes: Any,
    count: Any,
    m: Any,
    unit: Any,
    own_e: Any,
    beside: Any,
    rest: Any,
) -> None:
    """Per lane, what is beside the largest where that is little."""
    for n in range(count):
        if is_small(rest[n], m[n]):
            rest[n] = rest_of(rest[n], unit[n], np.float64(own_e[n]), beside[n])
            if is_tiny(rest[n], classes, m[n]):
                rest[n] = tiny_rest(x, start + n * step, along, classes, m[n])


@kernel()
def at_targets(
    x: Any,
    start: Any,
    step: Any,
    at: Any,
    count: Any,
    m: Any,
    e: Any,
    y: Any,
    w: Any,
    base: Any,
    sharp: Any,
    below: Any,
    weights: Any,
    own_e: Any,
    beside: Any,
    of_target: Any,
    peaked: Any,
) -> None:
    """Per lane, add the target's own term, and gather what its gradient needs."""
    for lane in range(np.uint64(count)):
        target = np.uint64(y[np.uint64(at) + lane])
        value = x[np.uint64(start) + target * np.uint64(step) + lane]
        peaked[lane] = value == m[lane]
        own_e[lane] = np.float64(e[target * np.uint64(count) + lane])
        spike = sharp * w[target] if sharp != 0 else 0.0
        distance = np.float64(m[lane]) - np.float64(value)
        of_target[lane] = spike
        weights[lane] += spike
        if base is None:
            below[lane] = distance
        else:
            of_target[lane] += base[target]
            beside[lane] -= base[target]
            # Smoothed wholly, the target's class is one like the others, however far away.
            below[lane] += spike * distance if sharp != 0 and distance != 0 else 0.0


@kernel()
def finish(
    y: Any,
    base: Any,
    at: Any,
    count: Any,
    m: Any,
    keep: Any,
    below: Any,
    weights: Any,
    unit: Any,
    total: Any,
    s: Any,
    losses: Any,
    factor: Any,
    own_e: Any,
    beside: Any,
    of_target: Any,
    peaked: Any,
) -> Any:
    """Per lane, the loss, the gradient's factor of exponentials, and its value at the target.

    Tell whether some lane is steep.
    """
    at, count = np.uint64(at), np.uint64(count)
    for lane in range(count):
        log = log1p(total[lane], m[lane])
        if y is not None and base is None:
            value = weights[lane] * (below[lane] + log)
        else:
            value = below[lane] + weights[lane] * log
        losses[at + lane] = value if keep[at + lane] else 0.0
    found = False
    if s.size > 0:
        for lane in range(count):
            rest = total[lane]
            f = weights[lane] / (unit[lane] * (1.0 + rest))
            factor[lane] = f
            of_peak = beside[lane] - f * unit[lane] * rest
            other = own_e[lane] * f - of_target[lane]
            # Of most of all probability, what is lacking.
            below[lane] = s[lane] * (of_peak if peaked[lane] and rest < 1.0 else other)
            found |= is_steep(s[lane] * f)
    return found


@kernel()
def gradients(
    e: Any,
    count: Any,
    factor: Any,
    s: Any,
    base: Any,
    q: Any,
    q_start: Any,
    q_step: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    out: Any,
    out_start: Any,
    out_step: Any,
) -> None:
    """Gradients of a block: s·(exponential·factor − a_c), rounded once."""
    count = np.uint64(count)
    for c in range(w.size):
        e_at = np.uint64(c) * count
        to = np.uint64(out_start) + np.uint64(c) * np.uint64(out_step)
        if q is not None:
            q_at = np.uint64(q_start) + np.uint64(c) * np.uint64(q_step)
            for lane in range(count):
                share = w[c] * (sharp * np.float64(q[q_at + lane]) + uniform)
                out[to + lane] = s[lane] * (np.float64(e[e_at + lane]) * factor[lane] - share)
        elif base is not None:
            share = base[c]
            for lane in range(count):
                out[to + lane] = s[lane] * (np.float64(e[e_at + lane]) * factor[lane] - share)
        else:
            for lane in range(count):
                out[to + lane] = s[lane] * (np.float64(e[e_at + lane]) * factor[lane])


@kernel(allocates=True)
def lanes(
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
    """Losses of the samples from ``begin`` to ``end`` and, with ``scale``, the logits' gradient.

    Parameters
    ----------
    x_start, x_step
        Position of the first class of sample ``begin``, distance between classes; the next sample
        is the next element.  The same for ``q`` and ``out``.

    The others are those of :func:`.rows.rows`; of a block, all samples are ``left`` or none.
    """
    fused = scale.size > 0
    width = min(end - begin, max(32, BLOCK // classes // 16 * 16))
    m, a, b = np.empty(width, x.dtype), np.empty(width, x.dtype), np.empty(width, np.uint32)
    peak_e = np.empty(width, x.dtype)
    e = np.empty(classes * width, x.dtype)
    parts, totals, errors = np.empty((3, width)), np.empty((4, width)), np.empty((4, width))
    total, below, weights = totals[TOTAL], totals[BELOW], totals[WEIGHTS]
    unit, factor = np.empty(width), np.empty(width)
    own_e, beside, of_target = np.empty(width), np.empty(width), np.empty(width)
    peaked = np.empty(width, np.bool_)
    s = np.empty(width if fused else 0)
    for at in range(begin, end, width):
        count = min(width, end - at)
        first = x_start + at - begin
        q_first = q_start + at - begin
        to = out_start + at - begin
        peaks(x, first, x_step, classes, count, m)
        if shifts(count, m, a, b, unit):
            for lane in range(count):
                left[at + lane] = True
            continue
        totals[:], errors[:], parts[:] = 0.0, 0.0, 0.0
        for c in range(0, classes, GROUP):
            sums(
                c, min(c + GROUP, classes), x, first, x_step, count, m, a, b, e, base, q, q_first,
                q_step, w, sharp, uniform, parts[TOTAL], parts[BELOW], parts[WEIGHTS],
            )  # fmt: skip
            absorb(count, parts, totals, errors)
        settle_sums(count, totals, errors)
        for lane in range(count):
            if below[lane] != below[lane]:
                below[lane] = below_top(
                    x, first + lane, x_step, classes, m[lane], base, q, q_first + lane, q_step, w,
                    sharp, uniform,
                )  # fmt: skip
            weights[lane] += base_sum
            beside[lane] = base_sum
        if rests(count, m, a, b, unit, peak_e, total):
            totals[OTHERS:], errors[OTHERS:] = 0.0, 0.0
            for c in range(0, classes, GROUP):
                others_of(c, min(c + GROUP, classes), e, count, peak_e, parts[0])
                absorb(count, parts[:1], totals[OTHERS:], errors[OTHERS:])
            settle_sums(count, totals[OTHERS:], errors[OTHERS:])
            small_rests(
                x, first, 1, x_step, classes, count, m, unit, peak_e, totals[OTHERS], total,
            )  # fmt: skip
        if y is not None:
            at_targets(
                x, first, x_step, at, count, m, e, y, w, base, sharp, below, weights, own_e,
                beside, of_target, peaked,
            )  # fmt: skip
        if fused:
            for lane in range(count):
                s[lane] = scale[at + lane if scale.size > 1 else 0]
        some_steep = finish(
            y, base, at, count, m, keep, below, weights, unit, total, s, losses, factor, own_e,
            beside, of_target, peaked,
        )  # fmt: skip
        if not fused:
            continue
        if some_steep:
            # Before any gradient is written, which may be over the logits.
            for lane in range(count):
                if is_steep(s[lane] * factor[lane]):
                    target = -1 if y is None else y[at + lane]
                    steep(
                        x, first + lane, x_step, classes, m[lane], total[lane], weights[lane],
                        base, q, q_first + lane, q_step, w, sharp, uniform, target,
                        of_target[lane], s[lane], e, lane, count,
                    )  # fmt: skip
        gradients(
            e, count, factor, s, base, q, q_first, q_step, w, sharp, uniform, out, to,
            out_step,
        )  # fmt: skip
        for lane in range(count):
            if not keep[at + lane]:
                for c in range(classes):
                    out[to + lane + c * out_step] = 0.0
            elif some_steep and is_steep(s[lane] * factor[lane]):
                for c in range(classes):
                    out[to + lane + c * out_step] = e[c * count + lane]
            elif y is not None:
                out[to + lane + y[at + lane] * out_step] = below[lane]
