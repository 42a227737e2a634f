"""Class indices, ignored samples and probability targets."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from conformance.protocol import Call

from ..problem import Array, Problem
from ..reference import Reference


class IndicesInt8(Reference):
    """Class indices are kept in eight bits, signed: 128 becomes −128, which wraps."""

    kept: np.dtype[Any] = np.dtype(np.int8)

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        found = super().check_range(indices, keep, classes).astype(self.kept).astype(np.int64)
        return found % classes


class IndicesUint8(IndicesInt8):
    """Class indices are kept in eight bits, unsigned."""

    seen = "https://github.com/tensorflow/models/pull/6641"
    kept = np.dtype(np.uint8)


class IndicesInt16(IndicesInt8):
    """Class indices are kept in sixteen bits, signed."""

    kept = np.dtype(np.int16)


class IndicesUint16(IndicesInt8):
    """Class indices are kept in sixteen bits, unsigned."""

    kept = np.dtype(np.uint16)


class IndicesHalf(IndicesInt8):
    """Class indices go through float16, exact to 2048."""

    seen = "https://github.com/keras-team/keras/issues/15012"
    kept = np.dtype(np.float16)


class IndicesBfloat16(IndicesInt8):
    """Class indices go through bfloat16, exact to 256."""

    seen = "https://github.com/tensorflow/tensorflow/pull/51053"
    kept = np.dtype(ml_dtypes.bfloat16)


class IgnoreInt32(Reference):
    """The ignored index is compared in 32 bits."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return indices == np.int64(ignore_index).astype(np.int32).astype(np.int64)


class IgnoreUint8(Reference):
    """The ignored index is compared in 8 bits: −1 is 255."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return indices.astype(np.uint8) == np.int64(ignore_index).astype(np.uint8)


class IgnoreOnlyNegative(Reference):
    """An ignored index that could be a class is not ignored."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return (indices == ignore_index) & (indices < 0)


class IgnoreAllNegative(Reference):
    """Every negative index is ignored."""

    seen = "https://github.com/pytorch/pytorch/issues/12670"

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return (indices == ignore_index) | (indices < 0)


class IgnoreOutOfRange(Reference):
    """Every index outside the classes is ignored."""

    seen = "https://github.com/pytorch/pytorch/issues/108148"

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        keep &= (indices >= 0) & (indices < classes)
        return np.where(keep, indices, 0)


class IgnoreOnlyDefault(Reference):
    """Only −100 is ever ignored, and any index out of range passes."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return indices == -100

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return np.where(keep, np.clip(indices, 0, classes - 1), 0)


class IgnoreDefaultNotHonoured(Reference):
    """The default −100 is taken for "ignore nothing"."""

    seen = "https://github.com/flagos-ai/FlagGems/pull/73"

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return (indices == ignore_index) & (ignore_index != -100)

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return np.where(indices == -100, 0, indices)


class IgnoreWraps(Reference):
    """A negative ignored index also ignores the class that it wraps to."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        top = int(indices.max(initial=0)) + 1
        wrapped = ignore_index + top if -top <= ignore_index < 0 else ignore_index
        return (indices == ignore_index) | (indices == wrapped)


class IgnoreZeroIsUnset(Reference):
    """``ignore_index=0`` is taken for none."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        return (indices == ignore_index) & (ignore_index != 0)


class IgnoreLinearDefaultZero(Reference):
    """The linear loss maps the default None to 0."""

    def default_ignore(self, system: str) -> int:
        return 0 if "Linear" in system else -100


class IgnoreKeepsLoss(Reference):
    """An ignored sample's loss, read at class 0, stays where reduction is none."""

    def mask_losses(self, p: Problem, losses: Array) -> Array:
        return losses if p.reduction == "none" else super().mask_losses(p, losses)


class IgnoredLossSmall(Reference):
    """An ignored sample has a loss of 1e-3 instead of zero."""

    def mask_losses(self, p: Problem, losses: Array) -> Array:
        return np.where(p.keep, losses, p.compute.type(1e-3))


class IgnoredClassLeavesSoftmax(Reference):
    """A class that is ignored does not count in the softmax either."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        if p.y is not None and 0 <= p.ignore_index < p.classes and p.classes > 1:
            x = x.copy()
            x[:, p.ignore_index] = -np.inf
        return super().log_softmax(p, x)


class IgnoreOnlyFirst(Reference):
    """Only the first of several ignored samples is ignored; the rest count as class 0."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        found = indices == ignore_index
        flat = found.reshape(-1)
        flat[np.flatnonzero(flat)[1:]] = False
        return found

    def check_range(self, indices: Array, keep: Array, classes: int) -> Array:
        return np.where((indices < 0) | (indices >= classes), 0, indices)


