"""The allowed error of a result, derived from an error analysis of the documented evaluation.

The model
---------
Every operation on real numbers commits a relative error of at most u, the unit roundoff of the
arithmetic (float32 for float16, bfloat16 and float32 cases; float64 for float64), or less than
its smallest normal number where results that small are flushed to zero (Higham, *Accuracy and
Stability of Numerical Algorithms*, 2002, §2.2).  exp and log are good to two ulps (4u), as the
weakest vector libraries in use promise; an ``exp`` through base two commits the argument's
conversion on top, 2u·|v| (Blanchard, Higham and Higham, *Accurately computing the log-sum-exp
and softmax functions*, 2021, §4, count the same terms).  A 16-bit type may store
every elementwise result — logits of a projection, shifted logits, exponentials, a sample's sum, its
logarithm, LogSoftmax, per-sample gradients, the loss — with its own unit roundoff v, as frameworks
do whose operations take and give that type, unless it is beyond its range; the sums themselves are
accumulated in float32, however many terms they have.  For float32 and float64, v = u.

A sum of n terms carries h(n)·u·Σ|terms|, where h(n) = n − 1 in any order of summation
(Higham 2002, §4.2).  For n > 75 the terms of a random case round independently, and the sharper
h(n) = λ√(n − 1) holds but with probability 2·exp(−λ²/2) (Higham and Mary, *A new approach to
probabilistic rounding error analysis*, 2019, Theorem 2.4); λ makes one false alarm in 10⁹ runs of
10⁷ sums.  Where the terms repeat (equal logits, broadcast rows, few distinct weights, the
coefficients of smoothing) their roundings are not independent and n − 1 stays; where terms are
below 16u of their sum, as beside a dominant class, they may be lost whole, one after the other,
which adds Σ min(p_c, u) over them, up to n − 1 again.

The bound
---------
With z the logits, δ_c their error (projection, multiplier), m = max z, d_c = z_c − m,
S = Σ exp d_c, lse = m + log S and log p_c = d_c − log S, to first order:

* S: ρ = Σ p_c·(δ_c + (4 + 3|d_c|)·u + [(1 + |d_c|)·v]) + h(C)·u + [v].  One u·|d_c| is the
  subtraction's; brackets stand for what a 16-bit type stores.
* log p_c: L_c = δ_c + ρ + u·(|d_c| + 4|log S| + |lse| + |log p_c|)
  + [v·(|d_c| + |log S| + |log p_c|)].
  The term |lse| admits ``z − lse`` beside ``(z − m) − log S``.
* softmax p_c: relative error π_c = δ_c + ρ + u·(5 + 3|log p_c| + 4|log S| + |lse|)
  + [v·(|d_c| + |log p_c| + 3)], which covers exp d / S and exp(z − lse).
* l_n = −Σ a_c·log p_c: E_n = Σ|a_c|·L_c + (k·v + h·u)·Σ|ã_c·log p_c| + v·|l_n|, where k
  counts the roundings that make a_c (weight 1; smoothing 3) and h the terms of a dense sum.
  ã_c = |w_c|·(|q_c| + ε/C) are the sizes of what the mixture is made of.  That is more than |a_c|
  where a probability below 0 cancels, and where ε is near 1: a type that stores ε commits v·ε·|q_c|
  in 1 − ε, as ``q + ε·(1/C − q)`` does in its last sum.
* sum: Σ E_n + h(N)·u·Σ|l_n| + v·|sum|; mean: that over the denominator W, plus
  (h(N)·u·Σ|w_y|/|W| + 3v)·|mean| for W itself, the division and the result.
* gradient of a logit, g_c = s·(p_c·A − a_c) with A = Σ a_i:
  E = |s|·(p_c·|A|·π_c + p_c·Σ|ã_i|·(k·v + h·u) + k·v·|ã_c| + v·(p_c·|A| + |a_c|)) + (σ + v)·|g_c|
  where σ is the relative error of s.  The last v inside admits a separately stored gradient of
  NLLLoss.
* products with the linear operands: Σ E·|w| + (h(n) + 1)·u·Σ|g·w| + v·|result|.

Nothing here depends on the framework, and a framework's result is never looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossent_spec.formulas import Symbols, coefficients, mixed_targets

from .case import DTYPES, Case

Float = NDArray[np.float64]

#: One false alarm in 1e9 runs of 1e7 sums.
LAMBDA = math.sqrt(2 * math.log(2 * 1e7 * 1e9))


@dataclass(frozen=True)
class Precision:
    """Unit roundoffs of arithmetic and storage, and what may be lost to underflow."""

    compute: float
    store: float
    compute_tiny: float
    store_tiny: float


_SINGLE, _DOUBLE = 2.0**-24, 2.0**-53
#: In 16-bit storage nothing is flushed: half an ulp of the subnormals is the rounding itself.
PRECISIONS = {
    "float16": Precision(_SINGLE, 2.0**-11, 2.0**-126, 2.0**-25),
    "bfloat16": Precision(_SINGLE, 2.0**-8, 2.0**-126, 2.0**-126),
    "float32": Precision(_SINGLE, _SINGLE, 2.0**-126, 2.0**-126),
    "float64": Precision(_DOUBLE, _DOUBLE, 2.0**-1022, 2.0**-1022),
}
#: Terms below so many u of their sum are rounded alike, often away, one after the other.
_SMALL_TERM = 16
#: Logits that make every term of a sum alike.
_REPEATING = ("zeros", "equal", "denormal")


class Allowed:
    """The allowed absolute error of each output of one call.

    Parameters
    ----------
    case
        The case, for its dtypes and modes.
    s
        Its symbols in float64, with finite logits.
    logit_error
        δ, in the shape of the logits; 0 where they are the caller's own.
    scaled
        Whether the loss is the unit-scaled one.
    """

    def __init__(self, case: Case, s: Symbols, logit_error: Float | float, scaled: bool) -> None:
        self.case = case
        self.s = s
        self.precision = PRECISIONS[DTYPES[case.dtype]]
        self.scaled = scaled
        self.repeats = case.logits in _REPEATING or "broadcast" in (
            case.layout,
            case.target_layout,
        )
        self.delta = np.broadcast_to(logit_error, s.x.shape)

    def terms(self, count: int, repeats: bool | None = None) -> float:
        """h(n): how often u enters the error of a sum of n terms."""
        worst = max(0, count - 1)
        if self.repeats if repeats is None else repeats:
            return worst
        return min(worst, LAMBDA * math.sqrt(worst))

    @property
    def dense(self) -> bool:
        """Whether every class has a coefficient: probabilities or smoothing."""
        return self.s.q is not None or self.s.epsilon != 0

    @property
    def coefficient_roundings(self) -> int:
        """k: roundings that make a coefficient a_c."""
        return (
            (3 if self.s.epsilon != 0 else 0)
            + (1 if self.case.weight != "absent" else 0)
            + (1 if self.s.q is not None else 0)
        )

    @property
    def stored(self) -> float:
        """The bracketed v of the bound: 0 where storing rounds no more than the arithmetic did."""
        return self.precision.store if self.precision.store != self.precision.compute else 0.0

    @cached_property
    def shifted(self) -> Float:
        """d_c."""
        return self.s.x - self.s.x.max(axis=1, keepdims=True)

    @cached_property
    def log_sum(self) -> Float:
        """Log S, with the class axis kept."""
        return np.log(np.exp(self.shifted).sum(axis=1, keepdims=True))

    @cached_property
    def logp(self) -> Float:
        """Log p_c."""
        return self.shifted - self.log_sum

    @cached_property
    def sum_error(self) -> Float:
        """ρ, with the class axis kept."""
        u = self.precision.compute
        classes = self.s.x.shape[1]
        size = np.abs(self.shifted)
        each = self.delta + (4 + 3 * size) * u + (1 + size) * self.stored
        p = np.exp(self.logp)
        spread = (p * each).sum(axis=1, keepdims=True)
        lost = np.where(p < _SMALL_TERM * u, np.minimum(p, u), 0.0).sum(axis=1, keepdims=True)
        adding = np.minimum((classes - 1) * u, self.terms(classes) * u + lost)
        return spread + adding + self.stored

    @cached_property
    def lse(self) -> Float:
        """|lse|, with the class axis kept."""
        return np.abs(self.s.x.max(axis=1, keepdims=True) + self.log_sum)

    @cached_property
    def logp_error(self) -> Float:
        """L_c."""
        u = self.precision.compute
        error = self.delta + self.sum_error
        error = error + u * (
            np.abs(self.shifted) + 4 * np.abs(self.log_sum) + self.lse + np.abs(self.logp)
        )
        size = np.abs(self.shifted) + np.abs(self.log_sum) + np.abs(self.logp)
        return error + self.stored * size + self.precision.store_tiny

    @cached_property
    def softmax_error(self) -> Float:
        """π_c, relative."""
        u = self.precision.compute
        error = self.delta + self.sum_error
        error = error + u * (5 + 3 * np.abs(self.logp) + 4 * np.abs(self.log_sum) + self.lse)
        return error + self.stored * (np.abs(self.shifted) + np.abs(self.logp) + 3)

    @cached_property
    def coefficients(self) -> Float:
        """a_c = w_c·t_c; zero for an ignored sample."""
        return np.where(self.s.keep[:, None, :], coefficients(self.s), 0.0)

    @cached_property
    def target_size(self) -> Float:
        """Return ã_c/w_c: the sizes of the target and of the uniform part that it is mixed with."""
        s = self.s
        classes = s.x.shape[1]
        if s.q is not None:
            truth = np.abs(s.q)
        else:
            assert s.y is not None
            truth = (np.arange(classes)[:, None] == s.y[:, None, :]).astype(np.float64)
        return np.asarray(truth + s.epsilon / classes)

    @cached_property
    def coefficient_size(self) -> Float:
        """ã_c: what the roundings that make a_c are relative to; zero for an ignored sample."""
        if not self.dense:
            return np.abs(self.coefficients)
        size = np.abs(self.s.w[:, None]) * self.target_size
        return np.where(self.s.keep[:, None, :], size, 0.0)

    @property
    def class_terms(self) -> float:
        """The h of a sum over the classes' coefficients, 0 where there is only one.

        Smoothing gives most classes the same coefficient, whose roundings are not independent.
        """
        if not self.dense:
            return 0.0
        return self.terms(self.s.x.shape[1], self.repeats or self.s.epsilon != 0)

    @cached_property
    def losses(self) -> Float:
        """l_n."""
        return -(self.coefficients * self.logp).sum(axis=1)

    @cached_property
    def unreduced(self) -> Float:
        """E_n."""
        p = self.precision
        size = np.abs(self.coefficients)
        relative = self.coefficient_roundings * p.store + self.class_terms * p.compute
        error = (size * self.logp_error).sum(axis=1)
        error = error + relative * (self.coefficient_size * np.abs(self.logp)).sum(axis=1)
        count = self.s.x.shape[1] if self.dense else 1
        return error + p.store * np.abs(self.losses) + p.store_tiny * (count + size.sum(axis=1))

    @cached_property
    def denominator(self) -> float:
        """W: what the mean divides by."""
        if self.s.q is not None or self.scaled:
            return float(self.s.keep.size)
        return float(np.where(self.s.keep, self.s.w[self.s.y], 0.0).sum())

    @cached_property
    def denominator_error(self) -> float:
        """Relative error of W: exact counts have none but storage's.

        Weights of both signs cancel in W, what their sum lost does not.
        """
        if self.scaled or self.s.q is not None or self.case.weight in ("absent", "ones"):
            return self.precision.store
        count = self.s.keep.size
        few = 2 * self.s.x.shape[1] < count
        rounded = self.terms(count, self.repeats or few) * self.precision.compute
        size = float(np.where(self.s.keep, np.abs(self.s.w[self.s.y]), 0.0).sum())
        grown = size / abs(self.denominator) if self.denominator else 1.0
        return rounded * grown + self.precision.store

    def loss(self) -> Float:
        """Return the allowed error of the loss, in the canonical shape."""
        if self.s.reduction == "none":
            return self.unreduced
        p = self.precision
        total = self.unreduced.sum()
        total = total + self.terms(self.losses.size) * p.compute * np.abs(self.losses).sum()
        value = abs(self.losses.sum())
        if self.s.reduction == "mean" and self.denominator:
            total = total / abs(self.denominator)
            value = value / abs(self.denominator)
            relative = self.denominator_error + 2 * p.store
        else:
            relative = p.store
        return np.asarray(total + relative * value + 2 * p.store_tiny)

    def scale_error(self) -> float:
        """σ: relative error of ∂result/∂l_n."""
        p = self.precision
        if self.scaled:
            return 4 * p.store  # C/√(C − 1), rounded to the dtype, and its products
        if self.s.reduction == "mean":
            return self.denominator_error + 2 * p.store
        return p.store

    def logits(self, scale: Float) -> Float:
        """Return the allowed error of the gradient of the logits."""
        p = self.precision
        probability = np.exp(self.logp)
        size = np.abs(self.coefficients)
        total = np.abs(self.coefficients.sum(axis=1, keepdims=True))
        relative = self.coefficient_roundings * p.store
        inner = probability * total * self.softmax_error
        inner = inner + probability * self.coefficient_size.sum(axis=1, keepdims=True) * (
            relative + self.class_terms * p.compute
        )
        inner = inner + relative * self.coefficient_size + p.store * (probability * total + size)
        value = probability * self.coefficients.sum(axis=1, keepdims=True) - self.coefficients
        s = np.abs(scale[:, None, :])
        error = s * inner + (self.scale_error() + p.store) * s * np.abs(value)
        # Each coefficient may be stored, and be subnormal there.
        stored = 2 + self.coefficient_roundings + self.dense * self.s.x.shape[1] * probability
        # So may a probability, before Σ a_i multiplies it.
        lost = p.store_tiny * (stored + s + probability * total + size + s * total)
        return np.where(self.s.keep[:, None, :], error + lost, 0.0)

    def target(self, scale: Float) -> Float:
        """Return the allowed error of the gradient of the probabilities."""
        p = self.precision
        factor = np.abs(scale[:, None, :] * (1 - self.s.epsilon) * self.s.w[:, None])
        relative = (self.scale_error() if not self.scaled else p.store) + 4 * p.store
        value = factor * np.abs(self.logp)
        # A scale such as g/N may itself be subnormal where it is stored.
        beside = (1 - self.s.epsilon) * np.abs(self.s.w[:, None]) * (1 + np.abs(self.logp))
        return factor * self.logp_error + relative * value + p.store_tiny * (2 + factor + beside)

    def weight(self, scale: Float) -> Float:
        """Return the allowed error of the gradient of the class weights (probability targets)."""
        p = self.precision
        factor = np.abs(scale[:, None, :] * mixed_targets(self.s))
        value = np.abs(scale[:, None, :]) * self.target_size * np.abs(self.logp)
        relative = self.scale_error() + 4 * p.store
        beside = np.abs(mixed_targets(self.s)) * (1 + np.abs(self.logp))
        each = factor * self.logp_error + relative * value + p.store_tiny * (2 + beside)
        count = self.s.keep.size
        return (each + self.terms(count) * p.compute * value).sum(axis=(0, 2)) + (
            p.store * value.sum(axis=(0, 2))
        )

    def linear(
        self, gradient: Float, error: Float, features: Float, weight: Float
    ) -> tuple[Float, Float, Float]:
        """Return the allowed errors at linear input, weight and bias from those at the logits.

        Those of the weight and the bias have a row for every logit of a sample.
        """
        p = self.precision
        classes, positions, width = weight.shape
        rows = len(features)
        matrix = np.abs(weight.reshape(classes * positions, width))
        inputs = np.abs(features)
        size = np.abs(gradient).reshape(rows, classes * positions)
        wrong = error.reshape(rows, classes * positions)

        def product(left: Float, spoilt: Float, right: Float, count: int) -> Float:
            relative = (self.terms(count) + 1) * p.compute + p.store
            return spoilt @ right + relative * (left @ right) + (count + 1) * p.store_tiny

        return (
            product(size, wrong, matrix, classes * positions),
            product(size.T, wrong.T, inputs, rows),
            product(size.T, wrong.T, np.ones((rows, 1)), rows),
        )


def projection_error(
    case: Case, features: Float, weight: Float, bias: Float | None, logits: Float
) -> Float:
    """δ of projected logits: the products' and sums' roundings, the bias, the stored result."""
    p = PRECISIONS[DTYPES[case.dtype]]
    classes, positions, width = weight.shape
    count = width
    worst = max(0, count - 1)
    terms = min(worst, LAMBDA * math.sqrt(worst)) + 1
    size: Any = np.abs(features) @ np.abs(weight.reshape(classes * positions, width)).T
    error = terms * p.compute * size.reshape(logits.shape) + p.store * np.abs(logits)
    if bias is not None:
        error = error + p.store * np.abs(logits - bias)
    return np.asarray(error + (count + 1) * p.compute_tiny + p.store_tiny)


def multiplier_error(case: Case, logits: Float) -> Float | float:
    """δ of logits times ``mult``: the multiplier in the dtype, and the stored product."""
    if case.mult in (None, 1.0):
        return 0.0
    p = PRECISIONS[DTYPES[case.dtype]]
    return 2 * p.store * np.abs(logits) + p.store_tiny
