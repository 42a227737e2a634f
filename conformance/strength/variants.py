"""Correct frameworks that compute otherwise: the suite must pass every one."""
# ruff: noqa: ARG002, D102 - a variant overrides seams, and its class says how

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .problem import Array, Problem, State, in_order
from .reference import Reference


class SequentialSums(Reference):
    """Sums in order, one rounding after the other."""

    def sum_classes(self, terms: Array) -> Array:
        return in_order(terms, 1)

    def sum_samples(self, losses: Array) -> Array:
        return in_order(losses.reshape(-1), 0)[0] if losses.size else np.zeros((), losses.dtype)

    def total_coefficient(self, p: Problem, terms: Array) -> Array:
        return in_order(terms, 1)


class ReversedSums(SequentialSums):
    """Sums from the last term to the first."""

    def sum_classes(self, terms: Array) -> Array:
        return in_order(terms[:, ::-1], 1)

    def sum_samples(self, losses: Array) -> Array:
        return super().sum_samples(losses.reshape(-1)[::-1])

    def total_coefficient(self, p: Problem, terms: Array) -> Array:
        return in_order(terms[:, ::-1], 1)


class PermutedSums(SequentialSums):
    """Sums in a random order, another one every time."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def sum_classes(self, terms: Array) -> Array:
        return in_order(terms[:, self.random.permutation(terms.shape[1])], 1)

    def sum_samples(self, losses: Array) -> Array:
        return super().sum_samples(self.random.permutation(losses.reshape(-1)))


class PairwiseSums(Reference):
    """Sums by halves."""

    def halves(self, terms: Array) -> Array:
        while terms.shape[1] > 1:
            if terms.shape[1] % 2:
                terms = np.concatenate([terms, np.zeros_like(terms[:, :1])], axis=1)
            terms = terms[:, ::2] + terms[:, 1::2]
        return terms

    def sum_classes(self, terms: Array) -> Array:
        return self.halves(terms)

    def sum_samples(self, losses: Array) -> Array:
        return self.halves(losses.reshape(1, -1)).sum(dtype=losses.dtype)


class KahanSums(Reference):
    """Compensated sums."""

    def kahan(self, terms: Array) -> Array:
        if not terms.size:
            return terms.sum(axis=1, keepdims=True, dtype=terms.dtype)
        total = np.zeros_like(terms[:, :1])
        lost = np.zeros_like(total)
        for number in range(terms.shape[1]):
            term = terms[:, number : number + 1] - lost
            grown = total + term
            lost = np.where(np.isfinite(grown), (grown - total) - term, 0)
            total = grown
        return total

    def sum_classes(self, terms: Array) -> Array:
        return self.kahan(terms)

    def sum_samples(self, losses: Array) -> Array:
        return self.kahan(losses.reshape(1, -1, 1))[0, 0, 0]


class SixteenLanes(Reference):
    """Sums in sixteen lanes that are added at the end, as vector code does."""

    lanes = 16

    def spread(self, terms: Array) -> Array:
        if not terms.size:
            return terms.sum(axis=1, keepdims=True, dtype=terms.dtype)
        padding = -terms.shape[1] % self.lanes
        zeros = np.zeros((len(terms), padding, terms.shape[2]), terms.dtype)
        wide = np.concatenate([terms, zeros], axis=1)
        wide = wide.reshape(len(terms), -1, self.lanes, terms.shape[2])
        return in_order(in_order(wide, 1)[:, 0], 1)

    def sum_classes(self, terms: Array) -> Array:
        return self.spread(terms)

    def sum_samples(self, losses: Array) -> Array:
        return self.spread(losses.reshape(1, -1, 1)).sum(dtype=losses.dtype)


class OnlineSoftmax(Reference):
    """One pass over the classes, rescaling where the maximum grows."""

    block = 1

    def log_softmax(self, p: Problem, x: Array) -> Array:
        top = np.full((len(x), 1, x.shape[2]), -np.inf, x.dtype)
        total = np.zeros_like(top)
        for start in range(0, x.shape[1], self.block):
            part = x[:, start : start + self.block]
            grown = np.maximum(top, part.max(axis=1, keepdims=True))
            empty = np.isneginf(grown)
            old = np.where(empty, 1, np.exp(top - grown))
            new = np.where(empty, 0, np.exp(part - grown)).sum(axis=1, keepdims=True)
            total = (total * old + new).astype(x.dtype)
            top = grown
        shifted = x - top
        return shifted - np.log(total)


class BlockedOnlineSoftmax(OnlineSoftmax):
    """An online softmax in blocks of 64 classes."""

    block = 64


class LargeBlocks(OnlineSoftmax):
    """An online softmax in blocks of 1024 classes."""

    block = 1024


class LogSumExp(Reference):
    """log p as the logit minus the normaliser."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        top = self.row_max(x)
        return x - (top + self.log(self.sum_classes(self.exp(x - top))))


