"""From a canonical problem, through the kernels, to results in the caller's dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .buffers import check_out
from .dtypes import native, quotient, round_to
from .problem import (
    Problem,
    check_grad_output,
    check_wrt,
    to_classes_in_middle,
    with_own_indices,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class Gradients:
    """Gradients by argument name; ``None`` for arguments that were not asked for.

    Each has the shape and dtype of its argument.
    """

    input: Array | None = None
    target: Array | None = None
    weight: Array | None = None
    linear_weight: Array | None = None
    linear_bias: Array | None = None


#: ``vjp(grad_output=None)``: the gradients of Σ grad_output·loss.
Vjp = Callable[..., Gradients]


@dataclass(frozen=True)
class Formula:
    """Which loss: the plain or the unit-scaled one.

    Attributes
    ----------
    mult
        Multiplier of the logits.
    unit
        Whether gradient and mean are those of the unit-scaled loss.
    """

    mult: float = 1.0
    unit: bool = False


PLAIN = Formula()


def loss_on_logits(problem: Problem, formula: Formula = PLAIN) -> Any:
    """Return the loss of a problem whose input is the logits."""
    if problem.placement is not None:
        return device().loss(problem, formula.mult, formula.unit)
    return reduced_loss(problem, _engine().evaluate(problem, formula.mult).losses, formula)


def vjp_on_logits(
    problem: Problem, wrt: str | Sequence[str], formula: Formula = PLAIN
) -> tuple[Any, Vjp]:
    """Return the loss and its ``vjp`` for the losses whose input is the logits."""
    names = check_wrt(wrt, ("input", *differentiable(problem)))
    if problem.placement is not None:
        return device().loss_and_vjp(problem, names, formula.mult, formula.unit)
    problem = with_own_indices(problem)

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        g = check_grad_output(grad_output, problem.loss_shape)
        return _losses_and_gradients(problem, names, g, formula, None)[1]

    return loss_on_logits(problem, formula), vjp


def value_and_grad_on_logits(
    problem: Problem,
    wrt: str | Sequence[str],
    grad_output: ArrayLike | None,
    formula: Formula = PLAIN,
    out: Array | None = None,
) -> tuple[Any, Gradients]:
    """Return the loss and the gradients, the input's in ``out`` if that is given."""
    names = check_wrt(wrt, ("input", *differentiable(problem)))
    if problem.placement is not None:
        return device().value_and_grad(problem, names, grad_output, out, formula.mult, formula.unit)
    check_out(out, problem, "input" in names)
    g = check_grad_output(grad_output, problem.loss_shape)
    divisor = _divisor(problem, formula)
    losses, gradients = _losses_and_gradients(problem, names, g, formula, out, divisor)
    return reduced_loss(problem, losses, formula, divisor), gradients


def jvp_on_logits(problem: Problem, direction: Array) -> tuple[Any, Any]:
    """Return the loss and its derivative along a direction, of the logits' documented shape."""
    if problem.placement is not None:
        loss, derivative = device().jvp(problem, direction)
        return loss, derivative
    moved = to_classes_in_middle(direction, problem.logits_shape)
    derivatives = _engine().derivatives_along(problem, moved)[0]
    return loss_on_logits(problem), reduced_loss(problem, derivatives)


def hvp_on_logits(problem: Problem, direction: Array, grad_output: ArrayLike | None) -> Any:
    """Return the derivative of the logits' gradient along a direction of their shape."""
    if problem.placement is not None:
        return device().hvp(problem, direction, grad_output)
    g = check_grad_output(grad_output, problem.loss_shape)
    moved = to_classes_in_middle(direction, problem.logits_shape)
    return _engine().derivatives_along(problem, moved, sample_scale(problem, g))[1]


def reduced_loss(
    problem: Problem, losses: Array, formula: Formula = PLAIN, divisor: float | None = None
) -> Any:
    """Reduce per-sample losses (N, D) in float64 and round the result to the input's dtype.

    ``divisor`` is what a mean is divided by, where it is known already.
    """
    if divisor is None:
        divisor = _divisor(problem, formula)
    value = _engine().reduced(losses, divisor, problem.reduction)
    if problem.reduction == "none":
        value = value.reshape(problem.loss_shape)
    return round_to(value, problem.dtype)[()]


