"""Samples whose classes lie side by side in memory: one row at a time, in lanes along the classes.

Three loops over a row that stays in cache: the largest logit m; the exponentials' sum; the
gradient, whose exponentials are computed anew, which is cheaper than to store and load them.  With
a_c = w_c·t_c the coefficients of the (smoothed) target, A = Σ a_c and R = Σ exp(x_c − m) − 1,

    l = Σ_c a_c·(m − x_c) + A·log(1 + R),      ∂l/∂x_c = exp(x_c − m)·A/(1 + R) − a_c,

where for class indices all a_c but the target's are the same for every sample (``base``).  Sums
are in float64, and an R near zero is summed without the largest logit's own term.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import exp_shared, own, shared
from .numbers import beyond, larger, prefetch, rest_limit

#: Classes between two looks at the next row.
BLOCK = 1024
#: Elements of a cache line.
LINE = 16

# Kernels of dense targets take the same five arguments: base (class indices with smoothing) and q
# (probabilities), None where absent, and w, sharp, uniform: a_c = w_c·(sharp·q_c + uniform).


@kernel(lanes=True)
def peak(x: Any) -> Any:
    """The largest logit."""
    m = x[0]
    for i in range(x.size):
        m = larger(m, x[i])
    return m


@kernel(lanes=True)
def exponential_sum(x: Any, a: Any, b: Any) -> Any:
    """Sum of the exponentials, times the row's factor."""
    total = 0.0
    for i in range(x.size):
        total += np.float64(exp_shared(x[i], a, b))
    return total


@kernel(lanes=True)
def moments(
    x: Any, m: Any, a: Any, b: Any, base: Any, q: Any, w: Any, sharp: Any, uniform: Any
) -> Any:
    """Sum of the exponentials, Σ a_c·(m − x_c) and, for probabilities, Σ a_c."""
    total = 0.0
    below = 0.0
    weights = 0.0
    for i in range(x.size):
        total += np.float64(exp_shared(x[i], a, b))
        distance = m - np.float64(x[i])
        if q is not None:
            share = w[i] * (sharp * np.float64(q[i]) + uniform)
            weights += share
            below += share * distance
        if base is not None:
            below += base[i] * distance
    return total, below, weights


@kernel(lanes=True)
def beside_the_peak(x: Any, m: Any, a: Any, b: Any) -> Any:
    """Sum of the exponentials of all logits that are not the largest, and how many are."""
    total = 0.0
    count = 0
    for i in range(x.size):
        other = x[i] != m
        total += np.float64(exp_shared(x[i], a, b)) if other else 0.0
        count += 0 if other else 1
    return total, count


@kernel()
def gradients(
    x: Any,
    a: Any,
    b: Any,
    factor: Any,
    s: Any,
    base: Any,
    q: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    out: Any,
) -> None:
    """Gradient of a row: exponential·factor − s·a_c, rounded once."""
    for i in range(out.size):
        g = np.float64(exp_shared(x[i], a, b)) * factor
        if q is not None:
            g -= s * (w[i] * (sharp * np.float64(q[i]) + uniform))
        if base is not None:
            g -= s * base[i]
        out[i] = g


@kernel()
def rows(
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
    x, x_start, x_step
        Flat memory of the logits, position of sample ``begin``, distance between samples; the
        same for ``q`` and ``out``, which may be ``x``.
    y, keep
        Class indices, and whether a sample counts.
    base, base_sum
        Coefficient of every class that label smoothing gives all samples alike, and their sum.
    w
        Class weights, ones where there are none.
    sharp, uniform
        1 − ε and ε/C.
    left
        Becomes true for samples that this working type cannot do, which are left as they are.
    scale
        ∂result/∂l_n; empty for the losses alone.
    """
    fused = scale.size > 0
    for n in range(begin, end):
        at = x_start + (n - begin) * x_step
        row = x[at : at + classes]
        if not keep[n]:
            losses[n] = 0.0
            if fused:
                to = out_start + (n - begin) * out_step
                out[to : to + classes] = 0
            continue
        m = peak(row)
        if beyond(m):
            left[n] = True
            continue
        top = np.float64(m)
        q_at = q_start + (n - begin) * q_step
        probabilities = None if q is None else q[q_at : q_at + classes]
        a, b = shared(m)
        below = 0.0
        weights = base_sum
        total = 0.0
        follows = at + x_step if n + 1 < end else at
        for first in range(0, classes, BLOCK):
            last = min(first + BLOCK, classes)
            for i in range(follows + first, follows + last, LINE):
                prefetch(x, i)
            if q is None and base is None:
                total += exponential_sum(row[first:last], a, b)
            else:
                part = moments(
                    row[first:last],
                    top,
                    a,
                    b,
                    None if base is None else base[first:last],
                    None if probabilities is None else probabilities[first:last],
                    w[first:last],
                    sharp,
                    uniform,
                )
                total += part[0]
                below += part[1]
                weights += part[2]
        unit = own(m)
        rest = (total - np.float64(exp_shared(m, a, b))) / unit
        if rest < rest_limit(m):
            others, peaks = beside_the_peak(row, m, a, b)
            rest = others / unit + (peaks - 1)
        target = top
        spike = 0.0
        if y is not None:
            target = np.float64(row[y[n]])
            spike = sharp * w[y[n]]
            # Smoothed wholly, the target's class is one like the others, however far away.
            below += spike * (top - target) if sharp != 0 else 0.0
            weights += spike
        losses[n] = below + weights * math.log1p(rest)
        if fused:
            s = scale[n]
            to = out_start + (n - begin) * out_step
            gradient = out[to : to + classes]
            factor = s * weights / (unit * (1.0 + rest))
            at_target = 0.0
            if y is not None:
                beside = 0.0 if base is None else base_sum - base[y[n]]
                if target == top:
                    at_target = s * (beside - weights * (rest / (1.0 + rest)))
                else:
                    e = np.float64(exp_shared(row[y[n]], a, b))
                    at_target = e * factor - s * (weights - beside)
            gradients(row, a, b, factor, s, base, probabilities, w, sharp, uniform, gradient)
            if y is not None:
                gradient[y[n]] = at_target
