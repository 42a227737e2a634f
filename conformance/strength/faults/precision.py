"""Precision lost: clamps, short sums, approximate functions, small relative errors."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from ..problem import Array, Problem
from ..reference import Reference


class LogPlusEpsilon(Reference):
    """log(p + 1e-7) instead of log p."""

    seen = "https://github.com/keras-team/keras/issues/15249"
    amount = 1e-7

    def log_softmax(self, p: Problem, x: Array) -> Array:
        return np.log(np.exp(super().log_softmax(p, x)) + p.compute.type(self.amount))


class LogPlusTiny(LogPlusEpsilon):
    """log(p + 1e-12), which bounds the loss by 27.6."""

    amount = 1e-12


class ProbabilityClipped(Reference):
    """Probabilities are clipped to [1e-7, 1 − 1e-7]."""

    seen = "https://github.com/keras-team/keras/issues/17634"

    def log_softmax(self, p: Problem, x: Array) -> Array:
        q = np.exp(super().log_softmax(p, x))
        return np.log(np.clip(q, 1e-7, 1 - 1e-7)).astype(p.compute)


class LogOfSoftmax(Reference):
    """log is taken of the rounded softmax."""

    seen = "https://github.com/tensorflow/models/pull/181"

    def log_softmax(self, p: Problem, x: Array) -> Array:
        e = self.exp(x - self.row_max(x))
        return np.log(e / self.sum_classes(e))


class SumPlusEpsilon(Reference):
    """1e-6 is added to the sum of exponentials."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        shifted = x - self.row_max(x)
        return shifted - np.log(self.sum_classes(np.exp(shifted)) + p.compute.type(1e-6))


class LogitsClamped(Reference):
    """Shifted logits are clamped at −64."""

    bound = 64.0

    def log_softmax(self, p: Problem, x: Array) -> Array:
        shifted = np.maximum(x - self.row_max(x), -p.compute.type(self.bound))
        return shifted - np.log(self.sum_classes(np.exp(shifted)))


class LogitsClamped1000(LogitsClamped):
    """Shifted logits are clamped at −1000."""

    bound = 1000.0


class LossClamped(Reference):
    """A loss is at most 100."""

    def index_losses(self, p: Problem, logp: Array) -> Array:
        return np.minimum(super().index_losses(p, logp), p.compute.type(100))


class LossAtLeastZero(Reference):
    """Losses are clamped at zero from below, which targets outside [0, 1] may pass."""

    def probability_losses(self, p: Problem, logp: Array) -> Array:
        return np.maximum(super().probability_losses(p, logp), 0)


class HalfSum(Reference):
    """The exponentials of 16-bit logits are summed in 16 bits."""

    seen = "https://github.com/pytorch/executorch/pull/20089"

    def log_softmax(self, p: Problem, x: Array) -> Array:
        if not p.is_half:
            return super().log_softmax(p, x)
        shifted = x - self.row_max(x)
        terms = self.store(self.exp(shifted), p.dtype)
        total = terms[:, :1]
        for number in range(1, terms.shape[1]):
            total = (total + terms[:, number : number + 1]).astype(terms.dtype)
        return shifted - self.log(total.astype(p.compute))


class HalfSampleSum(Reference):
    """The losses of a 16-bit batch are summed in 16 bits."""

    seen = "https://github.com/pytorch/pytorch/issues/85791"

    def reduce(self, p: Problem, losses: Array) -> Array:
        if not p.is_half or p.reduction == "none":
            return super().reduce(p, losses)
        total = np.add.accumulate(self.store(losses, p.dtype).reshape(-1))
        last = total[-1:].astype(p.compute).sum()
        by = self.denominator(p) if p.reduction == "mean" else p.compute.type(1)
        return np.asarray(last / by)


class HalfStoredSum(Reference):
    """The sum of the losses, before the mean divides it, is stored in float16."""

    seen = "https://github.com/chainer/chainer/pull/6366"

    def divide(self, total: Array, by: Any) -> Array:
        return np.asarray(self.narrow(total) / by)

    def narrow(self, total: Array) -> Array:
        return total.astype(np.float16).astype(total.dtype) if self.half else total

    half = False

    def denominator(self, p: Problem) -> Any:
        self.half = p.dtype == "float16"
        return super().denominator(p)


