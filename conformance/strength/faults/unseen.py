"""Mistakes that the corpus did not find when someone made them who had not seen it."""
# ruff: noqa: D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.protocol import Array as Buffer

from ..problem import Array, Problem
from ..reference import Reference


class NoShiftBelowOverflow(Reference):
    """The maximum is subtracted only where exp of it alone would overflow."""

    def row_max(self, x: Array) -> Array:
        found = super().row_max(x)
        top = np.log(np.finfo(x.dtype).max)
        return np.where(np.abs(found) < top, 0, found).astype(x.dtype)


class MaxFromMinusThousands(Reference):
    """A running maximum starts at −10,000."""

    start = -1e4

    def row_max(self, x: Array) -> Array:
        return np.maximum(super().row_max(x), x.dtype.type(self.start))


class MaxFromMinus1e30(MaxFromMinusThousands):
    """A running maximum starts at −1e30."""

    start = -1e30


class MaxFromZeroInTail(Reference):
    """The vector that holds the last classes is padded with zeros before the maximum is taken."""

    def row_max(self, x: Array) -> Array:
        found = super().row_max(x)
        return np.maximum(found, 0) if x.shape[1] > 32 and x.shape[1] % 32 else found


class EmptyFirstBlock(Reference):
    """An online softmax subtracts −inf from −inf where its first 32 classes are all masked."""

    seen = "https://github.com/Dao-AILab/flash-attention/issues/1930"
    block = 32

    def starts(self, classes: int) -> range:
        return range(0, min(1, classes), self.block)

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        if x.shape[1] <= self.block:
            return found
        for start in self.starts(x.shape[1]):
            part = x[:, start : start + self.block]
            empty = np.isneginf(part).all(axis=1, keepdims=True)
            found = np.where(empty, x.dtype.type(np.nan), found)
        return found


class EmptyFirst1024(EmptyFirstBlock):
    """An online softmax gives NaN where its first 1024 classes are all masked."""

    block = 1024


class EmptyBlockOf16(EmptyFirstBlock):
    """Partial sums give NaN where any 16 classes side by side are all masked."""

    block = 16

    def starts(self, classes: int) -> range:
        return range(0, classes, self.block)


class NegativeWeightsCut(Reference):
    """Negative class weights count as zero."""

    def check_weight(self, weight: Array, classes: int) -> Array:
        found = super().check_weight(weight, classes)
        return np.where(found < 0, 0 * found, found)


class AbsoluteDenominator(Reference):
    """The weighted mean divides by the absolute value of the weights' sum."""

    def denominator(self, p: Problem) -> Any:
        return abs(super().denominator(p))


class IgnoredLossTimesZero(Reference):
    """An ignored sample's loss, that of class 0, is multiplied by zero, infinite or not."""

    def mask_losses(self, p: Problem, losses: Array) -> Array:
        return losses * p.keep.astype(p.compute)


class HalfProbabilityCount(Reference):
    """The number of samples that the mean over probabilities divides by is a float16."""

    def denominator(self, p: Problem) -> Any:
        found = super().denominator(p)
        return p.compute.type(np.float16(found)) if p.dtype == "float16" and p.y is None else found


class HalfRowSum(Reference):
    """The sum of exponentials overflows float16 where there are more classes than that holds."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        shifted = x - self.row_max(x)
        total = self.sum_classes(self.exp(shifted))
        if p.dtype == "float16":
            total = np.where(total > np.finfo(np.float16).max, np.inf, total)
        return shifted - self.log(total)


class HalfRunningBias(Reference):
    """The gradient of the bias is summed in the call's dtype, one sample after the other."""

    def grad_linear_bias(self, p: Problem, gradient: Array) -> Array:
        if not p.is_half or not len(gradient):
            return super().grad_linear_bias(p, gradient)
        total = np.zeros_like(gradient[0])
        for part in gradient:
            total = self.stored(p, total + part)
        return total


class SmallSmoothingDropped(Reference):
    """A label smoothing below one in a thousand counts as none."""

    least = 1e-3

    def check_smoothing(self, value: float) -> float:
        found = super().check_smoothing(value)
        return found if found >= self.least else 0.0


class TinySmoothingDropped(SmallSmoothingDropped):
    """A label smoothing below float32's resolution counts as none, in float64 too."""

    least = 1e-8


class NanProbabilitySkipped(Reference):
    """Only probabilities above zero are summed, and NaN is not above zero."""

    def mix_targets(self, p: Problem) -> Array:
        found = super().mix_targets(p)
        return np.where(np.isnan(found), 0, found).astype(found.dtype)


class NoFourthPosition(Reference):
    """Logits have no more than three axes beside samples and classes."""

    def check_input(self, system: str, values: Array) -> Array:
        if values.ndim > 5:
            raise ValueError(f"input has {values.ndim} axes")
        return super().check_input(system, values)


class LegacyMeanCountsIgnored(Reference):
    """The deprecated size_average=True divides by the number of samples, ignored ones too."""

    averages = False

    def legacy(self, size_average: bool | None, reduce: bool | None) -> str:
        self.averages = True
        return super().legacy(size_average, reduce)

    def check_call(self, call: Any) -> None:
        self.averages = False
        super().check_call(call)

    def denominator(self, p: Problem) -> Any:
        if self.averages and p.w is None and p.q is None:
            return p.compute.type(p.keep.size)
        return super().denominator(p)


class BiasStepIgnored(Reference):
    """The bias of the projection is read as if it had no gaps."""

    def read(self, buffer: Buffer, name: str) -> Array:
        data = buffer.data
        if name == "linear_bias" and data.ndim and abs(data.strides[-1]) > data.itemsize:
            strides = (*data.strides[:-1], data.itemsize)
            data = np.lib.stride_tricks.as_strided(data, data.shape, strides)
        return super().read(Buffer(data, buffer.dtype), name)


class BiasReadForwards(Reference):
    """A negative stride of the bias is taken for a positive one."""

    def read(self, buffer: Buffer, name: str) -> Array:
        data = buffer.data
        if name == "linear_bias" and data.ndim and data.strides[-1] < 0:
            data = data[..., ::-1]
        return super().read(Buffer(data, buffer.dtype), name)


class DefaultIndexStillIgnored(Reference):
    """The index −100 is ignored even where the caller names another."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return super().ignored(indices, ignore_index) | (indices == -100)
