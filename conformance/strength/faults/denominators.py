"""What 'mean' divides by, and how losses are reduced."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.protocol import Call

from ..problem import Array, Problem
from ..reference import Reference


class MeanByAllSamples(Reference):
    """The mean divides by N, ignored samples and weights regardless."""

    seen = "https://github.com/PaddlePaddle/Paddle/issues/23708"

    def denominator(self, p: Problem) -> Any:
        return p.compute.type(p.keep.size)


class MeanByKeptCount(Reference):
    """The weighted mean divides by the number of samples that count, not by their weights."""

    def denominator(self, p: Problem) -> Any:
        if p.q is not None or p.is_unit:
            return super().denominator(p)
        return p.compute.type(p.keep.sum())


class MeanByWeightsOfIgnored(Reference):
    """An ignored sample's weight (of class 0, where it points) stays in the denominator."""

    seen = "https://github.com/llvm/torch-mlir/pull/3585"

    def sample_weights(self, p: Problem) -> Array:
        if p.w is None or p.y is None:
            return super().sample_weights(p)
        return p.w[p.y]


class ProbabilityMeanWeighted(Reference):
    """The mean over probability targets divides by the sum of their weights."""

    seen = "https://github.com/PaddlePaddle/Paddle/issues/62009"

    def denominator(self, p: Problem) -> Any:
        if p.q is None:
            return super().denominator(p)
        return (p.q * self.weights(p)).sum(dtype=p.compute)


class ProbabilityMeanByClasses(Reference):
    """The mean over probability targets divides by N·C, as an element-wise mean does."""

    def denominator(self, p: Problem) -> Any:
        found = super().denominator(p)
        return found if p.q is None else found * p.compute.type(p.classes)


class MeanByBatchOnly(Reference):
    """The K-dimensional mean divides by the batch and forgets d1·...·dK."""

    def denominator(self, p: Problem) -> Any:
        return super().denominator(p) / p.compute.type(max(1, p.keep.shape[1]))


class ProbabilityMeanByBatchOnly(Reference):
    """The K-dimensional mean over probabilities divides by the batch only."""

    def denominator(self, p: Problem) -> Any:
        found = super().denominator(p)
        return found if p.q is None else p.compute.type(p.keep.shape[0])


class SmoothedMeanByCount(Reference):
    """With label smoothing the weighted mean divides by the count."""

    def denominator(self, p: Problem) -> Any:
        if p.q is None and p.epsilon and not p.is_unit:
            return p.compute.type(p.keep.sum())
        return super().denominator(p)


class EmptyMeanIsZero(Reference):
    """The mean over nothing is 0 instead of 0/0."""

    seen = "https://github.com/pytorch/pytorch/issues/70348"

    def divide(self, total: Array, by: Any) -> Array:
        return np.asarray(total / by) if by else np.zeros_like(total)


class MeanClampsWeights(Reference):
    """The sum of the weights is clamped to at least one."""

    def denominator(self, p: Problem) -> Any:
        return np.maximum(super().denominator(p), p.compute.type(1))


class MeanPlusEpsilon(Reference):
    """1e-6 is added to the denominator, against division by zero."""

    def denominator(self, p: Problem) -> Any:
        return super().denominator(p) + p.compute.type(1e-6)


class MeanOfRowMeans(Reference):
    """The mean is taken over positions first and then over rows, in which ignored ones differ."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        if p.reduction != "mean" or p.q is not None or p.is_unit:
            return super().reduce(p, losses)
        weights = self.sample_weights(p)
        rows = losses.sum(axis=1) / weights.sum(axis=1)
        return np.asarray(rows.mean(dtype=p.compute))


class GradientScaledByCount(Reference):
    """The backward pass divides by N where the forward pass divides by the weights."""

    def scale(self, p: Problem, g: Array) -> Array:
        if p.reduction == "mean" and not p.is_unit:
            g = np.asarray(g / p.compute.type(p.keep.size))
        return np.broadcast_to(g.astype(p.compute), p.keep.shape)


class GradientNotDivided(Reference):
    """The backward pass of the mean forgets the denominator."""

    def scale(self, p: Problem, g: Array) -> Array:
        return np.broadcast_to(g.astype(p.compute), p.keep.shape)


class ProbabilityGradientNotDivided(Reference):
    """The gradient of probability targets forgets the mean's denominator."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        if p.reduction == "mean" and not p.is_unit:
            scale = scale * self.denominator(p)
        return super().grad_target(p, logp, scale)


class DefaultReductionSum(Reference):
    """The default reduction is the sum."""

    def default_reduction(self, call: Call) -> str:
        return "sum"


class ModuleDefaultNone(Reference):
    """The module's default reduction is none."""

    def default_reduction(self, call: Call) -> str:
        return "none" if call.form == "module" else "mean"


class SumDividesByWeights(Reference):
    """The weighted sum is divided by the mean weight."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        found = super().reduce(p, losses)
        return found / p.w.mean() if p.reduction == "sum" and p.w is not None else found


class NoneUnweighted(Reference):
    """Reduction none forgets the class weights."""

    def index_losses(self, p: Problem, logp: Array) -> Array:
        found = -self.at_target(p, logp)
        return found if p.w is None or p.reduction == "none" else found * p.w[p.y]


class ZeroWeightCountsOne(Reference):
    """A weight of zero is counted as one in the denominator."""

    def sample_weights(self, p: Problem) -> Array:
        found = super().sample_weights(p)
        return np.where(p.keep & (found == 0), p.compute.type(1), found)


class LegacyIgnoresReduce(Reference):
    """``reduce=False`` has no effect."""

    def legacy(self, size_average: bool | None, reduce: bool | None) -> str:
        return "sum" if size_average is False else "mean"


class LegacyReduceNotFirst(Reference):
    """``size_average=False`` wins over ``reduce=False``."""

    def legacy(self, size_average: bool | None, reduce: bool | None) -> str:
        if size_average is False:
            return "sum"
        return "none" if reduce is False else "mean"


class LegacyDefaultsToSum(Reference):
    """``reduce=True`` alone sums."""

    def legacy(self, size_average: bool | None, reduce: bool | None) -> str:
        if reduce is False:
            return "none"
        return "mean" if size_average else "sum"


class LegacyDoesNotOverride(Reference):
    """``reduction``, where it is passed, wins over the deprecated pair."""

    def reduction(self, call: Call) -> str:
        if "reduction" in call.arguments:
            return self.check_reduction(call.arguments["reduction"])
        return super().reduction(call)


class LegacyTrueIsNotSet(Reference):
    """The deprecated pair overrides only where one of them is false."""

    def reduction(self, call: Call) -> str:
        if False in (call.arguments.get("size_average"), call.arguments.get("reduce")):
            return super().reduction(call)
        return self.check_reduction(call.arguments.get("reduction", "mean"))
