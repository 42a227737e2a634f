"""From a canonical problem to results in the caller's dtypes.

Here, and only here, a call goes to the kernels of :mod:`crossent_spec.cpu` or, where there is
none for it, to the formulas in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import formulas
from .dtypes import round_to, to_float64
from .problem import Problem, check_grad_output, check_out, check_wrt

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
    """A loss and its gradients by the formulas, the plain or the unit-scaled ones.

    Attributes
    ----------
    mult
        Multiplier of the logits.
    unit
        Whether gradient and mean are those of the unit-scaled loss.
    """

    loss: Callable[[formulas.Symbols], Any]
    gradients: Callable[[formulas.Symbols, Any, str], formulas.SymbolGradients]
    mult: float = 1.0
    unit: bool = False


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
    g: Array,
    names: Sequence[str],
    formula: Formula = PLAIN,
) -> formulas.SymbolGradients:
    """Return the float64 gradients of Σ g·loss that the named arguments need."""
    if problem.reduction == "none":
        g = g.reshape(s.keep.shape)
    of = {"target": "q", "weight": "w"}
    wanted = "".join(sorted({of.get(name, "x") for name in names}))
    with np.errstate(all="ignore"):
        return formula.gradients(s, g, wanted)


def loss_on_logits(problem: Problem, formula: Formula = PLAIN) -> Any:
    """Return the loss of a problem whose input is the logits."""
    engine = _engine(problem)
    if engine is None:
        return loss_value(problem, _symbols_of(problem), formula)
    losses = engine.evaluate(problem, formula.mult).losses
    return reduced_loss(problem, formula, losses)


def vjp_on_logits(
    problem: Problem, wrt: str | Sequence[str], formula: Formula = PLAIN
) -> tuple[Any, Vjp]:
    """Return the loss and its ``vjp`` for the losses whose input is the logits."""
    names = check_wrt(wrt, ("input", *differentiable(problem)))

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        g = check_grad_output(grad_output, problem.loss_shape)
        return _value_and_grad(problem, names, g, formula, None)[1]

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
    check_out(out, problem, "input" in names)
    g = check_grad_output(grad_output, problem.loss_shape)
    losses, gradients = _value_and_grad(problem, names, g, formula, out)
    return reduced_loss(problem, formula, losses), gradients


def _value_and_grad(
    problem: Problem, names: Sequence[str], g: Array, formula: Formula, out: Array | None
) -> tuple[Any, Gradients]:
    """Return the float64 losses of the samples, and the gradients."""
    engine = _engine(problem)
    found: dict[str, Array] = {}
    others = [name for name in names if engine is None or name != "input"]
    losses: Any = None
    if others or engine is None:
        # Before ``out`` is written, which may be the logits.
        s = _symbols_of(problem)
        exact = symbol_gradients(problem, s, g, others, formula)
        found = target_and_weight(problem, exact)
        if exact.x is not None:
            found["input"] = round_to(exact.x.reshape(problem.logits_shape), problem.dtype)
            if out is not None:
                out[...] = found["input"]
                found["input"] = out
        if engine is None or "input" not in names:
            with np.errstate(all="ignore"):
                losses = formulas.unreduced(s)
    if engine is not None and "input" in names:
        scale = logit_scale(problem, g, formula, engine)
        results = engine.evaluate(problem, formula.mult, scale, out)
        losses, found["input"] = results.losses, results.gradient
    return losses, Gradients(**found)


def _engine(problem: Problem) -> ModuleType | None:
    """Return the kernels if they cover a problem.  They bring Numba, imported when first used."""
    from .cpu import engine

    return engine if engine.covers(problem) else None


def _symbols_of(problem: Problem) -> formulas.Symbols:
    assert problem.logits is not None
    return symbols(problem, to_float64(problem.logits))


def _divisor(problem: Problem, formula: Formula) -> float:
    from .cpu import engine

    return float(problem.targets.keep.size) if formula.unit else engine.denominator(problem)


def reduced_loss(problem: Problem, formula: Formula, losses: Array) -> Any:
    """Return the loss in the input's dtype from the float64 losses of the samples."""
    from .cpu import engine

    divisor = _divisor(problem, formula) if problem.reduction == "mean" else 1.0
    value = engine.reduced(losses, divisor, problem.reduction)
    return round_to(np.reshape(value, problem.loss_shape), problem.dtype)[()]


def logit_scale(
    problem: Problem, g: Array, formula: Formula, engine: ModuleType
) -> NDArray[np.float64]:
    """What multiplies every sample's softmax − target, shape (N, D)."""
    samples = problem.targets.keep.shape
    scale = g.reshape(samples) if problem.reduction == "none" else g
    with np.errstate(all="ignore"):
        if formula.unit:
            assert problem.logits is not None
            classes = np.float64(problem.logits.shape[1])
            scale = classes / np.sqrt(classes - 1) * scale
        elif problem.reduction == "mean":
            scale = scale / engine.denominator(problem)
    return np.broadcast_to(scale, samples)


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
