"""Axes, shapes and memory."""
# ruff: noqa: D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

import math

import numpy as np

from conformance.protocol import Array as Buffer

from ..problem import Array, Problem, State, numpy_dtype, to_numpy, whole_buffer
from ..reference import Reference


class SoftmaxOverLastAxis(Reference):
    """The softmax runs over the last axis where it is as long as the class axis."""

    seen = "https://github.com/deeplearning4j/deeplearning4j/issues/345"

    def to_canonical(self, values: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) > 2 and shape[1] == shape[-1]:
            values = values.swapaxes(1, -1)
        return super().to_canonical(values, shape)


class SoftmaxOverFirstAxis(Reference):
    """The softmax runs over the first axis where the logits are square."""

    def to_canonical(self, values: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) == 2 and shape[0] == shape[1]:
            values = values.swapaxes(0, 1)
        return super().to_canonical(values, shape)


class ChannelsLast(Reference):
    """K-dimensional memory is read with the classes last."""

    seen = "https://github.com/keras-team/keras/pull/9715"

    def to_canonical(self, values: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) < 3:
            return super().to_canonical(values, shape)
        return values.reshape(shape[0], math.prod(shape[2:]), shape[1]).swapaxes(1, 2)


class TwoInnerAxesSwapped(Reference):
    """With two inner axes, the target's are taken in the other order where they are equal."""

    def indices(self, target: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) == 3 and shape[1] == shape[2]:
            target = target.swapaxes(1, 2)
        return super().indices(target, shape)


class ThreeInnerAxesReversed(Reference):
    """With three inner axes of the same length, the target's are reversed."""

    def indices(self, target: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) == 4:
            target = target.transpose(0, 3, 2, 1).reshape(shape)
        return super().indices(target, shape)


class ManyAxesFail(Reference):
    """More than two inner axes are not supported."""

    def to_canonical(self, values: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) > 4:
            raise NotImplementedError("too many axes")
        return super().to_canonical(values, shape)


class UnbatchedAsBatch(Reference):
    """Unbatched logits (C) are a batch of one: the unreduced loss has shape (1)."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        found = super().reduce(p, losses)
        single = p.reduction == "none" and len(p.logits_shape) == 1
        return found.reshape(1) if single else found


class UnbatchedMeanByClasses(Reference):
    """The mean of an unbatched loss over probabilities divides by C."""

    def denominator(self, p: Problem) -> Array:
        found = super().denominator(p)
        single = len(p.logits_shape) == 1 and p.q is not None
        return found * p.compute.type(p.classes) if single else found


class IgnoresStrides(Reference):
    """Arrays are read as if they were contiguous."""

    seen = "https://github.com/pytorch/pytorch/issues/67167"
    names: tuple[str, ...] = ("input", "target", "weight", "grad_output")

    def wrong(self, data: Array) -> bool:
        return not data.flags.c_contiguous

    def read(self, buffer: Buffer, name: str) -> Array:
        if name not in self.names or not self.wrong(buffer.data) or not buffer.data.size:
            return super().read(buffer, name)
        base = whole_buffer(buffer.data)
        start = buffer.data.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        first = start // base.itemsize
        places = first + np.arange(buffer.data.size)
        places = np.where(places < base.size, places, 0)
        return to_numpy(Buffer(base[places].reshape(buffer.data.shape), buffer.dtype))


class IgnoresTargetStrides(IgnoresStrides):
    """A target is read as if it were contiguous."""

    seen = "https://github.com/pytorch/pytorch/issues/72120"
    names = ("target",)


class IgnoresWeightStrides(IgnoresStrides):
    """Class weights are read as if they were contiguous."""

    names = ("weight",)


class IgnoresGradientStrides(IgnoresStrides):
    """``grad_output`` is read as if it were contiguous."""

    seen = "https://github.com/verl-project/verl/pull/6960"
    names = ("grad_output",)


class IgnoresTransposition(IgnoresStrides):
    """Only the last stride is looked at, so that a transposed input passes for contiguous."""

    seen = "https://github.com/NVIDIA/TransformerEngine/pull/2746"
    names = ("input",)

    def wrong(self, data: Array) -> bool:
        return data.ndim > 1 and data.strides[-1] == data.itemsize and super().wrong(data)


class IgnoresZeroStrides(IgnoresStrides):
    """A stride of zero is taken for the extent's."""

    seen = "https://github.com/ROCm/TransformerEngine/pull/623"

    def wrong(self, data: Array) -> bool:
        return 0 in data.strides and data.size > 1


class IgnoresNegativeStrides(IgnoresStrides):
    """A negative stride is taken for a positive one."""

    def wrong(self, data: Array) -> bool:
        return any(stride < 0 for stride in data.strides)

    def read(self, buffer: Buffer, name: str) -> Array:
        if name in self.names and self.wrong(buffer.data):
            return to_numpy(buffer)[..., ::-1]
        return Reference.read(self, buffer, name)


