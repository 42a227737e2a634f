"""Infinities and NaN."""
# ruff: noqa: D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import numpy as np

from conformance.protocol import Array as Buffer

from ..problem import Array, Problem, State
from ..reference import Reference


class NanSwallowed(Reference):
    """NaN logits are replaced by zero."""

    def logits(self, p: Problem) -> Array:
        found = super().logits(p)
        return np.where(np.isnan(found), 0, found).astype(found.dtype)


class NanLossSwallowed(Reference):
    """A loss of NaN is replaced by zero."""

    def losses(self, p: Problem, logp: Array) -> Array:
        found = super().losses(p, logp)
        return np.where(np.isnan(found), 0, found).astype(found.dtype)


class NanGradientSwallowed(Reference):
    """A gradient of NaN is replaced by zero."""

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        found = np.where(np.isnan(gradient), 0, gradient).astype(gradient.dtype)
        return super().finish_gradient(state, name, found)


class NanLostByMax(Reference):
    """NaN loses every comparison, the exponential's argument included."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        return super().log_softmax(p, np.where(np.isnan(x), -np.inf, x).astype(x.dtype))


class NanSpreads(Reference):
    """A row with NaN spoils the whole batch, without reduction too."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        return np.full_like(found, np.nan) if np.isnan(x).any() else found


class InfiniteLossClamped(Reference):
    """An infinite loss is the largest finite number."""

    def losses(self, p: Problem, logp: Array) -> Array:
        found = super().losses(p, logp)
        return np.where(np.isinf(found), np.finfo(p.compute).max, found).astype(found.dtype)


class MinusInfinityReplaced(Reference):
    """−∞ among the logits is replaced by −1e4."""

    def logits(self, p: Problem) -> Array:
        found = super().logits(p)
        return np.where(np.isneginf(found), -1e4, found).astype(found.dtype)


class MinusInfinityIsNan(Reference):
    """Any −∞ makes the row NaN."""

    seen = "https://github.com/candle-org/MindAct/pull/1633"

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        return np.where(np.isneginf(x).any(axis=1, keepdims=True), np.nan, found)


class MinusInfinityGradient(Reference):
    """A class at −∞ gets a gradient of NaN."""

    seen = "https://github.com/tensorflow/tensorflow/issues/11756"

    def softmax(self, p: Problem, logp: Array) -> Array:
        return np.where(np.isneginf(logp), np.nan, super().softmax(p, logp))


class MinusInfinityRowUniform(Reference):
    """A row of −∞ throughout is uniform."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        row = np.isneginf(x).all(axis=1, keepdims=True)
        return np.where(row, -np.log(p.compute.type(p.classes)), found)


class ZeroLogZeroIsLarge(Reference):
    """0·log 0 is 0·(−1e30) here, and the loss of the target at −∞ is 1e30."""

    seen = "https://github.com/google-deepmind/optax/issues/896"

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        return np.where(np.isneginf(found), -1e30, found).astype(found.dtype)


class ZeroLogZeroIsOne(Reference):
    """A class of probability zero at −∞ adds one to the loss."""

    def probability_losses(self, p: Problem, logp: Array) -> Array:
        terms = self.mix_targets(p) * self.weights(p) * logp
        terms = np.where(np.isneginf(logp) & (self.mix_targets(p) == 0), -1, terms)
        return -self.sum_classes(terms.astype(p.compute))[:, 0, :]


class ZeroTimesNanIsZero(Reference):
    """A class of probability zero adds nothing to the loss, even where log softmax is NaN."""

    def probability_losses(self, p: Problem, logp: Array) -> Array:
        factor = self.mix_targets(p) * self.weights(p)
        terms = np.where(factor == 0, 0, factor * logp).astype(p.compute)
        return -self.sum_classes(terms)[:, 0, :]


class InfinityWins(Reference):
    """A logit of +∞ has probability one."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        spoiled = np.isposinf(x).any(axis=1, keepdims=True)
        won = np.where(np.isposinf(x), 0, -np.inf)
        return np.where(spoiled, won, found).astype(x.dtype)


class SubnormalIsNan(Reference):
    """A subnormal logit spoils its row."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        tiny = np.finfo(p.compute).tiny
        if p.is_half:
            return found
        small = ((x != 0) & (np.abs(x) < tiny)).any(axis=1, keepdims=True)
        return np.where(small, np.nan, found)


class OverflowIsLargest(Reference):
    """A float16 result that overflows is the largest finite number."""

    def finish(self, p: Problem, loss: Array) -> Array:
        return super().finish(p, np.clip(loss, -65504, 65504) if p.dtype == "float16" else loss)


class GradientOverflowClipped(Reference):
    """A gradient is clipped to ±1."""

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        return super().finish_gradient(state, name, np.clip(gradient, -1, 1))


class IgnoredInfinity(Reference):
    """An ignored sample with NaN makes a finite wrong loss."""

    def mask_losses(self, p: Problem, losses: Array) -> Array:
        found = super().mask_losses(p, losses)
        return np.where(~p.keep & np.isnan(losses), 1, found).astype(found.dtype)


class ZeroWeightsMeanZero(Reference):
    """A mean whose weights sum to zero is not divided."""

    def divide(self, total: Array, by: float) -> Array:
        return np.asarray(total / by) if by != 0 else np.asarray(total)


class EmptyMeanGradient(Reference):
    """The gradient under a mean over nothing is one."""

    def backward(self, state: State, grad_output: Buffer | None, retain: bool) -> dict[str, Array]:
        found = super().backward(state, grad_output, retain)
        p = state.problem
        if p.reduction == "mean" and not p.is_unit and p.q is None and not self.denominator(p):
            return {name: np.ones_like(gradient) for name, gradient in found.items()}
        return found
