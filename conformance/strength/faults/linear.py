"""The linear loss: projection, bias, chunks."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from ..problem import Array, Problem, Projection, State
from ..reference import Reference


class WeightTransposed(Reference):
    """The projection's matrix is taken transposed where it is square."""

    def projection(
        self, values: Array, weight: Array, bias: Array | None, compute: np.dtype[Any]
    ) -> Projection:
        if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
            weight = weight.T
        return super().projection(values, weight, bias, compute)


class OutFeaturesFirst(Reference):
    """The rows of the weight are read as (d1, ..., C) instead of (C, d1, ...)."""

    def projection(
        self, values: Array, weight: Array, bias: Array | None, compute: np.dtype[Any]
    ) -> Projection:
        found = super().projection(values, weight, bias, compute)
        classes, positions, width = found.weight.shape
        swapped = found.weight.reshape(positions, classes, width).swapaxes(0, 1)
        return replace(found, weight=swapped)


class OutFeaturesReversed(Reference):
    """Two out_features are read in the other order."""

    def projection(
        self, values: Array, weight: Array, bias: Array | None, compute: np.dtype[Any]
    ) -> Projection:
        if weight.ndim == 4:
            weight = weight.reshape(
                weight.shape[0], weight.shape[2], weight.shape[1], weight.shape[3]
            ).swapaxes(1, 2)
        return super().projection(values, weight, bias, compute)


class BiasForgotten(Reference):
    """The bias is not added."""

    def project(self, p: Problem) -> Array:
        assert p.projection is not None
        return super().project(replace(p, projection=replace(p.projection, bias=None)))


class BiasForgottenInChunks(BiasForgotten):
    """The bias is not added in chunks."""

    def project(self, p: Problem) -> Array:
        return super().project(p) if p.options else Reference.project(self, p)


class BiasTransposed(Reference):
    """A K-dimensional bias is read in the other order."""

    def projection(
        self, values: Array, weight: Array, bias: Array | None, compute: np.dtype[Any]
    ) -> Projection:
        found = super().projection(values, weight, bias, compute)
        if found.bias is None:
            return found
        return replace(found, bias=found.bias.reshape(found.bias.shape[::-1]).T)


class BiasPerPosition(Reference):
    """Every position gets the bias of the first."""

    def project(self, p: Problem) -> Array:
        assert p.projection is not None
        if p.projection.bias is None:
            return super().project(p)
        same = np.broadcast_to(p.projection.bias[:, :1], p.projection.bias.shape)
        return super().project(replace(p, projection=replace(p.projection, bias=same)))


class BiasAfterwards(Reference):
    """The bias is added after the softmax's maximum was taken, and again."""

    seen = "https://github.com/apple/ml-cross-entropy/issues/52"

    def project(self, p: Problem) -> Array:
        found = super().project(p)
        assert p.projection is not None
        return found if p.projection.bias is None else found + p.projection.bias


class BiasGradientNotSummed(Reference):
    """The bias's gradient is that of the first row."""

    def grad_linear_bias(self, p: Problem, gradient: Array) -> Array:
        return gradient[0] if len(gradient) else super().grad_linear_bias(p, gradient)


class BiasGradientMean(Reference):
    """The bias's gradient is averaged over the batch."""

    def grad_linear_bias(self, p: Problem, gradient: Array) -> Array:
        return super().grad_linear_bias(p, gradient) / p.compute.type(max(1, len(gradient)))


class BiasGradientOverPositions(Reference):
    """The bias's gradient is summed over the positions too."""

    def grad_linear_bias(self, p: Problem, gradient: Array) -> Array:
        found = super().grad_linear_bias(p, gradient)
        return np.broadcast_to(found.sum(axis=1, keepdims=True), found.shape)


class LinearWeightGradientZero(Reference):
    """The projection's weight gets a gradient of zero."""

    def grad_linear_weight(self, p: Problem, gradient: Array) -> Array:
        return np.zeros_like(super().grad_linear_weight(p, gradient))


class LinearWeightGradientTail(Reference):
    """The last row of a batch of more than 64 is missing in the weight's gradient."""

    def grad_linear_weight(self, p: Problem, gradient: Array) -> Array:
        assert p.projection is not None
        if len(gradient) <= 64 or len(gradient) % 2 == 0:
            return super().grad_linear_weight(p, gradient)
        cut = replace(p.projection, features=p.projection.features[:-1])
        return super().grad_linear_weight(replace(p, projection=cut), gradient[:-1])


class LinearInputGradientStored(Reference):
    """The logits' gradient is rounded to bfloat16 before the products."""

    def products(self, p: Problem, gradient: Array) -> dict[str, Array]:
        if p.dtype == "float32":
            gradient = gradient.astype(ml_dtypes.bfloat16).astype(p.compute)
        return super().products(p, gradient)


class FeatureTail8(Reference):
    """The last F % 8 features are left out of the projection, where there are more than eight."""

    lanes = 8

    def project(self, p: Problem) -> Array:
        assert p.projection is not None
        width = p.projection.features.shape[1]
        keep = width - (width % self.lanes if width > self.lanes else 0)
        cut = replace(
            p.projection,
            features=p.projection.features[:, :keep],
            weight=p.projection.weight[:, :, :keep],
        )
        return super().project(replace(p, projection=cut))


class FeatureTail128(FeatureTail8):
    """The last F % 128 features are left out of the projection."""

    lanes = 128


