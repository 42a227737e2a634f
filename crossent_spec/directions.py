"""The linear loss along a direction of its operands, some samples at a time.

The logits X = F·Wᵀ + b of a chunk move by Ẋ = Ḟ·Wᵀ + F·Ẇᵀ + ḃ, a second buffer beside theirs; there
the kernels turn Ẋ into the derivative Ġ of the logits' gradient G, and X into G.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chunks import Chunks, Projection, Rows, Tangents, working_dtype
from .problem import Problem

Array = NDArray[Any]
Float = NDArray[np.float64]


class Directions(Chunks):
    """A call of the linear loss and a direction of its operands, to be evaluated in chunks."""

    def __init__(self, problem: Problem, projection: Projection, tangents: Tangents) -> None:
        super().__init__(problem, projection)
        given = [tangent for tangent in tangents if tangent is not None]
        self.working = self.sums = working_dtype(*self.arguments.values(), *given)
        features, weight, bias = tangents
        self.moved_features = None if features is None else features.reshape(self.features.shape)
        self.moved_weight = None if weight is None else weight.reshape(self.weight.shape)
        self.moved_bias = None if bias is None else bias.reshape(-1)

    def losses(self) -> tuple[Float, Float]:
        """Return the losses (N, D) of the samples and their derivatives."""
        from .cpu import engine

        losses = np.zeros(self.problem.targets.keep.shape)
        moved_losses = np.zeros_like(losses)
        for part, [logits, moved] in self._parts(2):
            self._project_both(part, logits, moved)
            problem = self._problem(part, logits)
            assert problem.logits is not None
            losses[part] = engine.evaluate(problem).losses
            direction = moved.reshape(problem.logits_shape)
            moved_losses[part] = engine.derivatives_along(problem, direction)[0]
        return losses, moved_losses

    def products(self, scale: Float) -> dict[str, Array]:
        """Return the derivatives of the operands' gradients, not yet rounded to their dtypes.

        Ġ·W + G·Ẇ, Ġᵀ·F + Gᵀ·Ḟ and Σ_n Ġ, where ``scale`` (N, D) is ∂result/∂l_n.
        """
        found = self._zeros(tuple(self.arguments))
        for part, [logits, moved] in self._parts(2):
            self._add_products(part, logits, moved, scale[part], found)
        return self._in_shape(found)

    def _add_products(
        self, part: Rows, logits: Array, moved: Array, scale: Float, found: dict[str, Array]
    ) -> None:
        from .cpu import engine

        features, moved_features = self._project_both(part, logits, moved)
        problem = self._problem(part, logits)
        direction = moved.reshape(problem.logits_shape)
        engine.derivatives_along(problem, direction, scale, direction)
        if "linear_bias" in found:
            self._add_bias_gradient(moved, found["linear_bias"])
        self._add_weight_gradient(moved, features, found["linear_weight"])
        factors = [(moved, self.weight)]
        if moved_features is not None or self.moved_weight is not None:
            engine.evaluate(problem, 1.0, scale, problem.logits)
        if moved_features is not None:
            self._add_weight_gradient(logits, moved_features, found["linear_weight"])
        if self.moved_weight is not None:
            factors.append((logits, self.moved_weight))
        self._set_input_gradient(part, factors, found["input"])

    def _project_both(self, part: Rows, logits: Array, moved: Array) -> tuple[Array, Array | None]:
        """Write logits and how they move; return the features and how those move."""
        features, moved_features = self._features(self.features, part), None
        self._project(logits, self.bias, [(features, self.weight)])
        factors = []
        if self.moved_features is not None:
            moved_features = self._features(self.moved_features, part)
            factors.append((moved_features, self.weight))
        if self.moved_weight is not None:
            factors.append((features, self.moved_weight))
        if self.moved_bias is None and not factors:
            moved[...] = 0
        self._project(moved, self.moved_bias, factors)
        return features, moved_features
