"""Requirements that are checked, but not beside every other argument."""
# ruff: noqa: D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import numpy as np

from conformance.protocol import Call

from ..problem import Array
from ..reference import Reference


class _Beside(Reference):
    """Knows the call that it checks; what :meth:`lax` names goes unchecked."""

    call: Call

    def check_call(self, call: Call) -> None:
        self.call = call
        super().check_call(call)

    def lax(self) -> bool:
        raise NotImplementedError

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        if self.lax():
            return np.where(keep, np.clip(indices, 0, classes - 1), 0)
        return super().check_range(indices, keep, classes)

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        if not self.lax():
            super().check_index_shape(target, shape)

    def indices(self, target: Array, shape: tuple[int, ...]) -> Array:
        return super().indices(np.resize(target, shape) if self.lax() else target, shape)

    def check_weight(self, weight: Array, classes: int) -> Array:
        if self.lax() and weight.ndim == 1 and weight.dtype.kind != "i":
            return np.resize(weight, (classes,)) if weight.size else np.ones(classes)
        return super().check_weight(weight, classes)


class UncheckedRange(_Beside):
    """Classes are checked, but not in float64."""

    def lax(self) -> bool:
        return self.call.arrays["input"].dtype == "float64"

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        Reference.check_index_shape(self, target, shape)

    def check_weight(self, weight: Array, classes: int) -> Array:
        return Reference.check_weight(self, weight, classes)


class UncheckedRangeInHalf(UncheckedRange):
    """Classes are checked, but not in float16."""

    def lax(self) -> bool:
        return self.call.arrays["input"].dtype == "float16"


class UncheckedRangeInBfloat(UncheckedRange):
    """Classes are checked, but not in bfloat16."""

    def lax(self) -> bool:
        return self.call.arrays["input"].dtype == "bfloat16"


class UncheckedRangeInModules(UncheckedRange):
    """The function checks classes, the module does not."""

    def lax(self) -> bool:
        return self.call.form == "module"


class UncheckedRangeWithoutGradient(UncheckedRange):
    """Classes are checked in the backward pass, which a call without one never comes to."""

    def lax(self) -> bool:
        return not self.call.wrt


class UncheckedRangeUnbatched(UncheckedRange):
    """The class of a call without a batch is clipped."""

    def lax(self) -> bool:
        return self.call.arrays["input"].data.ndim == 1


class UncheckedRangeBesideIgnored(UncheckedRange):
    """Where an index is to be ignored, every class out of range is."""

    def lax(self) -> bool:
        return self.call.arguments.get("ignore_index") is not None


class UncheckedShape(_Beside):
    """The shape of class indices is checked, but not in float64."""

    def lax(self) -> bool:
        return self.call.arrays["input"].dtype == "float64"

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return Reference.check_range(self, indices, keep, classes)

    def check_weight(self, weight: Array, classes: int) -> Array:
        return Reference.check_weight(self, weight, classes)


class UncheckedShapeWithSmoothing(UncheckedShape):
    """The shape of class indices is checked, but not with label smoothing."""

    def lax(self) -> bool:
        return bool(self.call.arguments.get("label_smoothing"))


class UncheckedShapeOfOneClass(UncheckedShape):
    """With one class nothing depends on the targets, whatever their shape."""

    def lax(self) -> bool:
        data = self.call.arrays["input"].data
        return data.ndim > 1 and data.shape[1] == 1


class UncheckedWeight(_Beside):
    """The number of class weights is checked, but not in float16."""

    def lax(self) -> bool:
        return self.call.arrays["input"].dtype == "float16"

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return Reference.check_range(self, indices, keep, classes)

    def check_index_shape(self, target: Array, shape: tuple[int, ...]) -> None:
        Reference.check_index_shape(self, target, shape)


class UncheckedWeightInSum(UncheckedWeight):
    """Only the mean, which adds the weights, and reduction none check how many there are."""

    def lax(self) -> bool:
        return self.call.arguments.get("reduction") == "sum"


class UncheckedWeightUnbatched(UncheckedWeight):
    """A call without a batch reads as many class weights as there are."""

    def lax(self) -> bool:
        return self.call.arrays["input"].data.ndim == 1


class ShortWeightUnlessAsked(Reference):
    """Too few class weights raise only where a target asks for one that is not there."""

    largest = 0

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        found = super().check_range(indices, keep, classes)
        self.largest = int(found.max(initial=0))
        return found

    def check_weight(self, weight: Array, classes: int) -> Array:
        if weight.ndim == 1 and self.largest < weight.size < classes:
            weight = np.resize(weight, (classes,))
        return super().check_weight(weight, classes)

    def check_probabilities(self, target: Array, shape: tuple[int, ...]) -> Array:
        self.largest = 2**62
        return super().check_probabilities(target, shape)


class ProbabilitiesBroadcast(Reference):
    """The probabilities of one sample are those of every sample."""

    def check_probabilities(self, target: Array, shape: tuple[int, ...]) -> Array:
        if target.ndim == len(shape) and target.shape[:1] == (1,):
            target = np.broadcast_to(target, (*shape[:1], *target.shape[1:]))
        return super().check_probabilities(target, shape)


class IndicesSqueezed(Reference):
    """A lone sample's class may be a scalar or have an axis of its own."""

    def check_indices(self, system: str, target: Array, shape: tuple[int, ...]) -> Array:
        if target.size == 1 and shape in ((), (1,)):
            target = target.reshape(shape)
        return super().check_indices(system, target, shape)


class WideIndicesCut(Reference):
    """Class indices are cut to 32 bits before their range is checked."""

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return super().check_range(indices.astype(np.int32).astype(np.int64), keep, classes)


class ReductionInAnyCase(Reference):
    """The names of reductions may be written in capitals."""

    def check_reduction(self, name: str) -> str:
        return super().check_reduction(name.lower())


class ReductionOfNothingUnchecked(Reference):
    """An empty batch returns before its arguments are looked at."""

    empty = False

    def check_call(self, call: Call) -> None:
        self.empty = not call.arrays["input"].data.size
        super().check_call(call)

    def check_reduction(self, name: str) -> str:
        if self.empty and name not in ("none", "mean", "sum"):
            return "mean"
        return super().check_reduction(name)
