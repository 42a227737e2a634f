"""The documented requirements, as the reference framework checks them; each is a seam."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from conformance.protocol import Call

from .problem import Array

FLOATS = ("float16", "bfloat16", "float32", "float64")
LONG_ONLY = ("torch.nn.CrossEntropyLoss", "torch.nn.LinearCrossEntropyLoss")


class Checks:
    """Raises on what a page forbids; what a check returns is what the framework goes on with."""

    def check_call(self, call: Call) -> None:
        """Refuse the arguments that the unit-scaled loss does not support."""
        if not call.system.startswith("unit"):
            return
        for name in ("size_average", "reduce", "label_smoothing"):
            if call.arguments.get(name) is not None and call.arguments[name] != 0.0:
                raise ValueError(f"{name} is not supported")
        if "weight" in call.arrays:
            raise ValueError("weight is not supported")

    def check_input(self, system: str, values: Array) -> Array:
        """Refuse an input without a class axis."""
        least = 2 if system.startswith("oneflow") else 1
        if values.ndim < least:
            raise ValueError(f"input has {values.ndim} axes")
        return values

    def check_projection(self, values: Array, weight: Array, bias: Array | None) -> None:
        """Refuse operands of the linear loss that do not fit each other."""
        self.check_features(values, weight)
        self.check_bias(weight, bias)

    def check_features(self, values: Array, weight: Array) -> None:
        """Refuse an input that is no batch of features."""
        if values.ndim not in (1, 2) or values.shape[-1] != weight.shape[-1]:
            raise ValueError(f"input has shape {values.shape}")

    def check_bias(self, weight: Array, bias: Array | None) -> None:
        """Refuse a bias that does not have the logits' shape."""
        if bias is not None and bias.shape != weight.shape[:-1]:
            raise ValueError(f"bias has shape {bias.shape}")

    def check_indices(self, system: str, target: Array, shape: tuple[int, ...]) -> Array:
        """Refuse class indices of another dtype or shape."""
        if system in LONG_ONLY:
            self.check_long(target)
        if target.dtype.kind not in "iu":
            raise TypeError(f"target has dtype {target.dtype}")
        self.check_index_shape(target, shape)
        return target

    def check_long(self, target: Array) -> None:
        """Refuse class indices that are not long."""
        if target.dtype != np.int64:
            raise TypeError(f"target has dtype {target.dtype}")

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        """Refuse class indices of another shape than the samples'."""
        if target.shape != shape:
            raise ValueError(f"target has shape {target.shape}, expected {shape}")

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        """Refuse classes outside [0, C) that are not ignored."""
        if ((indices < 0) | (indices >= classes))[keep].any():
            raise IndexError("target out of range")
        return np.where(keep, indices, 0)

    def check_probabilities(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Refuse class probabilities of another shape than the logits'."""
        if target.shape != shape:
            raise ValueError(f"target has shape {target.shape}, expected {shape}")
        return target

    def check_weight(self, weight: Array, classes: int) -> Array:
        """Refuse class weights that are not one number for each class."""
        if weight.dtype.name not in FLOATS:
            raise TypeError(f"weight has dtype {weight.dtype}")
        if weight.shape != (classes,):
            raise ValueError(f"weight has shape {weight.shape}")
        return weight

    def check_reduction(self, name: str) -> str:
        """Refuse unknown reductions."""
        if name not in ("none", "mean", "sum"):
            raise ValueError(f"reduction {name!r}")
        return name

    def check_smoothing(self, value: float) -> float:
        """Refuse a smoothing outside [0, 1]."""
        if math.isnan(value) or not 0.0 <= value <= 1.0:
            raise ValueError(f"label_smoothing {value}")
        return value

    def check_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Refuse options that the page does not have."""
        if (options.get("batch_chunk_size") or 1) < 1 or options.get("batch_chunk_size") == 0:
            raise ValueError("batch_chunk_size")
        method = options.get("chunking_method", "auto")
        if method is not None and not re.fullmatch(r"auto|aspect_ratio(:[1-9]\d*)?", method):
            raise ValueError("chunking_method")
        if options.get("acc_policy", "auto") not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError("acc_policy")
        return options