class SoftmaxFromNormaliser(Reference):
    """The backward pass takes exp(x − lse)."""

    def save(self, state: State) -> State:
        if state.logp.size:
            p = state.problem
            top = self.row_max(p.x)
            lse = top + self.log(self.sum_classes(self.exp(p.x - top)))
            state.returned["lse"] = lse
        return state

    def gradients(self, state: State, g: Array) -> dict[str, Array]:
        self.current = state.returned.get("lse")
        try:
            return super().gradients(state, g)
        finally:
            self.current = None

    current: Array | None = None

    def softmax(self, p: Problem, logp: Array) -> Array:
        if self.current is None or self.current.shape[0] != len(p.x):
            return super().softmax(p, logp)
        return self.exp(p.x - self.current)


class SoftmaxByQuotient(Reference):
    """The backward pass divides exponentials by their sum."""

    def softmax(self, p: Problem, logp: Array) -> Array:
        if p.x.shape != logp.shape:
            return super().softmax(p, logp)
        e = self.exp(p.x - self.row_max(p.x))
        return e / self.sum_classes(e)


class SoftmaxByReciprocal(Reference):
    """The backward pass multiplies exponentials by the reciprocal of their sum."""

    def softmax(self, p: Problem, logp: Array) -> Array:
        if p.x.shape != logp.shape:
            return super().softmax(p, logp)
        e = self.exp(p.x - self.row_max(p.x))
        return e * (p.compute.type(1) / self.sum_classes(e))


class BaseTwo(Reference):
    """exp2(x·log2 e) and log2(S)·ln 2."""

    def exp(self, values: Array) -> Array:
        return np.exp2(values * values.dtype.type(np.log2(np.e)))

    def log(self, values: Array) -> Array:
        return np.log2(values) * values.dtype.type(np.log(2))


class WeakFunctions(Reference):
    """exp and log that are good to two units in the last place."""

    def exp(self, values: Array) -> Array:
        found = np.exp(values)
        return found * values.dtype.type(1 + np.finfo(values.dtype).eps)

    def log(self, values: Array) -> Array:
        found = np.log(values)
        return found * values.dtype.type(1 - np.finfo(values.dtype).eps)


class DoubleInside(Reference):
    """Everything in float64, rounded once."""

    def problem(self, call: Any) -> Problem:
        found = super().problem(call)
        return _Wide(**vars(found))


class _Wide(Problem):
    @property
    def compute(self) -> np.dtype[Any]:
        return np.dtype(np.float64)


class StoredLogSoftmax(Reference):
    """LogSoftmax is a tensor of the call's dtype."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        return self.stored(p, super().log_softmax(p, x))


class StoredElementwise(StoredLogSoftmax):
    """Shifted logits, exponentials and their logarithm are tensors of the call's dtype too.

    Their sum is one unless it overflows: that of 70,000 equal logits is beyond float16.
    """

    def log_softmax(self, p: Problem, x: Array) -> Array:
        shifted = self.stored(p, x - self.row_max(x))
        total = self.stored_if_finite(p, self.sum_classes(self.stored(p, self.exp(shifted))))
        return self.stored(p, shifted - self.stored(p, self.log(total)))


class StoredSum(Reference):
    """The sum of exponentials of a sample is stored in the call's dtype, unless it overflows."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        shifted = x - self.row_max(x)
        return shifted - self.log(self.stored_if_finite(p, self.sum_classes(self.exp(shifted))))


class StoredEverything(StoredLogSoftmax):
    """Scales, targets, coefficients and what ``mult`` gives are stored too, unless it overflows."""

    def multiply(self, p: Problem) -> Array:
        return self.stored_if_finite(p, super().multiply(p))

    def mix_targets(self, p: Problem) -> Array:
        return self.stored(p, super().mix_targets(p))

    def coefficients(self, p: Problem) -> Array:
        return self.stored(p, super().coefficients(p))

    def scale(self, p: Problem, g: Array) -> Array:
        return self.stored(p, super().scale(p, g))


