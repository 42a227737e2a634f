"""Gradients of probability targets and class weights, and derivatives along a direction.

One sample at a time and in float64 throughout, whatever the arrays hold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiling import kernel
from .errors import summed_up
from .rest import is_small, others, rest_of
from .rows import BLOCK, exponentials, peak, summed


@kernel()
def log_sum(x: Any, at: Any, classes: Any, e: Any) -> Any:
    """The largest logit m, log(Σ exp(x_c − m)) and Σ exp(x_c − m); exp(x_c − m) into ``e``."""
    m = peak(x, at, classes)
    exponentials(x, at, classes, m, np.uint32(0), e, 0)
    total, error = 0.0, 0.0
    beside, beside_error = 0.0, 0.0
    for first in range(0, classes, BLOCK):
        count = min(BLOCK, classes - first)
        total, error = summed_up(total, error, summed(e, first, count))
        beside, beside_error = summed_up(beside, beside_error, others(e, first, count, 1.0))
    rest = total + error - (1.0 + (m - m))
    if is_small(rest, m):
        rest = rest_of(rest, 1.0, 1.0, beside + beside_error)
    return m, math.log1p(rest), 1.0 + rest


@kernel()
def accumulate(sums: Any, errors: Any, c: Any, term: Any) -> None:
    """Add to a sum, and its rounding error to the sum of these (Neumaier, 1974)."""
    a = sums[c]
    total = a + term
    part = total - a
    errors[c] += (a - (total - part)) + (term - part)
    sums[c] = total


@kernel(allocates=True)
def add_target_and_weight(
    begin: Any,
    end: Any,
    classes: Any,
    x: Any,
    x_start: Any,
    x_step: Any,
    q: Any,
    q_start: Any,
    q_step: Any,
    out: Any,
    out_start: Any,
    out_step: Any,
    keep: Any,
    y: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    scale: Any,
    sums: Any,
    errors: Any,
) -> None:
    """Gradients of the targets into ``out`` and of the weights, added to ``sums`` and ``errors``.

    ∂/∂q[n,c] = scale_n·(1 − ε)·w_c·(lse_n − x_c) and, without the part of a mean's denominator,
    ∂/∂w[c] = Σ_n scale_n·t[n,c]·(lse_n − x_c).  An empty ``out``, or empty ``sums``, is not
    wanted; ``q`` is ``None`` for class indices ``y``.
    """
    e = np.empty(classes, x.dtype)
    for n in range(begin, end):
        if not keep[n]:
            continue
        at = x_start + (n - begin) * x_step
        row = x[at : at + classes]
        m, log, _ = log_sum(x, at, classes, e)
        s = scale[n]
        q_at = q_start + (n - begin) * q_step
        if out.size > 0:
            to = out_start + (n - begin) * out_step
            for c in range(classes):
                out[to + c] = s * sharp * w[c] * ((m - row[c]) + log)
        if sums.size > 0:
            if q is not None:
                for c in range(classes):
                    t = sharp * q[q_at + c] + uniform
                    accumulate(sums, errors, c, s * t * ((m - row[c]) + log))
            if y is not None:
                if uniform != 0:
                    for c in range(classes):
                        accumulate(sums, errors, c, s * uniform * ((m - row[c]) + log))
                accumulate(sums, errors, y[n], s * sharp * ((m - row[y[n]]) + log))


@kernel(allocates=True)
def along(
    begin: Any,
    end: Any,
    classes: Any,
    x: Any,
    x_start: Any,
    x_step: Any,
    q: Any,
    q_start: Any,
    q_step: Any,
    v: Any,
    v_start: Any,
    v_step: Any,
    out: Any,
    out_start: Any,
    out_step: Any,
    keep: Any,
    y: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    scale: Any,
    moved: Any,
) -> None:
    """Derivative of the losses along ``v`` into ``moved``, of the gradient into ``out``.

    With p the softmax, a_c = w_c·t_c and A = Σ a_c,

        ∂l·v = Σ_c (A·p_c − a_c)·v_c,      (∂²l·v)_c = A·p_c·(v_c − Σ_i p_i·v_i),

    the latter times ``scale``; not wanted if ``out``, which may be ``v``, is empty.  A constant
    added to v changes neither, so v counts from its value at the largest logit: where that has
    nearly all probability, all terms are small and none cancel.
    """
    e = np.empty(classes, x.dtype)
    for n in range(begin, end):
        to = out_start + (n - begin) * out_step
        if not keep[n]:
            moved[n] = 0.0
            if out.size > 0:
                for c in range(classes):
                    out[to + c] = 0.0
            continue
        at = x_start + (n - begin) * x_step
        m, _, total = log_sum(x, at, classes, e)
        v_at = v_start + (n - begin) * v_step
        origin = 0.0
        for c in range(classes):
            if x[at + c] == m:
                origin = v[v_at + c] if math.isfinite(v[v_at + c]) else 0.0
                break
        q_at = q_start + (n - begin) * q_step
        mean = 0.0
        weights = 0.0
        weighted = 0.0
        for c in range(classes):
            direction = v[v_at + c] - origin
            mean += e[c] / total * direction
            if q is not None:
                a = w[c] * (sharp * q[q_at + c] + uniform)
                weights += a
                weighted += a * direction
            elif uniform != 0:
                a = w[c] * uniform
                weights += a
                weighted += a * direction
        if y is not None:
            weights += w[y[n]] * sharp
            weighted += w[y[n]] * sharp * (v[v_at + y[n]] - origin)
        moved[n] = weights * mean - weighted
        if out.size > 0:
            factor = scale[n] * weights / total
            for c in range(classes):
                out[to + c] = e[c] * factor * ((v[v_at + c] - origin) - mean)