class ChunkRemainderDropped(Reference):
    """The last, shorter chunk is not computed."""

    def chunks(self, p: Problem) -> list[tuple[int, int]]:
        found = super().chunks(p)
        if len(found) > 1 and found[-1][1] - found[-1][0] < found[0][1]:
            return found[:-1]
        return found

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        found = super().gradients_of_chunks(state, g)
        rows = len(state.problem.keep)
        padding = np.zeros((rows - len(found["input"]), found["input"].shape[1]), g.dtype)
        return {**found, "input": np.concatenate([found["input"], padding])}


class ChunkRemainderGradientDropped(Reference):
    """The last, shorter chunk adds nothing to the weight's gradient."""

    def accumulate(self, p: Problem, total: Array, part: Array) -> Array:
        self.seen_chunks += 1
        chunks = self.chunks(p)
        last = chunks[-1][1] - chunks[-1][0] < chunks[0][1]
        names = 1 + ("linear_bias" in p.wrt)
        if last and self.seen_chunks > names * (len(chunks) - 2):
            return total
        return super().accumulate(p, total, part)

    seen_chunks = 0

    def forward_in_chunks(self, p: Problem) -> tuple[Array, State]:
        self.seen_chunks = 0
        return super().forward_in_chunks(p)


class ChunkMeanOfChunk(Reference):
    """The gradient of a mean divides by the chunk's own denominator."""

    seen = "https://github.com/NVIDIA-NeMo/Automodel/pull/3804"

    def chunk_denominator(self, p: Problem, part: Problem) -> Any:
        return self.denominator(part)


class ChunkMeansSummed(Reference):
    """The mean in chunks is the sum of the chunks' means."""

    seen = "https://github.com/NVIDIA-NeMo/Automodel/issues/3803"

    def reduce(self, p: Problem, losses: Array) -> Array:
        if not p.options or p.reduction != "mean" or p.projection is None or p.q is not None:
            return super().reduce(p, losses)
        total = p.compute.type(0)
        for start, stop in self.chunks(p):
            total = total + losses[start:stop].sum() / self.denominator(p.rows(start, stop))
        return np.asarray(total)


class ChunkMeansAveraged(ChunkMeansSummed):
    """The mean in chunks is the mean of the chunks' means."""

    seen = "https://github.com/huggingface/transformers/pull/34191"

    def reduce(self, p: Problem, losses: Array) -> Array:
        found = super().reduce(p, losses)
        if not p.options or p.reduction != "mean" or p.projection is None or p.q is not None:
            return found
        return found / p.compute.type(max(1, len(self.chunks(p))))


class ChunkOverwrites(Reference):
    """The weight's gradient is the last chunk's."""

    def accumulate(self, p: Problem, total: Array, part: Array) -> Array:
        return part


class ChunkIgnoresWeights(Reference):
    """Chunks forget the class weights."""

    def forward_in_chunks(self, p: Problem) -> tuple[Array, State]:
        return super().forward_in_chunks(replace(p, w=None))


class ChunkIgnoresSmoothing(Reference):
    """Chunks forget the label smoothing."""

    def forward_in_chunks(self, p: Problem) -> tuple[Array, State]:
        return super().forward_in_chunks(replace(p, epsilon=0.0))


class ChunkIgnoresIgnored(Reference):
    """Chunks let ignored samples take part in the gradient, as class 0."""

    def forward_in_chunks(self, p: Problem) -> tuple[Array, State]:
        found, state = super().forward_in_chunks(p)
        return found, super().forward_in_chunks(replace(p, keep=np.ones_like(p.keep)))[1] if (
            p.reduction == "sum"
        ) else state


class ChunkGradOutputForgotten(Reference):
    """Gradients that chunks precompute are not multiplied by ``grad_output``."""

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        return super().gradients_of_chunks(state, np.ones_like(g))


class ChunkGradOutputOnlyInput(Reference):
    """Of the precomputed gradients, only the input's is multiplied by ``grad_output``."""

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        found = super().gradients_of_chunks(state, g)
        if g.ndim:
            return found
        plain = super().gradients_of_chunks(state, np.ones_like(g))
        return {**plain, "input": found["input"]}


class ChunkNoneGradOutputFirst(Reference):
    """Chunks without reduction read the first element of ``grad_output``."""

    seen = "https://github.com/linkedin/Liger-Kernel/issues/968"

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        if g.ndim and g.size:
            g = np.broadcast_to(g.reshape(-1)[:1, None], g.shape)
        return super().gradients_of_chunks(state, g)


class ChunkOfOneDropsLast(Reference):
    """In chunks of one row, the last row's loss is left out."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        if p.options and p.options.get("batch_chunk_size") == 1 and len(losses) > 1:
            losses = losses.copy()
            losses[-1] = 0
        return super().reduce(p, losses)


class ChunkLargerThanBatch(Reference):
    """A chunk larger than the batch counts its padding in the mean."""

    def denominator(self, p: Problem) -> Any:
        found = super().denominator(p)
        if p.options and p.options.get("batch_chunk_size", 0) > p.keep.size:
            return found + p.compute.type(1)
        return found


class KOptionsFallBackUnbiased(Reference):
    """The K-dimensional bias is lost where options fall back to the reference path."""

    def project(self, p: Problem) -> Array:
        assert p.projection is not None
        if p.options is not None and len(p.logits_shape) > 2:
            p = replace(p, projection=replace(p.projection, bias=None))
        return super().project(p)


class LinearUnbatchedNone(Reference):
    """Unreduced losses of an unbatched linear loss have shape (1)."""

    def finish(self, p: Problem, loss: Array) -> Array:
        found = super().finish(p, loss)
        single = p.projection is not None and len(p.logits_shape) == 1
        return found.reshape(1) if single and p.reduction == "none" else found
