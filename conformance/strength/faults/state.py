"""State between calls, repeated backward passes, and the caller's memory."""
# ruff: noqa: ARG002, D102 - a fault overrides seams, and its class says what is wrong

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.protocol import Array as Buffer
from conformance.protocol import Call

from ..problem import Array, Problem, State, whole_buffer
from ..reference import Reference


class StaleLogits(Reference):
    """The backward pass reads the probabilities of the last forward pass."""

    last: State | None = None

    def save(self, state: State) -> State:
        self.last = state
        return state

    def gradients(self, state: State, g: Array) -> dict[str, Array]:
        if self.last is not None and self.last.logp.shape == state.logp.shape:
            state = replace(state, logp=self.last.logp)
        return super().gradients(state, g)


class StaleTargets(Reference):
    """The backward pass reads the targets of the last forward pass."""

    last: Problem | None = None

    def save(self, state: State) -> State:
        self.last = state.problem
        return state

    def gradients(self, state: State, g: Array) -> dict[str, Array]:
        other = self.last
        if other is not None and other.keep.shape == state.problem.keep.shape:
            state = replace(state, problem=replace(state.problem, y=other.y, q=other.q))
        return super().gradients(state, g)


class StaleDenominator(Reference):
    """The backward pass divides by the last forward pass's denominator."""

    last: Any = None

    def denominator(self, p: Problem) -> Any:
        return self.last if self.backwards else super().denominator(p)

    def reduce(self, p: Problem, losses: Array) -> Array:
        found = super().reduce(p, losses)
        self.last = super().denominator(p)
        return found

    backwards = False

    def backward(self, state: State, grad_output: Buffer | None, retain: bool) -> dict[str, Array]:
        self.backwards = True
        try:
            return super().backward(state, grad_output, retain)
        finally:
            self.backwards = False


class StaleChunks(Reference):
    """The gradients that chunks precompute share one buffer."""

    last: State | None = None

    def save(self, state: State) -> State:
        self.last = state
        return state

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        if self.last is not None and self.last.products:
            state = replace(state, products=self.last.products, gradient=self.last.gradient)
        return super().gradients_of_chunks(state, g)


class CachedByShape(Reference):
    """A loss is cached by the shape of its input."""

    def __init__(self) -> None:
        self.cache: dict[tuple[Any, ...], Array] = {}

    def finish(self, p: Problem, loss: Array) -> Array:
        found = super().finish(p, loss)
        key = (p.system, p.logits_shape, p.dtype, p.reduction, p.epsilon, p.mult, p.w is None)
        return self.cache.setdefault(key, found)


class ReusesGradientBuffer(Reference):
    """Every backward pass writes into the same memory, so that an earlier gradient changes."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[Any, ...], Array] = {}

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        found = super().finish_gradient(state, name, gradient)
        buffer = self.buffers.setdefault((name, found.shape, found.dtype), np.empty_like(found))
        buffer[...] = found
        return buffer


class ReusesLossBuffer(Reference):
    """Every forward pass writes its loss into the same memory."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[Any, ...], Array] = {}

    def finish(self, p: Problem, loss: Array) -> Array:
        found = super().finish(p, loss)
        buffer = self.buffers.setdefault((found.shape, found.dtype), np.empty_like(found))
        buffer[...] = found
        return buffer


class SecondForward(Reference):
    """A second forward pass on the same arrays gives half the loss."""

    count = 0

    def finish(self, p: Problem, loss: Array) -> Array:
        self.count += 1
        return super().finish(p, loss if self.count == 1 else loss * p.compute.type(0.5))

    def problem(self, call: Call) -> Problem:
        key = id(call.arrays["input"].data)
        if key != self.key:
            self.count, self.key = 0, key
        return super().problem(call)

    key = 0


class OverwritesInput(Reference):
    """The logits hold log softmax afterwards."""

    seen = "https://github.com/NVIDIA/Megatron-LM/pull/1594"

    def read(self, buffer: Buffer, name: str) -> Array:
        found = super().read(buffer, name)
        if name == "input" and buffer.data.flags.writeable and found.ndim:
            kept = found.copy()
            found[...] = found - found.max(axis=-1, keepdims=True) if found.size else found
            return kept
        return found


class OverwritesInputBackward(Reference):
    """The gradient is written over the logits."""

    seen = "https://github.com/unslothai/unsloth/issues/5002"
    memory: Array | None = None

    def read(self, buffer: Buffer, name: str) -> Array:
        found = super().read(buffer, name)
        if name == "input":
            self.memory = found
        return found

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        found = super().finish_gradient(state, name, gradient)
        memory = self.memory
        writes = name == "input" and memory is not None and memory.flags.writeable
        if writes and memory is not None and memory.shape == found.shape:
            memory[...] = found
        return found


