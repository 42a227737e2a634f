"""Derivatives of the losses and of their gradients along a direction v of the logits.

With p the softmax, a_c = w_c·t_c the coefficients of the (smoothed) target and A = Σ a_c,

    ∂l·v = Σ_c (A·p_c − a_c)·v_c,      (∂²l·v)_c = s·A·p_c·(v_c − Σ_i p_i·v_i),

s being the gradient of the result with respect to l.  A constant added to v changes neither, so v
counts from its value at the largest logit, the origin: where that has nearly all probability, all
terms are small and none cancel.

A sample that its group's registers can hold is read once.  Of a longer one, the first pass carries
the largest logit, its origin and the sums relative to both along, and a second pass, for ∂²l·v
alone, reads it again.  Sums are in float64: when the origin moves, what has been summed moves by
the sum of the same rounded exponentials, and nothing is lost.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from .fetching import at, bounds, numbers, sample_of, shares_of
from .groups import group, larger
from .rows import same_number
from .target import (
    WARP,
    device_function,
    exp,
    kernel,
    load,
    single,
    store,
    store_wide,
    wait_for_lanes,
)


class DirectionPlan(NamedTuple):
    """What is compiled into a kernel; what :class:`.rows.Plan` has too means the same.

    Attributes
    ----------
    vector_moved
        Elements of one access to the direction.
    product
        Whether to write ∂²l·v, and not only ∂l·v.
    short, short_losses
        Whether ∂²l·v, and ∂l·v, are stored in 16 bits.
    """

    wide: bool
    threads: int
    vector: int
    vector_target: int
    vector_moved: int
    chunks: int
    resident: bool
    whole: bool
    probabilities: bool
    smooth: bool
    weighted: bool
    product: bool
    spatial: bool
    short: bool
    short_losses: bool

    @property
    def block(self) -> int:
        """Most threads of a block."""
        return max(self.threads, 256)


@cache
def along(plan: DirectionPlan) -> Any:
    """Compile a kernel for groups of threads that take one sample each.

    Its arguments are those of :func:`.rows.rows`, but for memory and place of the direction after
    those of the probabilities, no multiplier, and in the place of the losses their derivatives;
    ``out`` takes ∂²l·v, and may be the direction.
    """
    real: Any = np.float64 if plan.wide else np.float32
    threads, vector, chunks = plan.threads, plan.vector, plan.chunks
    resident, whole = plan.resident, plan.whole
    probabilities, smooth, weighted = plan.probabilities, plan.smooth, plan.weighted
    product, dense = plan.product, plan.probabilities or plan.smooth
    # From float64: two roundings to 16 bits, by way of float32, are to be as one.
    final: Any = single if plan.short else real
    final_loss = single if plan.short_losses else same_number
    holding = vector * chunks
    single_ones, apart = vector == 1 or not whole, vector == 1
    least, nothing, zero = real(-np.inf), real(0), np.float64(0)
    largest, _ = group(threads, real)
    _, total = group(threads, np.float64)
    shared_by_lanes = product and not probabilities and 1 < threads <= WARP
    sample = sample_of(plan)
    within, is_class = bounds(vector, whole)
    fetch = numbers(plan, chunks, vector > 1, False, float("-inf"))
    fetch_moved = numbers(plan, chunks, plan.vector_moved > 1, False, 0.0)
    share, fetch_shares = shares_of(plan, 1)

    @device_function
    def origin_of(held: Any, moved: Any, peak: Any) -> Any:
        """How the first of a thread's logits that are the largest moves."""
        found = nothing
        for back in range(holding):
            i = holding - 1 - back
            if held[i] == peak:
                found = moved[i]
        return np.float64(found)

    @device_function
    def finite(value: Any) -> Any:
        """The value, 0 for what is no number to count from."""
        return value if abs(value) < np.float64(np.inf) else zero

    @kernel(plan.block, 1 if plan.wide and not resident else 0)
    def samples_along(
        x: Any, x_place: Any, y: Any, y_place: Any, q: Any, q_place: Any, v: Any, v_place: Any,
        w: Any, ignoring: Any, ignored: Any, samples: Any, positions: Any, classes: Any,
        sharp: Any, uniform: Any, constants: Any, scales: Any, scale_step: Any, losses: Any,
        out: Any, out_place: Any,
    ) -> None:  # fmt: skip
        lane, live, n, item, position, begin, target, there, lead, first = sample(
            x_place, y, y_place, ignoring, ignored, samples, positions, classes
        )  # fmt: skip
        keep = there > 0
        v_at = at(v_place, item, position)
        q_at = at(q_place, item, position) if probabilities else np.int64(0)
        weights = zero
        spike = zero
        own = zero
        if keep and not probabilities:
            # Before anything is written, which may be where this is read.
            own = np.float64(load(v, v_at + target * v_place[2]))
            spike = np.float64(sharp * real(load(w, target)) if weighted else sharp)
            weights = spike + np.float64(constants[1]) if smooth else spike
        held = cuda.local.array(holding, real)
        moved = cuda.local.array(holding, real)
        shares = cuda.local.array(vector, real)
        top = least
        origin = zero
        # Σ exp(x − m), Σ exp(x − m)·(v − origin), Σ a and Σ a·(v − origin).
        mass = zero
        lean = zero
        coefficients = zero
        pull = zero
        tiles = np.int32(1)
        if not resident:
            tiles = (there + lead + threads * holding - 1) // (threads * holding)
        for tile in range(tiles):
            here = np.int32(first + tile * (threads * holding))
            fetch(x, begin, x_place[2], here, there, real(1), held)
            fetch_moved(v, v_at, v_place[2], here, there, real(1), moved)
            peak = top
            for i in range(holding):
                peak = larger(peak, held[i])
            if resident:
                mine = peak
                peak = largest(peak)
                # The group's origin is that of its first thread that has one: lanes count down,
                # so that the first is the largest, and up to 1024, so that they are exact.
                rank = real(threads - lane) if mine == peak and mine > least else nothing
                first_rank = largest(rank)
                chosen = rank > nothing and rank == first_rank
                origin = finite(total(origin_of(held, moved, peak) if chosen else zero))
            elif peak > top:
                fresh = finite(origin_of(held, moved, peak))
                shrink = np.float64(exp(top - peak))
                lean = (lean + mass * (origin - fresh)) * shrink
                mass *= shrink
                pull += coefficients * (origin - fresh)
                origin = fresh
            top = peak
            for j in range(chunks):
                chunk = np.int32(here + j * threads * vector)
                if probabilities:
                    fetch_shares(q, q_at, q_place[2], w, sharp, uniform, chunk, there, shares)
                for k in range(vector):
                    i = j * vector + k
                    e = exp(held[i] - top)
                    if top == least:
                        # Nothing yet, unless it is undefined.
                        e = nothing if held[i] == least else held[i]
                    step = np.float64(moved[i]) - origin
                    if is_class(chunk + k, there):
                        mass += np.float64(e)
                        lean += np.float64(e) * step
                        if dense:
                            a = uniform
                            if probabilities:
                                a = shares[k]
                            else:
                                a = share(q, q_at, 0, w, chunk + k, sharp, uniform)
                            if probabilities or not resident:
                                coefficients += np.float64(a)
                            pull += np.float64(a) * step
                    if resident:
                        held[i] = e
        if not resident:
            peak = largest(top)
            rank = real(threads - lane) if top == peak and top > least else nothing
            first_rank = largest(rank)
            of_all = total(origin if rank > nothing and rank == first_rank else zero)
            shrink = np.float64(exp(top - peak)) if top > least else zero
            lean = (lean + mass * (origin - of_all)) * shrink
            mass *= shrink
            pull += coefficients * (origin - of_all)
            origin = of_all
            top = peak
        # Undefined where the largest logit is infinite, as infinity less infinity is.
        mass = total(mass) + np.float64(top - top)
        mean = total(lean) / mass
        if dense:
            pull = total(pull)
        if probabilities:
            weights = total(coefficients)
        else:
            pull += spike * (own - origin)
        if live and lane == 0:
            store(losses, n, final_loss(weights * mean - pull if keep else zero))
        if not product:
            return
        s = np.float64(constants[0])
        if scale_step >= 0:
            s *= np.float64(load(scales, n * scale_step))
        factor = s * weights / mass
        if shared_by_lanes:
            # Where all of them read how a class index's logit moves, one may write.
            wait_for_lanes()
        all_classes = np.int32(classes) if live else np.int32(0)
        out_at = at(out_place, item, position)
        if not resident:
            tiles = (all_classes + lead + threads * holding - 1) // (threads * holding)
        for tile in range(tiles):
            here = np.int32(first + tile * (threads * holding))
            if not resident:
                fetch(x, begin, x_place[2], here, there, real(1), held)
                fetch_moved(v, v_at, v_place[2], here, there, real(1), moved)
            for j in range(chunks):
                chunk = np.int32(here + j * threads * vector)
                for k in range(vector):
                    i = j * vector + k
                    e = np.float64(held[i] if resident else exp(held[i] - top))
                    change = e * factor * ((np.float64(moved[i]) - origin) - mean)
                    held[i] = final(change if keep else zero)
                if vector > 1 and within(chunk, all_classes):
                    store_wide(out, out_at + chunk, held, j * vector)
                elif single_ones:
                    step_out = out_place[2] if apart else 1
                    for k in range(vector):
                        c = np.int32(chunk + k)
                        if is_class(c, all_classes):
                            store(out, out_at + c * step_out, held[j * vector + k])

    return samples_along
