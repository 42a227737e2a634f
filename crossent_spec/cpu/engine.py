"""From a validated problem to kernels and back."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..dtypes import native, quotient, to_float64
from ..problem import Problem, to_classes_in_middle
from .beside import add_target_and_weight, along
from .few import ROWS_AT_ONCE, WIDTH, short_rows, side_by_side
from .halves import HALVES
from .lanes import lanes
from .memory import read_only
from .rows import rows
from .samples import FEW_CLASSES, Samples, Views, runs_of
from .single import single_rows
from .sums import compensated, gathered

Array = NDArray[Any]
Float = NDArray[np.float64]

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)
NOTHING = read_only(np.empty(0))
#: Fewer classes than this are evaluated of several samples at once.
SHORT = 256
#: Parts of a batch whose sums over samples are added in order, however many threads there are.
GROUPS = 16


class Results(NamedTuple):
    """What kernels return: per-sample losses in float64, and the gradient of the logits."""

    losses: Float
    gradient: Array | None


class Terms:
    """What a loss is made of besides logits and probabilities, as kernels take it.

    Attributes
    ----------
    y, keep
        Class indices (N·D,), or ``None``, and whether a sample counts.
    w
        Class weights, ones where there are none.
    heavy
        The same, or ``None`` where probabilities have none.
    sharp, uniform
        1 − ε and ε/C.
    base, base_sum
        (ε/C)·w and its sum, where class indices are smoothed.
    """

    def __init__(self, problem: Problem) -> None:
        assert problem.logits is not None
        targets, classes = problem.targets, problem.logits.shape[1]
        self.keep = read_only(targets.keep.reshape(-1))
        self.y = None if targets.indices is None else read_only(targets.indices.reshape(-1))
        weight = problem.weight
        self.w = read_only(np.ones(classes) if weight is None else to_float64(weight))
        self.heavy = None if weight is None and self.y is None else self.w
        self.sharp = 1.0 - problem.label_smoothing
        self.uniform = problem.label_smoothing / classes
        self.base, self.base_sum = None, 0.0
        if self.y is not None and problem.label_smoothing != 0:
            with np.errstate(all="ignore"):
                self.base = read_only(self.uniform * self.w)
            self.base_sum = float(compensated(self.base))


def denominator(problem: Problem) -> float:
    """What 'mean' divides by: the kept samples' weights, or for probabilities the samples."""
    targets = problem.targets
    if targets.indices is None:
        return float(targets.keep.size)
    if problem.weight is None:
        return float(np.count_nonzero(targets.keep))
    found = np.empty(targets.keep.size)
    y, keep = read_only(targets.indices.reshape(-1)), read_only(targets.keep.reshape(-1))
    gathered(read_only(to_float64(problem.weight)), y, keep, found)
    return float(compensated(found))


def reduced(losses: Float, divisor: float, reduction: str) -> Any:
    """Return the losses, their sum or their mean."""
    if reduction == "none":
        return losses
    total = compensated(losses.ravel())
    if reduction == "sum":
        return total
    if not math.isfinite(total) and np.isfinite(losses).all():
        # The sum has no place in float64, but the mean may have.
        return quotient(compensated(losses.ravel() * 2.0**-64), divisor) * 2.0**64
    return quotient(total, divisor)


