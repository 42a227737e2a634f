"""The linear loss on a GPU, some samples at a time: :mod:`crossent_spec.chunks` tells how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..chunks import Projection
from ..device_array import DeviceArray, reshaped
from ..dtypes import native
from ..problem import Problem, Targets
from . import memory
from .copying import converted, copy, zero_rows
from .engine import DOUBLE, SINGLE, Asked, Call
from .products import Operand, Products

#: Bytes of a chunk's logits where no option says.  Not measured on a GPU.
BUDGET = 1 << 28


class LinearCall:
    """A call of the linear loss whose arrays are on the GPU.

    Parameters
    ----------
    rows
        Samples of a chunk; ``None`` for a good number.
    """

    def __init__(
        self, problem: Problem, projection: Projection, stream: Any, rows: int | None
    ) -> None:
        self.problem, self.stream = problem, stream
        # All of them DeviceArrays here.
        self.arguments: dict[str, Any] = dict(projection.arguments())
        wide = any(array.dtype.itemsize == 8 for array in self.arguments.values())
        self.whole = Call(problem, stream, wide=wide)
        self.products = Products(stream)
        self.working = DOUBLE if wide else SINGLE
        self.width = self.arguments["input"].shape[-1]
        self.columns = self.whole.classes * self.whole.positions
        self.features = reshaped(self.arguments["input"], (self.whole.batch, self.width))
        matrix = reshaped(self.arguments["linear_weight"], (self.columns, self.width))
        self.weight = converted(matrix, self.working, stream)
        most = max(1, BUDGET // max(1, self.columns * self.working.itemsize))
        self.rows = max(1, min(most if rows is None else rows, self.whole.batch))

    def evaluate(self, asked: Asked) -> tuple[DeviceArray, dict[str, DeviceArray]]:
        """Return the loss and the gradients that are asked for, in their arguments' dtypes.

        Raises
        ------
        IndexError
            A target is no class and not ignored.
        """
        whole, stream = self.whole, self.stream
        whole.prepare(asked)
        losses = whole.losses()
        found = self._zeros(asked.names)
        logits = memory.empty((self.rows, self.columns), self.working, stream)
        chunks = [
            (begin, min(begin + self.rows, whole.batch))
            for begin in range(0, whole.batch, self.rows)
        ]
        sums = memory.empty((len(chunks), 3, whole.classes), DOUBLE, stream)
        for number, (begin, end) in enumerate(chunks):
            self._chunk(
                begin, end, logits.part(0, end - begin), asked, losses, found,
                sums.part(number, number + 1),
            )  # fmt: skip
        loss = whole.reduced(losses)
        if "weight" in asked.names:
            found["weight"] = whole.of_weight(sums)
        for name, argument in self.arguments.items():
            if name in found:
                shaped = reshaped(found[name], argument.shape)
                found[name] = converted(shaped, native(argument.dtype), stream)
        return loss, found

    def _zeros(self, names: Sequence[str]) -> dict[str, DeviceArray]:
        """Return where the gradients grow."""
        shapes = {
            "input": self.features.shape,
            "linear_weight": self.weight.shape,
            "linear_bias": (1, self.columns),
        }
        found = {
            name: memory.to_device(np.zeros(shapes[name], self.working), self.stream)
            for name in names
            if name in shapes
        }
        if "target" in names:
            original: Any = self.problem.targets.original
            found["target"] = memory.empty(original.shape, native(original.dtype), self.stream)
        return found

    def _chunk(
        self,
        begin: int,
        end: int,
        logits: DeviceArray,
        asked: Asked,
        losses: DeviceArray,
        found: dict[str, DeviceArray],
        sums: DeviceArray,
    ) -> None:
        """Evaluate some samples, and add what they give to the gradients."""
        multiply, positions = self.products.multiply, self.whole.positions
        part = self._part(begin, end, logits)
        some_ignored = self.whole.some_ignored
        features = converted(
            self.features.part(begin, end), self.working, self.stream, always=some_ignored
        )
        if some_ignored:
            # A sample all of whose positions are ignored must not matter, whatever it holds.
            zero_rows(features, part, self.stream)
        self._project(features, logits)
        operands = [name for name in self.arguments if name in asked.names]
        names = [name for name in ("target", "weight") if name in asked.names]
        of_part = self._asked(begin, end, asked, [*names, *(["input"] if operands else [])])
        shape = (end - begin, self.whole.classes, positions)
        of_part = of_part._replace(out=reshaped(logits, shape) if operands else None)
        if "target" in names:
            whole = found["target"]
            batched = whole if whole.ndim > 1 else reshaped(whole, (1, *whole.shape))
            of_part = of_part._replace(out_target=batched.part(begin, end))
        if "weight" in names:
            # Before the gradient takes the logits' place.
            before = of_part._replace(names=("weight",), out=None, out_target=None)
            span = _samples(losses, begin * positions, end * positions)
            part.sum_by_class(before, part.rows(before, span)[1], sums)
            of_part = of_part._replace(names=[n for n in of_part.names if n != "weight"])
        part.rows(of_part, _samples(losses, begin * positions, end * positions))
        if "linear_bias" in operands:
            ones = memory.to_device(np.ones((1, end - begin), self.working), self.stream)
            multiply(Operand(ones), Operand(logits), found["linear_bias"], add=True)
        if "input" in operands:
            gradient = found["input"].part(begin, end)
            multiply(Operand(logits), Operand(self.weight), gradient)
            if some_ignored:
                zero_rows(gradient, part, self.stream)
        if "linear_weight" in operands:
            multiply(Operand(logits, True), Operand(features), found["linear_weight"], add=True)

    def _project(self, features: DeviceArray, logits: DeviceArray) -> None:
        bias = self.arguments.get("linear_bias")
        if bias is not None:
            line = converted(reshaped(bias, (1, self.columns)), self.working, self.stream)
            repeated = DeviceArray(
                line, line.pointer, logits.shape, line.dtype, (0, line.strides[1])
            )
            copy(repeated, logits, self.stream)
        self.products.multiply(
            Operand(features), Operand(self.weight, True), logits, add=bias is not None
        )

    def _part(self, begin: int, end: int, logits: DeviceArray) -> Call:
        """Return the call of a chunk's samples, whose losses are not reduced here."""
        targets: Any = self.problem.targets
        shape = (end - begin, self.whole.classes, self.whole.positions)
        canonical: Any = reshaped(logits, shape)
        return Call(
            replace(
                self.problem,
                logits=canonical,
                logits_shape=shape,
                dtype=self.working,
                targets=Targets(
                    None if targets.indices is None else targets.indices.part(begin, end),
                    targets.keep[begin:end],
                    None
                    if targets.probabilities is None
                    else targets.probabilities.part(begin, end),
                    targets.original,
                    targets.ignore_index,
                ),
            ),
            self.stream,
            constants=self.whole.constants,
        )

    def _asked(self, begin: int, end: int, asked: Asked, names: Sequence[str]) -> Asked:
        """Return what is asked of a chunk; gradients of single losses are those of its own."""
        given = asked.grad_output
        if isinstance(given, DeviceArray) and self.problem.reduction == "none":
            positions = self.whole.positions
            run = converted(reshaped(given, (given.size,)), native(given.dtype), self.stream)
            given = run.part(begin * positions, end * positions)
        return Asked(names, given)


def _samples(losses: DeviceArray, begin: int, end: int) -> DeviceArray:
    return reshaped(losses, (losses.size,)).part(begin, end)
