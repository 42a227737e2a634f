"""The unit-scaled loss."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conformance.protocol import Call

from ..problem import Array, Problem
from ..reference import Reference


class UnitMultInGradient(Reference):
    """The gradient is multiplied by ``mult``, as the chain rule has it."""

    def unit_factor(self, p: Problem) -> float:
        return super().unit_factor(p) * p.mult


class UnitProductStored(Reference):
    """The logits times ``mult`` are stored in the call's dtype, and may overflow in float16."""

    def multiply(self, p: Problem) -> Array:
        return self.stored(p, super().multiply(p))


class UnitMeanInGradient(Reference):
    """The gradient of the mean is divided by N."""

    def unit_factor(self, p: Problem) -> float:
        divisor = max(1, p.keep.size) if p.reduction == "mean" else 1
        return super().unit_factor(p) / divisor


class UnitFactorSqrt(Reference):
    """The gradient's factor is √C."""

    def unit_factor(self, p: Problem) -> float:
        return math.sqrt(p.classes)


class UnitFactorQuotient(Reference):
    """The gradient's factor is C/(C − 1)."""

    def unit_factor(self, p: Problem) -> float:
        return p.classes / max(1, p.classes - 1)


class UnitFactorOne(Reference):
    """The gradient is not scaled."""

    def unit_factor(self, p: Problem) -> float:
        return 1.0


class UnitFactorSqrtMinus(Reference):
    """The gradient's factor is √(C − 1), which is nearly C/√(C − 1) where C is large."""

    def unit_factor(self, p: Problem) -> float:
        return math.sqrt(p.classes - 1)


class UnitFactorOfBatch(Reference):
    """The gradient's factor takes N for C."""

    def unit_factor(self, p: Problem) -> float:
        count = max(2, p.logits_shape[0])
        return count / math.sqrt(count - 1)


class UnitFactorOfElements(Reference):
    """In K dimensions the gradient's factor counts positions as classes."""

    def unit_factor(self, p: Problem) -> float:
        count = p.classes * max(1, p.keep.shape[1])
        return count / math.sqrt(count - 1)


class UnitFactorOnTarget(Reference):
    """The factor scales the gradient of probability targets too."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = super().grad_target(p, logp, scale)
        return found * p.compute.type(self.unit_factor(p)) if p.is_unit else found


class UnitTargetMean(Reference):
    """The gradient of probability targets is divided by N."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = super().grad_target(p, logp, scale)
        mean = p.is_unit and p.reduction == "mean"
        return found / p.compute.type(max(1, p.keep.size)) if mean else found


class MultTwice(Reference):
    """``mult`` is applied twice."""

    def multiply(self, p: Problem) -> Array:
        return super().multiply(p) * p.compute.type(p.mult)


class MultDivides(Reference):
    """``mult`` divides, as a temperature does."""

    def multiply(self, p: Problem) -> Array:
        return p.x if p.mult == 1.0 else self.stored(p, p.x / p.compute.type(p.mult))


class MultForgotten(Reference):
    """``mult`` has no effect."""

    def multiply(self, p: Problem) -> Array:
        return p.x


class MultForgottenWithProbabilities(Reference):
    """``mult`` has no effect where the target holds probabilities."""

    def multiply(self, p: Problem) -> Array:
        return p.x if p.q is not None else super().multiply(p)


class MultAfterMax(Reference):
    """The shifted logits are multiplied, but the target's logit is not."""

    def at_target(self, p: Problem, logp: Array) -> Array:
        if not p.is_unit or p.y is None:
            return super().at_target(p, logp)
        own = np.take_along_axis(p.x, p.y[:, None, :], axis=1)[:, 0, :]
        return super().at_target(p, logp) + own * p.compute.type(1 - 1 / (p.mult or 1))


class MultZeroIsOne(Reference):
    """``mult=0`` is taken for none."""

    def arguments(self, call: Call) -> dict[str, Any]:
        found = super().arguments(call)
        if found.get("mult") == 0.0:
            del found["mult"]
        return found


class MultMagnitude(Reference):
    """The sign of ``mult`` is lost."""

    def arguments(self, call: Call) -> dict[str, Any]:
        found = super().arguments(call)
        if "mult" in found:
            found["mult"] = abs(found["mult"])
        return found


class UnitIgnoredGradient(Reference):
    """Ignored samples of the unit-scaled loss get a gradient."""

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        return gradient if p.is_unit else super().mask_gradient(p, gradient)


class UnitLossScaled(Reference):
    """The unit-scaled loss is divided by log C."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        found = super().reduce(p, losses)
        return found / p.compute.type(math.log(p.classes)) if p.is_unit else found


class UnitMeanByBatch(Reference):
    """The K-dimensional mean of the unit-scaled loss divides by the batch."""

    def denominator(self, p: Problem) -> Any:
        found = super().denominator(p)
        return p.compute.type(p.keep.shape[0]) if p.is_unit else found
