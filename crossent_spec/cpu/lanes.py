"""Samples side by side in memory: lanes along the samples, for few classes and strided ones.

The three loops of :mod:`.rows`, for a block of samples at a time that stays in cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import exp_shared, own, shared
from .logarithm import log1p
from .numbers import beyond, larger, rest_limit

#: Elements of a block.
BLOCK = 1 << 12


@kernel()
def peaks(x: Any, start: Any, step: Any, classes: Any, m: Any) -> None:
    """Per lane, the largest logit."""
    first = x[start : start + m.size]
    # Not a slice assigned: its error message alone takes seconds to compile.
    for lane in range(m.size):
        m[lane] = first[lane]
    for c in range(1, classes):
        line = x[start + c * step : start + c * step + m.size]
        for lane in range(m.size):
            m[lane] = larger(m[lane], line[lane])


@kernel()
def sums(
    x: Any,
    start: Any,
    step: Any,
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
    """Per lane, the exponentials into ``e`` and the sums that :func:`.rows.moments` takes."""
    for c in range(w.size):
        line = x[start + c * step : start + c * step + m.size]
        e_line = e[c * m.size : (c + 1) * m.size]
        for lane in range(m.size):
            e_line[lane] = exp_shared(line[lane], a[lane], b[lane])
        for lane in range(m.size):
            total[lane] += np.float64(e_line[lane])
        if q is not None:
            truth = q[q_start + c * q_step : q_start + c * q_step + m.size]
            for lane in range(m.size):
                share = w[c] * (sharp * np.float64(truth[lane]) + uniform)
                weights[lane] += share
                below[lane] += share * (np.float64(m[lane]) - np.float64(line[lane]))
        if base is not None:
            share = base[c]
            for lane in range(m.size):
                below[lane] += share * (np.float64(m[lane]) - np.float64(line[lane]))


@kernel()
def beside_the_peak(x: Any, start: Any, step: Any, classes: Any, m: Any, a: Any, b: Any) -> Any:
    """Sum of the exponentials of all logits that are not the largest, and how many are."""
    total = 0.0
    count = 0
    for c in range(classes):
        value = x[start + c * step]
        if value == m:
            count += 1
        else:
            total += np.float64(exp_shared(value, a, b))
    return total, count


@kernel()
def gradients(
    e: Any,
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
    """Gradients of a block: exponential·factor − s·a_c, rounded once."""
    for c in range(w.size):
        line = e[c * factor.size : (c + 1) * factor.size]
        to = out[out_start + c * out_step : out_start + c * out_step + factor.size]
        if q is not None:
            truth = q[q_start + c * q_step : q_start + c * q_step + factor.size]
            for lane in range(factor.size):
                share = w[c] * (sharp * np.float64(truth[lane]) + uniform)
                to[lane] = np.float64(line[lane]) * factor[lane] - s[lane] * share
        elif base is not None:
            share = base[c]
            for lane in range(factor.size):
                to[lane] = np.float64(line[lane]) * factor[lane] - s[lane] * share
        else:
            for lane in range(factor.size):
                to[lane] = np.float64(line[lane]) * factor[lane]


@kernel()
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
    m_ = np.empty(width, x.dtype)
    a_ = np.empty(width, x.dtype)
    b_ = np.empty(width, np.uint32)
    e = np.empty(classes * width, x.dtype)
    doubles = np.empty((6, width), np.float64)
    for at in range(begin, end, width):
        count = min(width, end - at)
        m, a, b = m_[:count], a_[:count], b_[:count]
        total, below, weights = doubles[0][:count], doubles[1][:count], doubles[2][:count]
        unit, factor, at_target = doubles[3][:count], doubles[4][:count], doubles[5][:count]
        first = x_start + at - begin
        q_first = q_start + at - begin
        peaks(x, first, x_step, classes, m)
        hard = False
        for lane in range(count):
            hard |= beyond(m[lane])
        if hard:
            left[at : at + count] = True
            continue
        for lane in range(count):
            a[lane], b[lane] = shared(m[lane])
            unit[lane] = own(m[lane])
        total[:] = 0.0
        below[:] = 0.0
        weights[:] = base_sum
        sums(
            x, first, x_step, m, a, b, e, base, q, q_first, q_step, w, sharp, uniform, total,
            below, weights,
        )  # fmt: skip
        few = False
        for lane in range(count):
            rest = (total[lane] - np.float64(exp_shared(m[lane], a[lane], b[lane]))) / unit[lane]
            few |= rest < rest_limit(m[lane])
            total[lane] = rest
        if few:
            for lane in range(count):
                if total[lane] < rest_limit(m[lane]):
                    others, same = beside_the_peak(
                        x, first + lane, x_step, classes, m[lane], a[lane], b[lane]
                    )
                    total[lane] = others / unit[lane] + (same - 1)
        if y is not None:
            for lane in range(count):
                target = y[at + lane]
                spike = sharp * w[target]
                distance = np.float64(m[lane]) - np.float64(x[first + target * x_step + lane])
                below[lane] += spike * distance if sharp != 0 else 0.0
                weights[lane] += spike
                at_target[lane] = distance
        for lane in range(count):
            losses[at + lane] = below[lane] + weights[lane] * log1p(total[lane], m[lane])
        if fused:
            to = out_start + at - begin
            s = scale[at : at + count]
            for lane in range(count):
                factor[lane] = s[lane] * weights[lane] / (unit[lane] * (1.0 + total[lane]))
            if y is not None:
                for lane in range(count):
                    target = y[at + lane]
                    beside = 0.0 if base is None else base_sum - base[target]
                    if at_target[lane] == 0.0:
                        rest = total[lane]
                        g = s[lane] * (beside - weights[lane] * (rest / (1.0 + rest)))
                    else:
                        g = np.float64(e[target * count + lane]) * factor[lane] - s[lane] * (
                            weights[lane] - beside
                        )
                    at_target[lane] = g
            gradients(
                e, factor, s, base, q, q_first, q_step, w, sharp, uniform, out, to, out_step
            )  # fmt: skip
            if y is not None:
                for lane in range(count):
                    out[to + y[at + lane] * out_step + lane] = at_target[lane]
        for lane in range(count):
            if not keep[at + lane]:
                losses[at + lane] = 0.0
                if fused:
                    for c in range(classes):
                        out[out_start + at - begin + lane + c * out_step] = 0.0
