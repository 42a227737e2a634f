"""What concerns all samples: checking the targets, denominators, sums of losses, class weights.

Sums are in float64 and in an order that depends on nothing but the number of samples.

``constants`` are four numbers in float64 that kernels pass on to each other: the factor of every
sample's gradient, Σ_c (ε/C)·w_c, what the losses' sum is divided by, and the loss.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from .fetching import at
from .groups import group
from .rows import same_number
from .target import SIMULATED, kernel, load, single, store

#: Threads of a block, of which the simulator is slow with many, and blocks of a sum.
THREADS, BLOCKS = 32 if SIMULATED else 256, 128
CONSTANTS = 4


@cache
def survey(threads: int, weighted: bool) -> Any:
    """Compile: check class indices, and sum their weights (or count them) in parts.

    ``found`` becomes the number of the first sample whose target is no class and not ignored, and
    how many are ignored.
    """
    _, total = group(threads, np.float64)

    @kernel(threads)
    def survey_targets(
        y: Any, y_place: Any, ignoring: Any, ignored: Any, samples: Any, positions: Any,
        classes: Any, w: Any, sums: Any, found: Any,
    ) -> None:  # fmt: skip
        weights = np.float64(0)
        ignored_here = np.int64(0)
        n = np.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        while n < samples:
            item = n // positions
            target = np.int64(y[at(y_place, item, n - item * positions)])
            if ignoring and target == ignored:
                ignored_here += 1
            elif target < 0 or target >= classes:
                cuda.atomic.min(found, 0, n)
            elif weighted:
                weights += np.float64(load(w, target))
            else:
                weights += np.float64(1)
            n += np.int64(cuda.gridDim.x) * threads
        if ignored_here > 0:
            cuda.atomic.add(found, 1, ignored_here)
        weights = total(weights)
        if cuda.threadIdx.x == 0:
            sums[cuda.blockIdx.x] = weights

    return survey_targets


@cache
def prepare(threads: int) -> Any:
    """Compile: from the parts of :func:`survey` to ``constants``.

    ``counting`` tells whether these are the denominator, which otherwise is ``divisor``;
    ``factor`` is what gradients are multiplied by, and with ``dividing`` divided by it.
    """
    _, total = group(threads, np.float64)

    @kernel(threads)
    def prepare_constants(
        sums: Any, parts: Any, counting: Any, divisor: Any, factor: Any, dividing: Any,
        w: Any, weighted: Any, classes: Any, uniform: Any, constants: Any,
    ) -> None:  # fmt: skip
        thread = np.int64(cuda.threadIdx.x)
        denominator = np.float64(divisor)
        found = np.float64(0)
        if counting:
            i = thread
            while i < parts:
                found += sums[i]
                i += threads
        found = total(found)
        if counting:
            denominator = found
        weights = np.float64(0)
        if weighted:
            i = thread
            while i < classes:
                weights += uniform * np.float64(load(w, i))
                i += threads
        weights = total(weights)
        if thread == 0:
            constants[0] = np.float64(factor) / denominator if dividing else np.float64(factor)
            constants[1] = weights if weighted else np.float64(uniform) * np.float64(classes)
            constants[2] = denominator

    return prepare_constants


@cache
def sum_losses(threads: int) -> Any:
    """Compile: sum losses in parts."""
    _, total = group(threads, np.float64)

    @kernel(threads)
    def sum_in_parts(losses: Any, samples: Any, sums: Any) -> None:
        found = np.float64(0)
        n = np.int64(cuda.blockIdx.x) * threads + cuda.threadIdx.x
        while n < samples:
            found += np.float64(losses[n])
            n += np.int64(cuda.gridDim.x) * threads
        found = total(found)
        if cuda.threadIdx.x == 0:
            sums[cuda.blockIdx.x] = found

    return sum_in_parts


@cache
def finish_loss(threads: int, short: bool) -> Any:
    """Compile: from the parts of :func:`sum_losses` to the loss, ``short`` if of 16 bits."""
    _, total = group(threads, np.float64)
    final = single if short else same_number

    @kernel(threads)
    def finish(sums: Any, parts: Any, dividing: Any, constants: Any, out: Any) -> None:
        found = np.float64(0)
        i = np.int64(cuda.threadIdx.x)
        while i < parts:
            found += sums[i]
            i += threads
        found = total(found)
        if cuda.threadIdx.x == 0:
            loss = found / constants[2] if dividing else found
            constants[3] = loss
            store(out, 0, final(loss))

    return finish


@cache
def class_sums(probabilities: bool, smooth: bool) -> Any:
    """Compile: Σ_n s_n·t[n,c]·((m_n − x[n,c]) + log(1 + R_n)), a thread to a class.

    Of as many groups of consecutive samples as there are rows of ``sums``, whose three parts are
    these sums, Σ s_n·1{y_n = c}, and the number of samples of the class.
    """
    dense = probabilities or smooth

    @kernel(THREADS, 4)
    def sum_by_class(
        x: Any, x_place: Any, y: Any, y_place: Any, q: Any, q_place: Any, ignoring: Any,
        ignored: Any, samples: Any, positions: Any, classes: Any, sharp: Any, uniform: Any,
        mult: Any, constants: Any, scales: Any, scale_step: Any, tops: Any, logs: Any, sums: Any,
    ) -> None:  # fmt: skip
        c = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if c >= classes:
            return
        groups = np.int64(cuda.gridDim.y)
        part = np.int64(cuda.blockIdx.y)
        found = np.float64(0)
        scaled = np.float64(0)
        count = np.float64(0)
        for n in range(samples * part // groups, samples * (part + 1) // groups):
            item = n // positions
            position = n - item * positions
            share = np.float64(uniform)
            counts = True
            if probabilities:
                share += sharp * np.float64(load(q, at(q_place, item, position) + c * q_place[2]))
            else:
                target = np.int64(y[at(y_place, item, position)])
                counts = not (ignoring and target == ignored)
                own = counts and target == c
                if own:
                    share += np.float64(sharp)
                if not dense:
                    counts = own
            if counts:
                s = np.float64(constants[0])
                if scale_step >= 0:
                    s *= np.float64(load(scales, n * scale_step))
                value = mult * np.float64(load(x, at(x_place, item, position) + c * x_place[2]))
                found += s * share * ((np.float64(tops[n]) - value) + np.float64(logs[n]))
                if not probabilities and target == c:
                    scaled += s
                    count += np.float64(1)
        row = (part * 3) * classes + c
        sums[row] = found
        sums[row + classes] = scaled
        sums[row + 2 * classes] = count

    return sum_by_class


@cache
def finish_classes(short: bool) -> Any:
    """Compile: the gradient of class weights from the parts of :func:`class_sums`.

    ``dividing`` adds what the weights in the denominator of a mean give, −loss·Σ s_n·1{y_n = c};
    where no sample has the class, not even an undefined mean matters.
    """
    final = single if short else same_number

    @kernel(THREADS)
    def finish(
        sums: Any, groups: Any, classes: Any, dividing: Any, constants: Any, out: Any
    ) -> None:
        c = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if c >= classes:
            return
        found = np.float64(0)
        scaled = np.float64(0)
        count = np.float64(0)
        for part in range(groups):
            row = (part * 3) * classes + c
            found += sums[row]
            scaled += sums[row + classes]
            count += sums[row + 2 * classes]
        if dividing and count > 0:
            found -= np.float64(constants[3]) * scaled
        store(out, c, final(found))

    return finish