def sample_scale(
    problem: Problem, g: Array, formula: Formula = PLAIN, divisor: float | None = None
) -> NDArray[np.float64]:
    """∂(g·loss)/∂l_n, shape (N, D): g_n, g or g over the mean's denominator."""
    samples = problem.targets.keep.shape
    if problem.reduction == "none":
        return g.reshape(samples)
    if problem.reduction == "mean" and not formula.unit:
        if divisor is None:
            divisor = _divisor(problem, formula)
        g = np.array(quotient(float(g), divisor))
    return np.ndarray(samples, g.dtype, g, strides=(0, 0))  # of one number, stored once


def _losses_and_gradients(
    problem: Problem,
    names: Sequence[str],
    g: Array,
    formula: Formula,
    out: Array | None,
    divisor: float | None = None,
) -> tuple[Array, Gradients]:
    """Return the float64 losses of the samples, and the gradients."""
    engine = _engine()
    scale = sample_scale(problem, g, formula, divisor)
    found: dict[str, Array] = {}
    beside = [name for name in names if name != "input"]
    losses = None
    if beside:
        # Before ``out`` is written, which may be the logits.
        losses = engine.evaluate(problem, formula.mult).losses
        exact = losses
        if problem.weight is not None and problem.weight.dtype.itemsize == 8:
            # Of float32 logits the losses are float32's; the gradient of these weights is not.
            exact = engine.evaluate(problem, formula.mult, wide=True).losses
        found = _beside_the_logits(problem, beside, scale, exact, formula.mult)
    if "input" in names:
        if formula.unit:
            assert problem.logits is not None
            classes = np.float64(problem.logits.shape[1])
            with np.errstate(all="ignore"):
                scale = classes / np.sqrt(classes - 1) * scale
        losses, found["input"] = engine.evaluate(
            problem, formula.mult, scale, _as_written(problem, out)
        )
        if out is not None:
            if not np.may_share_memory(found["input"], out):
                out[...] = found["input"]
            found["input"] = out
    if losses is None:
        losses = engine.evaluate(problem, formula.mult).losses
    return losses, Gradients(**found)


def _as_written(problem: Problem, out: Array | None) -> Array | None:
    """Return the buffer as kernels can write to it: a plain array whose positions are one axis."""
    plain = None if out is None else np.asarray(out)
    if plain is None or not np.may_share_memory(
        to_classes_in_middle(plain, problem.logits_shape), plain
    ):
        return None
    return plain


def _beside_the_logits(
    problem: Problem, names: Sequence[str], scale: Array, losses: Array, mult: float
) -> dict[str, Array]:
    """Return the gradients of probability targets and class weights, those that are named."""
    engine = _engine()
    found: dict[str, Array] = {}
    target = None
    if "target" in names:
        original = problem.targets.original
        found["target"] = np.empty(original.shape, native(original.dtype))
        target = to_classes_in_middle(found["target"], problem.logits_shape)
    sums = engine.target_and_weight(problem, scale, mult, target, "weight" in names)
    if "weight" in names:
        assert problem.weight is not None
        with np.errstate(all="ignore"):
            sums += engine.weight_in_denominator(problem, scale, losses)
        found["weight"] = round_to(sums, problem.weight.dtype)
    return found


@cache
def _engine() -> ModuleType:
    """Return the kernels.  They bring Numba, which takes its time, when first called."""
    from .cpu import engine

    return engine


def device() -> ModuleType:
    """Return what evaluates problems whose arrays are on a GPU."""
    from .cuda import losses

    return losses


def _divisor(problem: Problem, formula: Formula) -> float:
    """What 'mean' divides by; for the unit-scaled loss the number of elements of the output."""
    if problem.reduction != "mean":
        return 1.0
    if formula.unit:
        return float(problem.targets.keep.size)
    return float(_engine().denominator(problem))


def differentiable(problem: Problem) -> tuple[str, ...]:
    """Name the arguments besides the input that this call can be differentiated by."""
    found = []
    if problem.targets.probabilities is not None:
        found.append("target")
    if problem.weight is not None:
        found.append("weight")
    return tuple(found)
