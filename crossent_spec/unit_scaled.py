"""``unit_scaling.functional.cross_entropy``: page 001."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .evaluate import (
    Formula,
    Gradients,
    Vjp,
    loss_on_logits,
    value_and_grad_on_logits,
    vjp_on_logits,
)
from .problem import Problem, cross_entropy_problem


def unit_scaled_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    mult: float = 1.0,
    *,
    backend: str | None = None,
    stream: Any = None,
) -> Any:
    """Unit-scaled cross-entropy between logits and targets.

    The loss is the cross-entropy of ``mult``·input; 'mean' divides the sum of the output by the
    number of its elements, ignored ones included.

    Parameters
    ----------
    input
        Logits of shape (C), (N, C) or (N, C, d1, ..., dK), with C ≥ 2.
    target
        Class indices of any integer dtype, shape (), (N) or (N, d1, ..., dK); or class
        probabilities of the input's shape.
    weight, size_average, reduce
        Not supported by unit-scaling: must be ``None``.
    ignore_index
        Target value that contributes neither to the loss nor to the gradient.
    reduction
        'none', 'mean' or 'sum'.
    label_smoothing
        Not supported by unit-scaling: must be 0.
    mult
        Multiplier of the logits: above 1 a sharper softmax, below 1 a flatter one.
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
        In the input's dtype.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`crossent_spec.cross_entropy`; ``ValueError`` for an unsupported argument and for
        a single class, whose unit scale C/√(C − 1) does not exist.

    Notes
    -----
    Source: page ``unit_scaling.functional.cross_entropy`` (001).

    Examples
    --------
    >>> import numpy as np
    >>> input, target = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0, -100])
    >>> float(unit_scaled_cross_entropy(input, target).round(6))
    0.156631
    """
    problem, mult = _problem(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        label_smoothing,
        mult,
        backend,
        stream,
    )
    return loss_on_logits(problem, Formula(mult, unit=True))


def unit_scaled_cross_entropy_vjp(
    input: ArrayLike,
    target: ArrayLike,
    weight: None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    mult: float = 1.0,
    wrt: str | Sequence[str] = ("input",),
    *,
    backend: str | None = None,
    stream: Any = None,
) -> tuple[Any, Vjp]:
    """Unit-scaled cross-entropy, and a function from the loss's gradient to the arguments'.

    ∂/∂input[n, c] = C/√(C − 1)·grad_output·(softmax(mult·x_n)[c] − t[n, c]): unit variance, with
    neither ``mult`` nor the mean's denominator, as unit-scaling 0.3.5 computes it (the page gives
    no factor).  The gradient of probability targets is −grad_output·log softmax(mult·x).

    Parameters
    ----------
    input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing, mult
        As for :func:`unit_scaled_cross_entropy`.
    wrt
        Which gradients to compute: 'input', 'target' (probabilities).
    backend, stream
        As for :func:`unit_scaled_cross_entropy`.

    Returns
    -------
    loss : NumPy scalar or array
    vjp : callable
        ``vjp(grad_output=None)`` returns the :class:`Gradients`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`unit_scaled_cross_entropy`, and for ``wrt`` and ``grad_output``.

    Notes
    -----
    Source: page ``unit_scaling.functional.cross_entropy`` (001).

    Examples
    --------
    >>> import numpy as np
    >>> loss, vjp = unit_scaled_cross_entropy_vjp(np.array([[0.0, 0.0]]), np.array([1]))
    >>> vjp().input
    array([[ 1., -1.]])
    """
    problem, mult = _problem(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        label_smoothing,
        mult,
        backend,
        stream,
    )
    return vjp_on_logits(problem, wrt, Formula(mult, unit=True))


def unit_scaled_cross_entropy_value_and_grad(
    input: ArrayLike,
    target: ArrayLike,
    weight: None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    mult: float = 1.0,
    grad_output: ArrayLike | None = None,
    wrt: str | Sequence[str] = ("input",),
    *,
    backend: str | None = None,
    stream: Any = None,
) -> tuple[Any, Gradients]:
    """Unit-scaled cross-entropy and its gradients in one call.

    Parameters
    ----------
    input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing, mult
        As for :func:`unit_scaled_cross_entropy`.
    grad_output
        Gradient of the final result with respect to the loss, of the loss's shape; ones when
        left out.
    wrt
        As for :func:`unit_scaled_cross_entropy_vjp`, whose docstring gives the formula.
    backend, stream
        As for :func:`unit_scaled_cross_entropy`.

    Returns
    -------
    loss : NumPy scalar or array
    grads : Gradients
        Attributes ``input``, ``target``; ``None`` where not asked for.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`unit_scaled_cross_entropy_vjp`.

    Notes
    -----
    Source: page ``unit_scaling.functional.cross_entropy`` (001).

    Examples
    --------
    >>> import numpy as np
    >>> loss, grads = unit_scaled_cross_entropy_value_and_grad(
    ...     np.array([[0.0, 0.0]]), np.array([1]))
    >>> grads.input
    array([[ 1., -1.]])
    """
    problem, mult = _problem(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        label_smoothing,
        mult,
        backend,
        stream,
    )
    return value_and_grad_on_logits(problem, wrt, grad_output, Formula(mult, unit=True))


def _problem(
    input: ArrayLike,
    target: ArrayLike,
    weight: None,
    size_average: None,
    ignore_index: int,
    reduce: None,
    reduction: str,
    label_smoothing: float,
    mult: float,
    backend: str | None,
    stream: Any,
) -> tuple[Problem, float]:
    for name, value in (("weight", weight), ("size_average", size_average), ("reduce", reduce)):
        if value is not None:
            raise ValueError(f"{name}: not supported by unit-scaling, only None is allowed")
    problem = cross_entropy_problem(
        input, target, None, reduction, ignore_index, label_smoothing, backend, stream
    )
    if problem.label_smoothing != 0.0:
        raise ValueError(
            f"label_smoothing: got {label_smoothing}, not supported by unit-scaling, only 0.0 is "
            "allowed"
        )
    if isinstance(mult, bool) or not isinstance(mult, numbers.Real | np.floating):
        raise TypeError(f"mult: got {mult!r}, expected a finite real number")
    if not math.isfinite(mult):
        raise ValueError(f"mult: got {mult}, expected a finite real number")
    assert problem.logits is not None
    if problem.logits.shape[1] < 2:
        raise ValueError(
            f"input: got shape {problem.logits_shape} with one class; the unit scale C/√(C − 1) "
            "needs at least two"
        )
    return problem, float(mult)
