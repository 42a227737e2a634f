"""The loss and its gradients, one sample to a group of threads.

With m the largest logit, a_c = w_c·t_c the coefficients of the (smoothed) target, A = Σ a_c and
R = Σ exp(x_c − m) − 1, which is summed without the largest logit's own term,

    l = Σ_c a_c·(m − x_c) + A·log(1 + R),      ∂l/∂x_c = exp(x_c − m)·A/(1 + R) − a_c,
    ∂l/∂q_c = (1 − ε)·w_c·((m − x_c) + log(1 + R)).

A sample that its group's registers can hold is read once.  Of a longer one, the first pass carries
m and the sums relative to it along (online softmax), and a second pass reads it again for the
gradients.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from .fetching import at, bounds, numbers, sample_of, shares_of
from .groups import group, larger
from .target import (
    WARP,
    device_function,
    exp,
    kernel,
    load,
    log1p,
    single,
    store,
    store_wide,
    wait_for_lanes,
)

#: A sample is steep whose exponentials are multiplied by so much; what float32 flushes of them is
#: less than 2^-94 otherwise.
MOST = 2.0**32


class Plan(NamedTuple):
    """What is compiled into a kernel.

    Attributes
    ----------
    wide
        Whether to compute in float64.
    threads
        Threads of a sample, a power of two; of a block at most :attr:`block`.
    vector, vector_target
        Elements of one access to logits and gradient, and to probabilities.
    chunks
        Accesses whose elements a thread holds at a time.
    resident
        Whether these are all there are.
    whole
        Whether samples are cut nowhere else than between accesses, so that none has to be split.
    probabilities, smooth, weighted, scaled
        Kind of target; whether ε, class weights, a multiplier of the logits are given.
    gradient, target_gradient, remember
        Whether to write the gradients of logits and of probabilities, and m and log(1 + R).
    watch
        Whether to leave out, and mark, samples whose gradient is steep: see :mod:`.steep`.
    spatial
        Whether a sample is an item and a position, (N, C, D) with D > 1.
    twice, twice_losses, twice_target
        Whether float64 is stored in 16 bits: gradients of logits, losses, gradients of
        probabilities.
    """

    wide: bool
    threads: int
    vector: int
    vector_target: int
    chunks: int
    resident: bool
    whole: bool
    probabilities: bool
    smooth: bool
    weighted: bool
    scaled: bool
    gradient: bool
    target_gradient: bool
    remember: bool
    watch: bool
    spatial: bool
    twice: bool
    twice_losses: bool = False
    twice_target: bool = False

    @property
    def block(self) -> int:
        """Most threads of a block."""
        return max(self.threads, 256)


class Place(NamedTuple):
    """Where element (item, class, position) is: ``start + item·i + class·c + position·p``.

    ``phase`` is the distance of the memory's first element from a multiple of 16 bytes before it.
    """

    start: int
    item: int
    step: int
    position: int
    phase: int


#: Of what a kernel does not touch.
NOWHERE = Place(0, 0, 0, 0, 0)


@device_function
def same_number(value: Any) -> Any:
    """A number as it is, where none needs rounding before it is stored."""
    return value


@cache
def rows(plan: Plan) -> Any:
    """Compile a kernel for groups of threads that take one sample each.

    Its arguments: memory and :class:`Place` of logits, index targets and probabilities; weights;
    ``ignoring`` and ``ignored``, whether and which target is ignored; ``samples``, ``positions``
    and ``classes``; 1 − ε, ε/C, the multiplier and a factor of the logits' gradient; ``constants``
    (see :mod:`.reductions`); the gradient of each loss with its step from sample to sample, -1 for
    none; losses; memory and place of the
    gradients of logits and probabilities; and per sample m, log(1 + R) and whether it is left out.
    """
    real: Any = np.float64 if plan.wide else np.float32
    threads, vector, chunks = plan.threads, plan.vector, plan.chunks
    vector_target = plan.vector_target
    resident, whole = plan.resident, plan.whole
    probabilities, smooth = plan.probabilities, plan.smooth
    weighted, scaled, twice = plan.weighted, plan.scaled, plan.twice
    gradient, target_gradient, remember = plan.gradient, plan.target_gradient, plan.remember
    watch = plan.watch
    dense = probabilities or smooth
    # The exponentials stay where the logits were.
    reuse = resident and not target_gradient
    final = single if twice else same_number
    final_loss = single if plan.twice_losses else same_number
    final_of_q = single if plan.twice_target else same_number
    holding = vector * chunks
    sharing = holding if probabilities else 1
    # Written to an array in C order, of no other size than the probabilities.
    wide_of_q = vector_target > 1 and whole and not plan.spatial
    single_ones, apart = vector == 1 or not whole, vector == 1
    least, zero, one = real(-np.inf), real(0), real(1)
    largest, total = group(threads, real)

    sample = sample_of(plan)
    within, is_class = bounds(vector, whole)
    fetch = numbers(plan, chunks, vector > 1, scaled, float("-inf"))
    share, fetch_shares = shares_of(plan, chunks)
    most = real(MOST)
    shared_by_lanes = gradient and not probabilities and 1 < threads <= WARP

    @kernel(plan.block, 1 if plan.wide and not resident else 0)
    def sample_rows(
        x: Any, x_place: Any, y: Any, y_place: Any, q: Any, q_place: Any, w: Any,
        ignoring: Any, ignored: Any, samples: Any, positions: Any, classes: Any,
        sharp: Any, uniform: Any, mult: Any, gain: Any, constants: Any, scales: Any,
        scale_step: Any, losses: Any, out: Any, out_place: Any, out_q: Any, out_q_place: Any,
        tops: Any, logs: Any, marks: Any,
    ) -> None:  # fmt: skip
        lane, live, n, item, position, begin, target, there, lead, first = sample(
            x_place, y, y_place, ignoring, ignored, samples, positions, classes
        )  # fmt: skip
        keep = there > 0
        q_at = at(q_place, item, position) if probabilities else np.int64(0)
        # Before anything is written, which may be where this is read.
        evenly = real(constants[1]) if smooth and not probabilities else zero
        own = zero
        spike = zero
        weights = zero
        if keep and not probabilities:
            own = real(load(x, begin + target * x_place[2]))
            if scaled:
                own *= mult
            spike = sharp
            if weighted and sharp != zero:
                spike *= real(load(w, target))
            weights = spike + evenly
        own_class = np.int32(target)
        held = cuda.local.array(holding, real)
        shares = cuda.local.array(sharing, real)
        of_q = cuda.local.array(vector, real)
        top = least
        reference = zero
        rest = zero
        same = zero
        coefficients = zero
        below = zero
        tiles = np.int32(1)
        if not resident:
            tiles = (there + lead + threads * holding - 1) // (threads * holding)
        for tile in range(tiles):
            here = np.int32(first + tile * (threads * holding))
            fetch(x, begin, x_place[2], here, there, mult, held)
            peak = top
            for i in range(holding):
                peak = larger(peak, held[i])
            if resident:
                peak = largest(peak)
            elif peak > top:
                # What has been summed is relative to the largest logit so far.
                rest = (rest + (one if top > least else zero)) * exp(top - peak)
                below += coefficients * (peak - reference)
                reference = peak
                same -= one
            if resident:
                reference = peak if peak > least else zero
            if probabilities:
                fetch_shares(
                    q, q_at, q_place[2], w, sharp, uniform, here, there, shares
                )  # fmt: skip
            for j in range(chunks):
                for k in range(vector):
                    i = j * vector + k
                    value = held[i]
                    e = exp(value - peak)
                    if value != peak:
                        rest += e
                    elif peak > least:
                        same += one
                    if dense:
                        # Not even an infinite weight makes something of the largest logit.
                        c = np.int32(here + j * threads * vector + k)
                        if is_class(c, there):
                            a = uniform
                            if probabilities:
                                a = shares[i]
                            else:
                                a = share(q, q_at, 0, w, c, sharp, uniform)
                            if probabilities or not resident:
                                coefficients += a
                            gap = reference - value
                            below += a * gap if gap != zero else zero
                    if reuse:
                        held[i] = e
            if not resident:
                rest += same
                same = zero
            top = peak
        if not resident:
            peak = largest(top)
            if top == peak:
                same = one
            else:
                rest = (rest + (one if top > least else zero)) * exp(top - peak)
                reference_of_all = peak if peak > least else zero
                below += coefficients * (reference_of_all - reference)
            top = peak
        # Undefined where the largest logit is infinite, as infinity less infinity is.
        rest = total(rest) + ((total(same) - one) + (top - top))
        if dense:
            below = total(below)
        if probabilities:
            weights = total(coefficients)
        elif sharp != zero:
            # Smoothed wholly, the target's class is one like the others, however far away.
            gap = zero if own == top else top - own
            below += spike * gap if gap != zero else zero
        log = log1p(rest)
        if live and lane == 0:
            store(losses, n, final_loss(below + weights * log) if keep else zero)
            if remember:
                tops[n] = top
                logs[n] = log
        if not (gradient or target_gradient):
            return
        s = real(constants[0])
        if scale_step >= 0:
            s *= real(load(scales, n * scale_step))
        of_logits = s * gain
        factor = weights / (one + rest)
        # Of a largest logit that has most of all probability, 1 − p is R/(1 + R), which nothing
        # cancels in; of a lower one p itself is little.
        at_top = own == top and rest < one
        beside = weights * (rest / (one + rest))
        all_classes = np.int32(classes) if live else np.int32(0)
        if watch:
            # Left to another kernel, which reads the logits again.  What does not count is not
            # steep: its A is 0, which even infinity makes no number that is large.
            mark = zero
            if (gradient and abs(of_logits * factor) >= most) or (
                target_gradient and abs(s) >= most
            ):
                all_classes = np.int32(0)
                mark = one
            if live and lane == 0:
                store(marks, n, mark)
        out_at = at(out_place, item, position)
        if shared_by_lanes:
            # Where a class index's logit was read by all of them, one may write its gradient.
            wait_for_lanes()
        out_q_at = at(out_q_place, item, position)
        if not resident:
            tiles = (all_classes + lead + threads * holding - 1) // (threads * holding)
        for tile in range(tiles):
            here = np.int32(first + tile * (threads * holding))
            if not resident:
                fetch(x, begin, x_place[2], here, there, mult, held)
                if probabilities:
                    fetch_shares(
                        q, q_at, q_place[2], w, sharp, uniform, here, there, shares
                    )  # fmt: skip
            for j in range(chunks):
                first_of_chunk = np.int32(here + j * threads * vector)
                for k in range(vector):
                    i = j * vector + k
                    c = np.int32(first_of_chunk + k)
                    if target_gradient:
                        g = s * sharp * ((top - held[i]) + log)
                        if weighted and is_class(c, all_classes):
                            g *= real(load(w, c))
                        of_q[k] = g
                    if gradient:
                        e = held[i] if reuse else exp(held[i] - top)
                        a = zero
                        if probabilities:
                            a = shares[i]
                        elif smooth:
                            a = (
                                share(q, q_at, 0, w, c, sharp, uniform)
                                if is_class(c, there)
                                else zero
                            )
                        g = e * factor - a
                        if not probabilities and c == own_class:
                            g = (evenly - a) - beside if at_top else e * factor - (spike + a)
                        held[i] = of_logits * g if keep else zero
                if target_gradient:
                    if wide_of_q and within(first_of_chunk, all_classes):
                        store_wide(out_q, out_q_at + first_of_chunk, of_q, 0)
                    elif not wide_of_q:
                        for k in range(vector):
                            c = np.int32(first_of_chunk + k)
                            if is_class(c, all_classes):
                                store(out_q, out_q_at + c * out_q_place[2], final_of_q(of_q[k]))
                if gradient:
                    if vector > 1 and within(first_of_chunk, all_classes):
                        store_wide(out, out_at + first_of_chunk, held, j * vector)
                    elif single_ones:
                        step = out_place[2] if apart else 1
                        for k in range(vector):
                            c = np.int32(first_of_chunk + k)
                            if is_class(c, all_classes):
                                store(out, out_at + c * step, final(held[j * vector + k]))

    return sample_rows
