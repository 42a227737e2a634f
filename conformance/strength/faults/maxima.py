"""The maximum that is subtracted before exp, and running maxima."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import numpy as np

from ..problem import Array, Problem
from ..reference import Reference


class MaxOfFirst8(Reference):
    """The maximum is that of the first eight classes."""

    first = 8

    def row_max(self, x: Array) -> Array:
        return x[:, : self.first].max(axis=1, keepdims=True)


class MaxOfFirst64(MaxOfFirst8):
    """The maximum is that of the first 64 classes."""

    first = 64


class MaxOfFirst1024(MaxOfFirst8):
    """The maximum is that of the first 1024 classes."""

    first = 1024


class MaxOfFirst32768(MaxOfFirst8):
    """The maximum is that of the first 32768 classes."""

    first = 32768


class MaxMissesTail8(Reference):
    """The maximum misses the last C % 8 classes."""

    lanes = 8

    def row_max(self, x: Array) -> Array:
        count = x.shape[1]
        tail = count % self.lanes if count > self.lanes else 0
        return x[:, : count - tail].max(axis=1, keepdims=True)


class MaxMissesTail32(MaxMissesTail8):
    """The maximum misses the last C % 32 classes."""

    lanes = 32


class MaxMissesTail1024(MaxMissesTail8):
    """The maximum misses the last C % 1024 classes."""

    lanes = 1024


class MaxMissesLast(Reference):
    """The maximum misses the last class."""

    def row_max(self, x: Array) -> Array:
        return x[:, : max(1, x.shape[1] - 1)].max(axis=1, keepdims=True)


class MaxOfAll(Reference):
    """The maximum is taken over the whole batch, under which small rows vanish."""

    def row_max(self, x: Array) -> Array:
        return np.broadcast_to(x.max(initial=-np.inf), (len(x), 1, x.shape[2]))


class MaxOverPositions(Reference):
    """In K dimensions the maximum is taken over the positions too."""

    def row_max(self, x: Array) -> Array:
        found = super().row_max(x)
        return np.broadcast_to(found.max(axis=2, keepdims=True, initial=-np.inf), found.shape)


class MaxOfMagnitudes(Reference):
    """The largest magnitude is subtracted."""

    def row_max(self, x: Array) -> Array:
        return np.abs(x).max(axis=1, keepdims=True)


class MaxAtLeastZero(Reference):
    """The maximum starts at zero."""

    seen = "https://github.com/PaddlePaddle/Paddle/pull/21165"

    def row_max(self, x: Array) -> Array:
        return np.maximum(super().row_max(x), 0)


class NoShift(Reference):
    """Nothing is subtracted before exp."""

    seen = "https://github.com/uTensor/uTensor/issues/175"

    def row_max(self, x: Array) -> Array:
        return np.zeros((len(x), 1, x.shape[2]), x.dtype)


class NoShiftInDouble(Reference):
    """float64 is not shifted: exp reaches 709."""

    def row_max(self, x: Array) -> Array:
        found = super().row_max(x)
        return np.zeros_like(found) if x.dtype == np.float64 else found


class OnlineWithoutRescale(Reference):
    """An online softmax in blocks of 64 forgets to rescale its sum when the maximum grows."""

    block = 64

    def log_softmax(self, p: Problem, x: Array) -> Array:
        top = np.full((len(x), 1, x.shape[2]), -np.inf, x.dtype)
        total = np.zeros_like(top)
        for start in range(0, x.shape[1], self.block):
            part = x[:, start : start + self.block]
            top = np.maximum(top, part.max(axis=1, keepdims=True))
            total = total + np.exp(part - top).sum(axis=1, keepdims=True)
        return x - top - np.log(total)


class OnlineWithoutRescale8(OnlineWithoutRescale):
    """An online softmax in blocks of 8 forgets to rescale."""

    block = 8


class OnlineWithoutRescale1024(OnlineWithoutRescale):
    """An online softmax in blocks of 1024 forgets to rescale."""

    block = 1024


class OnlineMasked(Reference):
    """An online softmax in blocks of two gives NaN where a block is −∞ throughout."""

    seen = "https://github.com/Dao-AILab/flash-attention/issues/1930"

    def log_softmax(self, p: Problem, x: Array) -> Array:
        found = super().log_softmax(p, x)
        first = np.isneginf(x[:, :2]).all(axis=1, keepdims=True)
        return np.where(first, np.nan, found)
