"""The linear loss on a GPU along a direction of its operands, some samples at a time.

As :mod:`crossent_spec.directions` on the CPU: a second buffer beside the logits of a chunk holds
how these move, and takes the derivative of their gradient.
"""

from __future__ import annotations

from typing import Any

from ..chunks import Projection, Tangents
from ..device_array import DeviceArray, reshaped
from ..dtypes import native
from ..problem import Problem
from . import memory
from .copying import converted, zero_rows
from .engine import DOUBLE, Asked, Call
from .linear import LinearCall, samples_of
from .moving import evaluate_along
from .products import Operand


class LinearDirections(LinearCall):
    """A call of the linear loss and a direction of its operands, all of it on the GPU."""

    def __init__(
        self, problem: Problem, projection: Projection, stream: Any, tangents: Tangents
    ) -> None:
        # All of them DeviceArrays here.
        given: dict[str, Any] = {
            name: tangent for name, tangent in tangents._asdict().items() if tangent is not None
        }
        wide = any(tangent.dtype.itemsize == 8 for tangent in given.values())
        super().__init__(problem, projection, stream, None, matrices=2, wide=wide)
        features, matrix, bias = (given.get(name) for name in Tangents._fields)
        self.moved_features = None if features is None else reshaped(features, self.features.shape)
        self.moved_bias = bias
        self.moved_weight = None
        if matrix is not None:
            flat = reshaped(matrix, (self.columns, self.width))
            self.moved_weight = converted(flat, self.working, stream)

    def losses(self) -> tuple[DeviceArray, DeviceArray]:
        """Return the loss and its derivative.

        Raises
        ------
        IndexError
            A target is no class and not ignored.
        """
        whole = self.whole
        whole.prepare(Asked())
        losses = whole.losses()
        dtype = native(self.problem.dtype) if self.problem.reduction == "none" else DOUBLE
        moved_losses = memory.empty(losses.shape, dtype, self.stream)
        logits, moved = self._buffers()
        for begin, end in self._chunks():
            count = end - begin
            part, _, _ = self._both(begin, end, logits.part(0, count), moved.part(0, count))
            span = begin * whole.positions, end * whole.positions
            part.rows(Asked(), samples_of(losses, *span))
            evaluate_along(part, moved.part(0, count), samples_of(moved_losses, *span))
        return whole.reduced(losses), whole.reduced(moved_losses)

    def products(self, asked: Asked) -> dict[str, DeviceArray]:
        """Return the derivatives of the operands' gradients, in their dtypes.

        Ġ·W + G·Ẇ, Ġᵀ·F + Gᵀ·Ḟ and Σ_n Ġ.

        Raises
        ------
        IndexError
            A target is no class and not ignored.
        """
        self.whole.prepare(asked)
        found = self._zeros(tuple(self.arguments))
        logits, moved = self._buffers()
        for begin, end in self._chunks():
            count = end - begin
            self._add_products(
                begin, end, logits.part(0, count), moved.part(0, count), asked, found
            )
        return self._rounded(found)

    def _buffers(self) -> tuple[DeviceArray, DeviceArray]:
        logits, moved = (
            memory.empty((self.rows, self.columns), self.working, self.stream) for _ in range(2)
        )
        return logits, moved

    def _add_products(
        self,
        begin: int,
        end: int,
        logits: DeviceArray,
        moved: DeviceArray,
        asked: Asked,
        found: dict[str, DeviceArray],
    ) -> None:
        multiply, positions = self.products_of.multiply, self.whole.positions
        part, features, moved_features = self._both(begin, end, logits, moved)
        of_part = self._asked(begin, end, asked, ["input"])
        shape = (end - begin, self.whole.classes, positions)
        # Reduced nowhere, but a kernel writes them.
        unused = memory.empty((part.samples,), DOUBLE, self.stream)
        evaluate_along(part, moved, unused, of_part, moved)
        if "linear_bias" in found:
            self._add_bias_gradient(moved, found["linear_bias"])
        multiply(Operand(moved, True), Operand(features), found["linear_weight"], add=True)
        gradient = found["input"].part(begin, end)
        multiply(Operand(moved), Operand(self.weight), gradient)
        if moved_features is not None or self.moved_weight is not None:
            of_part = of_part._replace(out=reshaped(logits, shape))
            part.rows(of_part, unused)
        if moved_features is not None:
            multiply(
                Operand(logits, True), Operand(moved_features), found["linear_weight"], add=True
            )
        if self.moved_weight is not None:
            multiply(Operand(logits), Operand(self.moved_weight), gradient, add=True)
        if self.whole.some_ignored:
            zero_rows(gradient, part, self.stream)

    def _both(
        self, begin: int, end: int, logits: DeviceArray, moved: DeviceArray
    ) -> tuple[Call, DeviceArray, DeviceArray | None]:
        """Write logits and how they move; return their call, the features and how those move."""
        part = self._part(begin, end, logits)
        features = self._features_of(self.features, begin, end, part)
        self._project(logits, self.arguments.get("linear_bias"), [(features, self.weight)])
        moved_features, factors = None, []
        if self.moved_features is not None:
            moved_features = self._features_of(self.moved_features, begin, end, part)
            factors.append((moved_features, self.weight))
        if self.moved_weight is not None:
            factors.append((features, self.moved_weight))
        self._project(moved, self.moved_bias, factors)
        return part, features, moved_features