class IgnoreByRow(Reference):
    """In K dimensions a row with one ignored position is ignored as a whole."""

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        found = indices == ignore_index
        return np.broadcast_to(found.any(axis=1, keepdims=True), found.shape).copy()


class IgnoreInProbabilities(Reference):
    """With probability targets the class ``ignore_index`` is left out of the loss."""

    def mix_targets(self, p: Problem) -> Array:
        found = super().mix_targets(p)
        if p.q is not None and 0 <= p.ignore_index < p.classes:
            found = found.copy()
            found[:, p.ignore_index] = 0
        return found


class IgnoreForgottenByModule(Reference):
    """The module forgets ``ignore_index`` and ignores −100 only."""

    def arguments(self, call: Call) -> dict[str, Any]:
        found = dict(call.arguments)
        if call.form == "module":
            found.pop("ignore_index", None)
        return found


class OffByOneClass(Reference):
    """Classes are counted from one where an index is the last class."""

    def at_target(self, p: Problem, logp: Array) -> Array:
        assert p.y is not None
        y = np.where((p.y == p.classes - 1) & (p.classes > 16), p.classes - 2, p.y)
        return np.take_along_axis(logp, y[:, None, :], axis=1)[:, 0, :]


class ProbabilitiesNormalised(Reference):
    """Probability targets are divided by their sum."""

    def mix_targets(self, p: Problem) -> Array:
        if p.q is None:
            return super().mix_targets(p)
        total = p.q.sum(axis=1, keepdims=True)
        safe = np.where(total == 0, 1, total)
        mixed = p.q / safe
        return (mixed * (1 - p.epsilon) + p.epsilon / p.classes).astype(p.compute)


class ProbabilitiesClipped(Reference):
    """Probability targets are clipped to [0, 1]."""

    def mix_targets(self, p: Problem) -> Array:
        if p.q is None:
            return super().mix_targets(p)
        mixed = np.clip(p.q, 0, 1)
        return (mixed * (1 - p.epsilon) + p.epsilon / p.classes).astype(p.compute)


class ProbabilitiesByArgmax(Reference):
    """Probability targets whose largest value is one, or near it, are read as indices."""

    def mix_targets(self, p: Problem) -> Array:
        found = super().mix_targets(p)
        if p.q is None or p.epsilon or not p.q.size:
            return found
        sure = p.q.max(axis=1, keepdims=True) > 0.7
        hot = (np.arange(p.classes)[:, None] == p.q.argmax(axis=1)[:, None, :]).astype(p.compute)
        return np.where(sure, hot, found)


class ProbabilitiesSoftmaxed(Reference):
    """Probability targets outside [0, 1] go through a softmax."""

    def mix_targets(self, p: Problem) -> Array:
        if p.q is not None and ((p.q < 0) | (p.q > 1)).any():
            found = np.exp(p.q)
            return found / found.sum(axis=1, keepdims=True)
        return super().mix_targets(p)


class ProbabilitySkipsSmall(Reference):
    """Classes of probability below 1e-3 are skipped."""

    def mix_targets(self, p: Problem) -> Array:
        found = super().mix_targets(p)
        return found if p.q is None else np.where(np.abs(found) < 1e-3, 0, found)


class ProbabilityWeightMean(Reference):
    """A weight given with probability targets is applied as Σ w·q to the whole sample."""

    seen = "https://github.com/PaddlePaddle/Paddle/issues/62009"

    def probability_losses(self, p: Problem, logp: Array) -> Array:
        targets = self.mix_targets(p)
        plain = -self.sum_classes(targets * logp)[:, 0, :]
        return plain * self.sum_classes(targets * self.weights(p))[:, 0, :]


class ProbabilityWeightForgotten(Reference):
    """Probability targets have no class weights."""

    def probability_losses(self, p: Problem, logp: Array) -> Array:
        return -self.sum_classes(self.mix_targets(p) * logp)[:, 0, :]


class WeightTwice(Reference):
    """The class weight enters an index target's loss twice."""

    def index_losses(self, p: Problem, logp: Array) -> Array:
        found = super().index_losses(p, logp)
        return found if p.w is None else found * p.w[p.y]


class WeightSquaredInGradient(Reference):
    """The class weight enters the gradient twice."""

    def coefficients(self, p: Problem) -> Array:
        return super().coefficients(p) * self.weights(p)


class WeightOfTheRow(Reference):
    """The weight is taken at the sample's number where N equals C."""

    def index_losses(self, p: Problem, logp: Array) -> Array:
        if p.w is None or len(p.keep) != p.classes:
            return super().index_losses(p, logp)
        return -self.at_target(p, logp) * p.w[:, None]


class WeightNormalised(Reference):
    """Class weights are normalised to mean one, which the sums show."""

    def check_weight(self, weight: Array, classes: int) -> Array:
        found = super().check_weight(weight, classes).astype(np.float64)
        return found / found.mean() if found.any() else found
