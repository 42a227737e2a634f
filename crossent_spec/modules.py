"""Classes that mirror the documented constructors, callable on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .cross_entropy import (
    cross_entropy,
    cross_entropy_value_and_grad,
    cross_entropy_vjp,
)
from .evaluate import Gradients, Vjp
from .problem import (
    check_integer,
    check_label_smoothing,
    check_reduction,
    effective_reduction,
    float_array,
)
from .unit_scaled import (
    unit_scaled_cross_entropy,
    unit_scaled_cross_entropy_value_and_grad,
    unit_scaled_cross_entropy_vjp,
)

Array = NDArray[Any]


class CrossEntropyLoss:
    """``torch.nn.CrossEntropyLoss``; see :func:`crossent_spec.cross_entropy` for the formula.

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction, label_smoothing
        As for :func:`crossent_spec.cross_entropy`.

    Raises
    ------
    TypeError, ValueError
        An argument is not allowed.

    Notes
    -----
    Source: page ``torch.nn.CrossEntropyLoss`` (002, 004).

    Examples
    --------
    >>> import numpy as np
    >>> loss = CrossEntropyLoss(reduction="sum")
    >>> float(loss(np.zeros((3, 2)), np.array([0, 1, 1])).round(6))
    2.079442
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight = None if weight is None else float_array(weight, "weight")
        self.ignore_index = check_integer(ignore_index, "ignore_index")
        self.reduction = effective_reduction(size_average, reduce, reduction)
        check_reduction(self.reduction)
        self.label_smoothing = check_label_smoothing(label_smoothing)

    def __call__(self, input: ArrayLike, target: ArrayLike) -> Any:
        """Return the loss."""
        return cross_entropy(self._accepted(input), target, **self._arguments())

    def vjp(
        self, input: ArrayLike, target: ArrayLike, wrt: str | Sequence[str] = ("input",)
    ) -> tuple[Any, Vjp]:
        """Return the loss and its ``vjp``; see :func:`crossent_spec.cross_entropy_vjp`."""
        return cross_entropy_vjp(self._accepted(input), target, wrt=wrt, **self._arguments())

    def value_and_grad(
        self,
        input: ArrayLike,
        target: ArrayLike,
        grad_output: ArrayLike | None = None,
        wrt: str | Sequence[str] = ("input",),
        out: Array | None = None,
    ) -> tuple[Any, Gradients]:
        """Return the loss and its gradients.

        See :func:`crossent_spec.cross_entropy_value_and_grad`.
        """
        return cross_entropy_value_and_grad(
            self._accepted(input), target, grad_output=grad_output, wrt=wrt, out=out,
            **self._arguments(),
        )  # fmt: skip

    def _accepted(self, input: ArrayLike) -> ArrayLike:
        """Return the input, or raise if this class documents less than the function."""
        return input

    def _arguments(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "ignore_index": self.ignore_index,
            "reduction": self.reduction,
            "label_smoothing": self.label_smoothing,
        }


class OneFlowCrossEntropyLoss(CrossEntropyLoss):
    """``oneflow.nn.CrossEntropyLoss``: without the deprecated arguments, for batched input only.

    Parameters
    ----------
    weight, ignore_index, reduction, label_smoothing
        As for :func:`crossent_spec.cross_entropy`.

    Raises
    ------
    TypeError, ValueError
        An argument is not allowed.

    Notes
    -----
    Source: page ``oneflow.nn.CrossEntropyLoss`` (003).

    Examples
    --------
    >>> import numpy as np
    >>> OneFlowCrossEntropyLoss(reduction="none")(np.zeros((2, 2)), np.array([0, 1]))
    array([0.69314718, 0.69314718])
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )

    def _accepted(self, input: ArrayLike) -> ArrayLike:
        return _batched(input)


class UnitScaledCrossEntropyLoss:
    """The unit-scaled loss; see :func:`crossent_spec.unit_scaled_cross_entropy`.

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction, label_smoothing, mult
        As for :func:`crossent_spec.unit_scaled_cross_entropy`; checked when it is called.

    Raises
    ------
    TypeError, ValueError
        When called with an argument that is not allowed.

    Notes
    -----
    Source: page ``unit_scaling.functional.cross_entropy`` (001).

    Examples
    --------
    >>> import numpy as np
    >>> float(UnitScaledCrossEntropyLoss(mult=2.0)(np.zeros((1, 2)), np.array([0])).round(6))
    0.693147
    """

    def __init__(
        self,
        weight: None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        mult: float = 1.0,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "weight": weight,
            "size_average": size_average,
            "ignore_index": ignore_index,
            "reduce": reduce,
            "reduction": reduction,
            "label_smoothing": label_smoothing,
            "mult": mult,
        }

    def __call__(self, input: ArrayLike, target: ArrayLike) -> Any:
        """Return the loss."""
        return unit_scaled_cross_entropy(input, target, **self._arguments)

    def vjp(
        self, input: ArrayLike, target: ArrayLike, wrt: str | Sequence[str] = ("input",)
    ) -> tuple[Any, Vjp]:
        """Return the loss and its ``vjp``."""
        return unit_scaled_cross_entropy_vjp(input, target, wrt=wrt, **self._arguments)

    def value_and_grad(
        self,
        input: ArrayLike,
        target: ArrayLike,
        grad_output: ArrayLike | None = None,
        wrt: str | Sequence[str] = ("input",),
    ) -> tuple[Any, Gradients]:
        """Return the loss and its gradients."""
        return unit_scaled_cross_entropy_value_and_grad(
            input, target, grad_output=grad_output, wrt=wrt, **self._arguments
        )


def _batched(input: ArrayLike) -> Array:
    logits = float_array(input, "input")
    if logits.ndim < 2:
        raise ValueError(f"input: got shape {logits.shape}, expected (N, C) or (N, C, d1, ..., dK)")
    return logits
