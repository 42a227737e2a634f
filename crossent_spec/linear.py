"""``torch.nn.LinearCrossEntropyLoss``: page 000."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .chunks import Chunking, Chunks, Projection, rounded
from .evaluate import Gradients, Vjp, device, differentiable, reduced_loss, sample_scale
from .linear_problem import linear_problem
from .options import LinearCrossEntropyOptions
from .problem import (
    Problem,
    check_grad_output,
    check_wrt,
    outside_level,
    with_own_indices,
)

Array = NDArray[Any]


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
    backend: str | None = None,
    stream: Any = None,
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
    backend
        'cuda' copies NumPy's arrays to an NVIDIA GPU and results back.  ``None``, the default, is
        where the arrays are: the GPU for any that have the CUDA array interface (CuPy's, torch's,
        Numba's), of which results are the same kind.
    stream
        The GPU's stream to run on, as Numba, CuPy or torch have it or by its number; by default
        the one that the input's interface names, or the default stream.

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
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index,
        label_smoothing, backend, stream,
    )  # fmt: skip
    chunking = _chunking(projection, options)
    if problem.placement is not None:
        return device().linear_loss(problem, projection, chunking)
    losses, _ = Chunks(problem, projection, *chunking).evaluate()
    return reduced_loss(problem, losses)


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
    backend: str | None = None,
    stream: Any = None,
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
    backend, stream
        As for :func:`linear_cross_entropy`.

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
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index,
        label_smoothing, backend, stream,
    )  # fmt: skip
    chunking = _chunking(projection, options)
    names = _names(problem, projection, wrt)
    retain = options is not None and options.allow_retain_graph
    once = options is not None and not retain and not _falls_back(options, projection)
    if problem.placement is not None:
        loss, on_device = device().linear_loss_and_vjp(problem, projection, chunking, names)
        return loss, _only_once(on_device) if once else on_device
    problem = with_own_indices(problem)
    chunks = Chunks(problem, projection, *chunking)
    held: dict[str, Array] | None = None
    if problem.reduction == "none":
        losses, _ = chunks.evaluate()
    else:
        # What the loss is multiplied by later multiplies the gradients.
        losses, held = chunks.evaluate(_scale(problem, None), names)

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        nonlocal held
        g = check_grad_output(grad_output, problem.loss_shape)
        if problem.reduction == "none" or not np.isfinite(g):
            return rounded_gradients(
                problem, projection, chunks.evaluate(_scale(problem, g), names)[1]
            )
        found = chunks.evaluate(_scale(problem, None), names)[1] if held is None else held
        held = found if retain else None
        if retain:
            found = {name: gradient.copy() for name, gradient in found.items()}
        if g != 1:
            with np.errstate(all="ignore"):
                for gradient in found.values():
                    np.multiply(gradient, g, out=gradient)
        return rounded_gradients(problem, projection, found)

    return reduced_loss(problem, losses), _only_once(vjp) if once else vjp


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
    backend: str | None = None,
    stream: Any = None,
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
    backend, stream
        As for :func:`linear_cross_entropy`.

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
    problem, projection = linear_problem(
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index,
        label_smoothing, backend, stream,
    )  # fmt: skip
    chunking = _chunking(projection, options)
    names = _names(problem, projection, wrt)
    if problem.placement is not None:
        return device().linear_value_and_grad(problem, projection, chunking, names, grad_output)
    chunks = Chunks(problem, projection, *chunking)
    g = check_grad_output(grad_output, problem.loss_shape)
    losses, found = chunks.evaluate(_scale(problem, g), names)
    return reduced_loss(problem, losses), rounded_gradients(problem, projection, found)


def _chunking(projection: Projection, options: LinearCrossEntropyOptions | None) -> Chunking:
    """Check the options, and return the chunks that they ask for."""
    if options is None:
        return Chunking()
    if not isinstance(options, LinearCrossEntropyOptions):
        raise TypeError(f"options: got {options!r}, expected LinearCrossEntropyOptions or None")
    options.check_dtype(projection.input.dtype)
    if _falls_back(options, projection):
        warnings.warn(
            "options are ignored: with a K-dimensional linear_bias (out_features != ()) the loss "
            "falls back to the reference implementation",
            UserWarning,
            stacklevel=outside_level(),
        )
        return Chunking()
    rows = options.chunk_size(
        projection.batch,
        projection.weight.shape[-1],
        projection.weight.shape[0] * projection.positions,
        projection.input.dtype,
    )
    return Chunking(rows, options.acc_dtype)


def _only_once(vjp: Vjp) -> Vjp:
    """Let a second call raise, as the page says of the chunked gradients."""
    consumed = False
    lock = threading.Lock()

    def once(grad_output: ArrayLike | None = None) -> Gradients:
        nonlocal consumed
        with lock:
            if consumed:
                raise RuntimeError(
                    "the chunked gradients were consumed by an earlier call of this vjp; pass "
                    "LinearCrossEntropyOptions(allow_retain_graph=True) to call it repeatedly"
                )
            found = vjp(grad_output)
            consumed = True
        return found

    return once


def _falls_back(options: LinearCrossEntropyOptions | None, projection: Projection) -> bool:
    """Tell whether options are ignored: the one documented fallback."""
    return options is not None and projection.bias is not None and projection.bias.ndim > 1


def _names(
    problem: Problem, projection: Projection, wrt: str | Sequence[str] | None
) -> tuple[str, ...]:
    """Return what is differentiated by: by default the operands of the projection."""
    operands = tuple(projection.arguments())
    return check_wrt(operands if wrt is None else wrt, (*operands, *differentiable(problem)))


def _scale(problem: Problem, grad_output: Array | None) -> NDArray[np.float64]:
    """Return ∂(grad_output·loss)/∂l_n, shape (N, D)."""
    g = check_grad_output(None, problem.loss_shape) if grad_output is None else grad_output
    return sample_scale(problem, g)


def rounded_gradients(
    problem: Problem, projection: Projection, found: dict[str, Array]
) -> Gradients:
    """Round gradients to the dtypes of their arguments."""
    arguments = {**projection.arguments(), "target": problem.targets.original}
    if problem.weight is not None:
        arguments["weight"] = problem.weight
    return Gradients(
        **{name: rounded(values, arguments[name].dtype) for name, values in found.items()}
    )
