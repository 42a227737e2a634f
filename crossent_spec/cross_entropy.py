"""``torch.nn.CrossEntropyLoss`` and ``oneflow.nn.CrossEntropyLoss``: pages 002, 003 and 004."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .evaluate import (
    Gradients,
    Vjp,
    loss_on_logits,
    value_and_grad_on_logits,
    vjp_on_logits,
)
from .problem import Problem, cross_entropy_problem, effective_reduction


def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    backend: str | None = None,
    stream: Any = None,
) -> Any:
    r"""Cross-entropy between logits and targets.

    For class indices, with w the class weights (ones by default),

    .. math::
        l_n = -w_{y_n} \log \frac{\exp(x_{n,y_n})}{\sum_{c=1}^C \exp(x_{n,c})}
        \cdot 1\{y_n \ne \text{ignore\_index}\}, \qquad
        \text{mean} = \frac{\sum_n l_n}{\sum_n w_{y_n} 1\{y_n \ne \text{ignore\_index}\}}

    and for class probabilities

    .. math::
        l_n = -\sum_{c=1}^C w_c \log \frac{\exp(x_{n,c})}{\sum_{i=1}^C \exp(x_{n,i})} y_{n,c},
        \qquad \text{mean} = \frac{\sum_n l_n}{N}.

    Parameters
    ----------
    input
        Raw, unnormalised logits of shape (C), (N, C) or (N, C, d1, ..., dK); float16, bfloat16
        (of ml_dtypes), float32 or float64.
    target
        Class indices of any integer dtype, shape (), (N) or (N, d1, ..., dK), with values in
        [0, C) or ``ignore_index``; or class probabilities of a floating dtype and the input's
        shape.  That they lie in [0, 1] and sum to one is the caller's responsibility.
    weight
        Floating weight of each class, shape (C,).
    size_average, reduce
        Deprecated; specifying either overrides ``reduction``.  ``reduce=False`` means 'none',
        otherwise ``size_average=False`` means 'sum' and anything else 'mean'.
    ignore_index
        Target value that contributes neither to the loss nor to the gradient; it need not be a
        class.  Only applicable to class indices.
    reduction
        'none', 'mean' (the weighted mean) or 'sum'.
    label_smoothing
        ε in [0.0, 1.0]: targets become (1 − ε)·target + ε/C.
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
    TypeError
        An argument has a dtype or type that is not allowed.
    ValueError
        An argument has a shape or value that is not allowed.
    IndexError
        A class index is neither in [0, C) nor ``ignore_index``.

    Warns
    -----
    DeprecationWarning
        ``size_average`` or ``reduce`` is given.

    Notes
    -----
    Source: pages ``torch.nn.CrossEntropyLoss`` (002, 004) and ``oneflow.nn.CrossEntropyLoss``
    (003).  Summed in float64 and rounded once.

    Examples
    --------
    The numbers of OneFlow's page:

    >>> import numpy as np
    >>> input = np.array([[-0.1664078, -1.7256707, -0.14690138],
    ...                   [-0.21474946, 0.53737473, 0.99684894],
    ...                   [-1.135804, -0.50371903, 0.7645404]], dtype=np.float32)
    >>> target = np.array([0, 1, 2], dtype=np.int32)
    >>> cross_entropy(input, target, reduction="none").round(4)
    array([0.802 , 1.1167, 0.3583], dtype=float32)
    >>> cross_entropy(input, target, reduction="none", label_smoothing=0.5).round(4)
    array([1.0586, 1.1654, 0.8864], dtype=float32)
    """
    problem = _problem(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        label_smoothing,
        backend,
        stream,
    )
    return loss_on_logits(problem)


def cross_entropy_vjp(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    wrt: str | Sequence[str] = ("input",),
    *,
    backend: str | None = None,
    stream: Any = None,
) -> tuple[Any, Vjp]:
    """Cross-entropy, and a function from the loss's gradient to the arguments' gradients.

    With a_c = w_c·t_c, where t is the target as a (smoothed) distribution, and s_n the gradient
    of the final result with respect to l_n,

        ∂/∂input[n, c] = s_n·(softmax(x_n)[c]·Σ_i a_i − a_c).

    Parameters
    ----------
    input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
        As for :func:`cross_entropy`.
    wrt
        Which gradients to compute: 'input', 'target' (probabilities), 'weight'.
    backend, stream
        As for :func:`cross_entropy`.

    Returns
    -------
    loss : NumPy scalar or array
    vjp : callable
        ``vjp(grad_output=None)`` returns the :class:`Gradients` of Σ grad_output·loss;
        ``grad_output`` has the loss's shape and is ones when left out.  It may be called
        repeatedly.  It reads the arrays of this call again: leave them as they are until then.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`cross_entropy`, and for ``wrt`` and ``grad_output``.

    Notes
    -----
    Source: derived from the formulas of pages 002, 003 and 004.

    Examples
    --------
    >>> import numpy as np
    >>> loss, vjp = cross_entropy_vjp(np.array([[0.0, 0.0]]), np.array([1]))
    >>> vjp(2.0).input
    array([[ 1., -1.]])
    """
    problem = _problem(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        label_smoothing,
        backend,
        stream,
    )
    return vjp_on_logits(problem, wrt)


def cross_entropy_value_and_grad(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    grad_output: ArrayLike | None = None,
    wrt: str | Sequence[str] = ("input",),
    out: NDArray[Any] | None = None,
    *,
    backend: str | None = None,
    stream: Any = None,
) -> tuple[Any, Gradients]:
    """Cross-entropy and its gradients in one call.

    Parameters
    ----------
    input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
        As for :func:`cross_entropy`.
    grad_output
        Gradient of the final result with respect to the loss, of the loss's shape; ones when
        left out.
    wrt
        Which gradients to compute: 'input', 'target' (probabilities), 'weight'.
    out
        Array of the input's shape and dtype that the gradient of the input is written to; it may
        be the input itself, which the gradient then replaces.  A new array costs as much time as
        the gradient does.
    backend, stream
        As for :func:`cross_entropy`.

    Returns
    -------
    loss : NumPy scalar or array
    grads : Gradients
        Attributes ``input`` (``out`` if that was given), ``target``, ``weight``; ``None`` where
        not asked for.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`cross_entropy_vjp`, and for ``out``.

    Notes
    -----
    Source: derived from the formulas of pages 002, 003 and 004.

    Examples
    --------
    >>> import numpy as np
    >>> loss, grads = cross_entropy_value_and_grad(np.array([[0.0, 0.0]]), np.array([1]))
    >>> grads.input
    array([[ 0.5, -0.5]])
    """
    problem = _problem(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        label_smoothing,
        backend,
        stream,
    )
    return value_and_grad_on_logits(problem, wrt, grad_output, out=out)


def _problem(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    size_average: bool | None,
    ignore_index: int,
    reduce: bool | None,
    reduction: str,
    label_smoothing: float,
    backend: str | None,
    stream: Any,
) -> Problem:
    reduction = effective_reduction(size_average, reduce, reduction)
    return cross_entropy_problem(
        input, target, weight, reduction, ignore_index, label_smoothing, backend, stream
    )
