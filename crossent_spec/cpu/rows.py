"""Samples whose classes lie side by side in memory: one row at a time, in lanes along the classes.

Three loops over a row that stays in cache: the largest logit m; e_c = exp(x_c − m) and its sum S;
the gradient.  Every sum is in float64, so is the exponential's argument, and a loss near zero
comes from R = S − 1 summed without the largest logit's own term.

With a_c = w_c·t_c the coefficients of the (smoothed) target and A = Σ a_c,

    l = Σ_c a_c·(m − x_c) + A·log(1 + R),      ∂l/∂x_c = e_c·A/S − a_c,

where for class indices all a_c but the target's are the same for every sample (``base``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import exp_shifted
from .numbers import larger, narrow, widen

#: Classes whose exponentials are summed before they join the others.
BLOCK = 1024

# Kernels of dense targets take the same five arguments: base (class indices with smoothing), and
# q, w, sharp, uniform (probabilities: a_c = w_c·(sharp·q_c + uniform)); None where absent.


@kernel(lanes=True)
def peak(x: Any, mult: Any) -> Any:
    """The logit that is largest once multiplied by ``mult``."""
    if mult < 0:
        m = -widen(x[0])
        for i in range(x.size):
            m = larger(m, -widen(x[i]))
        return -m
    m = widen(x[0])
    for i in range(x.size):
        m = larger(m, widen(x[i]))
    return m


@kernel(lanes=True)
def exponentials(x: Any, m: Any, mult: Any, e: Any) -> Any:
    """Σ exp(mult·(x_c − m)), each also into ``e``."""
    total = 0.0
    for i in range(x.size):
        _, term = exp_shifted(widen(x[i]), m, mult)
        e[i] = term
        total += term
    return total


@kernel(lanes=True)
def moments(
    x: Any, m: Any, mult: Any, e: Any, base: Any, q: Any, w: Any, sharp: Any, uniform: Any
) -> Any:
    """Σ exp(mult·(x_c − m)), Σ a_c·mult·(m − x_c) and, for probabilities, Σ a_c."""
    total = 0.0
    below = 0.0
    weights = 0.0
    for i in range(x.size):
        d, term = exp_shifted(widen(x[i]), m, mult)
        e[i] = term
        total += term
        if q is not None:
            a = w[i] * (sharp * np.float64(widen(q[i])) + uniform)
            weights += a
            below -= a * d
        if base is not None:
            below -= base[i] * d
    return total, below, weights


@kernel()
def exponential_sum(x: Any, m: Any, mult: Any, e: Any) -> Any:
    """Σ exp(mult·(x_c − m)), block by block; what fits into ``e`` stays there."""
    total = 0.0
    for begin in range(0, x.size, BLOCK):
        end = min(begin + BLOCK, x.size)
        at = begin if e.size >= x.size else 0
        total += exponentials(x[begin:end], m, mult, e[at : at + end - begin])
    return total


@kernel()
def beside_the_peak(x: Any, m: Any, mult: Any, e: Any) -> Any:
    """R: the sum of exponentials without the first that is 1."""
    p = 0
    while p < x.size - 1 and widen(x[p]) != m:
        p += 1
    return exponential_sum(x[:p], m, mult, e) + exponential_sum(x[p + 1 :], m, mult, e)


@kernel()
def scaled(
    e: Any, factor: Any, s: Any, base: Any, q: Any, w: Any, sharp: Any, uniform: Any, out: Any
) -> None:
    """Gradient of a row: e_c·factor − s·a_c, rounded once."""
    for i in range(out.size):
        g = np.float64(e[i]) * factor
        if q is not None:
            g -= s * (w[i] * (sharp * np.float64(widen(q[i])) + uniform))
        if base is not None:
            g -= s * base[i]
        out[i] = narrow(g, out[i])


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
    mult: Any,
    precise_below: Any,
    losses: Any,
    scale: Any,
    e: Any,
    out: Any,
    out_start: Any,
    out_step: Any,
) -> None:
    """Losses of the samples from ``begin`` to ``end`` and, with ``out``, the logits' gradient.

    Parameters
    ----------
    x, x_start, x_step
        Flat memory of the logits, position of sample 0, distance between samples; the same for
        ``q`` and ``out``.
    y, keep
        Class indices, and whether a sample counts.
    base, base_sum
        Coefficient of every class that label smoothing gives all samples alike, and their sum.
    sharp, uniform
        1 − ε and ε/C.
    precise_below
        Where S − 1 is less, R is summed anew.
    scale
        ∂result/∂l_n.
    e
        Memory of one row in the working type or, without ``out``, of one block.
    """
    spare = np.empty(BLOCK, e.dtype)
    for n in range(begin, end):
        row = x[x_start + n * x_step : x_start + n * x_step + classes]
        if not keep[n]:
            losses[n] = 0.0
            if out is not None:
                for i in range(classes):
                    out[out_start + n * out_step + i] = narrow(0.0, out[0])
            continue
        m = np.float64(peak(row, mult))
        probabilities = (
            None if q is None else q[q_start + n * q_step : q_start + n * q_step + classes]
        )
        below = 0.0
        weights = base_sum
        if q is None and base is None:
            total = exponential_sum(row, m, mult, e)
        else:
            total = 0.0
            for a in range(0, classes, BLOCK):
                b = min(a + BLOCK, classes)
                at = a if e.size >= classes else 0
                part = moments(
                    row[a:b],
                    m,
                    mult,
                    e[at : at + b - a],
                    None if base is None else base[a:b],
                    None if probabilities is None else probabilities[a:b],
                    None if w is None else w[a:b],
                    sharp,
                    uniform,
                )
                total += part[0]
                below += part[1]
                weights += part[2]
        rest = total - 1.0
        if rest < precise_below:
            rest = beside_the_peak(row, m, mult, spare)
        log_sum = math.log1p(rest)
        spike = 0.0
        own = m
        if y is not None:
            spike = sharp if w is None else sharp * w[y[n]]
            stored_own = widen(row[y[n]])
            own = np.float64(stored_own)
            below += spike * (mult * (m - own))
            weights += spike
        losses[n] = below + weights * log_sum
        if out is not None:
            s = scale[n]
            gradient = out[out_start + n * out_step : out_start + n * out_step + classes]
            factor = s * weights / (1.0 + rest)
            scaled(e, factor, s, base, probabilities, w, sharp, uniform, gradient)
            if y is not None:
                target = y[n]
                others = 0.0 if base is None else base_sum - base[target]
                if own == m:
                    g = s * (others - weights * (rest / (1.0 + rest)))
                else:
                    _, e_own = exp_shifted(stored_own, m, mult)
                    g = e_own * factor - s * (weights - others)
                gradient[target] = narrow(g, gradient[target])