def evaluate(
    problem: Problem,
    mult: float = 1.0,
    scale: Float | None = None,
    out: Array | None = None,
    wide: bool = False,
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
    wide
        Whether to work in float64 whatever the arrays hold.
    """
    logits, probabilities = problem.logits, problem.targets.probabilities
    assert logits is not None
    losses = np.empty((logits.shape[0], logits.shape[2]))
    gradient = None
    if scale is not None:
        gradient = out
        if out is None:
            gradient = np.empty_like(logits, native(problem.dtype)).reshape(problem.logits_shape)
    if not losses.size:
        return Results(losses, gradient)
    terms = Terms(problem)
    wide = (
        wide
        or mult != 1.0
        # The exponential of its own largest logit is exactly 1 in float64 only, and one class's
        # gradient exactly 0.
        or logits.shape[1] == 1
        or any(array is not None and array.dtype.itemsize == 8 for array in (logits, probabilities))
    )
    writing = None if gradient is None else to_classes_in_middle(gradient, problem.logits_shape)
    common = not wide and terms.y is not None and terms.base is None
    samples = Samples(
        (logits, probabilities), writing, DOUBLE if wide else SINGLE, mult,
        few=1 if common else FEW_CLASSES,
        halves=() if wide or (common and logits.shape[1] < SHORT) else HALVES,
    )  # fmt: skip
    of_common = None
    if common and not samples.in_rows:
        of_common, samples.cut = side_by_side, WIDTH
    elif common and samples.classes < SHORT:
        of_common, samples.cut = short_rows, ROWS_AT_ONCE
    elif samples.in_rows:
        samples.cut = 1
    flat_losses = losses.reshape(-1)
    flat_scale = NOTHING if scale is None else _scales(scale)
    left = np.zeros(losses.size, np.bool_)

    def part(begin: int, end: int, views: Views, _: int) -> NDArray[np.bool_] | None:
        single = views[0].dtype != DOUBLE
        if single and of_common is not None:
            of_common(
                begin, end, samples.classes, *views[:3], terms.y, terms.keep, terms.w, flat_losses,
                left, flat_scale, *views[6:],
            )  # fmt: skip
        else:
            kernel: Any = rows if samples.in_rows else lanes
            w: Any = terms.w
            if single and samples.in_rows:
                kernel, w = single_rows, terms.heavy
            kernel(
                begin, end, samples.classes, *views[:3], terms.y, terms.keep, *views[3:6],
                terms.base, terms.base_sum, w, terms.sharp, terms.uniform, flat_losses, left,
                flat_scale, *views[6:],
            )  # fmt: skip
        return left[begin:end] if samples.moves and left[begin:end].any() else None

    samples.run(part)
    if not left.any():
        return Results(losses, gradient)
    # What float32 cannot reduce is still as it was, whatever ``out`` is.
    runs = runs_of(left)
    left[:] = False
    widened = samples.widened()
    for first, last in runs:
        for begin in range(first, last, widened.at_once):
            widened.part(begin, min(begin + widened.at_once, last), part)
    return Results(losses, gradient)


def _scales(scale: Float) -> Float:
    """Return the scales of the samples in a row; but one if it is the same for all."""
    if not any(scale.strides):
        scale = scale[:1, :1]
    return read_only(scale.reshape(-1))


def target_and_weight(
    problem: Problem,
    scale: Float,
    mult: float = 1.0,
    target: Array | None = None,
    weight: bool = False,
) -> Float:
    """Evaluate the gradients of probability targets and of class weights.

    Parameters
    ----------
    scale
        (N, D) ∂result/∂l_n.
    target
        Where the gradient of the probabilities goes, (N, C, D) of a floating dtype.
    weight
        Whether the gradient of the class weights is wanted.

    Returns
    -------
    ndarray
        (C,) the gradient of the weights, without what a mean's denominator adds; or empty.
    """
    logits = problem.logits
    assert logits is not None
    classes = logits.shape[1]
    sums = np.zeros((GROUPS, 2, classes if weight else 0))
    terms = Terms(problem)
    flat_scale = read_only(scale.reshape(-1))

    def part(begin: int, end: int, views: Views, group: int) -> None:
        add_target_and_weight(
            begin, end, classes, *views, terms.keep, terms.y, terms.w, terms.sharp, terms.uniform,
            flat_scale, *sums[group],
        )  # fmt: skip

    if logits.size:
        reading = (logits, problem.targets.probabilities)
        Samples(reading, target, DOUBLE, mult, in_rows=True).run(part, GROUPS)
    with np.errstate(all="ignore"):
        high, low = sums.sum(axis=0)
        # The errors of an infinite or undefined sum mean nothing.
        return np.where(np.isfinite(high), high + low, high)


def weight_in_denominator(problem: Problem, scale: Float, losses: Float) -> Float:
    """Evaluate what the weights in the denominator of an index target's mean add to their gradient.

    −(mean loss)·Σ_n scale_n·1{y_n = c}·1{y_n ≠ ignore_index}, shape (C,).
    """
    targets, weight = problem.targets, problem.weight
    assert weight is not None
    if targets.indices is None or problem.reduction != "mean":
        return np.zeros(weight.size)
    counts = np.bincount(targets.indices[targets.keep], minlength=weight.size)
    with np.errstate(all="ignore"):
        mean = np.float64(compensated(losses.reshape(-1))) / denominator(problem)
        # A mean scales all samples alike, so that counting them is exact.
        added = -mean * (counts * (scale.flat[0] if scale.size else 0.0))
    # Where no sample has a class, not even an undefined mean matters.
    return np.where(counts > 0, added, 0.0)


def derivatives_along(
    problem: Problem, direction: Array, scale: Float | None = None, out: Array | None = None
) -> tuple[Float, Array | None]:
    """Evaluate the derivatives along a direction of the logits, (N, C, D) as these.

    Parameters
    ----------
    scale
        (N, D) ∂result/∂l_n, for ``product``.
    out
        Where ``product`` goes, in its shape; may be the direction.

    Returns
    -------
    moved
        (N, D) of the per-sample losses.
    product
        Of the logits' gradient, in their dtype and documented shape.
    """
    logits = problem.logits
    assert logits is not None
    moved = np.empty((logits.shape[0], logits.shape[2]))
    product = writing = None
    if scale is not None:
        product = np.empty(problem.logits_shape, native(problem.dtype)) if out is None else out
        writing = to_classes_in_middle(product, problem.logits_shape)
    terms = Terms(problem)
    flat_scale = NOTHING if scale is None else read_only(scale.reshape(-1))

    def part(begin: int, end: int, views: Views, _: int) -> None:
        along(
            begin, end, logits.shape[1], *views, terms.keep, terms.y, terms.w, terms.sharp,
            terms.uniform, flat_scale, moved.reshape(-1),
        )  # fmt: skip

    if moved.size:
        reading = (logits, problem.targets.probabilities, direction)
        Samples(reading, writing, DOUBLE, in_rows=True).run(part)
    return moved, product
