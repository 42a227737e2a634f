"""From a canonical problem to results in the caller's dtypes, through the formulas in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import formulas
from .dtypes import round_to, to_float64
from .problem import Problem, check_grad_output, check_wrt

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
    """A loss and its gradients by the formulas, the plain or the unit-scaled ones."""

    loss: Callable[[formulas.Symbols], Any]
    gradients: Callable[[formulas.Symbols, Any, str], formulas.SymbolGradients]


PLAIN = Formula(formulas.loss, formulas.gradients)


def symbols(problem: Problem, logits: NDArray[np.float64]) -> formulas.Symbols:
    """Put a problem into the symbols of the pages, in float64."""
    targets = problem.targets
    classes = logits.shape[1]
    return formulas.Symbols(
        x=logits,
        y=targets.indices,
        q=None if targets.probabilities is None else to_float64(targets.probabilities),
        w=np.ones(classes) if problem.weight is None else to_float64(problem.weight),
        keep=targets.keep,
        epsilon=problem.label_smoothing,
        reduction=problem.reduction,
    )


def loss_value(problem: Problem, s: formulas.Symbols, formula: Formula = PLAIN) -> Any:
    """Return the loss in the input's dtype: a scalar, or an array for reduction 'none'."""
    with np.errstate(all="ignore"):
        value = np.asarray(formula.loss(s))
    return round_to(value.reshape(problem.loss_shape), problem.dtype)[()]


def symbol_gradients(
    problem: Problem,
    s: formulas.Symbols,
    grad_output: ArrayLike | None,
    names: Sequence[str],
    formula: Formula = PLAIN,
) -> formulas.SymbolGradients:
    """Return the float64 gradients of Σ grad_output·loss that the named arguments need."""
    g = check_grad_output(grad_output, problem.loss_shape)
    if problem.reduction == "none":
        g = g.reshape(s.keep.shape)
    of = {"target": "q", "weight": "w"}
    wanted = "".join(sorted({of.get(name, "x") for name in names}))
    with np.errstate(all="ignore"):
        return formula.gradients(s, g, wanted)


def vjp_on_logits(
    problem: Problem, wrt: str | Sequence[str], formula: Formula = PLAIN
) -> tuple[Any, Vjp]:
    """Return the loss and its ``vjp`` for the losses whose input is the logits."""
    assert problem.logits is not None
    names = check_wrt(wrt, ("input", *differentiable(problem)))
    s = symbols(problem, to_float64(problem.logits))

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        found = symbol_gradients(problem, s, grad_output, names, formula)
        shared = target_and_weight(problem, found)
        if found.x is not None:
            shared["input"] = round_to(found.x.reshape(problem.logits_shape), problem.dtype)
        return Gradients(**shared)

    return loss_value(problem, s, formula), vjp


def differentiable(problem: Problem) -> tuple[str, ...]:
    """Name the arguments besides the input that this call can be differentiated by."""
    found = []
    if problem.targets.probabilities is not None:
        found.append("target")
    if problem.weight is not None:
        found.append("weight")
    return tuple(found)


def target_and_weight(problem: Problem, found: formulas.SymbolGradients) -> dict[str, Array]:
    """Round the gradients of probabilities and class weights to the dtypes of their arguments."""
    result = {}
    if found.q is not None:
        original = problem.targets.original
        result["target"] = round_to(found.q.reshape(original.shape), original.dtype)
    if found.w is not None:
        assert problem.weight is not None
        result["weight"] = round_to(found.w, problem.weight.dtype)
    return result
