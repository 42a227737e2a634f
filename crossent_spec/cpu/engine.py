"""From a validated problem to kernels and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dtypes import native, to_float64
from ..problem import Problem, to_classes_in_middle
from . import threads
from .memory import Flat, flat, storage, stored
from .numbers import working
from .rows import BLOCK, rows
from .sums import compensated, gathered
from .tiles import tiles

Array = NDArray[Any]
Float = NDArray[np.float64]

#: Elements that one thread takes at a time.
PART = 1 << 17


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
    gathered(_weights(problem), _flat_indices(problem), _read_only(targets.keep.ravel()), found)
    return float(compensated(found))


def reduced(losses: Float, divisor: float, reduction: str) -> Any:
    """Return the losses, their sum or their mean."""
    if reduction == "none":
        return losses
    total = compensated(losses.ravel())
    with np.errstate(all="ignore"):
        return np.float64(total) if reduction == "sum" else np.float64(total) / divisor


def covers(problem: Problem) -> bool:
    """Tell whether there are kernels for a problem."""
    return problem.logits is not None


def evaluate(
    problem: Problem, mult: float = 1.0, scale: Float | None = None, out: Array | None = None
) -> Results:
    """Evaluate the per-sample losses and, given ``scale``, the gradient of the logits.

    Parameters
    ----------
    scale
        (N, D) ∂result/∂l_n.
    out
        Where the gradient goes: the logits' documented shape, any layout; may be the logits.
    """
    assert problem.logits is not None
    logits = stored(problem.logits)
    samples, _, positions = logits.shape
    count = samples * positions
    losses = np.empty((samples, positions))
    gradient = None
    if scale is not None:
        gradient = (
            out
            if out is not None
            else np.empty_like(problem.logits, native(problem.dtype)).reshape(problem.logits_shape)
        )
    if count:
        call = _Call(problem, logits, mult, losses, scale, gradient)
        if call.in_rows:
            call.run_rows()
        else:
            call.run_tiles()
    return Results(losses, gradient)


#: Fewer classes than this fill no vector well; lanes go along the samples.
FEW_CLASSES = 64
#: Elements of a tile.
TILE = 1 << 14


class _Call:
    """The arguments of one call, as kernels take them."""

    def __init__(
        self,
        problem: Problem,
        logits: Array,
        mult: float,
        losses: Float,
        scale: Float | None,
        gradient: Array | None,
    ) -> None:
        self.batch, self.classes, self.positions = logits.shape
        self.working = working(logits.dtype)
        self.x = flat(logits)
        self.out = Flat(None, 0, (0, 0, 0))
        if gradient is not None:
            whole = gradient.view(storage(gradient.dtype))
            self.out = flat(to_classes_in_middle(whole, problem.logits_shape), writeable=True)
        self.q = Flat(None, 0, (0, 0, 0))
        self.y, self.base, self.base_sum, self.w = None, None, 0.0, None
        self.sharp, self.uniform = 1.0 - problem.label_smoothing, 0.0
        if problem.targets.probabilities is None:
            self.y = _flat_indices(problem)
            self.base, self.base_sum, self.w = _coefficients(problem)
        else:
            q = stored(problem.targets.probabilities)
            if q.dtype != logits.dtype:
                q = to_float64(problem.targets.probabilities)
            self.q = flat(q)
            self.w = (
                _read_only(np.ones(self.classes)) if problem.weight is None else _weights(problem)
            )
            self.uniform = problem.label_smoothing / self.classes
        self.keep = _read_only(problem.targets.keep.ravel())
        self.losses = losses.reshape(-1)
        self.scale = None if scale is None else _read_only(np.ascontiguousarray(scale).reshape(-1))
        self.mult = mult
        self.precise_below = 3.0 if logits.dtype == np.float64 else 2.0**-20

    @property
    def in_rows(self) -> bool:
        """Whether the classes lie side by side, and are many."""
        arrays = [self.x, self.q, self.out]
        adjacent = all(array.memory is None or array.steps[1] == 1 for array in arrays)
        return self.positions == 1 and adjacent and self.classes >= FEW_CLASSES

    def run_rows(self) -> None:
        """One sample at a time."""
        x, q, out = self.x, self.q, self.out

        def work(begin: int, end: int) -> None:
            e = threads.scratch(BLOCK if out.memory is None else self.classes, self.working)
            rows(
                begin, end, self.classes, x.memory, x.start, x.steps[0], self.y, self.keep,
                q.memory, q.start, q.steps[0], self.base, self.base_sum, self.w, self.sharp,
                self.uniform, self.mult, self.precise_below, self.losses, self.scale, e,
                out.memory, out.start, out.steps[0],
            )  # fmt: skip

        threads.in_parts(work, self.batch, max(1, PART // self.classes))

    def run_tiles(self) -> None:
        """Some samples at a time, those side by side along the positions or else the batch."""
        x, q, out = self.x, self.q, self.out
        inner = self.positions
        if inner == 1:
            # The batch is the run.
            inner = self.batch
            x, q, out = (Flat(f.memory, f.start, (0, f.steps[1], f.steps[0])) for f in (x, q, out))
        width = min(inner, max(16, TILE // self.classes // 16 * 16))
        rows_of_doubles = 8 if q.memory is None else 8 + self.classes
        runs = self.batch * self.positions // inner

        def work(begin: int, end: int) -> None:
            size = self.classes * width
            memory = threads.scratch(2 * size + rows_of_doubles * width, np.dtype(np.float64))
            tile = memory[:size].view(self.working)[:size].reshape(self.classes, width)
            doubles = memory[size : size + rows_of_doubles * width].reshape(-1, width)
            tiles(
                begin, end, width, inner, x.memory, x.start, x.steps, self.y, self.keep,
                q.memory, q.start, q.steps, self.base, self.base_sum, self.w, self.sharp,
                self.uniform, self.mult, self.precise_below, self.losses, self.scale, tile, doubles,
                out.memory, out.start, out.steps,
            )  # fmt: skip

        threads.in_parts(work, runs * -(-inner // width), max(1, PART // (self.classes * width)))


def _coefficients(problem: Problem) -> tuple[Float | None, float, Float | None]:
    """Return (ε/C)·w and its sum where classes are smoothed, and w where there are weights."""
    assert problem.logits is not None
    classes = problem.logits.shape[1]
    w = None if problem.weight is None else _weights(problem)
    if problem.label_smoothing == 0:
        return None, 0.0, w
    share = problem.label_smoothing / classes
    base = _read_only(np.full(classes, share) if w is None else share * w)
    return base, float(compensated(base)), w


def _weights(problem: Problem) -> Float:
    assert problem.weight is not None
    return _read_only(to_float64(problem.weight))


def _flat_indices(problem: Problem) -> NDArray[np.int64]:
    assert problem.targets.indices is not None
    return _read_only(np.ascontiguousarray(problem.targets.indices).reshape(-1))


def _read_only(array: Array) -> Array:
    """Make every argument of one kind one type to the compiler: contiguous and read-only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
