"""The specification: every documented formula, written once, as the pages write it.

Everything here is generic over the number type.  On ``float64`` arrays it is the readable
reference; on object arrays of ball-arithmetic numbers (python-flint's ``arb``, on which NumPy
calls ``.exp()``, ``.log()`` and ``.sqrt()``) the same text encloses the exact real value.

Symbols are those of the pages, on one canonical layout: logits ``x`` have the shape (N, C, D),
samples by classes by positions, where D is d1·…·dK (1 without them) and N is 1 for an unbatched
input; ``y`` (N, D) holds class indices or ``q`` (N, C, D) class probabilities; ``w`` (C,) the
class weights; ``keep`` (N, D) is 1{y_n ≠ ignore_index}.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


class Symbols(NamedTuple):
    """The symbols of one documented loss."""

    x: Numbers
    y: NDArray[np.integer[Any]] | None
    q: Numbers | None
    w: Numbers
    keep: NDArray[np.bool_]
    epsilon: Any
    reduction: str


class SymbolGradients(NamedTuple):
    """Gradients of a loss with respect to x, q and w; ``None`` where not asked for."""

    x: Numbers | None
    q: Numbers | None
    w: Numbers | None


def log_softmax(x: Numbers) -> Numbers:
    """log( exp(x_c) / Σ_i exp(x_i) ), along the classes.

    Pages 002, 003, 004.  Numerator and denominator are divided by exp(max x), which changes no
    value and keeps every exponential in range.
    """
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def mixed_targets(s: Symbols) -> Numbers:
    """T = (1 − ε)·target + ε/C.

    "The targets become a mixture of the original ground truth and a uniform distribution"; a
    class index is the distribution that is one at that class.
    """
    classes = s.x.shape[1]
    if s.q is not None:
        truth = s.q
    else:
        assert s.y is not None
        truth = (np.arange(classes)[:, None] == s.y[:, None, :]).astype(s.x.dtype)
    return (1 - s.epsilon) * truth + s.epsilon / classes


def coefficients(s: Symbols) -> Numbers:
    """a_c = w[c]·t[n,c]: what each class's −log softmax counts in l_n, shape (N, C, D)."""
    if s.q is None and s.epsilon == 0:
        # The weights of other classes than the target's do not occur, not even times zero.
        return np.where(mixed_targets(s) != 0, s.w[:, None], s.epsilon)
    return s.w[:, None] * mixed_targets(s)


def unreduced(s: Symbols) -> Numbers:
    """l_n, shape (N, D).

    Class indices: l_n = −w[y_n]·log( exp(x[n,y_n]) / Σ_c exp(x[n,c]) ) · 1{y_n ≠ ignore_index}.
    Class probabilities: l_n = −Σ_c w[c]·log( exp(x[n,c]) / Σ_i exp(x[n,i]) )·q[n,c].
    With label smoothing the targets are mixed first (:func:`mixed_targets`).
    """
    logp = log_softmax(s.x)
    if s.q is not None:
        return -(s.w[:, None] * logp * mixed_targets(s)).sum(axis=1)
    assert s.y is not None
    if s.epsilon == 0:
        losses = -s.w[s.y] * _at_target(logp, s.y)
    else:
        losses = -(s.w[:, None] * logp * mixed_targets(s)).sum(axis=1)
    return np.where(s.keep, losses, 0 * s.epsilon)


def denominator(s: Symbols) -> Any:
    """What 'mean' divides by.

    Class indices: Σ_n w[y_n]·1{y_n ≠ ignore_index}.  Class probabilities: N, which spans the
    minibatch dimension as well as d1, ..., dK.
    """
    if s.q is not None:
        return 0 * s.epsilon + s.keep.size
    return 0 * s.epsilon + np.where(s.keep, s.w[s.y], 0 * s.epsilon).sum()


def reduced(losses: Numbers, divisor: Any, reduction: str) -> Any:
    """'none': l; 'sum': Σ_n l_n; 'mean': Σ_n l_n / divisor."""
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / divisor


def sample_scale(g: Any, divisor: Any, s: Symbols) -> Numbers:
    """∂(g·loss)/∂l_n, shape (N, D): g_n, g or g/divisor."""
    scale = g / divisor if s.reduction == "mean" else g
    return np.broadcast_to(np.asarray(scale, dtype=s.x.dtype), s.keep.shape)


def logit_gradient(s: Symbols, scale: Numbers) -> Numbers:
    """∂/∂x[n,c] = scale_n·( softmax(x_n)[c]·Σ_i a_i − a_c ), with a_c = w[c]·t[n,c].

    Zero for an ignored sample, which "does not contribute to the input gradient".
    """
    terms = coefficients(s)
    gradient = np.exp(log_softmax(s.x)) * terms.sum(axis=1, keepdims=True) - terms
    return np.where(s.keep[:, None, :], scale[:, None, :] * gradient, 0 * s.epsilon)


def target_gradient(s: Symbols, scale: Numbers) -> Numbers:
    """∂/∂q[n,c] = −scale_n·(1 − ε)·w[c]·log softmax(x_n)[c]."""
    return -scale[:, None, :] * (1 - s.epsilon) * s.w[:, None] * log_softmax(s.x)


