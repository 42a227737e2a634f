"""A small framework in plain NumPy, correct, made of seams that faults and variants override.

It works as a framework does: in float32 for float16, bfloat16 and float32, in float64 for
float64, and rounds what it returns to the dtype of the call.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.protocol import Array as Buffer
from conformance.protocol import Call

from .problem import Array, Problem, State, numpy_dtype
from .reading import Reading


class Reference(Reading):
    """Cross entropy of the four documented systems, forward and backward."""

    #: Public threads about a real fault of this kind.
    seen: ClassVar[str] = ""

    # Numbers.

    def store(self, values: Array, dtype: str) -> Array:
        """Round to the dtype of the call."""
        return values.astype(numpy_dtype(dtype))

    def stored(self, p: Problem, values: Array) -> Array:
        """Round a result that a real framework keeps in memory, and go on with it."""
        return self.store(values, p.dtype).astype(p.compute)

    def stored_if_finite(self, p: Problem, values: Array) -> Array:
        """Round a result that is kept in memory, unless it is beyond the dtype of the call."""
        stored = self.stored(p, values)
        return np.where(np.isfinite(stored), stored, values)

    def exp(self, values: Array) -> Array:
        """Return e to the values."""
        return np.exp(values)

    def log(self, values: Array) -> Array:
        """Return the natural logarithms."""
        return np.log(values)

    def row_max(self, x: Array) -> Array:
        """Return the maximum over the classes, axis kept."""
        return x.max(axis=1, keepdims=True)

    def sum_classes(self, terms: Array) -> Array:
        """Sum over the classes, axis kept: of exponentials, and of the terms of a loss."""
        return terms.sum(axis=1, keepdims=True, dtype=terms.dtype)

    def sum_samples(self, losses: Array) -> Array:
        """Sum losses (N, D), or weights, over all samples."""
        return np.asarray(losses.sum(dtype=losses.dtype))

    # Forward.

    def project(self, p: Problem) -> Array:
        """Return the logits of the linear loss, (N, C, D)."""
        assert p.projection is not None
        classes, positions, width = p.projection.weight.shape
        flat = p.projection.features @ p.projection.weight.reshape(classes * positions, width).T
        logits = flat.reshape(-1, classes, positions)
        if p.projection.bias is not None:
            logits = logits + p.projection.bias
        return self.stored(p, logits)

    def multiply(self, p: Problem) -> Array:
        """Return the logits of the unit-scaled loss, which a float16 may be too small for."""
        return p.x if p.mult == 1.0 else p.x * p.compute.type(p.mult)

    def logits(self, p: Problem) -> Array:
        """Return what the softmax is taken of."""
        if p.projection is not None:
            return self.project(p)
        return self.multiply(p) if p.is_unit else p.x

    def log_softmax(self, p: Problem, x: Array) -> Array:  # noqa: ARG002
        """Return log softmax over the classes."""
        shifted = x - self.row_max(x)
        return shifted - self.log(self.sum_classes(self.exp(shifted)))

    def softmax(self, p: Problem, logp: Array) -> Array:  # noqa: ARG002
        """Return softmax, in the backward pass."""
        return self.exp(logp)

    def weights(self, p: Problem) -> Array:
        """Class weights as (C, 1)."""
        ones = np.ones((p.classes, 1), dtype=p.compute)
        return ones if p.w is None else p.w[:, None]

    def sample_weights(self, p: Problem) -> Array:
        """w[y_n], 0 where ignored, (N, D)."""
        assert p.y is not None
        ones = np.ones(p.y.shape, dtype=p.compute)
        return np.where(p.keep, ones if p.w is None else p.w[p.y], p.compute.type(0))

    def one_hot(self, p: Problem) -> Array:
        """Class indices as distributions, (N, C, D)."""
        assert p.y is not None
        return (np.arange(p.classes)[:, None] == p.y[:, None, :]).astype(p.compute)

    def mix_targets(self, p: Problem) -> Array:
        """(1 − ε)·target + ε/C, (N, C, D)."""
        truth = self.one_hot(p) if p.q is None else p.q
        if p.epsilon == 0:
            return truth
        one = p.compute.type(1)
        return truth * p.compute.type(one - p.epsilon) + p.compute.type(p.epsilon / p.classes)

    def at_target(self, p: Problem, logp: Array) -> Array:
        """Log p of the target's class, (N, D)."""
        assert p.y is not None
        return np.take_along_axis(logp, p.y[:, None, :], axis=1)[:, 0, :]

    def losses(self, p: Problem, logp: Array) -> Array:
        """l_n, (N, D)."""
        if p.q is not None:
            return self.probability_losses(p, logp)
        found = self.index_losses(p, logp)
        if p.epsilon != 0:
            found = self.smoothed_losses(p, logp, found)
        return self.mask_losses(p, found)

    def probability_losses(self, p: Problem, logp: Array) -> Array:
        """−Σ_c w_c·t_c·log p_c."""
        return -self.sum_classes(self.mix_targets(p) * self.weights(p) * logp)[:, 0, :]

    def index_losses(self, p: Problem, logp: Array) -> Array:
        """−w[y]·log p_y."""
        found = -self.at_target(p, logp)
        return found if p.w is None else found * p.w[p.y]

    def smoothed_losses(self, p: Problem, logp: Array, plain: Array) -> Array:
        """(1 − ε)·l + ε/C·Σ_c −w_c·log p_c."""
        uniform = self.uniform_losses(p, logp)
        return plain * p.compute.type(1 - p.epsilon) + uniform * p.compute.type(
            p.epsilon / p.classes
        )

    def uniform_losses(self, p: Problem, logp: Array) -> Array:
        """−Σ_c w_c·log p_c."""
        return -self.sum_classes(self.weights(p) * logp)[:, 0, :]

    def mask_losses(self, p: Problem, losses: Array) -> Array:
        """Give ignored samples a loss of zero."""
        return np.where(p.keep, losses, p.compute.type(0))

    def denominator(self, p: Problem) -> Any:
        """What 'mean' divides by."""
        if p.q is not None or p.is_unit:
            return p.compute.type(p.keep.size)
        return self.sum_samples(self.sample_weights(p))

    def reduce(self, p: Problem, losses: Array) -> Array:
        """Return the documented result, in the arithmetic's dtype."""
        if p.reduction == "none":
            return losses.reshape(p.sample_shape)
        total = self.sum_samples(losses)
        return self.divide(total, self.denominator(p)) if p.reduction == "mean" else total

    def divide(self, total: Array, by: Any) -> Array:
        """Divide the sum for the mean."""
        return np.asarray(total / by)

    def finish(self, p: Problem, loss: Array) -> Array:
        """Return the loss as the caller gets it."""
        return self.store(loss, p.dtype)

    def forward(self, call: Call) -> tuple[Array, State]:
        """Return the loss and what the backward pass needs."""
        with np.errstate(all="ignore"):
            p = self.problem(call)
            if p.projection is not None and p.options is not None and p.q is None:
                return self.forward_in_chunks(p)
            p = replace(p, x=self.logits(p))
            logp = self.log_softmax(p, p.x)
            losses = self.losses(p, logp)
            result = self.finish(p, self.reduce(p, losses))
            return result, self.save(State(p, logp, losses, result))

    def save(self, state: State) -> State:
        """Keep the state until the backward pass."""
        return state

    # Backward.

    def read_gradient(self, state: State, grad_output: Buffer | None) -> Array:
        """Return the gradient of the loss, scalar or (N, D)."""
        p = state.problem
        if grad_output is None:
            return np.ones((), dtype=p.compute)
        g = self.convert(self.read(grad_output, "grad_output"), p.compute)
        return g.reshape(p.keep.shape) if p.reduction == "none" else g

    def scale(self, p: Problem, g: Array) -> Array:
        """∂(g·loss)/∂l_n, (N, D)."""
        if p.reduction == "mean" and not p.is_unit:
            g = np.asarray(g / self.denominator(p))
        return np.broadcast_to(g.astype(p.compute), p.keep.shape)

    def coefficients(self, p: Problem) -> Array:
        """a_c = w_c·t_c, (N, C, D); of a class index the target's alone, whatever other weights."""
        terms = self.mix_targets(p) * self.weights(p)
        return terms if p.dense else np.where(self.one_hot(p) == 0, 0, terms).astype(p.compute)

    def grad_logits(self, p: Problem, logp: Array, scale: Array) -> Array:
        """s·(p_c·Σ a − a_c), 0 where ignored."""
        probability = self.softmax(p, logp)
        terms = self.coefficients(p)
        found = scale[:, None, :] * (probability * self.total_coefficient(p, terms) - terms)
        return self.mask_gradient(p, found)

    def total_coefficient(self, p: Problem, terms: Array) -> Array:  # noqa: ARG002
        """Σ_c a_c, axis kept."""
        return terms.sum(axis=1, keepdims=True, dtype=terms.dtype)

    def mask_gradient(self, p: Problem, gradient: Array) -> Array:
        """Give ignored samples a gradient of zero."""
        return np.where(p.keep[:, None, :], gradient, p.compute.type(0))

    def unit_factor(self, p: Problem) -> float:
        """C/√(C − 1)."""
        return p.classes / math.sqrt(p.classes - 1) if p.classes > 1 else math.inf

    def grad_target(self, p: Problem, logp: Array, scale: Array) -> Array:
        """−s·(1 − ε)·w_c·log p_c."""
        factor = scale[:, None, :] * p.compute.type(1 - p.epsilon)
        return -factor * self.weights(p) * logp

    def grad_weight(self, p: Problem, logp: Array, scale: Array) -> Array:
        """−Σ_n s_n·t_c·log p_c, of probability targets."""
        return -(scale[:, None, :] * self.mix_targets(p) * logp).sum(axis=(0, 2))

    def grad_features(self, p: Problem, gradient: Array) -> Array:
        """Return the gradient at the input of the projection."""
        assert p.projection is not None
        classes, positions, width = p.projection.weight.shape
        flat = gradient.reshape(-1, classes * positions)
        return flat @ p.projection.weight.reshape(classes * positions, width)

    def grad_linear_weight(self, p: Problem, gradient: Array) -> Array:
        """Return the gradient at the weight of the projection."""
        assert p.projection is not None
        classes, positions, _ = p.projection.weight.shape
        return gradient.reshape(-1, classes * positions).T @ p.projection.features

    def grad_linear_bias(self, p: Problem, gradient: Array) -> Array:  # noqa: ARG002
        """Return the gradient at the bias."""
        return gradient.sum(axis=0)

    def products(self, p: Problem, gradient: Array) -> dict[str, Array]:
        """Return the gradients of the operands of the projection."""
        gradient = self.stored(p, gradient)
        found = {
            "input": self.grad_features(p, gradient),
            "linear_weight": self.grad_linear_weight(p, gradient),
        }
        if "linear_bias" in p.wrt:
            found["linear_bias"] = self.grad_linear_bias(p, gradient)
        return found

    def gradients(self, state: State, g: Array) -> dict[str, Array]:
        """Return every gradient asked for, in the arithmetic's dtype."""
        p, logp = state.problem, state.logp
        scale = self.scale(p, g)
        found: dict[str, Array] = {}
        if p.is_unit:
            found["input"] = self.grad_logits(p, logp, scale) * p.compute.type(self.unit_factor(p))
        elif p.projection is None:
            found["input"] = self.grad_logits(p, logp, scale)
        else:
            found.update(self.products(p, self.grad_logits(p, logp, scale)))
        if "target" in p.wrt:
            found["target"] = self.grad_target(p, logp, scale)
        if "weight" in p.wrt:
            found["weight"] = self.grad_weight(p, logp, scale)
        return found

    def may_go_back(self, state: State) -> bool:
        """Tell whether the state still holds its gradients."""
        options, shapes = state.problem.options, state.problem.shapes
        if options is None or options.get("allow_retain_graph") or state.calls == 0:
            return True
        # A K-dimensional bias falls back to the reference path, which consumes nothing.
        return len(shapes.get("linear_bias", ())) > 1

    def backward(self, state: State, grad_output: Buffer | None, retain: bool) -> dict[str, Array]:  # noqa: ARG002
        """Return the gradient of each array of ``wrt``, in its shape and dtype."""
        with np.errstate(all="ignore"):
            if not self.may_go_back(state):
                raise RuntimeError("the gradients were consumed by the first backward")
            g = self.read_gradient(state, grad_output)
            found = self.gradients_of_chunks(state, g) if state.products else None
            if found is None:
                found = self.gradients(state, g)
            state.calls += 1
            return {
                name: self.finish_gradient(state, name, found[name]) for name in state.problem.wrt
            }

    def finish_gradient(self, state: State, name: str, gradient: Array) -> Array:
        """Return a gradient as the caller gets it."""
        return self.store(gradient.reshape(state.problem.shapes[name]), state.problem.dtype)

    # The linear loss in chunks.

    def chunk_rows(self, p: Problem) -> int:
        """Rows of one chunk."""
        assert p.options is not None
        assert p.projection is not None
        batch, width = p.projection.features.shape
        if p.options.get("batch_chunk_size"):
            return min(p.options["batch_chunk_size"], max(1, batch))
        rows = max(1, -(-batch // max(1, -(-p.classes // width))))
        return max(1, 2 ** (rows - 1).bit_length())

    def chunks(self, p: Problem) -> list[tuple[int, int]]:
        """Return where each chunk starts and ends."""
        assert p.projection is not None
        batch, size = len(p.projection.features), self.chunk_rows(p)
        return [(start, min(start + size, batch)) for start in range(0, batch, size)]

    def chunk_denominator(self, p: Problem, part: Problem) -> Any:  # noqa: ARG002
        """What the 'mean' of a chunk divides by: the whole batch's denominator."""
        return self.denominator(p)

    def accumulate(self, p: Problem, total: Array, part: Array) -> Array:  # noqa: ARG002
        """Add what a chunk contributes."""
        return total + part

    def forward_in_chunks(self, p: Problem) -> tuple[Array, State]:
        """Return the loss, and its gradients, computed with it chunk by chunk."""
        losses = np.zeros(p.keep.shape, dtype=p.compute)
        gradient = np.zeros((len(p.keep), p.classes, p.keep.shape[1]), dtype=p.compute)
        sums: dict[str, Array] = {}
        features = []
        for start, stop in self.chunks(p):
            part = p.rows(start, stop)
            part = replace(part, x=self.logits(part))
            logp = self.log_softmax(part, part.x)
            losses[start:stop] = self.losses(part, logp)
            one = np.ones((), dtype=p.compute)
            if p.reduction == "mean":
                one = np.asarray(one / self.chunk_denominator(p, part))
            scale = np.broadcast_to(one.astype(p.compute), part.keep.shape)
            gradient[start:stop] = self.grad_logits(part, logp, scale)
            if p.reduction != "none":
                for name, product in self.products(part, gradient[start:stop]).items():
                    if name == "input":
                        features.append(product)
                    elif name in sums:
                        sums[name] = self.accumulate(p, sums[name], product)
                    else:
                        sums[name] = product
        result = self.finish(p, self.reduce(p, losses))
        state = State(p, np.empty(0), losses, result, {}, gradient)
        if p.reduction != "none" and features:
            state.products = {"input": np.concatenate(features), **sums}
        else:
            state.products = {"none": gradient}
        return result, self.save(state)

    def gradients_of_chunks(self, state: State, g: Array) -> dict[str, Array]:
        """Return the gradients that the forward pass computed, times that of the loss."""
        assert state.products is not None
        assert state.gradient is not None
        p = state.problem
        if "none" in state.products:
            scale = np.broadcast_to(g, p.keep.shape)
            return self.products(p, state.gradient * scale[:, None, :])
        return {name: product * g for name, product in state.products.items()}