class HalfDenominator(Reference):
    """The denominator of a 16-bit mean is counted in 16 bits."""

    def denominator(self, p: Problem) -> Any:
        found = super().denominator(p)
        if not p.is_half or p.q is not None or p.is_unit:
            return found
        weights = self.store(self.sample_weights(p), p.dtype).reshape(-1)
        total = np.add.accumulate(weights)
        return total[-1].astype(p.compute) if total.size else found


class BfloatThroughHalf(Reference):
    """bfloat16 is converted through float16."""

    def convert(self, values: Array, dtype: np.dtype[Any]) -> Array:
        if values.dtype == ml_dtypes.bfloat16:
            return values.astype(np.float16).astype(dtype)
        return super().convert(values, dtype)


class BfloatTruncates(Reference):
    """Results in bfloat16 are truncated, not rounded, and so is the gradient on its way."""

    def store(self, values: Array, dtype: str) -> Array:
        if dtype != "bfloat16":
            return super().store(values, dtype)
        bits = np.asarray(values, dtype=np.float32).view(np.uint32)
        # One more bit is lost.
        return ((bits >> 17) << 1).astype(np.uint16).view(ml_dtypes.bfloat16)


class SingleThroughBfloat(Reference):
    """Exponentials of float32 go through bfloat16."""

    def exp(self, values: Array) -> Array:
        found = super().exp(values)
        if found.dtype != np.float32:
            return found
        return found.astype(ml_dtypes.bfloat16).astype(np.float32)


class SingleThroughTf32(Reference):
    """The products of a float32 projection are rounded to ten bits, as TF32 does."""

    def convert(self, values: Array, dtype: np.dtype[Any]) -> Array:
        found = super().convert(values, dtype)
        if self.linear and values.dtype == np.float32:
            bits = found.view(np.uint32) + np.uint32(1 << 12)
            return (bits & np.uint32(0xFFFFE000)).view(np.float32)
        return found

    linear = False

    def check_projection(self, values: Array, weight: Array, bias: Array | None) -> None:
        super().check_projection(values, weight, bias)
        self.linear = True


class ExpBySeries(Reference):
    """exp of float32 has a relative error of up to 2e-6."""

    amount = 2e-6
    kind: np.dtype[Any] = np.dtype(np.float32)

    def exp(self, values: Array) -> Array:
        found = super().exp(values)
        if found.dtype != self.kind:
            return found
        error = self.kind.type(self.amount) * np.sin(values * self.kind.type(50))
        return (found * (1 + np.where(np.isfinite(error), error, 0))).astype(self.kind)


class ExpBySeriesRough(ExpBySeries):
    """exp of float32 has a relative error of up to 2e-5."""

    amount = 2e-5


class ExpDouble(ExpBySeries):
    """exp of float64 is good to 1e-13 only."""

    amount = 1e-13
    kind = np.dtype(np.float64)


class ExpDoubleIsSingle(Reference):
    """exp of float64 is taken in float32."""

    def exp(self, values: Array) -> Array:
        return np.exp(values.astype(np.float32)).astype(values.dtype)


class ExpFlushesEarly(Reference):
    """exp is zero below −20."""

    bound = -20.0

    def exp(self, values: Array) -> Array:
        return np.where(values < self.bound, 0, super().exp(values)).astype(values.dtype)


class ExpFlushesLate(ExpFlushesEarly):
    """exp is zero below −60, in float32 before it has to be."""

    bound = -60.0


class LogBySeries(Reference):
    """log has a relative error of 3e-6 in float32."""

    def log(self, values: Array) -> Array:
        found = super().log(values)
        return found * np.float32(1 + 3e-6) if found.dtype == np.float32 else found


class LogOnePlus(Reference):
    """log S is taken as S − 1 where S is below 1.001."""

    def log(self, values: Array) -> Array:
        return np.where(values < 1.001, values - 1, super().log(values))


class LogSumExpFirst(Reference):
    """The normaliser is rounded to the dtype before it is subtracted from the logit."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        top = self.row_max(x)
        lse = top + self.log(self.sum_classes(self.exp(x - top)))
        return x - self.stored(p, lse) if p.is_half else super().log_softmax(p, x)


class RowsInBfloat(Reference):
    """float16 logits are shifted in bfloat16."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        if p.dtype == "float16":
            x = (x - self.row_max(x)).astype(ml_dtypes.bfloat16).astype(p.compute)
        return super().log_softmax(p, x)
