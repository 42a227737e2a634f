"""Class indices whose range, dtype or shape is not checked."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.protocol import Call

from ..problem import Array
from ..reference import Reference


class RangeNotChecked(Reference):
    """A class out of range is clipped."""

    seen = "https://github.com/pytorch/pytorch/issues/43840"

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return np.where(keep, np.clip(indices, 0, classes - 1), 0)


class NegativeNotChecked(Reference):
    """A negative class counts from the end."""

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return super().check_range(np.where(indices == -1, classes - 1, indices), keep, classes)


class ClassCNotChecked(Reference):
    """The class C itself, one too many, is let through."""

    seen = "https://github.com/tensorflow/tensorflow/issues/3739"

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return super().check_range(np.where(indices == classes, 0, indices), keep, classes)


class RangeUncheckedWithSmoothing(Reference):
    """With label smoothing a class out of range is a row without a one."""

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        if self.epsilon:
            return np.where(keep, np.clip(indices, 0, classes - 1), 0)
        return super().check_range(indices, keep, classes)

    epsilon = 0.0

    def arguments(self, call: Call) -> dict[str, Any]:
        self.epsilon = float(call.arguments.get("label_smoothing", 0.0))
        return super().arguments(call)


class RangeUncheckedInSpace(Reference):
    """In K dimensions a class out of range is clipped."""

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        if indices.shape[1] > 1:
            return np.where(keep, np.clip(indices, 0, classes - 1), 0)
        return super().check_range(indices, keep, classes)


class RangeUncheckedWithoutReduction(Reference):
    """Reduction none does not check the range."""

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        if self.name == "none":
            return np.where(keep, np.clip(indices, 0, classes - 1), 0)
        return super().check_range(indices, keep, classes)

    name = ""

    def arguments(self, call: Call) -> dict[str, Any]:
        self.name = call.arguments.get("reduction", "")
        return super().arguments(call)


class RangeUncheckedInChunks(Reference):
    """The chunked linear loss does not check the range."""

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        if self.chunked:
            return np.where(keep, np.clip(indices, 0, classes - 1), 0)
        return super().check_range(indices, keep, classes)

    chunked = False

    def arguments(self, call: Call) -> dict[str, Any]:
        self.chunked = "options" in call.arguments
        return super().arguments(call)


class LongNotRequired(Reference):
    """Any integer dtype is taken for class indices."""

    def check_long(self, target: Array) -> None:
        return


class Int32Taken(Reference):
    """int32 is taken for class indices."""

    def check_long(self, target: Array) -> None:
        if target.dtype != np.int32:
            super().check_long(target)


class BoolTaken(Reference):
    """bool is taken for class indices."""

    def check_indices(self, system: str, target: Array, shape: tuple[int, ...]) -> Array:
        if target.dtype == np.bool_:
            target = target.astype(np.int64)
        return super().check_indices(system, target, shape)


class IndexShapeNotChecked(Reference):
    """A target of another shape is read as far as it goes."""

    seen = "https://github.com/Oneflow-Inc/oneflow/issues/5209"

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        return

    def indices(self, target: Array, shape: tuple[int, ...]) -> Array:
        return super().indices(np.resize(target, shape), shape)


class ExtraAxisTaken(IndexShapeNotChecked):
    """A target with a last axis of length one is taken."""

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        if target.shape != (*shape, 1):
            Reference.check_index_shape(self, target, shape)


class LongerTargetTaken(IndexShapeNotChecked):
    """A target that is too long is cut."""

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        if target.ndim != len(shape) or target.size < np.prod(shape):
            Reference.check_index_shape(self, target, shape)


class MissingAxisTaken(IndexShapeNotChecked):
    """A target without the inner axis is broadcast."""

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        if target.ndim != len(shape) - 1:
            Reference.check_index_shape(self, target, shape)


class OneHotIntegersTaken(IndexShapeNotChecked):
    """Integers of the logits' shape are taken for one-hot targets."""

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        if target.ndim != len(shape) + 1 or target.shape[-1] == 1:
            Reference.check_index_shape(self, target, shape)


class IgnoredFarRefused(Reference):
    """An ignored index that is larger than the classes is refused without reduction."""

    seen = "https://github.com/pytorch/pytorch/issues/15508"

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        if self.none and (indices >= classes).any():
            raise IndexError("target out of bounds")
        return super().check_range(indices, keep, classes)

    none = False

    def arguments(self, call: Call) -> dict[str, Any]:
        self.none = call.arguments.get("reduction") == "none"
        return super().arguments(call)
