"""Samples side by side: lanes along the samples, for strided classes and for few classes.

A tile is some samples with all their classes, copied class by class into cached memory in the
working type; there the three loops of :mod:`.rows` run with one sample per lane.  One kernel
serves every layout, and the caller's memory is read once and written once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import exp_shifted
from .logarithm import log1p_lanes
from .numbers import larger, narrow, widen
from .rows import BLOCK, beside_the_peak


@kernel()
def load(x: Any, start: Any, class_step: Any, step: Any, tile: Any, lanes: Any) -> None:
    """Copy a tile: tile[c, lane] is the working value of class c of sample ``lane``."""
    if step == 1:
        for c in range(tile.shape[0]):
            row = x[start + c * class_step : start + c * class_step + lanes]
            line = tile[c][:lanes]
            for lane in range(lanes):
                line[lane] = widen(row[lane])
    else:
        for lane in range(lanes):
            for c in range(tile.shape[0]):
                tile[c, lane] = widen(x[start + lane * step + c * class_step])


@kernel()
def peaks(tile: Any, mult: Any, m: Any) -> None:
    """Per lane, the logit that is largest once multiplied by ``mult``."""
    sign = -1.0 if mult < 0 else 1.0
    first = tile[0]
    for lane in range(m.size):
        m[lane] = sign * np.float64(first[lane])
    for c in range(1, tile.shape[0]):
        line = tile[c]
        for lane in range(m.size):
            m[lane] = larger(m[lane], sign * np.float64(line[lane]))
    for lane in range(m.size):
        m[lane] = sign * m[lane]


@kernel()
def distances(tile: Any, m: Any, mult: Any, base: Any, a: Any, below: Any) -> None:
    """Per lane, Σ a_c·mult·(m − x_c)."""
    for c in range(tile.shape[0]):
        line = tile[c]
        if a is not None:
            own = a[c]
            for lane in range(m.size):
                below[lane] += own[lane] * (mult * (m[lane] - np.float64(line[lane])))
        if base is not None:
            share = base[c]
            for lane in range(m.size):
                below[lane] += share * (mult * (m[lane] - np.float64(line[lane])))


@kernel()
def lane_exponentials(tile: Any, m: Any, mult: Any, total: Any) -> None:
    """Replace a tile by its exponentials, and sum them per lane."""
    for c in range(tile.shape[0]):
        line = tile[c]
        for lane in range(m.size):
            _, e = exp_shifted(line[lane], m[lane], mult)
            line[lane] = e
            total[lane] += e


@kernel()
def coefficients(
    q: Any,
    start: Any,
    class_step: Any,
    step: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    a: Any,
    weights: Any,
) -> None:
    """a[c, lane] = w_c·(sharp·q + uniform), and their sum over the classes per lane."""
    for c in range(a.shape[0]):
        own = a[c]
        for lane in range(weights.size):
            value = np.float64(widen(q[start + lane * step + c * class_step]))
            own[lane] = w[c] * (sharp * value + uniform)
        for lane in range(weights.size):
            weights[lane] += own[lane]


@kernel()
def store(
    tile: Any,
    factor: Any,
    s: Any,
    base: Any,
    a: Any,
    y: Any,
    at_target: Any,
    out: Any,
    start: Any,
    class_step: Any,
    step: Any,
) -> None:
    """Write a tile's gradient e_c·factor − s·a_c, rounded once; that of the targets is given."""
    lanes = factor.size
    if step == 1:
        for c in range(tile.shape[0]):
            line = tile[c]
            own = None if a is None else a[c]
            share = 0.0 if base is None else base[c]
            row = out[start + c * class_step : start + c * class_step + lanes]
            for lane in range(lanes):
                g = np.float64(line[lane]) * factor[lane]
                if own is not None:
                    g -= s[lane] * own[lane]
                if base is not None:
                    g -= s[lane] * share
                if y is not None:
                    g = at_target[lane] if y[lane] == c else g
                row[lane] = narrow(g, row[lane])
    else:
        for lane in range(lanes):
            for c in range(tile.shape[0]):
                g = np.float64(tile[c, lane]) * factor[lane]
                if a is not None:
                    g -= s[lane] * a[c, lane]
                if base is not None:
                    g -= s[lane] * base[c]
                if y is not None:
                    g = at_target[lane] if y[lane] == c else g
                at = start + lane * step + c * class_step
                out[at] = narrow(g, out[at])