class ZeroStrideGradientBuffer(Reference):
    """The gradient's buffer copies a zero stride of the input: every row is the last one."""

    def backward(self, state: State, grad_output: Buffer | None, retain: bool) -> dict[str, Array]:
        found = super().backward(state, grad_output, retain)
        gradient = found["input"]
        if self.shared and gradient.ndim > 1 and len(gradient):
            found["input"] = np.broadcast_to(gradient[-1:], gradient.shape)
        return found

    shared = False

    def read(self, buffer: Buffer, name: str) -> Array:
        if name == "input":
            self.shared = 0 in buffer.data.strides
        return super().read(buffer, name)


class ReadOnlyFails(Reference):
    """A write-protected array is refused."""

    def read(self, buffer: Buffer, name: str) -> Array:
        if not buffer.data.flags.writeable and name == "input":
            raise ValueError("buffer source array is read-only")
        return super().read(buffer, name)


class NonContiguousFails(Reference):
    """The backward pass of a four-dimensional input needs contiguous memory."""

    seen = "https://github.com/pytorch/pytorch/issues/175084"
    strided = False

    def read(self, buffer: Buffer, name: str) -> Array:
        if name == "input":
            self.strided = buffer.data.ndim > 2 and not buffer.data.flags.c_contiguous
        return super().read(buffer, name)

    def backward(self, state: State, grad_output: Buffer | None, retain: bool) -> dict[str, Array]:
        if self.strided:
            raise RuntimeError("grad_input must be contiguous")
        return super().backward(state, grad_output, retain)


class GradientTransposed(Reference):
    """The gradient of a transposed input comes back in the order of its memory."""

    order = "C"

    def read(self, buffer: Buffer, name: str) -> Array:
        if name == "input":
            data = buffer.data
            fortran = data.flags.f_contiguous and not data.flags.c_contiguous
            self.order = "F" if fortran else "C"
        return super().read(buffer, name)

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        found = super().finish_gradient(state, name, gradient)
        if name == "input" and self.order == "F":
            return found.reshape(-1).reshape(found.shape, order="F")
        return found


class LossIsDouble(Reference):
    """A float32 loss comes back as float64."""

    def finish(self, p: Problem, loss: Array) -> Array:
        return loss.astype(np.float64) if p.dtype == "float32" else super().finish(p, loss)


class HalfLossIsSingle(Reference):
    """A 16-bit loss comes back as float32."""

    def finish(self, p: Problem, loss: Array) -> Array:
        return loss if p.is_half else super().finish(p, loss)


class BfloatLossIsHalf(Reference):
    """A bfloat16 loss comes back as float16."""

    def finish(self, p: Problem, loss: Array) -> Array:
        return loss.astype(np.float16) if p.dtype == "bfloat16" else super().finish(p, loss)


class DoubleComputedInSingle(Reference):
    """float64 goes through float32."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        return super().log_softmax(p, x.astype(np.float32)).astype(p.compute)


class HalfGradientIsSingle(Reference):
    """A 16-bit gradient comes back as float32."""

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        if state.problem.is_half:
            return gradient.reshape(state.problem.shapes[name])
        return super().finish_gradient(state, name, gradient)


class LossKeepsAxis(Reference):
    """A reduced loss has shape (1)."""

    def reduce(self, p: Problem, losses: Array) -> Array:
        found = super().reduce(p, losses)
        return found if p.reduction == "none" else found.reshape(1)


class NoneKeepsClassAxis(Reference):
    """Unreduced losses keep the class axis, of length one, in K dimensions."""

    def finish(self, p: Problem, loss: Array) -> Array:
        found = super().finish(p, loss)
        return np.expand_dims(found, 1) if found.ndim > 1 else found


class NoneIsFlat(Reference):
    """Unreduced losses of K dimensions come back flat."""

    def finish(self, p: Problem, loss: Array) -> Array:
        return super().finish(p, loss).reshape(-1 if loss.ndim else ())


class WeightGradientIsDouble(Reference):
    """The gradient of class weights comes back in float64."""

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        found = super().finish_gradient(state, name, gradient)
        return found.astype(numpy_dtype("float64")) if name == "weight" else found


class EmptyBatchFails(Reference):
    """A batch of zero samples is refused."""

    seen = "https://github.com/pytorch/pytorch/issues/15870"

    def row_max(self, x: Array) -> Array:
        if not x.size:
            raise ValueError("zero-size array to reduction")
        return super().row_max(x)


class EmptySumIsNan(Reference):
    """The sum over no samples is NaN."""

    def sum_samples(self, losses: Array) -> Array:
        found = super().sum_samples(losses)
        return found if losses.size else found * np.nan


class EmptyInnerFails(Reference):
    """An inner axis of length zero is refused."""

    def to_canonical(self, values: Array, shape: tuple[int, ...]) -> Array:
        if 0 in shape[1:]:
            raise ValueError("zero-size inner axis")
        return super().to_canonical(values, shape)


class OneClassIsBinary(Reference):
    """One class is taken for a binary problem."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        if p.classes == 1:
            return -np.log1p(np.exp(-x))
        return super().log_softmax(p, x)


class TwoClassesIgnoreFirst(Reference):
    """Two classes are reduced to one logit, and the first is forgotten."""

    def log_softmax(self, p: Problem, x: Array) -> Array:
        if p.classes == 2:
            x = x.copy()
            x[:, 0] = 0
        return super().log_softmax(p, x)
