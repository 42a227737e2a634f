"""From a validated problem on the GPU, through the kernels, to results on the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..device_array import DeviceArray, reshaped
from ..dtypes import native
from ..problem import Problem
from . import memory, reductions
from .copying import contiguous_copy, copy
from .geometry import Layout, choose, planned
from .launching import launch
from .rows import MOST, NOWHERE, Place, rows
from .steep import write_steep

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)
#: A class axis any longer could not be counted in 32 bits.
MOST_CLASSES = 2**31 - 2**21
#: Groups of samples whose parts of the class weights' gradient are added in order.
GROUPS = 64


class Asked(NamedTuple):
    """What to compute besides the loss.

    Attributes
    ----------
    names
        Arguments to differentiate by.
    grad_output
        Of each loss or of the reduced one; a number on the host, an array on the GPU.
    gain
        A further factor of the logits' gradient.
    out, out_target
        Where the gradients of logits and probabilities go, in their documented shapes; the
        former may be the logits.
    """

    names: Sequence[str] = ()
    grad_output: DeviceArray | float = 1.0
    gain: float = 1.0
    out: DeviceArray | None = None
    out_target: DeviceArray | None = None


class Call:
    """A problem whose arrays are on the GPU, as kernels take it.

    Parameters
    ----------
    problem
        Canonical.
    mult
        Multiplier of the logits.
    unit
        Whether a mean divides by the number of losses, and its gradient by nothing.
    stream
        Where everything runs.
    constants
        Of the call that this one is a part of, see :mod:`.reductions`.
    wide
        Whether to compute in float64 whatever the arrays hold.
    """

    def __init__(
        self,
        problem: Problem,
        stream: Any,
        mult: float = 1.0,
        unit: bool = False,
        constants: DeviceArray | None = None,
        wide: bool = False,
    ) -> None:
        # All of them DeviceArrays here.
        logits: Any = problem.logits
        targets: Any = problem.targets
        weight: Any = problem.weight
        self.problem, self.stream = problem, stream
        self.mult, self.unit = mult, unit
        self.classes = classes_of(problem)
        self.batch, self.positions = targets.keep.shape
        if self.classes > MOST_CLASSES:
            raise ValueError(
                f"input: got {self.classes} classes, a GPU can do at most {MOST_CLASSES}"
            )
        self.samples = self.batch * self.positions
        self.logits: Any = logits
        self.probabilities: Any = targets.probabilities
        self.wide = wide or any(
            array is not None and array.dtype.itemsize == 8
            for array in (logits, self.probabilities, weight)
        )
        self.real = np.float64 if self.wide else np.float32
        self.constants = (
            memory.empty((reductions.CONSTANTS,), DOUBLE, stream)
            if constants is None
            else constants
        )
        # Stands for whatever a kernel does not touch.
        self.nothing = memory.memory_of(self.constants)
        self.x, self.x_place = self.nothing, NOWHERE
        if logits is not None:
            self.x, self.x_place = memory.place(logits)
        self.y, self.y_place = self.nothing, NOWHERE
        self.q, self.q_place = self.nothing, NOWHERE
        self.ignoring, self.ignored = False, 0
        self.some_ignored = False
        if targets.indices is None:
            self.q, self.q_place = memory.place(self.probabilities)
        else:
            (self.y, self.y_place), (self.ignoring, self.ignored) = _indices(targets)
        self.weight = None if weight is None else _in_one_run(weight, stream)
        self.w = self.nothing if self.weight is None else memory.memory_of(self.weight)
        self.sharp = 1.0 - problem.label_smoothing
        self.uniform = problem.label_smoothing / self.classes

    def evaluate(self, asked: Asked) -> tuple[DeviceArray, dict[str, DeviceArray]]:
        """Return the loss and the gradients that are asked for.

        Raises
        ------
        IndexError
            A target is no class and not ignored; before anything is written.
        """
        self.prepare(asked)
        losses = self.losses()
        if "weight" in asked.names:
            groups = max(1, min(GROUPS, self.samples // 64))
            sums = memory.empty((groups, 3, self.classes), DOUBLE, self.stream)
            # Before the gradient takes the logits' place.
            before = asked if asked.out is None else asked._replace(names=("weight",), out=None)
            found, per_sample = self.rows(before, losses)
            self.sum_by_class(asked, per_sample, sums)
            asked = asked._replace(names=[name for name in asked.names if name != "weight"])
            if asked.out is not None:
                found, _ = self.rows(asked, losses)
            loss = self.reduced(losses)
            return loss, {**found, "weight": self.of_weight(sums)}
        found, _ = self.rows(asked, losses)
        return self.reduced(losses), found

    @property
    def mean(self) -> bool:
        """Whether the losses' sum is divided."""
        return self.problem.reduction == "mean"

    def losses(self) -> DeviceArray:
        """Return where the losses go: they are the result, or will be reduced to it."""
        if self.problem.reduction == "none":
            return memory.empty(self.problem.loss_shape, native(self.problem.dtype), self.stream)
        return memory.empty((self.samples,), np.dtype(self.real), self.stream)

    def _launch(self, kernel: Any, blocks: Any, threads: int, *arguments: Any) -> None:
        launch(kernel, blocks, threads, self.stream, *arguments)

    def _empty(self, *shape: int, dtype: Any = DOUBLE) -> tuple[DeviceArray, Any]:
        array = memory.empty(shape, np.dtype(dtype), self.stream)
        return array, memory.memory_of(array)

    def prepare(self, asked: Asked) -> None:
        """Check the targets, and compute the constants.

        Raises
        ------
        IndexError
            A target is no class and not ignored.
        """
        given = asked.grad_output
        factor = 1.0 if isinstance(given, DeviceArray) else float(given)
        divided = self.mean and not self.unit
        counted = divided and self.probabilities is None
        sums, parts = self._survey() if self.probabilities is None else (self.nothing, 0)
        threads = reductions.THREADS if max(parts, self.classes) > 32 else 32
        self._launch(
            reductions.prepare(threads), 1, threads, sums, parts, counted,
            np.float64(self.samples), np.float64(factor), divided, self.w,
            self.weight is not None, self.classes, np.float64(self.uniform), self.nothing,
        )  # fmt: skip

    def _survey(self) -> tuple[Any, int]:
        """Check class indices; return the parts of the sum of their weights."""
        if not self.samples:
            return self.nothing, 0
        threads, blocks = _grid(self.samples)
        _, sums = self._empty(blocks)
        found = memory.to_device(np.array([self.samples, 0]), self.stream)
        self._launch(
            reductions.survey(threads, self.weight is not None), blocks, threads, self.y,
            self.y_place, self.ignoring, self.ignored, self.samples, self.positions,
            self.classes, self.w, sums, memory.memory_of(found),
        )  # fmt: skip
        first, ignored = (int(number) for number in memory.to_host(found, self.stream))
        self.some_ignored = ignored > 0
        if first < self.samples:
            targets: Any = self.problem.targets
            shape = targets.original.shape
            position = tuple(int(i) for i in np.unravel_index(first, shape)) if shape else ()
            value = memory.to_host(targets.original, self.stream)[position]
            raise IndexError(
                f"target: got class {value} at position {position}, expected values in "
                f"[0, {self.classes}) or ignore_index ({targets.ignore_index})"
            )
        return sums, blocks

    def scales(self, given: DeviceArray | float) -> tuple[Any, int]:
        """Return the gradients of losses that are on the GPU, and their step between samples."""
        if not isinstance(given, DeviceArray):
            return self.nothing, -1
        step = 1 if self.problem.reduction == "none" else 0
        return memory.memory_of(_in_one_run(given, self.stream)), step

    def rows(
        self, asked: Asked, losses: DeviceArray
    ) -> tuple[dict[str, DeviceArray], tuple[Any, Any]]:
        """Evaluate losses and dense gradients, and per sample m and log(1 + R) if needed."""
        scales, step = self.scales(asked.grad_output)
        problem, names = self.problem, asked.names
        found: dict[str, DeviceArray] = {}
        out, out_place = self.nothing, None
        of_target, target_place = self.nothing, NOWHERE
        waiting = None
        if "input" in names:
            dtype = native(problem.dtype)
            buffer = asked.out or memory.empty(problem.logits_shape, dtype, self.stream)
            found["input"] = buffer
            written = buffer.merged(self.logits.shape)
            if written is None:
                # Its positions do not lie in one run: copied there at the end.
                written = waiting = memory.empty(self.logits.shape, dtype, self.stream)
            out, out_place = memory.place(written)
        if "target" in names:
            original: Any = problem.targets.original
            found["target"] = asked.out_target or memory.empty(
                original.shape, native(original.dtype), self.stream
            )
            of_target, target_place = memory.place(reshaped(found["target"], self.logits.shape))
        tops = logs = marks = self.nothing
        watch = ("input" in names or "target" in names) and self.may_be_steep(asked)
        if watch:
            _, marks = self._empty(self.samples, dtype=self.real)
        if "weight" in names:
            tops, logs = (self._empty(self.samples, dtype=self.real)[1] for _ in range(2))
        if not self.samples:
            return found, (tops, logs)
        shape = choose(
            Layout(
                self.samples, self.classes, self.positions > 1, self.logits.dtype.itemsize,
                0 if self.probabilities is None else self.probabilities.dtype.itemsize,
                self.x_place, None if self.probabilities is None else self.q_place, out_place,
                self.wide,
            )
        )  # fmt: skip
        kernel = rows(
            planned(
                shape,
                wide=self.wide,
                probabilities=self.probabilities is not None,
                smooth=problem.label_smoothing != 0,
                weighted=self.weight is not None,
                scaled=self.mult != 1,
                gradient="input" in names,
                target_gradient="target" in names,
                remember="weight" in names,
                watch=watch,
                spatial=self.positions > 1,
                twice=self.wide and self.logits.dtype.itemsize == 2,
                twice_losses=self.wide and losses.dtype.itemsize == 2,
                twice_target=self.wide
                and self.probabilities is not None
                and self.probabilities.dtype.itemsize == 2,
            )
        )
        block = shape.block(self.samples)
        self._launch(
            kernel, -(-self.samples * shape.threads // block), block, self.x, self.x_place,
            self.y, self.y_place, self.q, self.q_place, self.w, self.ignoring, self.ignored,
            self.samples, self.positions, self.classes, self.real(self.sharp),
            self.real(self.uniform), self.real(self.mult), self.real(asked.gain), self.nothing,
            scales, step, memory.memory_of(losses), out, out_place or NOWHERE, of_target,
            target_place, tops, logs, marks,
        )  # fmt: skip
        if watch:
            write_steep(
                self, asked.gain, (scales, step), (out, out_place) if out_place else None,
                (of_target, target_place) if "target" in names else None, marks,
            )  # fmt: skip
        if waiting is not None:
            copy(reshaped(waiting, found["input"].shape), found["input"], self.stream)
        return found, (tops, logs)

    def may_be_steep(self, asked: Asked) -> bool:
        """Tell whether a sample's exponentials may be multiplied by :data:`.rows.MOST` or more.

        What is on the GPU might be anything.  With neither class weights nor probabilities A is 1,
        and a mean divides by 1 at least where anything counts.
        """
        given = asked.grad_output
        return (
            isinstance(given, DeviceArray)
            or self.weight is not None
            or self.probabilities is not None
            or not abs(given * asked.gain) < MOST
        )

    def reduced(self, losses: DeviceArray) -> DeviceArray:
        """Return the losses, their sum or their mean."""
        if self.problem.reduction == "none":
            return losses
        dtype = native(self.problem.dtype)
        threads, blocks = _grid(self.samples)
        _, sums = self._empty(max(1, blocks))
        if blocks:
            self._launch(
                reductions.sum_losses(threads), blocks, threads, memory.memory_of(losses),
                self.samples, sums,
            )  # fmt: skip
        loss = memory.empty((), dtype, self.stream)
        threads = reductions.THREADS if blocks > 32 else 32
        self._launch(
            reductions.finish_loss(threads, dtype.itemsize == 2), 1, threads, sums, blocks,
            self.mean, self.nothing, memory.memory_of(loss),
        )  # fmt: skip
        return loss

    def sum_by_class(self, asked: Asked, per_sample: tuple[Any, Any], sums: DeviceArray) -> None:
        """Sum the samples' parts of the class weights' gradient, in as many groups as asked."""
        scales, step = self.scales(asked.grad_output)
        threads, blocks = self._class_grid()
        self._launch(
            reductions.class_sums(
                self.probabilities is not None, self.problem.label_smoothing != 0
            ),
            (blocks, sums.shape[0]), threads, self.x, self.x_place, self.y, self.y_place, self.q,
            self.q_place, self.ignoring, self.ignored, self.samples, self.positions,
            self.classes, np.float64(self.sharp), np.float64(self.uniform),
            np.float64(self.mult), self.nothing, scales, step, *per_sample,
            memory.memory_of(sums),
        )  # fmt: skip

    def of_weight(self, sums: DeviceArray) -> DeviceArray:
        """Return the gradient of the class weights, once the loss is reduced."""
        assert self.weight is not None
        threads, blocks = self._class_grid()
        dtype = native(self.weight.dtype)
        gradient = memory.empty((self.classes,), dtype, self.stream)
        self._launch(
            reductions.finish_classes(dtype.itemsize == 2), blocks, threads,
            memory.memory_of(sums), sums.shape[0], self.classes,
            self.mean and self.probabilities is None, self.nothing, memory.memory_of(gradient),
        )  # fmt: skip
        return gradient

    def _class_grid(self) -> tuple[int, int]:
        threads = min(reductions.THREADS, max(32, 1 << (self.classes - 1).bit_length()))
        return threads, -(-self.classes // threads)


def classes_of(problem: Problem) -> int:
    """Return C."""
    return problem.logits_shape[0 if len(problem.logits_shape) == 1 else 1]


def _indices(targets: Any) -> tuple[tuple[Any, Place], tuple[bool, int]]:
    """Return class indices as kernels take them, and whether and which target is ignored."""
    batch, positions = targets.indices.shape
    array = reshaped(targets.indices, (batch, 1, positions))
    limits = np.iinfo(array.dtype)
    ignored = targets.ignore_index
    ignoring = limits.min <= ignored <= limits.max
    # Kernels compare as int64, in which large values of uint64 are negative.
    signed = (ignored + 2**63) % 2**64 - 2**63 if ignoring else 0
    return memory.place(array), (ignoring, signed)


def _in_one_run(array: DeviceArray, stream: Any) -> DeviceArray:
    run = array.merged((array.size,))
    if run is None or (array.size > 1 and run.strides[0] != array.dtype.itemsize):
        run = contiguous_copy(array, stream).merged((array.size,))
    assert run is not None
    return run


def _grid(count: int) -> tuple[int, int]:
    """Threads and blocks of a sum over so many numbers, which decide about its order."""
    threads = reductions.THREADS if count > 32 else 32
    return threads, min(reductions.BLOCKS, -(-count // threads))
