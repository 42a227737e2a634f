"""Bytes that the kernels move, counted in the simulator, by the least that they could move.

The logits have to be read once and their gradient written once; so have probabilities and theirs.
A sample that is too long for the registers is read twice if gradients are asked for.  Beside that,
each of a sample's threads loads the logit of its class index, which is one access of a warp.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from rich import box
from rich.table import Table

import crossent_spec
from crossent_spec.cuda import engine, geometry, memory, simulated
from crossent_spec.cuda.simulated import WIDE, Traffic
from crossent_spec.device_array import DeviceArray
from crossent_spec.dtypes import floating_dtype

#: Layouts of long samples in blocks that the simulator, slow with many threads, can run.
SHORT_BLOCKS: dict[str, Any] = {"BLOCKS": (64,), "HOLD": 16, "HOLD_WIDE": 4, "LONG_THREADS": 64}


@dataclass(frozen=True)
class Problem:
    """A call whose traffic is counted.

    Attributes
    ----------
    name
        The layout, for a person.
    shape, dtype
        Of the logits.
    reads
        How often logits, and probabilities, are to be read.
    mode
        'loss', 'gradient' (and the loss), or 'probabilities' with their gradient.
    short_blocks
        Whether blocks are those of :data:`SHORT_BLOCKS`.
    offset
        Elements by which the logits and their gradient are off a multiple of 16 bytes.
    last
        Whether classes lie side by side although samples have positions (channels last).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    reads: int = 1
    mode: str = "gradient"
    short_blocks: bool = False
    offset: int = 0
    last: bool = False


_LAYOUTS = (
    Problem("part of a warp", (12, 10)),
    Problem("a warp", (5, 200)),
    Problem("a warp, not aligned", (4, 263)),
    Problem("a warp, from the middle of 16 bytes", (4, 264), offset=3),
    Problem("positions side by side", (2, 21, 3, 5)),
    Problem("positions side by side, read twice", (1, 40, 2, 2), reads=2),
    Problem("classes side by side, with positions", (2, 24, 3, 2), last=True),
    Problem("a block", (2, 600), short_blocks=True),
    Problem("a block, not aligned", (2, 601), short_blocks=True),
    Problem("read twice", (2, 1600), short_blocks=True, reads=2),
    Problem("read twice, not aligned", (2, 1603), short_blocks=True, reads=2),
)
#: Every layout as float32, with class indices and with probabilities; and every dtype.
PROBLEMS = (
    *_LAYOUTS,
    Problem("a block", (2, 600), mode="loss", short_blocks=True),
    Problem("read twice, but for the loss", (2, 1600), mode="loss", short_blocks=True),
    Problem("a warp", (3, 200), mode="probabilities"),
    Problem("positions side by side", (2, 16, 3), mode="probabilities"),
    Problem("read twice", (1, 1600), mode="probabilities", short_blocks=True, reads=2),
    *(Problem("a warp", (4, 104), dtype) for dtype in ("float16", "bfloat16", "float64")),
    *(
        Problem("a warp", (2, 104), dtype, mode="probabilities")
        for dtype in ("float16", "bfloat16", "float64")
    ),
    Problem("read twice", (1, 1600), "bfloat16", short_blocks=True, reads=2),
    Problem("read twice", (1, 600), "float64", short_blocks=True, reads=2),
)


@dataclass(frozen=True)
class Moved:
    """What was counted, in bytes, and what it must be.

    Attributes
    ----------
    once
        Bytes of the logits.
    own
        Bytes of the logits of class indices, by the threads that each load them.
    threads
        Threads of a sample.
    logits, gradient, probabilities, of_probabilities
        Traffic of each; ``None`` where there is none.
    """

    problem: Problem
    once: int
    own: int
    threads: int
    logits: Traffic
    gradient: Traffic | None
    probabilities: Traffic | None
    of_probabilities: Traffic | None

    @property
    def met(self) -> bool:
        """Whether not a byte more, nor less, is moved than the layout demands."""
        read, written = self.problem.reads * self.once, self.once
        every = [
            (self.logits, read + self.own, 0),
            (self.gradient, 0, written),
            (self.probabilities, read, 0),
            (self.of_probabilities, 0, written),
        ]
        return all(
            traffic is None or (traffic.loaded, traffic.stored) == (loaded, stored)
            for traffic, loaded, stored in every
        )

    @property
    def wide(self) -> float:
        """Which part of all this was moved 16 bytes at a time, the class indices' logits apart."""
        every = [self.logits, self.gradient, self.probabilities, self.of_probabilities]
        there = [traffic for traffic in every if traffic is not None]
        wide = sum(traffic.loaded_wide + traffic.stored_wide for traffic in there)
        return wide / (sum(traffic.loaded + traffic.stored for traffic in there) - self.own)


