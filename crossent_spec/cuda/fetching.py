"""How a group's threads take a sample from memory into registers, whichever kernel asks."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from .target import device_function, load, load_wide


@device_function
def at(place: Any, item: Any, position: Any) -> Any:
    """Where the classes of a sample begin, by its :class:`Place`."""
    return place[0] + item * place[1] + position * place[3]


@cache
def sample_of(plan: Any) -> Any:
    """Return the function that tells which sample a thread takes a part of, and which part.

    That is: its lane among the sample's threads, whether there is such a sample, the sample's
    number, item and position, where its classes begin, its target, how many classes are to be read
    (none if it does not count), how far these begin from a multiple of an access, and the class of
    the thread's first access.
    """
    threads, vector, whole = plan.threads, plan.vector, plan.whole
    probabilities, spatial = plan.probabilities, plan.spatial

    @device_function
    def sample(
        x_place: Any, y: Any, y_place: Any, ignoring: Any, ignored: Any, samples: Any,
        positions: Any, classes: Any,
    ) -> Any:  # fmt: skip
        lane = np.int32(cuda.threadIdx.x % threads)
        number = np.int64(cuda.blockIdx.x) * (cuda.blockDim.x // threads) + (
            cuda.threadIdx.x // threads
        )
        live = number < samples
        n = number if live else np.int64(0)
        item = n // positions if spatial else n
        position = n - item * positions if spatial else np.int64(0)
        begin = at(x_place, item, position)
        target = np.int64(0)
        keep = live
        if not probabilities:
            target = np.int64(y[at(y_place, item, position)])
            if ignoring and target == ignored:
                keep = False
                target = np.int64(0)
        # A sample that does not count has no classes: nothing of it is read.
        there = np.int32(classes) if keep else np.int32(0)
        lead = np.int32(0) if whole else np.int32((begin + x_place[4]) % vector)
        first = np.int32(lane * vector - lead)
        return lane, live, n, item, position, begin, target, there, lead, first

    return sample


class Bounds(NamedTuple):
    """``within(c, classes)`` and ``is_class(c, classes)``: what a sample has of its classes."""

    within: Any
    is_class: Any


@cache
def bounds(vector: int, whole: bool) -> Bounds:
    """Return the tests; ``whole`` if samples are cut nowhere else than between accesses."""

    @device_function
    def within(c: Any, classes: Any) -> Any:
        """Whether the sample has all of the access from class ``c`` on; if whole, any of it."""
        return c < classes if whole else c >= 0 and c + vector <= classes

    @device_function
    def is_class(c: Any, classes: Any) -> Any:
        """Whether the sample has the class."""
        return c < classes if whole else c >= 0 and c < classes

    return Bounds(within, is_class)


@cache
def numbers(plan: Any, chunks: int, wide: bool, scaled: bool, outside: float) -> Any:
    """Return the function that holds a thread's numbers of ``chunks`` accesses.

    ``wide`` tells whether these have 16 bytes each, ``scaled`` whether numbers are multiplied, and
    ``outside`` stands for what the sample has not.
    """
    real: Any = np.float64 if plan.wide else np.float32
    threads, vector = plan.threads, plan.vector
    within, is_class = bounds(vector, plan.whole)
    # Accesses of single elements: with them alone do classes lie apart.
    single_ones, apart = not wide or not plan.whole, not wide
    nothing = real(outside)

    @device_function
    def fetch(
        x: Any, begin: Any, step: Any, first: Any, classes: Any, mult: Any, held: Any
    ) -> None:
        """Hold a thread's numbers from class ``first`` on, in steps of all threads' accesses."""
        for j in range(chunks):
            c = np.int32(first + j * threads * vector)
            if wide and within(c, classes):
                load_wide(x, begin + c, held, j * vector)
                if scaled:
                    for k in range(vector):
                        held[j * vector + k] *= mult
            else:
                for k in range(vector):
                    value = nothing
                    if single_ones and is_class(c + k, classes):
                        value = real(load(x, begin + (c + k) * (step if apart else 1)))
                        if scaled:
                            value *= mult
                    held[j * vector + k] = value

    return fetch


class Shares(NamedTuple):
    """``share(q, q_at, q_step, w, c, sharp, uniform)`` is a_c, and ``fetch`` holds a thread's."""

    share: Any
    fetch: Any


@cache
def shares_of(plan: Any, chunks: int) -> Shares:
    """Return a_c = w_c·t_c, one by one and of ``chunks`` accesses."""
    real: Any = np.float64 if plan.wide else np.float32
    threads, vector, vector_target, whole = (
        plan.threads, plan.vector, plan.vector_target, plan.whole,
    )  # fmt: skip
    probabilities, smooth, weighted = plan.probabilities, plan.smooth, plan.weighted
    within, is_class = bounds(vector, whole)
    zero = real(0)

    @device_function
    def share(q: Any, q_at: Any, q_step: Any, w: Any, c: Any, sharp: Any, uniform: Any) -> Any:
        """a_c, of class indices without the target's own part.

        Class weights are loaded one by one: the same few for all samples, they come from the
        nearest cache, and 16 bytes of them at a time would have to be held while the largest
        blocks already use the 64 registers that a thread can have there.
        """
        part = uniform
        if probabilities:
            part = sharp * real(load(q, q_at + c * q_step))
            if smooth:
                part += uniform
        return part * real(load(w, c)) if weighted else part

    @device_function
    def fetch_shares(
        q: Any, q_at: Any, q_step: Any, w: Any, sharp: Any, uniform: Any,
        first: Any, classes: Any, shares: Any,
    ) -> None:  # fmt: skip
        """Hold a_c of a thread's classes, 0 outside the sample."""
        for j in range(chunks):
            c = np.int32(first + j * threads * vector)
            if vector_target > 1 and within(c, classes):
                load_wide(q, q_at + c, shares, j * vector)
                for k in range(vector):
                    part = sharp * shares[j * vector + k]
                    if smooth:
                        part += uniform
                    if weighted:
                        part *= real(load(w, c + k))
                    shares[j * vector + k] = part
            else:
                for k in range(vector):
                    part = zero
                    if (vector_target == 1 or not whole) and is_class(c + k, classes):
                        part = share(q, q_at, q_step, w, c + k, sharp, uniform)
                    shares[j * vector + k] = part

    return Shares(share, fetch_shares)
