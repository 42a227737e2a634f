"""The linear loss and its gradients, some samples at a time.

The logits of a chunk are a matrix product into one buffer; there the kernels turn them into their
own gradient; two more products lead from it to the gradients of input and linear weight, which
the latter's is added to where it lies.  Nothing of the size of all logits exists, whatever the
mode, and a sample all of whose positions are ignored takes part in nothing.

Products are those of BLAS in the working type: float64 if an operand is, otherwise float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dtypes import native, round_to
from .problem import Problem, Targets

Array = NDArray[Any]
Float = NDArray[np.float64]
Rows = slice | NDArray[np.intp]

#: Most bytes of a chunk where no option says, or a quarter of the linear weight's if that is more:
#: BLAS packs the weight anew for every chunk, which short chunks do not repay.
BUDGET = 52_000_000
#: Below the budget a chunk takes about as many bytes as the operands, but has so many rows at
#: least; more than the second number make no product faster.
FEW_ROWS, ROWS = 512, 2048
#: Rows of which BLAS leaves no remainder that it would multiply more slowly.
STEP = 16
#: Columns of logits that a thread takes to the linear weight's gradient at a time: BLAS packs them.
COLUMNS = 2048


@dataclass(frozen=True)
class Projection:
    """The linear part of a call: arrays as the caller gave them."""

    input: Array
    weight: Array
    bias: Array | None

    @property
    def batch(self) -> int:
        """N, 1 for unbatched input."""
        return math.prod(self.input.shape[:-1])

    @property
    def positions(self) -> int:
        """d1·…·dK."""
        return math.prod(self.weight.shape[1:-1])

    def arguments(self) -> dict[str, Array]:
        """Return the operands that the call has, by name."""
        found = {"input": self.input, "linear_weight": self.weight}
        return found if self.bias is None else {**found, "linear_bias": self.bias}


class Chunking(NamedTuple):
    """Samples of a chunk, and where chunks add up; ``None`` leaves it to the library."""

    rows: int | None = None
    accumulate_in: np.dtype[Any] | None = None


class Tangents(NamedTuple):
    """Tangents of the operands, in their shapes; ``None`` is zero."""

    input: Array | None = None
    linear_weight: Array | None = None
    linear_bias: Array | None = None


class Chunks:
    """A call of the linear loss, to be evaluated in chunks.

    Parameters
    ----------
    rows
        Samples of a chunk; ``None`` for a good number.
    accumulate_in
        Dtype in which chunks add up to the gradient of the linear weight.  ``None`` and the
        working type are one; a 16-bit type saves memory, and rounds after every chunk.
    """

    def __init__(
        self,
        problem: Problem,
        projection: Projection,
        rows: int | None = None,
        accumulate_in: np.dtype[Any] | None = None,
    ) -> None:
        self.problem = problem
        self.arguments = projection.arguments()
        self.classes, self.width = projection.weight.shape[0], projection.weight.shape[-1]
        self.positions = projection.positions
        self.features = projection.input.reshape(projection.batch, self.width)
        self.weight = projection.weight.reshape(self.classes * self.positions, self.width)
        self.bias = None if projection.bias is None else projection.bias.reshape(-1)
        self.working = working_dtype(*self.arguments.values())
        self.sums = (
            native(projection.weight.dtype)
            if accumulate_in is not None and accumulate_in.itemsize == 2
            else self.working
        )
        self.rows = rows

    def evaluate(
        self, scale: Float | None = None, names: Sequence[str] = ()
    ) -> tuple[Float, dict[str, Array]]:
        """Return the losses (N, D) of the samples and the gradients of the named arguments.

        The gradients have their arguments' shapes, but are not yet rounded to their dtypes.

        Parameters
        ----------
        scale
            (N, D) ∂result/∂l_n, for gradients.
        """
        from .cpu import engine

        losses = np.zeros(self.problem.targets.keep.shape)
        found = self._zeros(names)
        for part, [logits] in self._parts(1):
            own = None if scale is None else scale[part]
            losses[part] = self._chunk(part, logits, own, found)
        if "weight" in found and scale is not None:
            with np.errstate(all="ignore"):
                found["weight"] += engine.weight_in_denominator(self.problem, scale, losses)
        return losses, self._in_shape(found)

    def _parts(self, count: int) -> Iterator[tuple[Rows, list[Array]]]:
        """Yield the samples of every chunk, and matrices of their logits' shape.

        Which hold anything, and serve the next chunk again.
        """
        keep = self.problem.targets.keep
        kept = np.flatnonzero(keep.any(axis=1))
        rows = self._rows_of_chunk(kept.size, count)
        memory = [np.empty((rows, len(self.weight)), self.working) for _ in range(count)]
        for begin in range(0, kept.size, rows):
            end = min(begin + rows, kept.size)
            # All samples need no gathering, nor their gradients a place to wait.
            part = slice(begin, end) if kept.size == len(keep) else kept[begin:end]
            yield part, [matrix[: end - begin] for matrix in memory]

    def _zeros(self, names: Sequence[str]) -> dict[str, Array]:
        """Return where the gradients grow."""
        logits = (len(self.features), self.classes, self.positions)
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "input": (self.features.shape, self.working),
            "linear_weight": (self.weight.shape, self.sums),
            "linear_bias": ((len(self.weight),), np.float64),
            "target": (logits, working_dtype(self.problem.targets.original)),
            "weight": ((self.classes,), np.float64),
        }
        return {name: np.zeros(*shapes[name]) for name in names}

    def _in_shape(self, found: dict[str, Array]) -> dict[str, Array]:
        """Return gradients in the shapes of their arguments."""
        arguments = {**self.arguments, "target": self.problem.targets.original}
        return {
            name: gradient.reshape(arguments[name].shape) if name in arguments else gradient
            for name, gradient in found.items()
        }

    def _rows_of_chunk(self, samples: int, matrices: int) -> int:
        """Return the option's rows, or as many as the budget has memory for."""
        if self.rows is not None:
            return max(1, min(self.rows, samples))
        size = self.working.itemsize
        row = matrices * len(self.weight) * size
        if samples < len(self.features):
            row += 2 * self.width * size  # gathered features, and their gradients
        probabilities = self.problem.targets.probabilities
        if probabilities is not None and probabilities.dtype != self.working:
            row += 8 * len(self.weight)  # converted by the kernels
        operands = (self.features.size + self.weight.size) * size
        few = max(operands * 9 // 8, FEW_ROWS * row)
        most = max(min(BUDGET, few), self.weight.size * size // 4) // max(1, row)
        most = max(1, min(ROWS, most))
        step = STEP if most >= STEP else 1
        most -= most % step
        # As many chunks as need be, all of about the same size.
        rows = -(-samples // max(1, -(-samples // most)))
        return min(-(-rows // step) * step, samples) or 1

    def _chunk(
        self, part: Rows, logits: Array, scale: Float | None, found: dict[str, Array]
    ) -> Float:
        """Evaluate some samples, and add what they give to the gradients."""
        from .cpu import engine

        features = self._features(self.features, part)
        self._project(logits, self.bias, [(features, self.weight)])
        if scale is not None and ("target" in found or "weight" in found):
            self._add_dense_gradients(part, logits, scale, found)
        problem = self._problem(part, logits)
        if scale is None or not any(name in self.arguments for name in found):
            return engine.evaluate(problem).losses
        losses = engine.evaluate(problem, 1.0, scale, problem.logits).losses
        if "linear_bias" in found:
            self._add_bias_gradient(logits, found["linear_bias"])
        if "input" in found:
            self._set_input_gradient(part, [(logits, self.weight)], found["input"])
        if "linear_weight" in found:
            self._add_weight_gradient(logits, features, found["linear_weight"])
        return losses

    def _features(self, features: Array, part: Rows) -> Array:
        """Return those of a chunk: a view if BLAS can take it."""
        from .cpu.products import fits

        found = features[part]
        if found.dtype == self.working and fits(found):
            return found
        # A copy even of adjacent columns, which may not be aligned.
        return np.array(found, self.working, order="C")

    def _project(
        self, out: Array, bias: Array | None, factors: Sequence[tuple[Array, Array]]
    ) -> None:
        """Write the bias, if any, and the sum of all products features·weightᵀ into ``out``."""
        from .cpu import threads
        from .cpu.products import multiply
        from .cpu.widening import blocks

        if bias is not None:
            row = bias.astype(self.working)
            threads.in_parts(lambda a, b: np.copyto(out[a:b], row), len(out), 16)
        for number, (features, weight) in enumerate(factors):
            add = bias is not None or number > 0
            for place, block in blocks(weight, self.working):
                multiply(features, block.T, out[:, place], add)

    def _problem(self, part: Rows, logits: Array) -> Problem:
        """Return the problem of a chunk's samples, whose losses are not reduced."""
        targets = self.problem.targets
        shape = (len(logits), self.classes, self.positions)
        return replace(
            self.problem,
            logits=logits.reshape(shape),
            logits_shape=shape,
            dtype=self.working,
            targets=Targets(
                None if targets.indices is None else targets.indices[part],
                targets.keep[part],
                None if targets.probabilities is None else targets.probabilities[part],
                targets.original,
            ),
            reduction="none",
        )

    def _add_bias_gradient(self, logits: Array, gradient: Array) -> None:
        from .cpu.products import multiply

        of_chunk = np.empty((1, len(self.weight)), self.working)
        multiply(np.ones((1, len(logits)), self.working), logits, of_chunk)
        gradient += of_chunk[0]

    def _set_input_gradient(
        self, part: Rows, factors: Sequence[tuple[Array, Array]], gradient: Array
    ) -> None:
        """Write the sum of all products logits·weight, of some samples."""
        from .cpu.products import multiply
        from .cpu.widening import blocks

        whole = isinstance(part, slice)
        count = len(factors[0][0])
        out = gradient[part] if whole else np.empty((count, self.width), self.working)
        for number, (logits, weight) in enumerate(factors):
            for place, block in blocks(weight, self.working):
                multiply(logits[:, place], block, out, add=number > 0 or place.start > 0)
        if not whole:
            gradient[part] = out

    def _add_weight_gradient(self, logits: Array, features: Array, gradient: Array) -> None:
        from .cpu import threads
        from .cpu.products import multiply
        from .cpu.widening import blocks

        step = COLUMNS * threads.thread_count()
        for place, block in blocks(gradient, self.working):
            columns = logits[:, place]
            for begin in range(0, len(block), step):
                part = slice(begin, begin + step)
                multiply(columns[:, part].T, features, block[part], add=True)
            if gradient.dtype != self.working:
                gradient[place] = rounded(block, gradient.dtype)

    def _add_dense_gradients(
        self, part: Rows, logits: Array, scale: Float, found: dict[str, Array]
    ) -> None:
        """Add the gradients of probabilities and class weights.

        Without what the denominator of a mean adds, which concerns all samples.
        """
        from .cpu import engine

        problem = self._problem(part, logits)
        target = None
        if "target" in found:
            shape = (len(logits), self.classes, self.positions)
            target = np.empty(shape, found["target"].dtype)
        sums = engine.target_and_weight(problem, scale, 1.0, target, "weight" in found)
        if target is not None:
            found["target"][part] = target
        if "weight" in found:
            found["weight"] += sums


def working_dtype(*arrays: Array) -> np.dtype[Any]:
    """Return the type of products: float64 if an operand is, otherwise float32."""
    wide = any(array.dtype.name == "float64" for array in arrays)
    return np.dtype(np.float64 if wide else np.float32)


def rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Round to a dtype, once; the values themselves if they are of that dtype."""
    if values.dtype == native(dtype):
        return values
    if values.dtype == np.float64:
        return round_to(values, dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return values.astype(native(dtype))
