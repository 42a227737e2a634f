"""Samples of any layout, brought to kernels in parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import threads
from .memory import Flat, flat, read_only, stored
from .moving import move

Array = NDArray[Any]
#: Memory, start and step of every array, one after the other.
Views = list[Any]
#: ``evaluate(begin, end, views, group)`` may return which samples it has left as they were.
Evaluate = Callable[[int, int, Views, int], NDArray[np.bool_] | None]

#: Elements that one thread takes at a time.
PART = 1 << 18
#: Into so many parts arrays are cut that are copied, if these have so many elements at least and at
#: most: between two one goes back to Python, which takes as long as ten thousand exponentials, and
#: what is copied should stay in cache.
COPIES, FEWEST, CACHED = 16, 1 << 16, 1 << 19
#: Where samples may be cut anywhere: parts for each thread, and fewest and most elements of one.
SHARES, SMALLEST, LARGEST = 4, 1 << 16, 1 << 20
#: Fewer classes than this fill no vector well; lanes go along the samples.
FEW_CLASSES = 64
#: Samples are taken side by side in multiples of this, and where they lie from RUN of them on.
LANES, RUN = 16, 256


class Samples:
    """Some arrays of one shape (N, C, D), cut along their N·D samples.

    A part is read where it lies if its layout and type are those of the kernel; otherwise as many
    samples as stay in cache are copied into the working layout and type.

    Parameters
    ----------
    reading
        Arrays to read, or ``None``, in canonical form.
    writing
        Array to write, or ``None``; may be the first one read, since a part is read before it is
        written.
    working
        Type that kernels work in.
    mult
        Multiplier of the first array, in float64 only.
    in_rows
        Whether kernels take one sample at a time, its classes side by side, or samples side by
        side; by default whichever suits the arrays.
    few
        Fewer classes than this suit kernels better that take samples side by side.
    halves
        Types that hold 16-bit numbers and that kernels read and write in rows, if they can all
        arrays where these lie.

    Attributes
    ----------
    cut
        At multiples of how many samples a cut changes no result; 0 if only the usual cuts will do.
    """

    cut = 0

    def __init__(
        self,
        reading: Sequence[Array | None],
        writing: Array | None,
        working: np.dtype[Any],
        mult: float = 1.0,
        in_rows: bool | None = None,
        few: int = FEW_CLASSES,
        halves: Sequence[np.dtype[Any]] = (),
    ) -> None:
        assert reading[0] is not None
        self.batch, self.classes, self.positions = reading[0].shape
        self.working, self.mult = working, mult
        arrays = [None if array is None else flat(stored(array)) for array in reading]
        arrays.append(None if writing is None else flat(stored(writing), writeable=True))
        if self.positions == 1:
            # Of one position each, the batch itself is the run along which samples lie.
            self.positions, self.batch = self.batch, 1
            arrays = [
                array and Flat(array.memory, array.start, (0, array.steps[1], array.steps[0]))
                for array in arrays
            ]
        self.arrays = arrays
        if in_rows is None:
            assert arrays[0] is not None
            _, class_step, step = arrays[0].steps
            side_by_side = step == 1 and class_step != 1 and self.positions >= LANES
            in_rows = self.classes >= few and not side_by_side
        self.in_rows = in_rows
        self.moves = self._read_where_they_lie((working, *halves) if self.in_rows else (working,))
        if self.moves and halves:
            self.moves = self._read_where_they_lie((working,))

    def _read_where_they_lie(self, types: Sequence[np.dtype[Any]]) -> bool:
        """Note which arrays kernels read or write where they lie; tell whether some are moved."""
        self.direct = [array is not None and self._is_direct(array, types) for array in self.arrays]
        return any(array and not d for array, d in zip(self.arrays, self.direct, strict=True))

    def _is_direct(self, array: Flat, types: Sequence[np.dtype[Any]]) -> bool:
        if array.memory.dtype not in types or self.mult != 1.0:
            return False
        item, class_step, step = array.steps
        if self.in_rows:
            return class_step == 1 and (self.batch == 1 or item == self.positions * step)
        return step == 1 and self.positions >= RUN

    def widened(self) -> Samples:
        """Return the same samples for kernels that work in float64."""
        other = copy.copy(self)
        other.working = np.dtype(np.float64)
        other.direct = [False] * len(self.arrays)
        other.moves = True
        return other

    @property
    def at_once(self) -> int:
        """How many samples make a part."""
        if self.cut and not self.moves:
            share = self.batch * self.positions * self.classes // (SHARES * threads.thread_count())
            samples = min(max(share, SMALLEST), LARGEST) // self.classes
            return max(samples // self.cut, 1) * self.cut
        part = PART
        if self.moves:
            # Not by the number of threads: on the cuts depend the last bits of some results.
            share = self.batch * self.positions * self.classes // COPIES
            part = min(max(share, FEWEST), CACHED)
        samples = part // self.classes
        return max(samples, 1) if self.in_rows else max(samples // LANES * LANES, LANES)

    def run(self, evaluate: Evaluate, groups: int = 0) -> None:
        """Evaluate all parts, on several threads.

        With ``groups``, no more than so many of consecutive parts, each group on one thread and in
        order, however many threads there are.
        """
        samples = self.at_once
        # Lanes that are read where they lie must not go on into the next item of the batch.
        within = any(self.direct) and not self.in_rows
        runs = self.batch if within else 1
        length = self.batch * self.positions // runs
        per_run = -(-length // samples)
        parts = runs * per_run
        if parts == 1 and not groups:
            self.part(0, length, evaluate)
            return

        def take(first: int, last: int, group: int) -> None:
            for number in range(first, last):
                run, part = divmod(number, per_run)
                begin = run * length + part * samples
                self.part(begin, min(begin + samples, (run + 1) * length), evaluate, group)

        def take_group(first: int, last: int) -> None:
            for group in range(first, last):
                take(parts * group // groups, parts * (group + 1) // groups, group)

        if groups:
            threads.in_parts(take_group, groups, 1)
        else:
            together = max(1, PART // (samples * self.classes))
            threads.in_parts(lambda first, last: take(first, last, 0), parts, together)

    def _view(self, array: Flat, begin: int) -> Views:
        """Return memory, start and step of an array that is read or written where it lies."""
        item, position = divmod(begin, self.positions)
        start = array.start + item * array.steps[0] + position * array.steps[2]
        return [array.memory, start, array.steps[2 if self.in_rows else 1]]

    def _views(self, begin: int) -> Views:
        """Return the views of arrays none of which is copied."""
        views: Views = []
        for array in self.arrays:
            views += [None, 0, 0] if array is None else self._view(array, begin)
        if self.arrays[-1] is None:
            views[-3] = np.empty(0, views[0].dtype)
        return views

    def part(self, begin: int, end: int, evaluate: Evaluate, group: int = 0) -> None:
        """Evaluate the samples from ``begin`` to ``end``."""
        if not self.moves:
            evaluate(begin, end, self._views(begin), group)
            return
        size = (end - begin) * self.classes
        layout = (self.classes, 1) if self.in_rows else (1, end - begin)
        steps = (self.positions * layout[0], layout[1], layout[0])
        memory = threads.scratch(size * len(self.arrays), self.working)
        written = len(self.arrays) - 1
        views: Views = []
        for number, (array, direct) in enumerate(zip(self.arrays, self.direct, strict=True)):
            held = memory[number * size : (number + 1) * size]
            if array is None:
                views += [held[:0] if number == written else None, 0, 0]
            elif direct:
                views += self._view(array, begin)
            else:
                if number != written:
                    move(
                        begin, end, self.positions, self.classes, array.memory, array.start,
                        array.steps, held, -begin * layout[0], steps,
                    )  # fmt: skip
                    if number == 0 and self.mult != 1.0:
                        with np.errstate(all="ignore"):
                            held *= self.mult
                    held = read_only(held)
                views += [held, 0, layout[0 if self.in_rows else 1]]
        left = evaluate(begin, end, views, group)
        out = self.arrays[written]
        if out is None or self.direct[written]:
            threads.give_back(memory)
            return
        for first, last in [(0, end - begin)] if left is None else runs_of(~left):
            held = memory[written * size :]
            move(
                begin + first, begin + last, self.positions, self.classes, held,
                -begin * layout[0], steps, out.memory, out.start, out.steps,
            )  # fmt: skip
        threads.give_back(memory)


def runs_of(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last + 1 of every run of true values."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
