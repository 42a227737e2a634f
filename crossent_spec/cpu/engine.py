"""From a validated problem to kernels and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dtypes import native, to_float64
from ..problem import Problem, to_classes_in_middle
from . import threads
from .memory import flat, storage, stored
from .numbers import working
from .rows import BLOCK, rows
from .sums import compensated, gathered

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
    """Tell whether there is a kernel for the problem's layout."""
    logits = problem.logits
    return (
        logits is not None
        and problem.targets.indices is not None
        and logits.shape[2] == 1
        and _classes_adjacent(logits)
    )


def _classes_adjacent(canonical: Array) -> bool:
    return canonical.shape[1] == 1 or canonical.strides[1] == canonical.itemsize


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
        gradient = out
        if out is None or not _classes_adjacent(to_classes_in_middle(out, out.shape)):
            gradient = np.empty(problem.logits_shape, native(problem.dtype))
    if count:
        _rows(problem, logits, mult, losses, scale, gradient)
    if gradient is not None and out is not None and gradient is not out:
        out[...] = gradient
        gradient = out
    return Results(losses, gradient)


def _rows(
    problem: Problem,
    logits: Array,
    mult: float,
    losses: Float,
    scale: Float | None,
    gradient: Array | None,
) -> None:
    samples, classes, positions = logits.shape
    x, x_start, (x_step, _, _) = flat(logits)
    out, out_start, out_step = None, 0, 0
    if gradient is not None:
        canonical = to_classes_in_middle(
            gradient.view(storage(gradient.dtype)), problem.logits_shape
        )
        out, out_start, (out_step, _, _) = flat(canonical, writeable=True)
    y, keep = _flat_indices(problem), _read_only(problem.targets.keep.ravel())
    base, base_sum, w = _coefficients(problem)
    sharp = 1.0 - problem.label_smoothing
    flat_losses = losses.reshape(-1)
    flat_scale = None if scale is None else _read_only(np.ascontiguousarray(scale).reshape(-1))
    precise_below = 0.5 if logits.dtype == np.float64 else 2.0**-20

    def work(begin: int, end: int) -> None:
        e = threads.scratch(BLOCK if out is None else classes, working(logits.dtype))
        rows(
            begin, end, classes, x, x_start, x_step, y, keep, None, 0, 0, base, base_sum, w,
            sharp, 0.0, mult, precise_below, flat_losses, flat_scale, e, out, out_start, out_step,
        )  # fmt: skip

    threads.in_parts(work, samples * positions, max(1, PART // classes))


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
