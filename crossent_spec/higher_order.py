"""Forward-mode and second-order derivatives of the losses.

Page 000 names them where it says that the chunked path does not support them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import formulas
from .chunks import Projection
from .dtypes import round_to, to_float64
from .evaluate import (
    Gradients,
    hvp_on_logits,
    jvp_on_logits,
    loss_on_logits,
    loss_value,
    symbols,
)
from .linear import linear_problem
from .options import LinearCrossEntropyOptions
from .problem import (
    Problem,
    check_grad_output,
    cross_entropy_problem,
    float_array,
    to_classes_in_middle,
)

Array = NDArray[Any]


def cross_entropy_jvp(
    input: ArrayLike,
    target: ArrayLike,
    tangent: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Any, Any]:
    """Cross-entropy and its derivative along a tangent of the input (forward mode).

    Σ_c ∂l_n/∂x[n, c]·tangent[n, c], reduced like the loss.

    Parameters
    ----------
    input, target, weight, ignore_index, reduction, label_smoothing
        As for :func:`crossent_spec.cross_entropy`.
    tangent
        Direction, of the input's shape.

    Returns
    -------
    loss, derivative : NumPy scalars or arrays
        Both of the loss's shape and the input's dtype.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`crossent_spec.cross_entropy`, and for ``tangent``.

    Notes
    -----
    Source: derived from the formulas of pages 002, 003 and 004.

    Examples
    --------
    >>> import numpy as np
    >>> loss, derivative = cross_entropy_jvp(
    ...     np.array([[0.0, 0.0]]), np.array([1]), np.array([[1.0, 0.0]]))
    >>> float(derivative)
    0.5
    """
    problem = cross_entropy_problem(input, target, weight, reduction, ignore_index, label_smoothing)
    assert problem.logits is not None
    direction = _tangent(tangent, problem.logits_shape, "tangent")
    moved = to_classes_in_middle(direction, problem.logits_shape)
    return loss_on_logits(problem), jvp_on_logits(problem, moved)


def cross_entropy_hvp(
    input: ArrayLike,
    target: ArrayLike,
    tangent: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    grad_output: ArrayLike | None = None,
) -> Array:
    """Product of the Hessian of Σ grad_output·loss at the input with a tangent.

    s_n·Σ_i a_i·p_c·(tangent[n, c] − Σ_i p_i·tangent[n, i]), with p = softmax(x_n), a_i = w_i·t_i
    and s_n the gradient of the final result with respect to l_n.

    Parameters
    ----------
    input, target, weight, ignore_index, reduction, label_smoothing
        As for :func:`crossent_spec.cross_entropy`.
    tangent
        Direction, of the input's shape.
    grad_output
        Gradient of the final result with respect to the loss; ones when left out.

    Returns
    -------
    array
        Of the input's shape and dtype.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`crossent_spec.cross_entropy`, and for ``tangent`` and ``grad_output``.

    Notes
    -----
    Source: derived from the formulas of pages 002, 003 and 004.

    Examples
    --------
    >>> import numpy as np
    >>> cross_entropy_hvp(np.array([[0.0, 0.0]]), np.array([1]), np.array([[1.0, 0.0]]))
    array([[ 0.25, -0.25]])
    """
    problem = cross_entropy_problem(input, target, weight, reduction, ignore_index, label_smoothing)
    assert problem.logits is not None
    direction = _tangent(tangent, problem.logits_shape, "tangent")
    moved = to_classes_in_middle(direction, problem.logits_shape)
    return hvp_on_logits(problem, moved, grad_output)


def linear_cross_entropy_jvp(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    tangents: Gradients,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> tuple[Any, Any]:
    """Linear cross-entropy and its derivative along tangents of its operands (forward mode).

    The logits move by input·linear_weightᵀ differentiated: ẋ = ḟ·Wᵀ + f·Ẇᵀ + ḃ.

    Parameters
    ----------
    input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
        As for :func:`crossent_spec.linear_cross_entropy`.
    tangents
        Directions in ``.input``, ``.linear_weight`` and ``.linear_bias``; ``None`` is zero.
    options
        Must be ``None``: the chunked path supports neither forward mode nor higher orders.

    Returns
    -------
    loss, derivative : NumPy scalars or arrays
        Both of the loss's shape and the input's dtype.

    Raises
    ------
    RuntimeError
        ``options`` is given.
    TypeError, ValueError, IndexError
        As :func:`crossent_spec.linear_cross_entropy`, and for ``tangents``.

    Notes
    -----
    Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

    Examples
    --------
    >>> import numpy as np
    >>> loss, derivative = linear_cross_entropy_jvp(
    ...     np.ones((1, 2)), np.zeros((2, 2)), np.array([0]), Gradients(linear_weight=np.eye(2)))
    >>> float(derivative)
    0.0
    """
    _refuse(options)
    problem, projection = linear_problem(
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
    )
    operands = projection.operands(problem.targets.keep)
    s = symbols(problem, _projected(operands))
    moved = _moved_logits(operands, _directions(tangents, projection))
    return loss_value(problem, s), _reduced_jvp(problem, s, moved)


def linear_cross_entropy_hvp(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    tangents: Gradients,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
    grad_output: ArrayLike | None = None,
) -> Gradients:
    """Product of the Hessian of Σ grad_output·loss at the linear operands with tangents.

    With G the gradient of the logits, Ġ its derivative along ẋ = ḟ·Wᵀ + f·Ẇᵀ + ḃ: Ġ·W + G·Ẇ for
    the input, Ġᵀ·f + Gᵀ·ḟ for the weight, Σ_n Ġ for the bias.

    Parameters
    ----------
    input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
        As for :func:`crossent_spec.linear_cross_entropy`.
    tangents
        Directions in ``.input``, ``.linear_weight`` and ``.linear_bias``; ``None`` is zero.
    options
        Must be ``None``: the chunked path supports neither forward mode nor higher orders.
    grad_output
        Gradient of the final result with respect to the loss; ones when left out.

    Returns
    -------
    Gradients
        ``.input``, ``.linear_weight`` and, where there is a bias, ``.linear_bias``.

    Raises
    ------
    RuntimeError
        ``options`` is given.
    TypeError, ValueError, IndexError
        As :func:`crossent_spec.linear_cross_entropy`, and for ``tangents`` and ``grad_output``.

    Notes
    -----
    Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

    Examples
    --------
    >>> import numpy as np
    >>> linear_cross_entropy_hvp(
    ...     np.ones((1, 2)), np.zeros((2, 2)), np.array([0]), Gradients(input=np.ones((1, 2))),
    ... ).linear_weight
    array([[-0.5, -0.5],
           [ 0.5,  0.5]])
    """
    _refuse(options)
    problem, projection = linear_problem(
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
    )
    operands = projection.operands(problem.targets.keep)
    s = symbols(problem, _projected(operands))
    scale = _scale(problem, s, grad_output)
    directions = _directions(tangents, projection)
    with np.errstate(all="ignore"):
        gradient = formulas.logit_gradient(s, scale)
        moved = formulas.logit_hvp(s, scale, _moved_logits(operands, directions))
        through = formulas.linear_gradients(moved, operands[0], operands[1])
        beside = formulas.linear_gradients(gradient, directions[0], directions[1])
    products = (through[0] + beside[0], through[1] + beside[1], through[2])
    arguments = (projection.input, projection.weight, projection.bias)
    return Gradients(
        **{
            name: round_to(product.reshape(argument.shape), argument.dtype)
            for name, product, argument in zip(
                ("input", "linear_weight", "linear_bias"), products, arguments, strict=True
            )
            if argument is not None
        }
    )


def _projected(operands: tuple[Array, Array, Array | None]) -> Array:
    """Return the logits (N, C, D) of the operands of a projection."""
    with np.errstate(all="ignore"):
        return formulas.linear_logits(*operands)


def _refuse(options: LinearCrossEntropyOptions | None) -> None:
    if options is not None:
        raise RuntimeError(
            "options: the chunked path supports neither forward-mode nor higher-order "
            "differentiation; pass options=None"
        )


def _tangent(value: ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    array = float_array(value, name)
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected that of its argument, {shape}")
    return array


def _directions(tangents: Gradients, projection: Projection) -> tuple[Array, Array, Array | None]:
    """Tangents of features (N, F), weight (C, D, F) and bias (C, D), zeros where not given."""
    if not isinstance(tangents, Gradients):
        raise TypeError(f"tangents: got {tangents!r}, expected crossent_spec.Gradients")
    found: list[Array | None] = []
    for name, argument in (
        ("input", projection.input),
        ("linear_weight", projection.weight),
        ("linear_bias", projection.bias),
    ):
        tangent = getattr(tangents, name)
        if argument is None:
            if tangent is not None:
                raise ValueError(f"tangents.{name}: the call has no {name}")
            found.append(None)
        elif tangent is None:
            found.append(np.zeros(argument.shape))
        else:
            found.append(to_float64(_tangent(tangent, argument.shape, f"tangents.{name}")))
    features, weight, bias = found
    assert features is not None
    assert weight is not None
    classes, *_, width = weight.shape
    return (
        features.reshape(-1, width),
        weight.reshape(classes, -1, width),
        None if bias is None else bias.reshape(classes, -1),
    )


def _moved_logits(
    operands: tuple[Array, Array, Array | None], directions: tuple[Array, Array, Array | None]
) -> Array:
    return formulas.linear_logits(directions[0], operands[1], None) + formulas.linear_logits(
        operands[0], directions[1], directions[2]
    )


def _scale(problem: Problem, s: formulas.Symbols, grad_output: ArrayLike | None) -> Array:
    g = check_grad_output(grad_output, problem.loss_shape)
    if problem.reduction == "none":
        g = g.reshape(s.keep.shape)
    with np.errstate(all="ignore"):
        return formulas.sample_scale(g, formulas.denominator(s), s)


def _reduced_jvp(problem: Problem, s: formulas.Symbols, direction: Array) -> Any:
    with np.errstate(all="ignore"):
        moved = formulas.unreduced_jvp(s, direction)
        value = np.asarray(formulas.reduced(moved, formulas.denominator(s), s.reduction))
    return round_to(value.reshape(problem.loss_shape), problem.dtype)[()]
