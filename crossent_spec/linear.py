"""``torch.nn.LinearCrossEntropyLoss``: page 000."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import formulas
from .dtypes import round_to, to_float64
from .evaluate import (
    Gradients,
    Vjp,
    differentiable,
    loss_value,
    symbol_gradients,
    symbols,
    target_and_weight,
)
from .options import LinearCrossEntropyOptions
from .problem import (
    Problem,
    check_grad_output,
    check_integer,
    check_wrt,
    float_array,
    outside_level,
    validate,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class Projection:
    """The linear part of a call: arrays as the caller gave them."""

    input: Array
    weight: Array
    bias: Array | None

    def operands(self, keep: NDArray[np.bool_]) -> tuple[Array, Array, Array | None]:
        """Return features (N, F), weight (C, D, F) and bias (C, D) in float64.

        A sample all of whose positions are ignored must not matter, whatever it holds: its
        features are 0.
        """
        classes, *out_features, in_features = self.weight.shape
        positions = math.prod(out_features)
        batch = math.prod(self.input.shape[:-1])
        features = to_float64(self.input).reshape(batch, in_features)
        bias = None if self.bias is None else to_float64(self.bias).reshape(classes, positions)
        return (
            np.where(keep.any(axis=1, keepdims=True), features, 0.0),
            to_float64(self.weight).reshape(classes, positions, in_features),
            bias,
        )


def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Any:
    """Cross-entropy between linearly transformed inputs and targets.

    The logits are x[n, c, d] = Σ_f input[n, f]·linear_weight[c, d, f] + linear_bias[c, d]; the
    loss is that of :func:`crossent_spec.cross_entropy`.

    Parameters
    ----------
    input
        Shape (in_features) or (N, in_features); float16, bfloat16, float32 or float64.
    linear_weight
        Shape (C, in_features) or (C, d1, ..., dK, in_features); the latter needs batched input.
    target
        Class indices of any integer dtype, shape (), (N) or (N, d1, ..., dK); or class
        probabilities of shape (C), (N, C) or (N, C, d1, ..., dK).
    linear_bias
        Shape (C) or (C, d1, ..., dK).
    weight
        Floating weight of each class, shape (C,).
    reduction
        'none', 'mean' (the weighted mean) or 'sum'.
    ignore_index
        Target value that is ignored; ``None`` is -100.  Only for class indices.
    label_smoothing
        ε in [0.0, 1.0].
    options
        Chunking options; ``None`` leaves the strategy to the library.

    Returns
    -------
    NumPy scalar or array
        In the input's dtype: a scalar, or for 'none' the losses of shape (), (N) or
        (N, d1, ..., dK).

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`crossent_spec.cross_entropy`, naming the argument.

    Warns
    -----
    UserWarning
        ``options`` with a K-dimensional bias: the call runs without chunks.

    Notes
    -----
    Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

    Examples
    --------
    >>> import numpy as np
    >>> input = np.array([[1.0, 2.0]])
    >>> linear_weight = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> float(linear_cross_entropy(input, linear_weight, np.array([2])).round(6))
    0.407606
    """
    problem, projection = linear_problem(
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
    )
    _check_options(options, projection)
    logits = projected(projection.operands(problem.targets.keep))
    return loss_value(problem, symbols(problem, logits))


def linear_cross_entropy_vjp(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
    wrt: str | Sequence[str] | None = None,
) -> tuple[Any, Vjp]:
    """Linear cross-entropy, and a function from the loss's gradient to the arguments'.

    With G (N, C, d) the gradient of the logits: ∂/∂input = Σ_c,d G·linear_weight,
    ∂/∂linear_weight = Σ_n G·input, ∂/∂linear_bias = Σ_n G.

    Parameters
    ----------
    input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
        As for :func:`linear_cross_entropy`.
    options
        With options the ``vjp`` consumes its gradients: a second call raises, unless
        ``allow_retain_graph`` is set.
    wrt
        Any of 'input', 'linear_weight', 'linear_bias', 'target' (probabilities), 'weight';
        by default 'input', 'linear_weight' and, where there is one, 'linear_bias'.

    Returns
    -------
    loss : NumPy scalar or array
    vjp : callable
        ``vjp(grad_output=None)`` returns the :class:`Gradients` of Σ grad_output·loss.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`linear_cross_entropy`, and for ``wrt`` and ``grad_output``.
    RuntimeError
        From a second call of ``vjp`` under ``options`` without ``allow_retain_graph``.

    Notes
    -----
    Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

    Examples
    --------
    >>> import numpy as np
    >>> loss, vjp = linear_cross_entropy_vjp(
    ...     np.ones((1, 2)), np.zeros((2, 2)), np.array([0]), options=LinearCrossEntropyOptions())
    >>> vjp().linear_weight
    array([[-0.5, -0.5],
           [ 0.5,  0.5]])
    >>> vjp()
    Traceback (most recent call last):
    ...
    RuntimeError: the chunked gradients were consumed by an earlier call of this vjp; ...
    """
    problem, projection = linear_problem(
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
    )
    _check_options(options, projection)
    trainable = ("input", "linear_weight") + (
        ("linear_bias",) if projection.bias is not None else ()
    )
    names = check_wrt(trainable if wrt is None else wrt, (*trainable, *differentiable(problem)))
    operands = projection.operands(problem.targets.keep)
    s = symbols(problem, projected(operands))
    once = _chunks(projection, options) and not (options and options.allow_retain_graph)
    consumed = False

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        nonlocal consumed
        if once and consumed:
            raise RuntimeError(
                "the chunked gradients were consumed by an earlier call of this vjp; pass "
                "LinearCrossEntropyOptions(allow_retain_graph=True) to call it repeatedly"
            )
        g = check_grad_output(grad_output, problem.loss_shape)
        found = symbol_gradients(problem, s, g, names)
        consumed = True
        result = target_and_weight(problem, found)
        if found.x is None:
            return Gradients(**result)
        with np.errstate(all="ignore"):
            linear = formulas.linear_gradients(found.x, operands[0], operands[1])
        for name, gradient, argument in zip(
            trainable, linear, (projection.input, projection.weight, projection.bias), strict=False
        ):
            if name in names:
                assert argument is not None
                result[name] = round_to(gradient.reshape(argument.shape), argument.dtype)
        return Gradients(**result)

    return loss_value(problem, s), vjp


def linear_cross_entropy_value_and_grad(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
    grad_output: ArrayLike | None = None,
    wrt: str | Sequence[str] | None = None,
) -> tuple[Any, Gradients]:
    """Linear cross-entropy and its gradients in one call.

    Parameters
    ----------
    input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing
        As for :func:`linear_cross_entropy`.
    options
        Chunking options.
    grad_output
        Gradient of the final result with respect to the loss, of the loss's shape; ones when
        left out.
    wrt
        As for :func:`linear_cross_entropy_vjp`.

    Returns
    -------
    loss : NumPy scalar or array
    grads : Gradients
        ``None`` where not asked for.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`linear_cross_entropy_vjp`.

    Notes
    -----
    Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

    Examples
    --------
    >>> import numpy as np
    >>> loss, grads = linear_cross_entropy_value_and_grad(
    ...     np.ones((1, 2)), np.zeros((2, 2)), np.array([0]))
    >>> grads.linear_weight
    array([[-0.5, -0.5],
           [ 0.5,  0.5]])
    """
    loss, vjp = linear_cross_entropy_vjp(
        input,
        linear_weight,
        target,
        linear_bias=linear_bias,
        weight=weight,
        reduction=reduction,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        options=options,
        wrt=wrt,
    )
    return loss, vjp(grad_output)


def projected(operands: tuple[Array, Array, Array | None]) -> Array:
    """Return the logits (N, C, D) of the operands of a projection."""
    with np.errstate(all="ignore"):
        return formulas.linear_logits(*operands)


def linear_problem(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    linear_bias: ArrayLike | None,
    weight: ArrayLike | None,
    reduction: str,
    ignore_index: int | None,
    label_smoothing: float,
) -> tuple[Problem, Projection]:
    """Validate a call of the linear loss; see :func:`linear_cross_entropy`."""
    features = float_array(input, "input")
    matrix = float_array(linear_weight, "linear_weight")
    bias = None if linear_bias is None else float_array(linear_bias, "linear_bias")
    if features.ndim not in (1, 2):
        raise ValueError(
            f"input: got shape {features.shape}, expected (in_features) or (N, in_features)"
        )
    if matrix.ndim < 2:
        raise ValueError(
            f"linear_weight: got shape {matrix.shape}, expected (C, in_features) or "
            "(C, d1, ..., dK, in_features)"
        )
    if matrix.shape[0] < 1:
        raise ValueError(
            f"linear_weight: got shape {matrix.shape} with no classes, expected at least one"
        )
    if features.shape[-1] != matrix.shape[-1]:
        raise ValueError(
            f"input: got {features.shape[-1]} features (shape {features.shape}), linear_weight of "
            f"shape {matrix.shape} has in_features = {matrix.shape[-1]}"
        )
    if features.ndim == 1 and matrix.ndim > 2:
        raise ValueError(
            f"input: got shape {features.shape}; linear_weight of shape {matrix.shape} defines a "
            f"K-dimensional loss, which needs batched input (N, {matrix.shape[-1]})"
        )
    if bias is not None and bias.shape != matrix.shape[:-1]:
        raise ValueError(f"linear_bias: got shape {bias.shape}, expected {matrix.shape[:-1]}")
    problem = validate(
        (*features.shape[:-1], *matrix.shape[:-1]),
        features.dtype,
        target,
        weight,
        reduction,
        -100 if ignore_index is None else check_integer(ignore_index, "ignore_index"),
        label_smoothing,
    )
    if problem.targets.probabilities is not None and ignore_index is not None:
        # Only applicable to class indices, says the page; torch 2.13 refuses it, and so do we.
        raise ValueError(
            f"ignore_index: got {ignore_index}, which is only applicable when target contains "
            "class indices; this target contains class probabilities"
        )
    return problem, Projection(features, matrix, bias)


def _check_options(options: LinearCrossEntropyOptions | None, projection: Projection) -> None:
    if options is None:
        return
    if not isinstance(options, LinearCrossEntropyOptions):
        raise TypeError(f"options: got {options!r}, expected LinearCrossEntropyOptions or None")
    options.check_dtype(projection.input.dtype)
    if not _chunks(projection, options):
        warnings.warn(
            "options are ignored: with a K-dimensional linear_bias (out_features != ()) the loss "
            "falls back to the reference implementation",
            UserWarning,
            stacklevel=outside_level(),
        )
        return
    batch = projection.input.shape[0] if projection.input.ndim == 2 else 1
    classes, *_, in_features = projection.weight.shape
    options.chunk_size(batch, in_features, classes)


def _chunks(projection: Projection, options: LinearCrossEntropyOptions | None) -> bool:
    """Tell whether a call runs in chunks: not under the one documented fallback."""
    k_dimensional_bias = projection.bias is not None and projection.bias.ndim > 1
    return options is not None and not k_dimensional_bias
