"""Validation of any documented call, once, and its canonical form.

What leaves this module needs no further check: logits with the class axis in the middle, targets
of a known kind, and the caller's arrays untouched.
"""

from __future__ import annotations

import math
import numbers
import operator
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .device_array import DeviceArray, as_given, reshaped
from .dtypes import FLOATING, is_floating, is_integer
from .placement import Placement, placed

Array = NDArray[Any]

REDUCTIONS = ("none", "mean", "sum")


@dataclass(frozen=True)
class Targets:
    """A validated target: class indices with a mask, or class probabilities.

    Attributes
    ----------
    indices
        (N, D) int64, 0 where ignored; ``None`` for probabilities.
    keep
        (N, D), false where the target is ``ignore_index``.
    probabilities
        (N, C, D) in the caller's dtype; ``None`` for indices.
    original
        The caller's target: shape and dtype of its gradient.
    ignore_index
        Where the target is on a GPU: there the values of ``indices`` are the caller's, of any
        integer dtype and not yet checked, and ``keep`` is all true.
    """

    indices: NDArray[np.int64] | None
    keep: NDArray[np.bool_]
    probabilities: Array | None
    original: Array
    ignore_index: int = -100


@dataclass(frozen=True)
class Problem:
    """A documented call in canonical form.

    Attributes
    ----------
    logits
        (N, C, D) in the caller's dtype; ``None`` where they are still to be projected.
    logits_shape
        The documented shape of the logits: (C), (N, C) or (N, C, d1, ..., dK).
    weight
        (C,) class weights in the caller's dtype, or ``None``.
    placement
        The GPU that all arrays are on, as :class:`DeviceArray`; ``None`` for NumPy's arrays.
    """

    logits: Array | None
    logits_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    targets: Targets
    weight: Array | None
    reduction: str
    label_smoothing: float
    placement: Placement | None = None

    @property
    def loss_shape(self) -> tuple[int, ...]:
        """Shape of the result: () unless the reduction is 'none'."""
        return sample_shape(self.logits_shape) if self.reduction == "none" else ()


def cross_entropy_problem(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    backend: str | None = None,
    stream: Any = None,
) -> Problem:
    """Validate a call of the loss on logits; see :func:`crossent_spec.cross_entropy`."""
    placement, (input, target, weight) = placed(
        backend, stream, input=input, target=target, weight=weight
    )
    logits = float_array(input, "input")
    if logits.ndim == 0:
        raise ValueError(
            "input: got a zero-dimensional array, expected shape (C), (N, C) or (N, C, d1, ..., dK)"
        )
    problem = validate(
        logits.shape,
        logits.dtype,
        target,
        weight,
        reduction,
        ignore_index,
        label_smoothing,
        to_classes_in_middle(logits, logits.shape),
        placement,
    )
    if problem.targets.probabilities is not None and ignore_index >= 0:
        # The pages: "only applicable when the target contains class indices".  torch 2.13
        # refuses an index that could be a class and lets a negative one, the default, pass.
        raise ValueError(
            f"ignore_index: got {ignore_index}, which is only applicable when target contains "
            "class indices; this target contains class probabilities"
        )
    return problem


def validate(
    logits_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    target: ArrayLike,
    weight: ArrayLike | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    logits: Array | None = None,
    placement: Placement | None = None,
) -> Problem:
    """Validate everything but the logits themselves, of which shape and dtype are known.

    They are given if they are known, (N, C, D).
    """
    classes = logits_shape[0] if len(logits_shape) == 1 else logits_shape[1]
    if classes < 1:
        raise ValueError(
            f"input: got shape {logits_shape} with {classes} classes, expected at least one"
        )
    check_reduction(reduction)
    return Problem(
        logits=logits,
        logits_shape=logits_shape,
        dtype=dtype,
        targets=check_target(target, logits_shape, classes, ignore_index),
        weight=check_weight(weight, classes),
        reduction=reduction,
        label_smoothing=check_label_smoothing(label_smoothing),
        placement=placement,
    )


def float_array(value: ArrayLike, name: str) -> Array:
    """Return ``value`` as an array of a supported floating dtype."""
    array = cast(Array, as_given(value, name))
    if not is_floating(array.dtype):
        raise TypeError(f"{name}: got dtype {array.dtype}, allowed are {', '.join(FLOATING)}")
    return array


def check_reduction(reduction: str) -> None:
    """Refuse anything but the three documented names."""
    if not isinstance(reduction, str):
        raise TypeError(f"reduction: got {reduction!r}, expected one of {REDUCTIONS}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction: got {reduction!r}, allowed are {REDUCTIONS}")


def check_label_smoothing(value: float) -> float:
    """Return the smoothing as a float in [0.0, 1.0]."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real | np.floating):
        raise TypeError(f"label_smoothing: got {value!r}, expected a float in [0.0, 1.0]")
    if not 0.0 <= float(value) <= 1.0:
        raise ValueError(f"label_smoothing: got {value}, expected a float in [0.0, 1.0]")
    return float(value)


def check_integer(value: Any, name: str) -> int:
    """Return an integer argument as an int; a bool is not one."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: got {value!r}, expected an integer") from None


def check_weight(weight: ArrayLike | None, classes: int) -> Array | None:
    """Return the class weights: a 1D floating array of size C."""
    if weight is None:
        return None
    array = float_array(weight, "weight")
    if array.shape != (classes,):
        raise ValueError(
            f"weight: got shape {array.shape}, expected a 1D array of size C, ({classes},)"
        )
    return array