@kernel()
def tiles(
    begin: Any,
    end: Any,
    width: Any,
    inner: Any,
    x: Any,
    x_start: Any,
    x_steps: Any,
    y: Any,
    keep: Any,
    q: Any,
    q_start: Any,
    q_steps: Any,
    base: Any,
    base_sum: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
    mult: Any,
    precise_below: Any,
    losses: Any,
    scale: Any,
    tile: Any,
    doubles: Any,
    out: Any,
    out_start: Any,
    out_steps: Any,
) -> None:
    """Losses of the tiles from ``begin`` to ``end`` and, with ``out``, the logits' gradient.

    Parameters
    ----------
    width, inner
        Samples of a tile, and of a run along which tiles are cut.
    x_start, x_steps
        Position of the first logit, and distances along run, classes and samples of a run; the
        same for ``q`` and ``out``.
    tile, doubles
        (C, width) memory in the working type, and (8, width) or (8 + C, width) in float64.

    The others are those of :func:`.rows.rows`.
    """
    classes = tile.shape[0]
    per_run = -(-inner // width)
    column = np.empty(classes, tile.dtype)
    spare = np.empty(BLOCK, tile.dtype)
    for t in range(begin, end):
        run = t // per_run
        first = (t - run * per_run) * width
        lanes = min(width, inner - first)
        at = run * inner + first
        m, total, below = doubles[0][:lanes], doubles[1][:lanes], doubles[2][:lanes]
        weights, factor, log_sum = doubles[3][:lanes], doubles[4][:lanes], doubles[5][:lanes]
        g, owns = doubles[6][:lanes], doubles[7][:lanes]
        origin = x_start + run * x_steps[0] + first * x_steps[2]
        load(x, origin, x_steps[1], x_steps[2], tile, lanes)
        peaks(tile, mult, m)
        total[:] = 0.0
        below[:] = 0.0
        weights[:] = base_sum
        a = None if q is None else doubles[8:]
        if q is not None:
            place = q_start + run * q_steps[0] + first * q_steps[2]
            coefficients(q, place, q_steps[1], q_steps[2], w, sharp, uniform, a, weights)
        if q is not None or base is not None:
            distances(tile, m, mult, base, a, below)
        targets: Any = None if y is None else y[at : at + lanes]
        if y is not None:
            for lane in range(lanes):
                owns[lane] = tile[targets[lane], lane]
        lane_exponentials(tile, m, mult, total)
        for lane in range(lanes):
            rest = total[lane] - 1.0
            if rest < precise_below:
                for c in range(classes):
                    column[c] = widen(x[origin + lane * x_steps[2] + c * x_steps[1]])
                rest = beside_the_peak(column, m[lane], mult, spare)
            total[lane] = rest
        log1p_lanes(total, log_sum)
        for lane in range(lanes):
            n = at + lane
            spike = 0.0
            own = m[lane]
            if y is not None:
                spike = sharp if w is None else sharp * w[y[n]]
                column[0] = owns[lane]
                stored_own = column[0]
                own = owns[lane]
                below[lane] += spike * (mult * (m[lane] - own))
                weights[lane] += spike
            losses[n] = below[lane] + weights[lane] * log_sum[lane] if keep[n] else 0.0
            if out is not None:
                s = scale[n]
                rest = total[lane]
                factor[lane] = s * weights[lane] / (1.0 + rest)
                if y is not None:
                    others = 0.0 if base is None else base_sum - base[y[n]]
                    if own == m[lane]:
                        g[lane] = s * (others - weights[lane] * (rest / (1.0 + rest)))
                    else:
                        _, e_own = exp_shifted(stored_own, m[lane], mult)
                        g[lane] = e_own * factor[lane] - s * (weights[lane] - others)
        if out is not None:
            target = out_start + run * out_steps[0] + first * out_steps[2]
            store(
                tile,
                factor,
                scale[at : at + lanes],
                base,
                a,
                targets,
                g,
                out,
                target,
                out_steps[1],
                out_steps[2],
            )
            for lane in range(lanes):
                if not keep[at + lane]:
                    for c in range(classes):
                        place = target + lane * out_steps[2] + c * out_steps[1]
                        out[place] = narrow(0.0, out[0])