class DenseOneHot(Reference):
    """Class indices become one-hot targets; classes of probability zero are skipped."""

    def index_losses(self, p: Problem, logp: Array) -> Array:
        hot = self.one_hot(p)
        terms = np.where(hot == 0, 0, hot * self.weights(p) * logp).astype(p.compute)
        return -self.sum_classes(terms)[:, 0, :]


class DenseSmoothing(Reference):
    """Smoothed targets are mixed first and summed as probabilities are."""

    def losses(self, p: Problem, logp: Array) -> Array:
        if p.q is not None or p.epsilon == 0:
            return super().losses(p, logp)
        return self.mask_losses(p, self.probability_losses(p, logp))


class Recomputed(Reference):
    """Nothing is saved: the backward pass computes log softmax again from the logits."""

    def gradients(self, state: State, g: Array) -> dict[str, Array]:
        p = state.problem
        return super().gradients(replace(state, logp=self.log_softmax(p, p.x)), g)


class FlushesSubnormals(Reference):
    """Subnormal operands and results are zero (FTZ and DAZ)."""

    def flush(self, values: Array) -> Array:
        if values.dtype.name not in ("float32", "float64"):
            return values
        return np.where(np.abs(values) < np.finfo(values.dtype).tiny, 0 * values, values)

    def convert(self, values: Array, dtype: np.dtype[Any]) -> Array:
        return self.flush(super().convert(self.flush(values), dtype))

    def exp(self, values: Array) -> Array:
        return self.flush(super().exp(self.flush(values)))

    def softmax(self, p: Problem, logp: Array) -> Array:
        return self.flush(super().softmax(p, logp))

    def coefficients(self, p: Problem) -> Array:
        return self.flush(super().coefficients(p))

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        return self.flush(super().mask_gradient(p, gradient))

    def store(self, values: Array, dtype: str) -> Array:
        return self.flush(super().store(self.flush(values), dtype))


class WeightsNormalisedLate(Reference):
    """Each loss is weighted after the sum over its classes, where the target is an index."""

    def losses(self, p: Problem, logp: Array) -> Array:
        if p.q is not None or p.w is None or p.epsilon != 0:
            return super().losses(p, logp)
        return self.mask_losses(p, -self.at_target(p, logp)) * self.sample_weights(p)


class WeightsNormalisedEarly(Reference):
    """The mean divides every loss, not their sum."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        if p.reduction != "mean":
            return super().reduce(p, losses)
        if not losses.size:
            return np.asarray(p.compute.type(np.nan))
        return self.sum_samples(losses / self.denominator(p))


class MeanByReciprocal(Reference):
    """The mean multiplies by the reciprocal of the denominator."""

    def divide(self, total: Array, by: Any) -> Array:
        return np.asarray(total * (total.dtype.type(1) / by))

    def scale(self, p: Problem, g: Array) -> Array:
        if p.reduction == "mean" and not p.is_unit:
            g = np.asarray(g * (p.compute.type(1) / self.denominator(p)))
        return np.broadcast_to(g.astype(p.compute), p.keep.shape)


class SeparateTerms(Reference):
    """The gradient adds the softmax's part and the target's part, each scaled and stored."""

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        s = scale[:, None, :]
        terms = self.coefficients(p)
        left = self.stored(p, s * self.softmax(p, logp) * self.total_coefficient(p, terms))
        right = self.stored(p, s * terms)
        return self.mask_gradient(p, left - right)


class GradientOfLogSoftmax(Reference):
    """The gradient goes through LogSoftmax's: −s·a minus softmax times its sum."""

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        upstream = self.stored(p, -scale[:, None, :] * self.coefficients(p))
        total = self.total_coefficient(p, upstream)
        return self.mask_gradient(p, upstream - self.softmax(p, logp) * total)


class AbsentIgnored(Reference):
    """Ignored samples are taken out before anything is computed."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        kept = np.where(p.keep[:, None, :], x, 0).astype(x.dtype)
        return super().log_softmax(p, kept)


class LimitOfZeroLogZero(Reference):
    """0·log 0 is 0; 0 times a logarithm of NaN is NaN."""

    def probability_losses(self, p: Problem, logp: Array) -> Array:
        factor = self.mix_targets(p) * self.weights(p)
        limit = (factor == 0) & np.isneginf(logp)
        terms = np.where(limit, 0, factor * logp).astype(p.compute)
        return -self.sum_classes(terms)[:, 0, :]
