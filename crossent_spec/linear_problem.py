"""Validation of a call of the linear loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from .chunks import Projection
from .placement import placed
from .problem import Problem, check_integer, float_array, validate


def linear_problem(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    linear_bias: ArrayLike | None,
    weight: ArrayLike | None,
    reduction: str,
    ignore_index: int | None,
    label_smoothing: float,
    backend: str | None = None,
    stream: Any = None,
) -> tuple[Problem, Projection]:
    """Validate a call of the linear loss; see :func:`linear_cross_entropy`."""
    placement, (input, linear_weight, target, linear_bias, weight) = placed(
        backend, stream, input=input, linear_weight=linear_weight, target=target,
        linear_bias=linear_bias, weight=weight,
    )  # fmt: skip
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
    return replace(problem, placement=placement), Projection(features, matrix, bias)