def check_target(
    target: ArrayLike, logits_shape: tuple[int, ...], classes: int, ignore_index: int
) -> Targets:
    """Return the target in canonical form.

    Floating targets are class probabilities and have the logits' shape; integer targets are
    class indices and have that shape without the class axis.
    """
    array = cast(Array, as_given(target, "target"))
    if array.shape == (0,) and isinstance(target, list | tuple):
        array = array.astype(np.int64)  # of an empty list NumPy makes floats
    ignore_index = check_integer(ignore_index, "ignore_index")
    if is_floating(array.dtype):
        if array.shape != logits_shape:
            raise ValueError(
                f"target: got shape {array.shape} of {array.dtype}; class probabilities must have "
                f"the shape of the logits, {logits_shape}, and class indices an integer dtype"
            )
        probabilities = to_classes_in_middle(array, logits_shape)
        samples = (probabilities.shape[0], probabilities.shape[2])
        kept = np.ones(samples, dtype=bool)
        if isinstance(array, DeviceArray):
            kept = np.broadcast_to(np.True_, samples)
        return Targets(None, kept, probabilities, array)
    if not is_integer(array.dtype):
        raise TypeError(
            f"target: got dtype {array.dtype}, expected an integer dtype for class indices or "
            f"one of {', '.join(FLOATING)} for class probabilities"
        )
    expected = sample_shape(logits_shape)
    if array.shape != expected:
        raise ValueError(
            f"target: got shape {array.shape} of {array.dtype}, class indices for logits of shape "
            f"{logits_shape} must have shape {expected}"
        )
    batch = logits_shape[0] if len(logits_shape) > 1 else 1
    samples = (batch, math.prod(logits_shape[2:]))
    if isinstance(array, DeviceArray):
        everything = np.broadcast_to(np.True_, samples)
        return Targets(cast(Array, reshaped(array, samples)), everything, None, array, ignore_index)
    indices = array.reshape(samples)
    limits, unsigned = _integers(array.dtype)
    keep = np.ones(indices.shape, dtype=bool)
    # As an unsigned number a negative one is larger than any class: one pass instead of two.
    high = int(indices.view(unsigned).max()) if indices.size else 0
    if high < min(classes, limits.max + 1) and not 0 <= ignore_index <= high:
        return Targets(indices.astype(np.int64, copy=False), keep, None, array)
    if limits.min <= ignore_index <= limits.max:
        keep = indices != ignore_index
    valid = indices >= 0
    if classes <= limits.max:
        valid &= indices < classes
    if not (valid | ~keep).all():
        position = tuple(int(i) for i in np.argwhere(~(valid | ~keep).reshape(expected))[0])
        raise IndexError(
            f"target: got class {array[position]} at position {position}, expected values in "
            f"[0, {classes}) or ignore_index ({ignore_index})"
        )
    return Targets(np.where(keep, indices, 0).astype(np.int64), keep, None, array)


@cache
def _integers(dtype: np.dtype[Any]) -> tuple[np.iinfo[Any], np.dtype[Any]]:
    """Return the range of an integer dtype, and the unsigned one of its size and byte order."""
    return np.iinfo(dtype), np.dtype(f"u{dtype.itemsize}").newbyteorder(dtype.byteorder)


def with_own_indices(problem: Problem) -> Problem:
    """Return the problem with indices that stay as they were checked, whatever the caller does.

    Kernels write where an index says.
    """
    targets = problem.targets
    if targets.indices is None or problem.placement is not None:
        return problem
    return replace(problem, targets=replace(targets, indices=targets.indices.copy()))


def effective_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Map the deprecated pair to a reduction; "specifying either of those two overrides" it."""
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value is not None and not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name}: got {value!r}, expected True, False or None")
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        mapped = "none"
    elif size_average is not None and not size_average:
        mapped = "sum"
    else:
        mapped = "mean"
    warnings.warn(
        f"size_average and reduce are deprecated, use reduction={mapped!r} instead",
        DeprecationWarning,
        stacklevel=outside_level(),
    )
    return mapped


def outside_level() -> int:
    """``stacklevel`` that makes a warning point at the first frame outside this package."""
    import sys

    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        f"{__package__}."
    ):
        frame, level = frame.f_back, level + 1
    return level


def check_grad_output(grad_output: ArrayLike | None, loss_shape: tuple[int, ...]) -> Array:
    """Return the gradient of the loss as float64; ``None`` is a one for every loss."""
    if grad_output is None:
        return np.ones(loss_shape)
    array = np.asarray(grad_output)
    if not (is_floating(array.dtype) or is_integer(array.dtype)):
        raise TypeError(f"grad_output: got dtype {array.dtype}, expected real numbers")
    if array.shape != loss_shape:
        raise ValueError(
            f"grad_output: got shape {array.shape}, expected the shape of the loss, {loss_shape}"
        )
    return array.astype(np.float64)


def check_wrt(wrt: str | Sequence[str], available: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the arguments to differentiate, all of which the call must have."""
    if not isinstance(wrt, str | Iterable):
        raise TypeError(f"wrt: got {wrt!r}, expected a name or several of {', '.join(available)}")
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in names:
        if name not in available:
            raise ValueError(
                f"wrt: got {name!r}, this call can be differentiated with respect to "
                f"{', '.join(available)}"
            )
    return names


def sample_shape(logits_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the unreduced loss: (), (N) or (N, d1, ..., dK)."""
    return () if len(logits_shape) == 1 else (logits_shape[0], *logits_shape[2:])


def to_classes_in_middle(array: Array, logits_shape: tuple[int, ...]) -> Array:
    """Reshape (C), (N, C) or (N, C, d1, ..., dK) to (N, C, D), without a copy where possible."""
    if len(logits_shape) == 1:
        shape = (1, logits_shape[0], 1)
    else:
        shape = (logits_shape[0], logits_shape[1], math.prod(logits_shape[2:]))
    if isinstance(array, DeviceArray):
        return cast(Array, reshaped(array, shape))
    return array.reshape(shape)
