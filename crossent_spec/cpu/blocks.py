"""What is found of every sample of a block, in lanes along the samples.

For class indices without smoothing in float32; see :mod:`.few`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .exponential import own
from .logarithm import log1p
from .powers import FARTHEST, powers, shared_bias
from .rest import is_small
from .steep import is_level, steep
from .vectors import LANES, load, load_first, store, store_first

# A block's numbers that are found for every sample, in float32 and in float64.
M, A, HIGH, LOW, TARGET, OWN = range(6)
PEAK = HIGH  # the largest logit's exponential, until there are factors
TOTAL, UNIT, WEIGHT, SCALE, FACTOR, AT_TARGET = range(6)
OTHERS = FACTOR
FULL, NOTHING = np.uint64(LANES), np.float32(0.0)


@kernel(inline="always")
def shifts(count: Any, m: Any, a: Any, b: Any, unit: Any) -> Any:
    """Per sample, what its exponentials share; tell whether some sample has none."""
    hard = False
    for n in range(np.uint64(count)):
        hard |= FARTHEST < abs(m[n]) < np.inf
    for n in range(np.uint64(count)):
        a[n], b[n] = shared_bias(m[n])
    for n in range(np.uint64(count)):
        unit[n] = own(m[n])
    return hard


@kernel(inline="always")
def rests(count: Any, m: Any, a: Any, b: Any, unit: Any, own_e: Any, total: Any) -> Any:
    """Turn sums of exponentials into those beside the largest; tell whether some are too small."""
    count = np.uint64(count)
    for i in range(np.uint64(0), count, FULL):
        if i + FULL <= count:
            store(own_e, i, powers(load(m, i), load(a, i), load(b, i)))
        else:
            n = count - i
            x, low = load_first(m, i, n, NOTHING), load_first(a, i, n, NOTHING)
            store_first(own_e, i, n, powers(x, low, load_first(b, i, n, np.uint32(0))))
    few = False
    for n in range(count):
        rest = (total[n] - np.float64(own_e[n])) / unit[n]
        few |= is_small(rest, m[n])
        total[n] = rest
    return few


@kernel(inline="always")
def targets(
    numbers: Any, step: Any, along: Any, y: Any, at: Any, count: Any, of_target: Any
) -> None:
    """Per sample, the number of the target's class."""
    at, step, along = np.uint64(at), np.uint64(step), np.uint64(along)
    for n in range(np.uint64(count)):
        of_target[n] = numbers[n * step + np.uint64(y[at + n]) * along]


@kernel(inline="always")
def weights_of(w: Any, y: Any, at: Any, count: Any, weight: Any) -> None:
    """Per sample, the weight of the target's class."""
    for n in range(np.uint64(count)):
        weight[n] = w[y[np.uint64(at) + n]]


@kernel(inline="always")
def losses_of(
    at: Any, count: Any, keep: Any, m: Any, target: Any, weight: Any, rest: Any, losses: Any
) -> None:
    """Per sample, the loss."""
    at = np.uint64(at)
    for n in range(np.uint64(count)):
        below = np.float64(m[n]) - np.float64(target[n])
        value = weight[n] * (below + log1p(rest[n], m[n]))
        losses[at + n] = value if keep[at + n] else 0.0


@kernel(inline="always")
def factors(
    count: Any,
    m: Any,
    target: Any,
    own_e: Any,
    weight: Any,
    unit: Any,
    rest: Any,
    s: Any,
    factor: Any,
    at_target: Any,
    high: Any,
    low: Any,
) -> Any:
    """Per sample, the exponentials' factor in two parts, and the gradient at the target.

    Tell whether some factor has no place in float32.
    """
    odd = False
    for n in range(np.uint64(count)):
        f = weight[n] / (unit[n] * (1.0 + rest[n]))
        of_peak = -(f * unit[n] * rest[n])
        other = np.float64(own_e[n]) * f - weight[n]
        at_target[n] = s[n] * (of_peak if target[n] == m[n] else other)
        factor[n] = f
        product = s[n] * f
        part = np.float32(product)
        high[n] = part
        low[n] = np.float32(product - np.float64(part))
        odd |= not is_level(product)
    return odd


@kernel(inline="always")
def found(
    at: Any,
    count: Any,
    classes: Any,
    x: Any,
    start: Any,
    step: Any,
    along: Any,
    e: Any,
    e_step: Any,
    e_along: Any,
    y: Any,
    keep: Any,
    w: Any,
    losses: Any,
    scale: Any,
    single: Any,
    double: Any,
) -> Any:
    """All else that is found of every sample of a block; tell whether some gradient is odd.

    Known are the targets' logits, the largest, what the exponentials share, and R.
    """
    m, rest, unit = single[M], double[TOTAL], double[UNIT]
    target, own_e, weight = single[TARGET], single[OWN], double[WEIGHT]
    targets(e, e_step, e_along, y, at, count, own_e)
    weights_of(w, y, at, count, weight)
    losses_of(at, count, keep, m, target, weight, rest, losses)
    if scale.size == 0:
        return False
    s = double[SCALE]
    for n in range(count):
        s[n] = scale[at + n if scale.size > 1 else 0]
    odd = factors(
        count, m, target, own_e, weight, unit, rest, s, double[FACTOR], double[AT_TARGET],
        single[HIGH], single[LOW],
    )  # fmt: skip
    if odd:
        for n in range(count):
            product = s[n] * double[FACTOR, n]
            if not is_level(product):
                steep(
                    x, start + n * step, along, classes, m[n], rest[n], weight[n], None, None, 0,
                    0, w, 1.0, 0.0, y[at + n], weight[n], s[n], e, n * e_step, e_along,
                )  # fmt: skip
    return odd


@kernel(inline="always")
def corrected(
    at: Any,
    count: Any,
    classes: Any,
    y: Any,
    keep: Any,
    e: Any,
    e_step: Any,
    e_along: Any,
    odd: Any,
    double: Any,
    out: Any,
    to: Any,
    step: Any,
    along: Any,
) -> None:
    """Gradients of a block that are not exponentials times a factor."""
    at_target = double[AT_TARGET]
    if odd:
        for n in range(count):
            product = double[SCALE, n] * double[FACTOR, n]
            if not is_level(product):
                for c in range(classes):
                    out[to + n * step + c * along] = e[n * e_step + c * e_along]
                at_target[n] = e[n * e_step + y[np.uint64(at) + np.uint64(n)] * e_along]
    at, ignored = np.uint64(at), False
    for n in range(np.uint64(count)):
        ignored |= not keep[at + n]
        place = np.uint64(to) + n * np.uint64(step)
        out[place + np.uint64(y[at + n]) * np.uint64(along)] = at_target[n]
    if ignored:
        for n in range(count):
            if not keep[at + np.uint64(n)]:
                for c in range(classes):
                    out[to + n * step + c * along] = 0.0
