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
from .copying import contiguous_copy, converted, copy, zero_rows
from .engine import DOUBLE, SINGLE, Asked, Call
from .products import Operand, Products

#: Bytes of a chunk's logits where no option says.  Not measured on a GPU.
BUDGET = 1 << 28
#: Bytes of the part of a linear weight's gradient in 16 bits that is widened at a time.
WIDENED = 1 << 26


class LinearCall:
    """A call of the linear loss whose arrays are on the GPU.

    Parameters
    ----------
    rows
        Samples of a chunk; ``None`` for a good number.
    accumulate_in
        Dtype in which chunks add up to the gradient of the linear weight.  ``None`` and the
        working type are one; a 16-bit type saves memory, and rounds after every chunk.
    matrices
        Matrices of a chunk's logits that are needed at a time.
    wide
        Whether to work in float64 whatever the operands hold.
    """

    def __init__(
        self,
        problem: Problem,
        projection: Projection,
        stream: Any,
        rows: int | None,
        accumulate_in: np.dtype[Any] | None = None,
        matrices: int = 1,
        wide: bool = False,
    ) -> None:
        self.problem, self.stream = problem, stream
        # All of them DeviceArrays here.
        self.arguments: dict[str, Any] = dict(projection.arguments())
        wide = wide or any(array.dtype.itemsize == 8 for array in self.arguments.values())
        self.whole = Call(problem, stream, wide=wide)
        self.products_of = Products(stream)
        self.working = DOUBLE if wide else SINGLE
        self.width = self.arguments["input"].shape[-1]
        self.columns = self.whole.classes * self.whole.positions
        self.features = reshaped(self.arguments["input"], (self.whole.batch, self.width))
        matrix = reshaped(self.arguments["linear_weight"], (self.columns, self.width))
        self.weight = converted(matrix, self.working, stream)
        short = accumulate_in is not None and accumulate_in.itemsize == 2
        self.sums = native(matrix.dtype) if short else self.working
        most = max(1, BUDGET // max(1, matrices * self.columns * self.working.itemsize))
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
        chunks = self._chunks()
        sums = memory.empty((len(chunks), 3, whole.classes), DOUBLE, stream)
        for number, (begin, end) in enumerate(chunks):
            self._chunk(
                begin, end, logits.part(0, end - begin), asked, losses, found,
                sums.part(number, number + 1),
            )  # fmt: skip
        loss = whole.reduced(losses)
        if "weight" in asked.names:
            found["weight"] = whole.of_weight(sums)
        return loss, self._rounded(found)

    def _chunks(self) -> list[tuple[int, int]]:
        """Return where the chunks begin and end."""
        batch = self.whole.batch
        return [(begin, min(begin + self.rows, batch)) for begin in range(0, batch, self.rows)]

    def _rounded(self, found: dict[str, DeviceArray]) -> dict[str, DeviceArray]:
        """Return gradients, those of the operands in the operands' shapes and dtypes."""
        for name, argument in self.arguments.items():
            if name in found:
                shaped = reshaped(found[name], argument.shape)
                found[name] = converted(shaped, native(argument.dtype), self.stream)
        return found

    def _zeros(self, names: Sequence[str]) -> dict[str, DeviceArray]:
        """Return where the gradients grow."""
        kinds = {
            "input": (self.features.shape, self.working),
            "linear_weight": (self.weight.shape, self.sums),
            "linear_bias": ((1, self.columns), self.working),
        }
        found = {name: memory.zeros(*kinds[name], self.stream) for name in names if name in kinds}
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
        multiply, positions = self.products_of.multiply, self.whole.positions
        part = self._part(begin, end, logits)
        features = self._features_of(self.features, begin, end, part)
        self._project(logits, self.arguments.get("linear_bias"), [(features, self.weight)])
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
            span = samples_of(losses, begin * positions, end * positions)
            part.sum_by_class(before, part.rows(before, span)[1], sums)
            of_part = of_part._replace(names=[n for n in of_part.names if n != "weight"])
        part.rows(of_part, samples_of(losses, begin * positions, end * positions))
        if "linear_bias" in operands:
            self._add_bias_gradient(logits, found["linear_bias"])
        if "input" in operands:
            gradient = found["input"].part(begin, end)
            multiply(Operand(logits), Operand(self.weight), gradient)
            if self.whole.some_ignored:
                zero_rows(gradient, part, self.stream)
        if "linear_weight" in operands:
            self._add_weight_gradient(logits, features, found["linear_weight"])

    def _features_of(self, features: DeviceArray, begin: int, end: int, part: Call) -> DeviceArray:
        """Return those of a chunk in the working type, zero where nothing may matter."""
        some_ignored = self.whole.some_ignored
        chosen = converted(
            features.part(begin, end), self.working, self.stream, always=some_ignored
        )
        if some_ignored:
            # A sample all of whose positions are ignored must not matter, whatever it holds.
            zero_rows(chosen, part, self.stream)
        return chosen

    def _project(
        self,
        out: DeviceArray,
        bias: DeviceArray | None,
        factors: Sequence[tuple[DeviceArray, DeviceArray]],
    ) -> None:
        """Write the bias, if any, and the sum of all products features·weightᵀ into ``out``."""
        if bias is not None:
            line = converted(reshaped(bias, (1, self.columns)), self.working, self.stream)
            repeated = DeviceArray(line, line.pointer, out.shape, line.dtype, (0, line.strides[1]))
            copy(repeated, out, self.stream)
        elif not factors:
            memory.clear(out, self.stream)
        for number, (features, weight) in enumerate(factors):
            add = bias is not None or number > 0
            self.products_of.multiply(Operand(features), Operand(weight, True), out, add=add)

    def _add_bias_gradient(self, logits: DeviceArray, gradient: DeviceArray) -> None:
        ones = memory.to_device(np.ones((1, logits.shape[0]), self.working), self.stream)
        self.products_of.multiply(Operand(ones), Operand(logits), gradient, add=True)

    def _add_weight_gradient(
        self, logits: DeviceArray, features: DeviceArray, gradient: DeviceArray
    ) -> None:
        """Add logitsᵀ·features; to one of 16 bits some columns of the logits at a time.

        cuBLAS adds to a matrix of 16 bits no product of others: a part of it is widened, added to,
        and rounded.
        """
        multiply = self.products_of.multiply
        if gradient.dtype == self.working:
            multiply(Operand(logits, True), Operand(features), gradient, add=True)
            return
        size = self.working.itemsize
        step = max(1, WIDENED // (size * max(1, self.width + logits.shape[0])))
        for begin in range(0, self.columns, step):
            end = min(begin + step, self.columns)
            columns = DeviceArray(
                logits,
                logits.pointer + begin * size,
                (logits.shape[0], end - begin),
                logits.dtype,
                logits.strides,
            )
            own = gradient.part(begin, end)
            widened = converted(own, self.working, self.stream)
            side_by_side = contiguous_copy(columns, self.stream)
            multiply(Operand(side_by_side, True), Operand(features), widened, add=True)
            copy(widened, own, self.stream)

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


def samples_of(losses: DeviceArray, begin: int, end: int) -> DeviceArray:
    """Return the losses of some samples."""
    return reshaped(losses, (losses.size,)).part(begin, end)
