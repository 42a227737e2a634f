"""Documented requirements that are not enforced, and documented calls that are refused."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.protocol import Array as Buffer
from conformance.protocol import Call

from ..problem import Array
from ..reference import Reference


class ProbabilityShapeNotChecked(Reference):
    """Probabilities of another shape are cut to fit."""

    def check_probabilities(self, target: Array, shape: tuple[int, ...]) -> Array:
        return np.resize(target, shape)


class FloatIndicesTaken(Reference):
    """Class indices in floats are taken."""

    def check_probabilities(self, target: Array, shape: tuple[int, ...]) -> Array:
        if target.shape == shape[:1] + shape[2:]:
            return np.zeros(shape, dtype=target.dtype)
        return super().check_probabilities(target, shape)


class WeightSizeNotChecked(Reference):
    """Class weights of another size are read as far as they go."""

    seen = "https://github.com/PaddlePaddle/Paddle/pull/34906"

    def check_weight(self, weight: Array, classes: int) -> Array:
        if weight.ndim == 1 and weight.dtype.kind != "i":
            return np.resize(weight, (classes,))
        return super().check_weight(weight, classes)


class LongWeightTaken(Reference):
    """Too many class weights are cut."""

    def check_weight(self, weight: Array, classes: int) -> Array:
        if weight.ndim == 1:
            weight = weight[:classes]
        return super().check_weight(weight, classes)


class WeightRankNotChecked(Reference):
    """Class weights of another rank are flattened or repeated."""

    def check_weight(self, weight: Array, classes: int) -> Array:
        if weight.ndim != 1:
            weight = np.resize(weight, (classes,))
        return super().check_weight(weight, classes)


class ScalarWeightTaken(Reference):
    """A scalar is taken for the weight of every class."""

    def check_weight(self, weight: Array, classes: int) -> Array:
        if weight.ndim == 0:
            weight = np.resize(weight, (classes,))
        return super().check_weight(weight, classes)


class IntegerWeightTaken(Reference):
    """Integers are taken for class weights."""

    def check_weight(self, weight: Array, classes: int) -> Array:
        return super().check_weight(weight.astype(np.float64) if weight.dtype.kind == "i"
                                    else weight, classes)  # fmt: skip


class WeightUncheckedForProbabilities(Reference):
    """The size of the class weights is not checked where the target holds probabilities."""

    def check_weight(self, weight: Array, classes: int) -> Array:
        if self.probabilities and weight.ndim == 1 and weight.dtype.kind != "i":
            return np.resize(weight, (classes,))
        return super().check_weight(weight, classes)

    probabilities = False

    def check_probabilities(self, target: Array, shape: tuple[int, ...]) -> Array:
        self.probabilities = True
        return super().check_probabilities(target, shape)

    def arguments(self, call: Call) -> dict[str, Any]:
        self.probabilities = False
        return super().arguments(call)


class ReductionNotChecked(Reference):
    """An unknown reduction is the mean."""

    def check_reduction(self, name: str) -> str:
        return name if name in ("none", "sum") else "mean"


class SmoothingNotChecked(Reference):
    """Any label smoothing is taken."""

    def check_smoothing(self, value: float) -> float:
        return value


class SmoothingAboveOneTaken(Reference):
    """A label smoothing above one is clipped."""

    def check_smoothing(self, value: float) -> float:
        return super().check_smoothing(1.0 if value > 1 else value)


class NegativeSmoothingTaken(Reference):
    """A negative label smoothing is taken for none."""

    def check_smoothing(self, value: float) -> float:
        return super().check_smoothing(0.0 if value < 0 else value)


class NanSmoothingTaken(Reference):
    """A label smoothing of NaN passes the check, which asks whether it is outside."""

    def check_smoothing(self, value: float) -> float:
        if value < 0.0 or value > 1.0:
            raise ValueError("label_smoothing")
        return value


class SmoothingUncheckedInModule(Reference):
    """The module does not check its label smoothing."""

    def check_smoothing(self, value: float) -> float:
        return value if self.module else super().check_smoothing(value)

    module = False

    def arguments(self, call: Call) -> dict[str, Any]:
        self.module = call.form == "module"
        return super().arguments(call)


class ScalarInputTaken(Reference):
    """A zero-dimensional input is a class by itself."""

    def check_input(self, system: str, values: Array) -> Array:
        return values.reshape(1) if values.ndim == 0 else super().check_input(system, values)


class UnbatchedOneflowTaken(Reference):
    """OneFlow's loss takes unbatched logits."""

    def check_input(self, system: str, values: Array) -> Array:
        return super().check_input("", values)


class FeaturesNotChecked(Reference):
    """Surplus features of the linear loss are cut off."""

    def check_features(self, values: Array, weight: Array) -> None:
        return

    def projection(self, values: Array, weight: Array, bias: Any, compute: Any) -> Any:
        return super().projection(values[..., : weight.shape[-1]], weight, bias, compute)


class ThreeAxesTaken(Reference):
    """The linear loss takes three-dimensional input, as a batch."""

    def read(self, buffer: Buffer, name: str) -> Array:
        found = super().read(buffer, name)
        return found[0] if name == "input" and self.linear and found.ndim == 3 else found

    linear = False

    def arguments(self, call: Call) -> dict[str, Any]:
        self.linear = "linear_weight" in call.arrays
        return super().arguments(call)


class BiasNotChecked(Reference):
    """A bias of another shape is cut."""

    def check_bias(self, weight: Array, bias: Array | None) -> None:
        return

    def projection(self, values: Array, weight: Array, bias: Any, compute: Any) -> Any:
        if bias is not None:
            bias = np.resize(bias, weight.shape[:-1])
        return super().projection(values, weight, bias, compute)


class OptionsNotChecked(Reference):
    """The fields of the options are not checked."""

    def check_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return options


class ChunkZeroTaken(Reference):
    """A chunk size of zero is taken for none."""

    def check_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return super().check_options({**options, "batch_chunk_size":
                                      options.get("batch_chunk_size") or None})  # fmt: skip


class PolicyNotChecked(Reference):
    """An unknown accumulation policy is 'auto'."""

    def check_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return super().check_options({**options, "acc_policy": "auto"})


class UnitWeightTaken(Reference):
    """The unit-scaled loss takes class weights."""

    def check_call(self, call: Call) -> None:
        arrays = {name: array for name, array in call.arrays.items() if name != "weight"}
        super().check_call(call._replace(arrays=arrays))


class UnitSmoothingTaken(Reference):
    """The unit-scaled loss takes label smoothing."""

    unsupported = "label_smoothing"

    def check_call(self, call: Call) -> None:
        arguments = {k: v for k, v in call.arguments.items() if k != self.unsupported}
        super().check_call(call._replace(arguments=arguments))


class UnitSizeAverageTaken(UnitSmoothingTaken):
    """The unit-scaled loss takes ``size_average``."""

    unsupported = "size_average"


class UnitReduceTaken(UnitSmoothingTaken):
    """The unit-scaled loss takes ``reduce``."""

    unsupported = "reduce"


class ModuleRefused(Reference):
    """The module refuses class weights with probability targets."""

    def check_probabilities(self, target: Array, shape: tuple[int, ...]) -> Array:
        if self.refused:
            raise NotImplementedError("weight with probabilities")
        return super().check_probabilities(target, shape)

    refused = False

    def arguments(self, call: Call) -> dict[str, Any]:
        self.refused = call.form == "module" and "weight" in call.arrays
        return super().arguments(call)
