"""The class of the linear loss, which owns the projection's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .dtypes import floating_dtype, round_to
from .evaluate import Gradients, Vjp
from .linear import (
    linear_cross_entropy,
    linear_cross_entropy_value_and_grad,
    linear_cross_entropy_vjp,
)
from .options import LinearCrossEntropyOptions
from .problem import (
    check_integer,
    check_label_smoothing,
    check_reduction,
    check_weight,
    float_array,
)

Array = NDArray[Any]


class Linear:
    """The parameters of the projection, stored flat as the page says.

    Attributes
    ----------
    weight
        Shape (C·Π out_features, in_features).
    bias
        Shape (C·Π out_features,), or ``None``.
    """

    def __init__(self, weight: Array, bias: Array | None) -> None:
        self.weight = weight
        self.bias = bias


class LinearCrossEntropyLoss:
    """``torch.nn.LinearCrossEntropyLoss``: owns the projection's parameters.

    See :func:`crossent_spec.linear_cross_entropy` for the formula.

    Parameters
    ----------
    in_features
        Size of each input sample.
    num_classes
        C.
    out_features
        (d1, ..., dK) of a K-dimensional loss.
    bias
        Whether the logits have a bias.
    device
        Only ``None`` or 'cpu': NumPy arrays have no other device.
    dtype
        Dtype of the parameters, float32 by default.
    reduction, weight, ignore_index, label_smoothing, options
        As for :func:`crossent_spec.linear_cross_entropy`.
    rng
        A ``numpy.random.Generator`` or a seed for the initial parameters, which are uniform in
        ±1/√in_features, as torch initialises them.

    Raises
    ------
    TypeError, ValueError
        An argument is not allowed.

    Notes
    -----
    Source: page ``torch.nn.LinearCrossEntropyLoss`` (000).

    Examples
    --------
    >>> import numpy as np
    >>> loss = LinearCrossEntropyLoss(5, 10, out_features=(4, 3), rng=283)
    >>> loss.linear.weight.shape, loss.linear_weight.shape
    ((120, 5), (10, 4, 3, 5))
    >>> value, grads = loss.value_and_grad(
    ...     np.ones((2, 5), dtype=np.float32), np.zeros((2, 4, 3), dtype=np.int64))
    >>> grads.linear_weight.shape
    (10, 4, 3, 5)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: Sequence[int] = (),
        bias: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        reduction: str = "mean",
        weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.in_features = _size(in_features, "in_features")
        self.num_classes = _size(num_classes, "num_classes")
        if isinstance(out_features, str) or not isinstance(out_features, Sequence):
            raise TypeError(f"out_features: got {out_features!r}, expected a tuple of integers")
        self.out_features = tuple(_size(extent, "out_features") for extent in out_features)
        if device not in (None, "cpu"):
            raise ValueError(f"device: got {device!r}, allowed are None and 'cpu'")
        check_reduction(reduction)
        self.reduction = reduction
        self.weight = check_weight(weight, self.num_classes)
        self.ignore_index = (
            None if ignore_index is None else check_integer(ignore_index, "ignore_index")
        )
        self.label_smoothing = check_label_smoothing(label_smoothing)
        if options is not None and not isinstance(options, LinearCrossEntropyOptions):
            raise TypeError(f"options: got {options!r}, expected LinearCrossEntropyOptions or None")
        self.options = options
        kind = floating_dtype(np.float32 if dtype is None else dtype, "dtype", TypeError)
        generator = np.random.default_rng(rng)
        rows = self.num_classes * math.prod(self.out_features)
        limit = 1 / math.sqrt(self.in_features)
        self.linear = Linear(
            round_to(generator.uniform(-limit, limit, (rows, self.in_features)), kind),
            round_to(generator.uniform(-limit, limit, rows), kind) if bias else None,
        )

    @property
    def linear_weight(self) -> Array:
        """The projection's weight in its logical shape (C, *out_features, in_features)."""
        return self.linear.weight.reshape(self.num_classes, *self.out_features, self.in_features)

    @linear_weight.setter
    def linear_weight(self, value: ArrayLike) -> None:
        array = float_array(value, "linear_weight")
        expected = (self.num_classes, *self.out_features, self.in_features)
        if array.shape != expected:
            raise ValueError(f"linear_weight: got shape {array.shape}, expected {expected}")
        self.linear.weight = array.reshape(-1, self.in_features)

    @property
    def linear_bias(self) -> Array | None:
        """The projection's bias in its logical shape (C, *out_features), or ``None``."""
        if self.linear.bias is None:
            return None
        return self.linear.bias.reshape(self.num_classes, *self.out_features)

    @linear_bias.setter
    def linear_bias(self, value: ArrayLike | None) -> None:
        if value is None:
            self.linear.bias = None
            return
        array = float_array(value, "linear_bias")
        expected = (self.num_classes, *self.out_features)
        if array.shape != expected:
            raise ValueError(f"linear_bias: got shape {array.shape}, expected {expected}")
        self.linear.bias = array.reshape(-1)

    def __call__(self, input: ArrayLike, target: ArrayLike) -> Any:
        """Return the loss."""
        return linear_cross_entropy(input, self.linear_weight, target, **self._arguments())

    def vjp(
        self, input: ArrayLike, target: ArrayLike, wrt: str | Sequence[str] | None = None
    ) -> tuple[Any, Vjp]:
        """Return the loss and its ``vjp``; see :func:`crossent_spec.linear_cross_entropy_vjp`."""
        return linear_cross_entropy_vjp(
            input, self.linear_weight, target, wrt=wrt, **self._arguments()
        )

    def value_and_grad(
        self,
        input: ArrayLike,
        target: ArrayLike,
        grad_output: ArrayLike | None = None,
        wrt: str | Sequence[str] | None = None,
    ) -> tuple[Any, Gradients]:
        """Return the loss and its gradients, of input and parameters by default."""
        call = {**self._arguments(), "grad_output": grad_output, "wrt": wrt}
        return linear_cross_entropy_value_and_grad(input, self.linear_weight, target, **call)

    def _arguments(self) -> dict[str, Any]:
        return {
            "linear_bias": self.linear_bias,
            "weight": self.weight,
            "reduction": self.reduction,
            "ignore_index": self.ignore_index,
            "label_smoothing": self.label_smoothing,
            "options": self.options,
        }


def _size(value: Any, name: str) -> int:
    size = check_integer(value, name)
    if size < 1:
        raise ValueError(f"{name}: got {size}, expected a positive integer")
    return size
