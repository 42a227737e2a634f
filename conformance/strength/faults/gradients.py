"""The backward pass, and ``grad_output``."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import numpy as np

from conformance.protocol import Array as Buffer

from ..problem import Array, Problem, State
from ..reference import Reference


class IgnoredGradient(Reference):
    """Ignored samples get the gradient of class 0."""

    seen = "https://github.com/PaddlePaddle/Paddle/pull/28622"

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        return gradient


class IgnoredGradientSoftmax(Reference):
    """Ignored samples get the softmax as gradient, without the target's one."""

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = super().grad_logits(p, logp, scale)
        rest = scale[:, None, :] * self.softmax(p, logp)
        return np.where(p.keep[:, None, :], found, rest)


class IgnoredGradientNan(Reference):
    """Ignored samples leave the gradient buffer as it was allocated."""

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        return np.where(p.keep[:, None, :], gradient, np.nan).astype(p.compute)


class GradOutputDropped(Reference):
    """``grad_output`` is not read."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        return np.ones_like(super().read_gradient(state, grad_output))


class GradOutputDroppedForScalars(Reference):
    """``grad_output`` of a scalar loss is not read."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        return found if state.problem.reduction == "none" else np.ones_like(found)


class GradOutputDroppedInLinear(Reference):
    """``grad_output`` does not reach the gradient of the linear weight."""

    def grad_linear_weight(self, p: Problem, gradient: Array) -> Array:
        found = super().grad_linear_weight(p, gradient)
        return found / self.factor if self.factor else found

    factor = 0.0

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        self.factor = 0.0 if state.problem.reduction == "none" else float(found)
        return found


class GradOutputFirst(Reference):
    """Only the first element of ``grad_output`` is read."""

    seen = "https://github.com/linkedin/Liger-Kernel/pull/1298"

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        return np.broadcast_to(found.reshape(-1)[:1].sum(), found.shape) if found.size else found


class GradOutputMean(Reference):
    """``grad_output`` is averaged."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        return np.broadcast_to(found.mean(dtype=found.dtype), found.shape) if found.size else found


class GradOutputSummed(Reference):
    """``grad_output`` is summed."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        return np.broadcast_to(found.sum(dtype=found.dtype), found.shape)


class GradOutputTwice(Reference):
    """``grad_output`` is applied twice."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        return np.asarray(found * found)


class GradOutputMagnitude(Reference):
    """The sign of ``grad_output`` is lost."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        return np.abs(super().read_gradient(state, grad_output))


class GradOutputZeroIsOne(Reference):
    """A ``grad_output`` of zero is taken for none."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        return found if found.any() else np.ones_like(found)


class GradOutputClipped(Reference):
    """``grad_output`` is clipped to ±10."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        return np.clip(super().read_gradient(state, grad_output), -10, 10)


class GradOutputTransposed(Reference):
    """In K dimensions ``grad_output`` is read with the positions first."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        if found.ndim == 2 and found.shape[1] > 1:
            return found.reshape(found.shape[::-1]).T
        return found


class GradOutputNotForTargets(Reference):
    """``grad_output`` does not reach the gradient of probability targets."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        one = np.ones((), dtype=p.compute)
        return super().grad_target(p, logp, self.scale(p, one))


class TargetSumAssumedOne(Reference):
    """The gradient assumes that probabilities sum to one."""

    seen = "https://github.com/NVIDIA-NeMo/Automodel/pull/2428"

    def total_coefficient(self, p: Problem, terms: Array) -> Array:
        if p.q is None:
            return super().total_coefficient(p, terms)
        return np.ones((len(terms), 1, terms.shape[2]), dtype=p.compute)


class WeightedTotalForgotten(Reference):
    """With weights and probabilities, the softmax's factor is the sum of the probabilities."""

    seen = "https://github.com/kvark/meganeura/pull/102"

    def total_coefficient(self, p: Problem, terms: Array) -> Array:
        return self.mix_targets(p).sum(axis=1, keepdims=True, dtype=p.compute)


class GradientSign(Reference):
    """The gradient has the other sign."""

    seen = "https://github.com/deeplearning4j/deeplearning4j/issues/349"

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        return -super().mask_gradient(p, gradient)


class GradientUnweighted(Reference):
    """The gradient has no class weights."""

    def coefficients(self, p: Problem) -> Array:
        return self.mix_targets(p)


class TargetGradientSign(Reference):
    """The gradient of probability targets has the other sign."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        return -super().grad_target(p, logp, scale)


class TargetGradientUnweighted(Reference):
    """The gradient of probability targets has no class weights."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        return -scale[:, None, :] * p.compute.type(1 - p.epsilon) * logp


class TargetGradientIsLogits(Reference):
    """The gradient of probability targets is −x, without the normaliser."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = super().grad_target(p, logp, scale)
        shift = logp.max(axis=1, keepdims=True, initial=-np.inf)
        return found + scale[:, None, :] * self.weights(p) * shift


class TargetGradientZero(Reference):
    """Probability targets get a gradient of zero."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        return np.zeros_like(super().grad_target(p, logp, scale))


class TargetGradientMissing(Reference):
    """Probability targets get no gradient at all."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        raise NotImplementedError("the derivative for 'target' is not implemented")


class TargetGradientWhereZero(Reference):
    """Where a probability is zero its gradient is too."""

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        assert p.q is not None
        return np.where(p.q == 0, 0, super().grad_target(p, logp, scale)).astype(p.compute)


class WeightGradientLastPosition(Reference):
    """The gradient of class weights is not summed over the positions."""

    def grad_weight(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = -(scale[:, None, :] * self.mix_targets(p) * logp)
        return found.sum(axis=0)[:, -1] if found.size else found.sum(axis=(0, 2))


class WeightGradientLastRow(Reference):
    """The gradient of class weights is the last row's."""

    def grad_weight(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = -(scale[:, None, :] * self.mix_targets(p) * logp)
        return found.sum(axis=2)[-1] if len(found) else found.sum(axis=(0, 2))


class GradientDropsRareClasses(Reference):
    """Classes of probability below exp(−30) get no gradient."""

    def softmax(self, p: Problem, logp: Array) -> Array:
        found = super().softmax(p, logp)
        return np.where(logp < -30, 0, found).astype(p.compute)


class SoftmaxDominant(Reference):
    """Where the target's probability rounds to one its gradient is zero."""

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = super().grad_logits(p, logp, scale)
        sure = self.softmax(p, logp).max(axis=1, keepdims=True, initial=0) > 0.999
        return np.where(sure, 0, found).astype(p.compute)


class GradOutputNegativeIsOne(Reference):
    """A negative element of ``grad_output`` is taken for −1."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        return np.where(found < 0, -1, found).astype(found.dtype)


class GradientShifted(Reference):
    """A ten-thousandth of the first class's gradient is subtracted from every class's."""

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        found = super().mask_gradient(p, gradient)
        return found if p.classes == 1 else found - found[:, :1] * p.compute.type(1e-4)


class SmallGradientRows(Reference):
    """A row whose loss is below 1e-3 gets no gradient."""

    def gradients(self, state: State, g: Array) -> dict[str, Array]:
        found = super().gradients(state, g)
        p = state.problem
        if p.projection is None and p.y is not None:
            small = (state.losses < 1e-3)[:, None, :]
            found["input"] = np.where(small, 0, found["input"])
        return found
