"""From a validated problem to kernels and back."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dtypes import native, to_float64
from ..problem import Problem, to_classes_in_middle
from . import threads
from .lanes import lanes
from .memory import Flat, flat, read_only, storage, stored
from .moving import load, store
from .rows import rows
from .sums import compensated, gathered

Array = NDArray[Any]
Float = NDArray[np.float64]

#: Elements that one thread takes at a time, and that it copies at a time.
PART, CACHED = 1 << 18, 1 << 16
#: Fewer classes than this fill no vector well; lanes go along the samples.
FEW_CLASSES = 64
#: Samples are taken side by side in multiples of this, and where they lie from RUN of them on.
LANES, RUN = 16, 256


@dataclass(frozen=True)
class Results:
    """What kernels return: per-sample losses in float64, and the gradient of the logits."""

    losses: Float
    gradient: Array | None


def denominator(problem: Problem) -> float:
    """What 'mean' divides by: the kept samples' weights, or for probabilities the samples."""
    targets = problem.targets
    if targets.indices is None:
        return float(targets.keep.size)
    if problem.weight is None:
        return float(np.count_nonzero(targets.keep))
    found = np.empty(targets.keep.size)
    gathered(_weights(problem), _flat_indices(problem), read_only(targets.keep.ravel()), found)
    return float(compensated(found))


def reduced(losses: Float, divisor: float, reduction: str) -> Any:
    """Return the losses, their sum or their mean."""
    if reduction == "none":
        return losses
    total = compensated(losses.ravel())
    with np.errstate(all="ignore"):
        return np.float64(total) if reduction == "sum" else np.float64(total) / divisor


def evaluate(
    problem: Problem, mult: float = 1.0, scale: Float | None = None, out: Array | None = None
) -> Results:
    """Evaluate the per-sample losses and, given ``scale``, the gradient of the logits.

    Parameters
    ----------
    mult
        Multiplier of the logits; the gradient is that of the product.
    scale
        (N, D) ∂result/∂l_n.
    out
        Where the gradient goes: the logits' documented shape, any layout; may be the logits.
    """
    assert problem.logits is not None
    samples, _, positions = problem.logits.shape
    losses = np.empty((samples, positions))
    gradient = None
    if scale is not None:
        gradient = (
            out
            if out is not None
            else np.empty_like(problem.logits, native(problem.dtype)).reshape(problem.logits_shape)
        )
    if losses.size:
        _Call(problem, mult, losses, scale, gradient).run()
    return Results(losses, gradient)