class OverwritesContiguousInput(OverwritesInputBackward):
    """Only contiguous float32 logits are overwritten by the gradient: no copy was needed."""

    seen = "https://github.com/modelscope/ms-swift/pull/10130"

    def read(self, buffer: Buffer, name: str) -> Array:
        found = super().read(buffer, name)
        plain = buffer.dtype == "float32" and buffer.data.flags.c_contiguous
        if name == "input" and not plain:
            self.memory = None
        return found


class OverwritesTarget(Reference):
    """Ignored targets are set to zero in the caller's memory."""

    def read(self, buffer: Buffer, name: str) -> Array:
        found = super().read(buffer, name)
        if name == "target" and found.dtype == np.int64 and found.flags.writeable:
            kept = found.copy()
            found[found == -100] = 0
            return kept
        return found


class OverwritesProbabilities(Reference):
    """Smoothed probabilities are written over the caller's."""

    def read(self, buffer: Buffer, name: str) -> Array:
        found = super().read(buffer, name)
        if name == "target" and self.epsilon and buffer.dtype == "float32":
            kept = found.copy()
            if found.flags.writeable:
                found *= np.float32(1 - self.epsilon)
            return kept
        return found

    epsilon = 0.0

    def arguments(self, call: Call) -> dict[str, Any]:
        found = super().arguments(call)
        self.epsilon = float(found.get("label_smoothing", 0.0))
        return found


class OverwritesWeight(Reference):
    """Class weights are normalised in the caller's memory."""

    def read(self, buffer: Buffer, name: str) -> Array:
        found = super().read(buffer, name)
        if name == "weight" and found.ndim and found.flags.writeable and found.dtype == np.float32:
            kept = found.copy()
            found /= np.float32(2)
            return kept
        return found


class OverwritesGradOutput(Reference):
    """``grad_output`` is divided in the caller's memory."""

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        found = super().read_gradient(state, grad_output)
        if grad_output is not None and grad_output.data.flags.writeable:
            found = found.copy()
            grad_output.data[...] = 0
        return found


class WritesBesideInput(Reference):
    """Stores run past a row of strided logits, into what lies between."""

    def read(self, buffer: Buffer, name: str) -> Array:
        data = buffer.data
        if name == "input" and data.size and data.strides[-1] > data.itemsize:
            found = super().read(buffer, name).copy()
            beside = whole_buffer(data)
            if beside.flags.writeable:
                beside[1] = 0
            return found
        return super().read(buffer, name)


class BackwardAccumulates(Reference):
    """A second backward pass returns the sum of both gradients."""

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        total = gradient + state.returned.get(name, 0)
        state.returned[name] = total
        return super().finish_gradient(state, name, total)


class BackwardZero(Reference):
    """A second backward pass returns zeros."""

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        found = super().finish_gradient(state, name, gradient)
        return found if state.calls == 1 else np.zeros_like(found)


class BackwardTwiceRaises(Reference):
    """A second backward pass raises, although the graph was retained."""

    def may_go_back(self, state: State) -> bool:
        return state.calls == 0


class BackwardScalesInPlace(Reference):
    """A second backward pass finds gradients that the first has scaled in place."""

    seen = "https://github.com/Dao-AILab/quack/pull/209"

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        found = super().gradients_of_chunks(state, g)
        assert state.products is not None
        if "none" not in state.products:
            state.products = found
        return found


class RetainIgnored(Reference):
    """``allow_retain_graph`` has no effect."""

    def may_go_back(self, state: State) -> bool:
        return state.problem.options is None or state.calls == 0


class ConsumedNotNoticed(Reference):
    """A second backward pass over consumed chunks does not raise."""

    def may_go_back(self, state: State) -> bool:
        return True


class ConsumedNotNoticedForSum(Reference):
    """A second backward pass over consumed chunks of a sum does not raise."""

    def may_go_back(self, state: State) -> bool:
        return super().may_go_back(state) or state.problem.reduction == "sum"


class RetainFlagEnough(Reference):
    """``retain_graph=True`` is enough for a second backward pass over chunks."""

    def backward(self, state: State, grad_output: Buffer | None, retain: bool) -> dict[str, Array]:
        found = super().backward(state, grad_output, retain)
        if retain:
            state.calls = 0
        return found


class RetainWrongGradient(Reference):
    """With ``allow_retain_graph`` the second gradient is twice the first."""

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        found = super().gradients_of_chunks(state, g)
        return {name: gradient * (1 + state.calls) for name, gradient in found.items()}
