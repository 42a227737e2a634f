"""Label smoothing: its mixture, its weights, and samples that are ignored."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.protocol import Call

from ..problem import Array, Problem
from ..reference import Reference


class SmoothingOverOthers(Reference):
    """ε is spread over the C − 1 other classes."""

    seen = "https://github.com/fastai/fastai/pull/1814"

    def mix_targets(self, p: Problem) -> Array:
        truth = self.one_hot(p) if p.q is None else p.q
        if p.epsilon == 0 or p.classes == 1:
            return truth
        off = p.epsilon / (p.classes - 1)
        return (truth * (1 - p.epsilon - off) + off).astype(p.compute)

    def losses(self, p: Problem, logp: Array) -> Array:
        return self.mask_losses(p, self.probability_losses(p, logp))


class SmoothingWithoutEpsilon(Reference):
    """1/C is added instead of ε/C."""

    seen = "https://github.com/TimDettmers/ConvE/issues/55"

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        uniform = self.uniform_losses(p, logp)
        return plain * p.compute.type(1 - p.epsilon) + uniform / p.compute.type(p.classes)


class SmoothingMassSwapped(Reference):
    """The other classes get (1 − ε)/C."""

    seen = "https://github.com/paiml/aprender/pull/2199"

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        uniform = self.uniform_losses(p, logp)
        rest = p.compute.type((1 - p.epsilon) / p.classes)
        return plain * p.compute.type(1 - p.epsilon) + uniform * rest


class SmoothingCountsIgnored(Reference):
    """The uniform part keeps the ignored samples."""

    seen = "https://github.com/pytorch/pytorch/issues/73205"

    def losses(self, p: Problem, logp: Array) -> Array:
        if p.q is not None or p.epsilon == 0:
            return super().losses(p, logp)
        plain = self.mask_losses(p, self.index_losses(p, logp))
        return self.smoothed_losses(p, logp, plain)


class SmoothingGradientOfIgnored(Reference):
    """The gradient of the uniform part keeps the ignored samples."""

    seen = "https://github.com/tinygrad/tinygrad/pull/3570"

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        return gradient if p.epsilon else super().mask_gradient(p, gradient)


class SmoothingUnweighted(Reference):
    """The uniform part has no class weights."""

    def uniform_losses(self, p: Problem, logp: Array) -> Array:
        return -self.sum_classes(logp)[:, 0, :]


class SmoothingWeightedByTarget(Reference):
    """The uniform part is weighted by the target's class."""

    def uniform_losses(self, p: Problem, logp: Array) -> Array:
        found = -self.sum_classes(logp)[:, 0, :]
        return found if p.w is None else found * p.w[p.y]


class SmoothingGradientUnweighted(Reference):
    """The gradient of the uniform part has no class weights."""

    def coefficients(self, p: Problem) -> Array:
        if p.q is not None or p.epsilon == 0 or p.w is None:
            return super().coefficients(p)
        hot = self.one_hot(p) * p.compute.type(1 - p.epsilon) * self.weights(p)
        return hot + p.compute.type(p.epsilon / p.classes)


class SmoothingDropsTheRest(Reference):
    """Only the target's coefficient is smoothed, to 1 − ε; the uniform part is missing."""

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        return plain * p.compute.type(1 - p.epsilon)


class SmoothingTwice(Reference):
    """The targets are smoothed in the forward pass twice."""

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        once = super().smoothed_losses(p, logp, plain)
        return super().smoothed_losses(p, logp, once)


class SmoothingOnlyIndices(Reference):
    """Probability targets are not smoothed."""

    def mix_targets(self, p: Problem) -> Array:
        return super().mix_targets(p) if p.q is None else p.q


class SmoothingOneIsNone(Reference):
    """A smoothing of exactly 1.0 is taken for none."""

    def smoothing(self, arguments: dict[str, Any]) -> float:
        return super().smoothing(arguments) % 1.0


class SmoothingRoundedToHalf(Reference):
    """The smoothing is kept in float16."""

    def smoothing(self, arguments: dict[str, Any]) -> float:
        return float(np.float16(super().smoothing(arguments)))


class SmoothingInSingle(Reference):
    """The smoothing is kept in float32, for float64 logits too."""

    def smoothing(self, arguments: dict[str, Any]) -> float:
        return float(np.float32(super().smoothing(arguments)))


class SmoothingMeanOverPositions(Reference):
    """In K dimensions the uniform part is divided by C·D."""

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        uniform = self.uniform_losses(p, logp)
        count = p.classes * max(1, p.keep.shape[1])
        return plain * p.compute.type(1 - p.epsilon) + uniform * p.compute.type(p.epsilon / count)


class SmoothingByNonzeroWeights(Reference):
    """The uniform part is divided by the number of classes whose weight is not zero."""

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        if p.w is None:
            return super().smoothed_losses(p, logp, plain)
        uniform = self.uniform_losses(p, logp) / max(1, np.count_nonzero(p.w))
        kept = plain * p.compute.type(1 - p.epsilon)
        return (kept + uniform * p.epsilon).astype(p.compute)


class SmoothingForgottenByModule(Reference):
    """The module does not pass the smoothing on."""

    def arguments(self, call: Call) -> dict[str, Any]:
        found = dict(call.arguments)
        if call.form == "module" and 0 < float(found.get("label_smoothing", 0.0)) <= 1:
            del found["label_smoothing"]
        return found


class SmoothingGradientForgotten(Reference):
    """The backward pass does not know of the smoothing."""

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        from dataclasses import replace

        return super().grad_logits(replace(p, epsilon=0.0), logp, scale)


class SmoothedTargetGradientUnscaled(Reference):
    """The gradient of probability targets lacks 1 − ε."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        return -scale[:, None, :] * self.weights(p) * logp


class SmoothedWeightGradient(Reference):
    """The gradient of the class weights takes the targets before smoothing."""

    def grad_weight(self, p: Problem, logp: Array, scale: Array) -> Array:
        assert p.q is not None
        return -(scale[:, None, :] * p.q * logp).sum(axis=(0, 2))


class SmoothedWeightsDouble(Reference):
    """With smoothing, the target's part is weighted twice."""

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        if p.w is not None:
            plain = plain * p.w[p.y]
        return super().smoothed_losses(p, logp, plain)


class SmoothedIgnoredRaises(Reference):
    """Weights, smoothing and an ignored index together read the weight of class −100."""

    seen = "https://github.com/pytorch/pytorch/issues/69339"

    def losses(self, p: Problem, logp: Array) -> Array:
        if p.w is not None and p.epsilon and p.y is not None and not p.keep.all():
            raise IndexError("index -100 is out of bounds")
        return super().losses(p, logp)
