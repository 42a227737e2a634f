"""More correct frameworks: they round where few do, or use another formula for the same thing."""
# ruff: noqa: ARG002, D102 - a variant overrides seams, and its class says how

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Array, Problem
from .reference import Reference


class StoredSoftmax(Reference):
    """The softmax of the backward pass is a tensor of the call's dtype."""

    def softmax(self, p: Problem, logp: Array) -> Array:
        return self.stored(p, super().softmax(p, logp))


class StoredProducts(StoredSoftmax):
    """So are Σ a and its product with the softmax, and every difference."""

    def total_coefficient(self, p: Problem, terms: Array) -> Array:
        return self.stored(p, super().total_coefficient(p, terms))

    def coefficients(self, p: Problem) -> Array:
        return self.stored(p, super().coefficients(p))

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        return self.stored(p, super().mask_gradient(p, gradient))


class InterpolatedTargets(Reference):
    """Targets are mixed as q + ε·(1/C − q)."""

    def mix_targets(self, p: Problem) -> Array:
        truth = self.one_hot(p) if p.q is None else p.q
        if p.epsilon == 0:
            return truth
        uniform = p.compute.type(1 / p.classes)
        return truth + p.compute.type(p.epsilon) * (uniform - truth)


class SmoothingInTheDtype(Reference):
    """1 − ε is a difference of numbers of the arithmetic's dtype."""

    def mix_targets(self, p: Problem) -> Array:
        truth = self.one_hot(p) if p.q is None else p.q
        if p.epsilon == 0:
            return truth
        epsilon = p.compute.type(p.epsilon)
        return truth * (p.compute.type(1) - epsilon) + epsilon / p.compute.type(p.classes)


class LogitsInBaseTwo(Reference):
    """Logits are multiplied by log2 e once, and everything after that is to base two."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        scaled = x * x.dtype.type(np.log2(np.e))
        shifted = scaled - self.row_max(scaled)
        found = shifted - np.log2(self.sum_classes(np.exp2(shifted)))
        return found * x.dtype.type(np.log(2))


class RunningMean(Reference):
    """The mean of losses without weights is a running one."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        plain = p.reduction == "mean" and p.w is None and not p.is_unit
        if not plain or not np.isfinite(losses).all() or not p.keep.any():
            return super().reduce(p, losses)
        mean = p.compute.type(0)
        for count, loss in enumerate(losses[p.keep], start=1):
            mean = mean + (loss - mean) / p.compute.type(count)
        return np.asarray(mean)


class LogOfOneAndTheRest(Reference):
    """The logarithm of the sum is log1p of all exponentials but the largest."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        if not x.size:
            return super().log_softmax(p, x)
        shifted = x - self.row_max(x)
        others = self.exp(shifted)
        np.put_along_axis(others, shifted.argmax(axis=1)[:, None], 0, axis=1)
        spoilt = np.isnan(shifted).any(axis=1, keepdims=True)
        found = shifted - np.log1p(self.sum_classes(others))
        return np.where(spoilt, np.nan, found).astype(x.dtype)


class ProbabilityMinusOne(Reference):
    """The gradient of a plain index loss is expm1(log p) at the target, p elsewhere."""

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        if p.dense:
            return super().grad_logits(p, logp, scale)
        weight: Any = p.compute.type(1) if p.w is None else p.w[p.y][:, None, :]
        found = np.where(self.one_hot(p) == 1, np.expm1(logp), self.exp(logp))
        return self.mask_gradient(p, scale[:, None, :] * weight * found)