def measured(problem: Problem) -> Moved:
    """Run a problem in the simulator and count.

    Raises
    ------
    AssertionError
        Among others, if a wide access is not aligned.
    """
    random = np.random.default_rng(7)
    dtype = floating_dtype(problem.dtype, "dtype", ValueError)
    samples, classes, *positions = problem.shape
    # Typed for NumPy's arrays alone.
    logits: Any = _placed(random.standard_normal(problem.shape).astype(dtype), problem)
    out: Any = _placed(np.ones(problem.shape, dtype), problem)
    names: tuple[str, ...] = ("input",)
    target: Any
    if problem.mode == "probabilities":
        names = ("input", "target")
        target = memory.to_device(random.random(problem.shape).astype(dtype))
    else:
        target = memory.to_device(random.integers(0, classes, (samples, *positions)))
    gradients: Any = crossent_spec.Gradients()
    shapes: list[geometry.Shape] = []

    def choose(layout: geometry.Layout) -> geometry.Shape:
        shapes.append(geometry.choose(layout))
        return shapes[-1]

    with _blocks(problem), mock.patch.object(engine, "choose", choose):
        simulated.forget_traffic()
        if problem.mode == "loss":
            crossent_spec.cross_entropy(logits, target)
        else:
            _, gradients = crossent_spec.cross_entropy_value_and_grad(
                logits, target, wrt=names, out=out
            )
    counted = simulated.traffic
    probabilities = problem.mode == "probabilities"
    (shape,) = shapes
    own = samples * math.prod(positions) * shape.threads * dtype.itemsize
    return Moved(
        problem,
        math.prod(problem.shape) * dtype.itemsize,
        0 if probabilities else own,
        shape.threads,
        counted(logits.pointer),
        None if problem.mode == "loss" else counted(out.pointer),
        counted(target.pointer) if probabilities else None,
        counted(gradients.target.pointer) if probabilities else None,
    )


@contextlib.contextmanager
def _blocks(problem: Problem) -> Iterator[None]:
    if not problem.short_blocks:
        yield
        return
    with mock.patch.multiple(geometry, **SHORT_BLOCKS):
        yield


def _placed(array: np.ndarray[Any, Any], problem: Problem) -> DeviceArray:
    """Copy an array to the simulator, off a multiple of 16 bytes and channels last if asked."""
    order = np.moveaxis(array, 1, -1) if problem.last else array
    flat = np.concatenate([np.zeros(problem.offset, array.dtype), order.reshape(-1)])
    whole = memory.to_device(flat)
    steps = np.ascontiguousarray(order).strides
    strides = (steps[0], steps[-1], *steps[1:-1]) if problem.last else steps
    pointer = whole.pointer + problem.offset * array.itemsize
    assert whole.pointer % WIDE == 0
    return DeviceArray(whole, pointer, array.shape, array.dtype, tuple(strides))


def table(found: list[Moved]) -> Table:
    """Return the counts by the least that there can be."""
    made = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for title in ("layout", "logits", "asked for"):
        made.add_column(title)
    for title in ("threads", "logits\nread", "gradient\nwritten", "probabil.\nread",
                  "theirs\nwritten", "in 16\nbytes"):  # fmt: skip
        made.add_column(title, justify="right", no_wrap=True)
    made.add_column("as meant")
    for one in found:
        problem = one.problem

        def times(count: int | None, one: Moved = one) -> str:
            return "" if count is None else f"{count / one.once:.3f}"

        made.add_row(
            problem.name,
            f"{'x'.join(map(str, problem.shape))} {problem.dtype}",
            problem.mode,
            str(one.threads),
            times(one.logits.loaded - one.own),
            times(one.gradient and one.gradient.stored),
            times(one.probabilities and one.probabilities.loaded),
            times(one.of_probabilities and one.of_probabilities.stored),
            f"{one.wide:.0%}",
            "yes" if one.met else "NO",
            style="" if one.met else "bold red",
        )
    return made