class _Call:
    """The arguments of one call, as kernels take them.

    Samples are counted along the batch and, within an item, along the positions.  A part of them
    is read where it lies if its layout and type are those of the kernel, and is otherwise copied
    into the working layout and type, as many samples at a time as stay in cache.
    """

    def __init__(
        self,
        problem: Problem,
        mult: float,
        losses: Float,
        scale: Float | None,
        gradient: Array | None,
    ) -> None:
        assert problem.logits is not None
        probabilities = problem.targets.probabilities
        self.problem, self.mult = problem, mult
        self.batch, self.classes, self.positions = problem.logits.shape
        x, q, out = flat(stored(problem.logits)), None, None
        doubles = {array.dtype.itemsize == 8 for array in (problem.logits, probabilities) if array is not None}
        self.working = np.dtype(np.float64 if mult != 1.0 or True in doubles else np.float32)
        self.w = read_only(np.ones(self.classes)) if problem.weight is None else _weights(problem)
        self.sharp, self.uniform = 1.0 - problem.label_smoothing, 0.0
        self.y, self.base, self.base_sum = None, None, 0.0
        if probabilities is None:
            self.y = _flat_indices(problem)
            self.base, self.base_sum = _base(problem, self.w)
        else:
            q = flat(stored(probabilities))
            self.uniform = problem.label_smoothing / self.classes
        if gradient is not None:
            whole = gradient.view(storage(gradient.dtype))
            out = flat(to_classes_in_middle(whole, problem.logits_shape), writeable=True)
        arrays = [x, q, out]
        if self.positions == 1:
            # Of one position each, the batch itself is the run along which samples lie.
            self.positions, self.batch = self.batch, 1
            arrays = [
                array and Flat(array.memory, array.start, (0, array.steps[1], array.steps[0]))
                for array in arrays
            ]
        self.x, self.q, self.out = arrays
        side_by_side = x.steps[2] == 1 and x.steps[1] != 1 and self.positions >= LANES
        self.in_rows = self.classes >= FEW_CLASSES and not side_by_side
        self.direct = [array is not None and self._direct(array) for array in arrays]
        self.keep = read_only(problem.targets.keep.reshape(-1))
        self.losses = losses.reshape(-1)
        self.left = np.zeros(self.losses.size, np.bool_)
        self.scale = read_only(np.empty(0) if scale is None else scale.reshape(-1))

    def _direct(self, array: Flat) -> bool:
        """Tell whether the kernel can work on an array where it lies."""
        if array.memory.dtype != self.working or self.mult != 1.0:
            return False
        item, classes, position = array.steps
        if self.in_rows:
            return classes == 1 and (self.batch == 1 or item == self.positions * position)
        return position == 1 and self.positions >= RUN

    def run(self) -> None:
        """Evaluate all samples, in parts that several threads take."""
        arrays = [array for array in (self.x, self.q, self.out) if array is not None]
        samples = (PART if sum(self.direct) == len(arrays) else CACHED) // self.classes
        samples = max(samples, 1) if self.in_rows else max(samples // LANES * LANES, LANES)
        # Lanes that are read where they lie must not go on into the next item of the batch.
        within = any(self.direct) and not self.in_rows
        runs = self.batch if within else 1
        length = self.batch * self.positions // runs
        per_run = -(-length // samples)

        def work(first: int, last: int) -> None:
            for number in range(first, last):
                run, part = divmod(number, per_run)
                begin = run * length + part * samples
                self.part(begin, min(begin + samples, (run + 1) * length))

        threads.in_parts(work, runs * per_run, max(1, PART // (samples * self.classes)))

    def part(self, begin: int, end: int) -> None:
        """Evaluate some samples."""
        size = (end - begin) * self.classes
        layout = (self.classes, 1) if self.in_rows else (1, end - begin)
        step = 0 if self.in_rows else 1
        memory = threads.scratch(size * 2, self.working)
        views: list[Any] = []
        for number, array in enumerate((self.x, self.q, self.out)):
            # The gradient of logits that were copied takes their place.
            held = memory[size:] if number == 1 else memory[:size]
            if array is None:
                views += [None if number == 1 else memory[:0], 0, 0]
            elif self.direct[number]:
                item, position = divmod(begin, self.positions)
                start = array.start + item * array.steps[0] + position * array.steps[2]
                views += [array.memory, start, array.steps[1 if step else 2]]
            elif array is self.out:
                views += [held, 0, layout[step]]
            else:
                load(
                    begin, end, self.positions, self.classes, array.memory, array.start,
                    array.steps, held, layout,
                )  # fmt: skip
                if number == 0 and self.mult != 1.0:
                    held *= self.mult
                views += [read_only(held), 0, layout[step]]
        x, q, out = views[:3], views[3:6], views[6:]
        kernel = rows if self.in_rows else lanes
        kernel(
            begin, end, self.classes, *x, self.y, self.keep, *q, self.base, self.base_sum, self.w,
            self.sharp, self.uniform, self.losses, self.left, self.scale, *out,
        )  # fmt: skip
        if self.out is not None and not self.direct[2]:
            for first, last in _runs(~self.left[begin:end]):
                store(
                    begin + first, begin + last, self.positions, self.classes, self.out.memory,
                    self.out.start, self.out.steps, memory[first * layout[0] :], layout,
                )  # fmt: skip
        for first, last in _runs(self.left[begin:end]):
            self.wide.part(begin + first, begin + last)

    @functools.cached_property
    def wide(self) -> _Call:
        """The same call in float64."""
        other = copy.copy(self)
        other.working = np.dtype(np.float64)
        other.direct = [False] * 3
        other.left = np.zeros_like(self.left)
        return other


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last + 1 of every run of true values."""
    if mask.all():
        return [(0, mask.size)]
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _base(problem: Problem, w: Float) -> tuple[Float | None, float]:
    """Return (ε/C)·w and its sum where classes are smoothed."""
    if problem.label_smoothing == 0:
        return None, 0.0
    base = read_only(problem.label_smoothing / w.size * w)
    return base, float(compensated(base))


def _weights(problem: Problem) -> Float:
    assert problem.weight is not None
    return read_only(to_float64(problem.weight))


def _flat_indices(problem: Problem) -> NDArray[np.int64]:
    assert problem.targets.indices is not None
    return read_only(np.ascontiguousarray(problem.targets.indices).reshape(-1))
