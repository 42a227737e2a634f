"""Forward-mode and second-order derivatives of the losses.

Page 000 names them where it says that the chunked path does not support them.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from .chunks import Projection, Tangents
from .directions import Directions
from .evaluate import (
    Gradients,
    device,
    hvp_on_logits,
    jvp_on_logits,
    reduced_loss,
    sample_scale,
)
from .linear import rounded_gradients
from .linear_problem import linear_problem
from .options import LinearCrossEntropyOptions
from .placement import taken
from .problem import Problem, check_grad_output, cross_entropy_problem, float_array

Array = NDArray[Any]


def cross_entropy_jvp(
    input: ArrayLike,
    target: ArrayLike,
    tangent: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    backend: str | None = None,
    stream: Any = None,
) -> tuple[Any, Any]:
    """Cross-entropy and its derivative along a tangent of the input (forward mode).

    Σ_c ∂l_n/∂x[n, c]·tangent[n, c], reduced like the loss.

    Parameters
    ----------
    input, target, weight, ignore_index, reduction, label_smoothing
        As for :func:`crossent_spec.cross_entropy`.
    tangent
        Direction, of the input's shape.
    backend, stream
        As for :func:`crossent_spec.cross_entropy`; a tangent is where the input is.

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
    problem = cross_entropy_problem(
        input, target, weight, reduction, ignore_index, label_smoothing, backend, stream
    )
    direction = _tangent(problem, tangent, problem.logits_shape, "tangent")
    return jvp_on_logits(problem, direction)


def cross_entropy_hvp(
    input: ArrayLike,
    target: ArrayLike,
    tangent: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    grad_output: ArrayLike | None = None,
    *,
    backend: str | None = None,
    stream: Any = None,
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
    backend, stream
        As for :func:`crossent_spec.cross_entropy`; a tangent is where the input is.

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
    problem = cross_entropy_problem(
        input, target, weight, reduction, ignore_index, label_smoothing, backend, stream
    )
    direction = _tangent(problem, tangent, problem.logits_shape, "tangent")
    return hvp_on_logits(problem, direction, grad_output)


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
    backend: str | None = None,
    stream: Any = None,
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
    backend, stream
        As for :func:`crossent_spec.linear_cross_entropy`; tangents are where the input is.

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
    Some samples at a time; products are in float64 if an operand or a tangent is, otherwise in
    float32.  Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

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
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index,
        label_smoothing, backend, stream,
    )  # fmt: skip
    moves = _tangents(problem, tangents, projection)
    if problem.placement is not None:
        loss, derivative = device().linear_jvp(problem, projection, moves)
        return loss, derivative
    losses, moved = Directions(problem, projection, moves).losses()
    return reduced_loss(problem, losses), reduced_loss(problem, moved)


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
    backend: str | None = None,
    stream: Any = None,
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
    backend, stream
        As for :func:`crossent_spec.linear_cross_entropy`; tangents are where the input is.

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
    Some samples at a time; products are in float64 if an operand or a tangent is, otherwise in
    float32.  Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

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
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index,
        label_smoothing, backend, stream,
    )  # fmt: skip
    moves = _tangents(problem, tangents, projection)
    if problem.placement is not None:
        found: Gradients = device().linear_hvp(problem, projection, moves, grad_output)
        return found
    scale = sample_scale(problem, check_grad_output(grad_output, problem.loss_shape))
    products = Directions(problem, projection, moves).products(scale)
    return rounded_gradients(problem, projection, products)


def _refuse(options: LinearCrossEntropyOptions | None) -> None:
    if options is not None:
        raise RuntimeError(
            "options: the chunked path supports neither forward-mode nor higher-order "
            "differentiation; pass options=None"
        )


def _tangent(problem: Problem, value: ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    array = float_array(taken(problem.placement, value, name), name)
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected that of its argument, {shape}")
    return array


def _tangents(problem: Problem, tangents: Gradients, projection: Projection) -> Tangents:
    """Check the tangents; a call has none of an operand that it does not have."""
    if not isinstance(tangents, Gradients):
        raise TypeError(f"tangents: got {tangents!r}, expected crossent_spec.Gradients")
    arguments = projection.arguments()
    found = {}
    for name, tangent in vars(tangents).items():
        if tangent is None:
            continue
        if name not in Tangents._fields:
            raise ValueError(
                f"tangents.{name}: got an array, but derivatives are along {', '.join(arguments)}"
            )
        if name not in arguments:
            raise ValueError(f"tangents.{name}: the call has no {name}")
        found[name] = _tangent(problem, tangent, arguments[name].shape, f"tangents.{name}")
    return Tangents(**found)
