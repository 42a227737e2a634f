"""Results that are a little too large, and small ones that are lost."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import numpy as np

from ..problem import Array, Problem, State
from ..reference import Reference


class Scaled(Reference):
    """Everything about a result is multiplied by 1 + 1e-4."""

    loss = 1e-4
    gradient = 0.0

    def where(self, p: Problem) -> bool:
        return True

    def finish(self, p: Problem, loss: Array) -> Array:
        factor = 1 + self.loss * self.where(p)
        return super().finish(p, loss * p.compute.type(factor))

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        factor = 1 + self.gradient * self.where(state.problem)
        found = gradient * state.problem.compute.type(factor)
        return super().finish_gradient(state, name, found)


class ScaledLossSingle(Scaled):
    """The float32 loss is too large by a relative 1e-5."""

    loss = 1e-5

    def where(self, p: Problem) -> bool:
        return p.dtype == "float32"


class ScaledLossSingleFine(ScaledLossSingle):
    """The float32 loss is too large by a relative 3e-6."""

    loss = 3e-6


class ScaledLossSingleFinest(ScaledLossSingle):
    """The float32 loss is too large by a relative 1.5e-6."""

    loss = 1.5e-6


class ScaledLossDouble(Scaled):
    """The float64 loss is too large by a relative 1e-14."""

    loss = 1e-14

    def where(self, p: Problem) -> bool:
        return p.dtype == "float64"


class ScaledGradientSingle(ScaledLossSingle):
    """The float32 gradient is too large by a relative 1e-5."""

    loss = 0.0
    gradient = 1e-5


class ScaledGradientSingleFine(ScaledGradientSingle):
    """The float32 gradient is too large by a relative 2e-6."""

    gradient = 2e-6


class ScaledGradientMean(ScaledGradientSingle):
    """The float32 gradient of the mean is too large by a relative 1e-5."""

    def where(self, p: Problem) -> bool:
        return p.dtype == "float32" and p.reduction == "mean"


class ScaledManyClasses(ScaledLossSingle):
    """The loss is too large by 1e-4 with more than 1000 classes."""

    loss = 1e-4

    def where(self, p: Problem) -> bool:
        return p.classes > 1000


class ScaledManyClassesFine(ScaledManyClasses):
    """The loss is too large by 1e-5 with more than 4096 classes."""

    loss = 1e-5

    def where(self, p: Problem) -> bool:
        return p.classes > 4096


class ScaledManyClassesGradient(Scaled):
    """The gradient is too large by 1e-4 with more than 10000 classes."""

    loss = 0.0
    gradient = 1e-4

    def where(self, p: Problem) -> bool:
        return p.classes > 10000


class ScaledSpatial(Scaled):
    """The loss of K dimensions is too large by 1e-5."""

    loss = 1e-5

    def where(self, p: Problem) -> bool:
        return len(p.logits_shape) > 2


class ScaledSpatialGradient(ScaledSpatial):
    """The gradient of K dimensions is too large by 1e-5."""

    loss = 0.0
    gradient = 1e-5


class ScaledLargeBatch(Scaled):
    """The mean over more than 1000 samples is too large by 1e-4."""

    def where(self, p: Problem) -> bool:
        return p.keep.size > 1000 and p.reduction == "mean"


class ScaledHalf(Scaled):
    """The float16 loss is too large by three units in the last place."""

    loss = 3 * 2.0**-10

    def where(self, p: Problem) -> bool:
        return p.dtype == "float16"


class ScaledHalfGradient(ScaledHalf):
    """The float16 gradient is too large by three units in the last place."""

    loss = 0.0
    gradient = 3 * 2.0**-10


class ScaledBfloat(Scaled):
    """The bfloat16 loss is too large by three units in the last place."""

    loss = 3 * 2.0**-7

    def where(self, p: Problem) -> bool:
        return p.dtype == "bfloat16"


class ScaledProbabilities(Scaled):
    """The loss of probability targets is too large by 1e-5."""

    loss = 1e-5

    def where(self, p: Problem) -> bool:
        return p.q is not None


class LossOffset(Reference):
    """1e-6 is added to every loss: one near zero shows it."""

    def losses(self, p: Problem, logp: Array) -> Array:
        return super().losses(p, logp) + p.compute.type(1e-6)


class SmallLossIsZero(Reference):
    """A loss below 1e-6 is zero."""

    def losses(self, p: Problem, logp: Array) -> Array:
        found = super().losses(p, logp)
        return np.where(np.abs(found) < 1e-6, 0, found).astype(p.compute)


class SmallGradientIsZero(Reference):
    """Gradients below 1e-8 are dropped, as gradient filtering does."""

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        found = super().mask_gradient(p, gradient)
        return np.where(np.abs(found) < 1e-8, 0, found).astype(p.compute)
