"""Rows in float64, classes side by side in memory: one at a time, in lanes along the classes.

Three loops over a row that stays in cache: the largest logit m; the exponentials and their sum; the
gradient.  (Rows in float32 are those of :mod:`.single`.)  With
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
from .errors import settled, summed_up
from .exponential import exp_shared, own, shared
from .numbers import beyond, larger, plus, prefetch
from .rest import is_small, is_tiny, others, rest_of, tiny_rest
from .steep import is_steep, steep
from .terms import below_top
from .vectors import AVX512

#: So many classes' terms are added up by themselves, so that a sum's error does not grow with them;
#: between these parts of a long row one looks ahead.  In shorter rows the processor does by itself.
BLOCK, LONG = 256 if AVX512 else 128, 4096
#: Elements of a cache line.
LINE = 16

# A loop counts from ``at`` in flat memory, and unsigned: a slice costs as much as forty elements,
# and an index that could be negative keeps the compiler from vectorising.
#
# Kernels of dense targets take the same arguments: base (class indices with smoothing) and q
# (probabilities), None where absent, and w, sharp, uniform: a_c = w_c·(sharp·q_c + uniform).


@kernel()
def peak(x: Any, at: Any, n: Any) -> Any:
    """The largest logit."""
    at = np.uint64(at)
    m = x[at]
    for i in range(np.uint64(n)):
        m = larger(m, x[at + i])
    return m


@kernel()
def exponentials(x: Any, at: Any, n: Any, a: Any, b: Any, e: Any, e_at: Any) -> None:
    """Exponentials of logits, times the row's factor.

    A loop of its own: float32 alone fills twice as many lanes as beside a sum in float64.
    """
    at, e_at = np.uint64(at), np.uint64(e_at)
    for i in range(np.uint64(n)):
        e[e_at + i] = exp_shared(x[at + i], a, b)


@kernel()
def summed(e: Any, at: Any, n: Any) -> Any:
    """Sum in float64."""
    at = np.uint64(at)
    total = 0.0
    for i in range(np.uint64(n)):
        total = plus(total, np.float64(e[at + i]))
    return total


@kernel()
def moments(
    x: Any,
    at: Any,
    first: Any,
    last: Any,
    m: Any,
    base: Any,
    q: Any,
    q_at: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
) -> Any:
    """Σ a_c·(m − x_c) and, for probabilities, Σ a_c, of the classes from ``first`` to ``last``."""
    at, q_at = np.uint64(at), np.uint64(q_at)
    below = 0.0
    weights = 0.0
    first = np.uint64(first)
    at, q_at = at + first, q_at + first
    for i in range(np.uint64(last) - first):
        distance = m - np.float64(x[at + i])
        if q is not None:
            share = w[first + i] * (sharp * np.float64(q[q_at + i]) + uniform)
            weights = plus(weights, share)
            below = plus(below, share * distance)
        if base is not None:
            below = plus(below, base[first + i] * distance)
    return below, weights


@kernel()
def gradients(
    e: Any,
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
    out_at: Any,
) -> None:
    """Gradient of a row: s·(exponential·factor − a_c), rounded once."""
    q_at, out_at = np.uint64(q_at), np.uint64(out_at)
    for i in range(np.uint64(n)):
        g = np.float64(e[i]) * factor
        if q is not None:
            g -= w[i] * (sharp * np.float64(q[q_at + i]) + uniform)
        if base is not None:
            g -= base[i]
        out[out_at + i] = s * g


@kernel(allocates=True)
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
        ∂result/∂l_n, one for every sample or one for all; empty for the losses alone.
    """
    fused = scale.size > 0
    target = -1
    block = min(classes, BLOCK)
    e = np.empty(classes if fused else block, x.dtype)
    for n in range(begin, end):
        at = x_start + (n - begin) * x_step
        q_at = q_start + (n - begin) * q_step
        to = out_start + (n - begin) * out_step
        if not keep[n]:
            losses[n] = 0.0
            if fused:
                for i in range(classes):
                    out[to + i] = 0.0
            continue
        m = peak(x, at, classes)
        if beyond(m):
            left[n] = True
            continue
        top = np.float64(m)
        a, b = shared(m)
        total, error = 0.0, 0.0
        for first in range(0, classes, block):
            last = min(first + block, classes)
            if classes >= LONG:
                # What comes next is fetched meanwhile: this row's gradient, and the next row.
                for i in range(first, last, LINE):
                    prefetch(x, at + x_step + i, False)
                if fused:
                    for i in range(first, last, LINE):
                        prefetch(out, to + i, True)
            e_at = first if fused else 0
            exponentials(x, at + first, last - first, a, b, e, e_at)
            total, error = summed_up(total, error, summed(e, e_at, last - first))
        total += error
        below = 0.0
        weights = base_sum
        if q is not None or base is not None:
            error, weights_error = 0.0, 0.0
            for first in range(0, classes, block):
                last = min(first + block, classes)
                part, added = moments(x, at, first, last, top, base, q, q_at, w, sharp, uniform)
                below, error = summed_up(below, error, part)
                weights, weights_error = summed_up(weights, weights_error, added)
            below, weights = settled(below, error), settled(weights, weights_error)
            if below != below:
                below = below_top(x, at, 1, classes, m, base, q, q_at, 1, w, sharp, uniform)
        unit, own_e = own(m), exp_shared(m, a, b)
        rest = (total - np.float64(own_e)) / unit
        if is_small(rest, m):
            beside, error = 0.0, 0.0
            for first in range(0, classes, block):
                count = min(block, classes - first)
                e_at = first if fused else 0
                if not fused and classes > block:
                    exponentials(x, at + first, count, a, b, e, e_at)
                beside, error = summed_up(beside, error, others(e, e_at, count, own_e))
            beside += error
            rest = rest_of(rest, unit, np.float64(own_e), beside)
            if is_tiny(rest, classes, m):
                rest = tiny_rest(x, at, 1, classes, m)
        own_logit, of_target = top, 0.0
        if y is not None:
            target = y[n]
            own_logit = np.float64(x[at + target])
            of_target = spike = sharp * w[target] if sharp != 0 else 0.0
            weights += spike
            if base is not None:
                # Smoothed wholly, the target's class is one like the others, however far away.
                below += spike * (top - own_logit) if sharp != 0 and own_logit != top else 0.0
                of_target += base[target]
        if y is not None and base is None:
            losses[n] = weights * ((top - own_logit) + math.log1p(rest))
        else:
            losses[n] = below + weights * math.log1p(rest)
        if not fused:
            continue
        s = scale[n if scale.size > 1 else 0]
        factor = weights / (unit * (1.0 + rest))
        # What of all coefficients is not the target's.
        apart = 0.0
        if y is not None and base is not None:
            apart = base_sum - base[target]
        if is_steep(s * factor):
            steep(
                x, at, 1, classes, m, rest, weights, base, q, q_at, 1, w, sharp, uniform,
                target, of_target, s, out, to, 1,
            )  # fmt: skip
            continue
        at_target = 0.0
        if y is not None:
            # Of most of all probability, what is lacking.
            if own_logit == top and rest < 1.0:
                at_target = s * (apart - weights * (rest / (1.0 + rest)))
            else:
                at_target = s * (np.float64(e[target]) * factor - of_target)
        gradients(e, classes, factor, s, base, q, q_at, w, sharp, uniform, out, to)
        if y is not None:
            out[to + target] = at_target
