"""Loops: tails of vectors, blocks of classes, blocks of samples, running maxima."""
# ruff: noqa: D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import numpy as np

from ..problem import Array, Problem
from ..reference import Reference


class SumDropsTail8(Reference):
    """The last C % 8 exponentials are not summed, where there are more than eight."""

    lanes = 8

    def sum_classes(self, terms: Array) -> Array:
        count = terms.shape[1]
        tail = count % self.lanes if count > self.lanes else 0
        return super().sum_classes(terms[:, : count - tail])


class SumDropsTail16(SumDropsTail8):
    """The last C % 16 exponentials are not summed."""

    lanes = 16


class SumDropsTail64(SumDropsTail8):
    """The last C % 64 exponentials are not summed."""

    lanes = 64


class SumDropsTail256(SumDropsTail8):
    """The last C % 256 exponentials are not summed."""

    seen = "https://github.com/verl-project/verl/issues/2899"
    lanes = 256


class SumDropsTail1024(SumDropsTail8):
    """The last C % 1024 exponentials are not summed."""

    lanes = 1024


class SumDropsTail4096(SumDropsTail8):
    """The last C % 4096 exponentials are not summed."""

    lanes = 4096


class LastOfOneOver1024(Reference):
    """A class alone in a block of 1024 is not summed."""

    block = 1024

    def sum_classes(self, terms: Array) -> Array:
        count = terms.shape[1]
        alone = count > self.block and count % self.block == 1
        return super().sum_classes(terms[:, : count - alone])


class LastOfOneOver32(LastOfOneOver1024):
    """A class alone in a block of 32 is not summed."""

    block = 32


class LastOfOneOver8192(LastOfOneOver1024):
    """A class alone in a block of 8192 is not summed."""

    block = 8192


class LastOfOneOver32768(LastOfOneOver1024):
    """A class alone in a block of 32768 is not summed."""

    block = 32768


class LastOfOneOver65536(LastOfOneOver1024):
    """A class alone in a block of 65536 is not summed."""

    block = 65536


class BoundaryTwice1024(Reference):
    """The first class of every block of 1024 but the first is summed twice."""

    block = 1024

    def sum_classes(self, terms: Array) -> Array:
        return super().sum_classes(terms) + terms[:, self.block :: self.block].sum(
            axis=1, keepdims=True
        )


class BoundaryTwice128(BoundaryTwice1024):
    """The first class of every block of 128 but the first is summed twice."""

    block = 128


class BoundaryTwice4096(BoundaryTwice1024):
    """The first class of every block of 4096 but the first is summed twice."""

    block = 4096


class BoundaryTwice32768(BoundaryTwice1024):
    """The first class of every block of 32768 but the first is summed twice."""

    block = 32768


class PhantomClasses(Reference):
    """Rows are padded to a multiple of 256 with zeros, each of which adds exp(0 − max)."""

    seen = "https://github.com/verl-project/verl/pull/5349"

    def log_softmax(self, p: Problem, x: Array) -> Array:
        padding = -x.shape[1] % 256 if x.shape[1] > 256 else 0
        padded = np.concatenate([x, np.zeros((len(x), padding, x.shape[2]), x.dtype)], axis=1)
        return super().log_softmax(p, padded)[:, : x.shape[1]]


class PhantomLanes(Reference):
    """Rows of an odd length are padded with the last class."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        if x.shape[1] % 2 == 0 or x.shape[1] == 1:
            return super().log_softmax(p, x)
        return super().log_softmax(p, np.concatenate([x, x[:, -1:]], axis=1))[:, :-1]


class GradientTailZero(Reference):
    """The gradient of the last C % 32 classes is not written, where there are more."""

    lanes = 32

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        found = super().mask_gradient(p, gradient)
        count = found.shape[1]
        if count > self.lanes and count % self.lanes:
            found[:, count - count % self.lanes :] = 0
        return found


class GradientTailZero8(GradientTailZero):
    """The gradient of the last C % 8 classes is not written."""

    lanes = 8


class GradientTailZero4096(GradientTailZero):
    """The gradient of the last C % 4096 classes is not written."""

    lanes = 4096


class GradientPast32768(Reference):
    """Classes past 32768 get no gradient."""

    last = 32768

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        found = super().mask_gradient(p, gradient)
        found[:, self.last :] = 0
        return found


class GradientPast65536(GradientPast32768):
    """Classes past 65536 get no gradient."""

    last = 65536


class GradientTailSubtractsTwice(Reference):
    """The target's one is subtracted again where the target is in the tail of eight."""

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        found = super().grad_logits(p, logp, scale)
        tail = p.classes - p.classes % 8
        if p.y is None or p.classes < 9:
            return found
        again = (p.y >= tail)[:, None, :] & (self.one_hot(p) > 0) & p.keep[:, None, :]
        return found - again * scale[:, None, :]


class BatchTail4(Reference):
    """The last N % 4 samples are not summed, where there are more than four."""

    lanes = 4

    def sum_samples(self, losses: Array) -> Array:
        count = losses.size
        tail = count % self.lanes if count > self.lanes else 0
        return super().sum_samples(losses.reshape(-1)[: count - tail])


class BatchTail256(BatchTail4):
    """The last N % 256 samples are not summed."""

    lanes = 256


class BatchTail1024(BatchTail4):
    """The last N % 1024 samples are not summed."""

    lanes = 1024


class BatchTail4096(BatchTail4):
    """The last N % 4096 samples are not summed."""

    lanes = 4096


class BatchPast65535(Reference):
    """Samples past 65535 are not computed: the grid of a kernel ends there."""

    def sum_samples(self, losses: Array) -> Array:
        return super().sum_samples(losses.reshape(-1)[:65535])


class NoneRowPast256(Reference):
    """From the 257th on, an unreduced loss is its neighbour's."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        found = super().reduce(p, losses)
        if p.reduction == "none" and len(found.shape) == 1 and len(found) > 256:
            found = found.copy()
            found[256::256] = found[255:-1:256]
        return found


class GradientRowTail(Reference):
    """The gradient of the last N % 64 rows is not written, where there are more."""

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        found = super().mask_gradient(p, gradient)
        if len(found) > 64 and len(found) % 64:
            found[len(found) - len(found) % 64 :] = 0
        return found


class GradientRowPast1024(Reference):
    """Rows past 1024 get the gradient of a row before."""

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        found = super().mask_gradient(p, gradient)
        if len(found) > 1024:
            found[1024:] = found[: len(found) - 1024]
        return found


class PositionTail16(Reference):
    """In K dimensions the last D % 16 positions share the one before, where there are more."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        count = found.shape[2]
        if count > 16 and count % 16:
            found[:, :, count - count % 16 :] = found[:, :, [count - count % 16 - 1]]
        return found


class PositionGradientTail4(Reference):
    """In K dimensions the last D % 4 positions get no gradient, where there are more."""

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        found = super().mask_gradient(p, gradient)
        count = found.shape[2]
        if count > 4 and count % 4:
            found[:, :, count - count % 4 :] = 0
        return found


class Exactly33Classes(Reference):
    """Only at C = 33 is the last class left out."""

    at = 33

    def sum_classes(self, terms: Array) -> Array:
        return super().sum_classes(terms[:, :-1] if terms.shape[1] == self.at else terms)


class Exactly1000Classes(Exactly33Classes):
    """Only at C = 1000 is the last class left out."""

    at = 1000


class Exactly512Classes(Exactly33Classes):
    """Only at C = 512 is the last class left out."""

    at = 512


class Exactly32000Classes(Exactly33Classes):
    """Only at C = 32000 is the last class left out."""

    at = 32000
