"""Gradients of samples where ∂result/∂l, or a weight, is vast: what counts as nothing elsewhere.

As :mod:`crossent_spec.cpu.steep`: an exponential too little for float32 is something once it is
multiplied by 2^100, and infinity times anything but nothing is infinite.  So each logit's gradient
is worked out in float64 from the logit itself.  That would take registers from kernels that hardly
ever need it: those of :mod:`.rows` leave such samples as they are, and mark them for this one.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from .fetching import at, shares_of
from .groups import group, larger
from .launching import launch
from .rows import NOWHERE, Place, same_number
from .target import SIMULATED, device_function, exp, kernel, load, log1p, single, store

#: Threads of a block, which takes one sample after the other, and most blocks.
THREADS, BLOCKS = 32 if SIMULATED else 256, 1024
#: The least number of float64.
LEAST_OF_ALL = 5e-324


class SteepPlan(NamedTuple):
    """What is compiled into a kernel; what :class:`.rows.Plan` has too means the same."""

    wide: bool
    probabilities: bool
    smooth: bool
    weighted: bool
    scaled: bool
    gradient: bool
    target_gradient: bool
    twice: bool
    twice_target: bool
    #: Of the functions that kernels share: no access is of several elements.
    threads: int = THREADS
    vector: int = 1
    vector_target: int = 1
    whole: bool = True


@cache
def steep(plan: SteepPlan) -> Any:
    """Compile: the gradients of marked samples.

    Its arguments are those of :func:`.rows.rows` without what it has no use for.
    """
    real: Any = np.float64 if plan.wide else np.float32
    probabilities, smooth, scaled = plan.probabilities, plan.smooth, plan.scaled
    weighted, dense = plan.weighted, plan.probabilities or plan.smooth
    infinity, zero, one = np.float64(np.inf), np.float64(0), np.float64(1)
    least = np.float64(LEAST_OF_ALL)
    largest, total = group(THREADS, np.float64)
    share, _ = shares_of(plan, 1)
    # From float64 to 16 bits by way of float32, as the others are.
    gradient, target_gradient = plan.gradient, plan.target_gradient
    rounded: Any = same_number if plan.wide else real
    final = single if plan.twice else rounded
    final_of_q = single if plan.twice_target else rounded

    @device_function
    def logit(x: Any, place: Any, mult: Any) -> Any:
        """A logit, multiplied as elsewhere."""
        value = real(load(x, place))
        if scaled:
            value *= mult
        return np.float64(value)

    @device_function
    def something(value: Any, like: Any, s: Any) -> Any:
        """A number with the sign of ``like`` that is not zero if that is not, where s is ∞."""
        if value == zero and like != zero and abs(s) == infinity:
            return math.copysign(least, like)
        return value

    @kernel(THREADS, 1)
    def steep_rows(
        x: Any, x_place: Any, y: Any, y_place: Any, q: Any, q_place: Any, w: Any, samples: Any,
        positions: Any, classes: Any, sharp: Any, uniform: Any, mult: Any, gain: Any,
        constants: Any, scales: Any, scale_step: Any, out: Any, out_place: Any, out_q: Any,
        out_q_place: Any, marks: Any,
    ) -> None:  # fmt: skip
        thread = np.int64(cuda.threadIdx.x)
        evenly = np.float64(constants[1]) if smooth and not probabilities else zero
        n = np.int64(cuda.blockIdx.x)
        while n < samples:
            # Of a block all threads take the same sample, or none.
            if load(marks, n) != 0:
                item = n // positions
                position = n - item * positions
                begin = at(x_place, item, position)
                q_at = at(q_place, item, position) if probabilities else np.int64(0)
                out_at = at(out_place, item, position)
                out_q_at = at(out_q_place, item, position)
                target = np.int64(-1)
                spike = zero
                if not probabilities:
                    target = np.int64(y[at(y_place, item, position)])
                    spike = np.float64(sharp)
                    if weighted and sharp != 0:
                        spike = np.float64(sharp * real(load(w, target)))
                top = -infinity
                weights = zero
                for c in range(thread, classes, THREADS):
                    top = larger(top, logit(x, begin + c * x_place[2], mult))
                    if probabilities:
                        weights += np.float64(share(q, q_at, q_place[2], w, c, sharp, uniform))
                top = largest(top)
                weights = total(weights) if probabilities else spike + evenly
                s = np.float64(constants[0])
                if scale_step >= 0:
                    s *= np.float64(load(scales, n * scale_step))
                of_logits = s * np.float64(gain)
                # Of which infinity is to make something.
                floor = least if abs(s) == infinity else zero
                # Σ exp(x − m) over the other logits, and how many are as large as the largest.
                beside = zero
                same = zero
                for c in range(thread, classes, THREADS):
                    d = logit(x, begin + c * x_place[2], mult) - top
                    if d == zero:
                        same += one
                    elif d > -infinity:
                        beside += max(exp(d), floor)
                    elif d != -infinity:
                        # What is undefined makes everything so.
                        beside += d
                beside = total(beside)
                rest = beside + (total(same) - one)
                factor = weights / (one + rest)
                lacking = weights * (rest / (one + rest))
                if beside > zero:
                    lacking = something(lacking, weights, of_logits)
                low = rest < one and abs(weights) < infinity
                log = log1p(rest)
                if beside > zero:
                    log = something(log, one, s)
                for c in range(thread, classes, THREADS):
                    d = logit(x, begin + c * x_place[2], mult) - top
                    if target_gradient:
                        of_q = s * np.float64(sharp) * (log - d)
                        if weighted:
                            of_q *= np.float64(load(w, c))
                        store(out_q, out_q_at + c * out_q_place[2], final_of_q(of_q))
                    if not gradient:
                        continue
                    own = c == target
                    a = zero
                    if dense:
                        a = np.float64(share(q, q_at, q_place[2], w, c, sharp, uniform))
                    if d == zero and low:
                        # Of a class that has nearly all probability, what it lacks.
                        g = ((evenly if own else weights) - a) - lacking
                    else:
                        g = factor * exp(d)
                        if d > -infinity:
                            g = something(g, weights, of_logits)
                        g -= a + spike if own else a
                    store(out, out_at + c * out_place[2], final(of_logits * g))
            n += np.int64(cuda.gridDim.x)

    return steep_rows


def write_steep(
    call: Any,
    gain: float,
    scales: tuple[Any, int],
    out: tuple[Any, Place] | None,
    of_target: tuple[Any, Place] | None,
    marks: Any,
) -> None:
    """Write the gradients of the samples that a kernel of :mod:`.rows` has marked.

    The call is the :class:`.engine.Call`; the rest is as that kernel has it, and ``None`` for a
    gradient that is not wanted.
    """
    plan = SteepPlan(
        wide=call.wide,
        probabilities=call.probabilities is not None,
        smooth=call.problem.label_smoothing != 0,
        weighted=call.weight is not None,
        scaled=call.mult != 1,
        gradient=out is not None,
        target_gradient=of_target is not None,
        twice=call.wide and call.logits.dtype.itemsize == 2,
        twice_target=call.wide
        and call.probabilities is not None
        and call.probabilities.dtype.itemsize == 2,
    )
    nowhere = call.nothing, NOWHERE
    launch(
        steep(plan), min(BLOCKS, call.samples), THREADS, call.stream, call.x, call.x_place, call.y,
        call.y_place, call.q, call.q_place, call.w, call.samples, call.positions, call.classes,
        call.real(call.sharp), call.real(call.uniform), call.real(call.mult), call.real(gain),
        call.nothing, *scales, *(out or nowhere), *(of_target or nowhere), marks,
    )  # fmt: skip