def weight_gradient(s: Symbols, scale: Numbers) -> Numbers:
    """∂/∂w[c] = −Σ_n scale_n·t[n,c]·log softmax(x_n)[c]·1{y_n ≠ ignore_index}, and by 'mean'.

    The denominator of an index target's mean holds the weights too, which adds
    −(mean loss)·Σ_n scale_n·1{y_n = c}·1{y_n ≠ ignore_index}.
    """
    logp = log_softmax(s.x)
    kept = np.where(s.keep, scale, 0 * s.epsilon)
    if s.q is not None:
        return -(kept[:, None, :] * mixed_targets(s) * logp).sum(axis=(0, 2))
    assert s.y is not None
    per_sample = -(1 - s.epsilon) * _at_target(logp, s.y)
    if s.reduction == "mean":
        per_sample = per_sample - unreduced(s).sum() / denominator(s)
    per_sample = np.where(s.keep, kept * per_sample, 0 * s.epsilon)
    hits = np.arange(s.x.shape[1])[:, None, None] == s.y
    gradient = np.where(hits, per_sample, 0 * s.epsilon).sum(axis=(1, 2))
    if s.epsilon != 0:
        uniform = np.where(s.keep[:, None, :], kept[:, None, :] * logp, 0 * s.epsilon)
        gradient = gradient - s.epsilon / s.x.shape[1] * uniform.sum(axis=(0, 2))
    return gradient


def unreduced_jvp(s: Symbols, v: Numbers) -> Numbers:
    """Derivative of l_n along v: Σ_c (softmax(x_n)[c]·Σ_i a_i − a_c)·v[n,c], shape (N, D)."""
    return (logit_gradient(s, np.ones(s.keep.shape)) * v).sum(axis=1)


def logit_hvp(s: Symbols, scale: Numbers, v: Numbers) -> Numbers:
    """Derivative of :func:`logit_gradient` along v, the Hessian being block-diagonal by sample.

    scale_n·Σ_i a_i·softmax(x_n)[c]·(v[n,c] − Σ_i softmax(x_n)[i]·v[n,i]).
    """
    p = np.exp(log_softmax(s.x))
    total = coefficients(s).sum(axis=1, keepdims=True)
    product = total * p * (v - (p * v).sum(axis=1, keepdims=True))
    return np.where(s.keep[:, None, :], scale[:, None, :] * product, 0 * s.epsilon)


def loss(s: Symbols) -> Any:
    """The documented loss: a number, or the (N, D) losses of reduction 'none'."""
    return reduced(unreduced(s), denominator(s), s.reduction)


def gradients(s: Symbols, g: Any, of: str = "xqw") -> SymbolGradients:
    """Gradients of Σ g·loss with respect to the symbols named in ``of``."""
    scale = sample_scale(g, denominator(s), s)
    return SymbolGradients(
        x=logit_gradient(s, scale) if "x" in of else None,
        q=target_gradient(s, scale) if "q" in of else None,
        w=weight_gradient(s, scale) if "w" in of else None,
    )


# torch.nn.LinearCrossEntropyLoss, page 000


def linear_logits(features: Numbers, weight: Numbers, bias: Numbers | None) -> Numbers:
    """x[n,c,d] = Σ_f features[n,f]·weight[c,d,f] + bias[c,d]; shapes (N, F), (C, D, F), (C, D)."""
    classes, positions, width = weight.shape
    product = features @ weight.reshape(classes * positions, width).T
    logits = product.reshape(len(features), classes, positions)
    return logits if bias is None else logits + bias


def linear_gradients(
    gradient: Numbers, features: Numbers, weight: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """∂/∂features, ∂/∂weight and ∂/∂bias from the gradient (N, C, D) of the logits."""
    classes, positions, width = weight.shape
    flat = gradient.reshape(len(features), classes * positions)
    return (
        flat @ weight.reshape(classes * positions, width),
        (flat.T @ features).reshape(weight.shape),
        gradient.sum(axis=0),
    )


# unit_scaling.functional.cross_entropy, page 001


def unit_symbols(s: Symbols, mult: Any) -> Symbols:
    """Logits times ``mult``, "a multiplier to be applied to change the shape" of the softmax."""
    return s._replace(x=mult * s.x)


def unit_loss(s: Symbols) -> Any:
    """Loss of :func:`unit_symbols`; 'mean' divides by "the number of elements in the output"."""
    return reduced(unreduced(s), 0 * s.epsilon + s.keep.size, s.reduction)


def unit_gradients(s: Symbols, g: Any, of: str = "xq") -> SymbolGradients:
    """C/√(C − 1)·g·(softmax − target): the gradient of unit-scaling 0.3.5.

    The page says "unit-scaled" and gives no factor; the release scales the gradient by
    C/√(C − 1), so that it has unit variance at initialisation, and by neither ``mult`` nor the
    mean's denominator.  The gradient of probability targets is the unscaled one of the sum.
    """
    classes = 0 * s.epsilon + s.x.shape[1]
    unscaled = gradients(s._replace(reduction="sum"), g, of)
    if unscaled.x is None:
        return unscaled
    return unscaled._replace(x=classes / np.sqrt(classes - 1) * unscaled.x)


def _at_target(values: Numbers, y: NDArray[np.integer[Any]]) -> Numbers:
    return np.take_along_axis(values, y[:, None, :], axis=1)[:, 0, :]
