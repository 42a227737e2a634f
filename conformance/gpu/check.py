"""The figures of all kernels, held against what is recorded and what they must never be."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.gpu import compiling
from conformance.gpu.figures import Figures, problems
from conformance.gpu.kernels import Kernel, table

EXPECTED = Path(__file__).with_name("expected.json")
#: What is compared where compiler and assembler are those of the record.
EXACT = ("registers", "shared", "barriers")


@dataclass(frozen=True)
class Found:
    """A kernel's figures for one target, and what is wrong with them."""

    kernel: str
    target: str
    block: int
    figures: Figures
    problems: tuple[str, ...]

    @property
    def key(self) -> str:
        """Kernel and target, as they are recorded."""
        return f"{self.target} {self.kernel}"


def chosen(patterns: Sequence[str], full: bool = False) -> list[Kernel]:
    """Return the kernels whose names contain any of the patterns; without patterns all."""
    return [
        kernel
        for kernel in table(full)
        if not patterns or any(pattern in kernel.name for pattern in patterns)
    ]


def examined(
    kernels: Sequence[Kernel],
    targets: Sequence[tuple[int, int]] = compiling.TARGETS,
    jobs: int = 1,
    on_one: Callable[[], None] = lambda: None,
) -> list[Found]:
    """Compile kernels for targets, each of these in processes of its own, and judge them."""
    found = []
    context = multiprocessing.get_context("spawn")
    for target in targets:
        with ProcessPoolExecutor(jobs, context, compiling.pretend, (target,)) as pool:
            waiting = [pool.submit(_one, kernel.name, target) for kernel in kernels]
            try:
                for done in as_completed(waiting):
                    done.result()
                    on_one()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            found += [done.result() for done in waiting]
    return found


def _one(name: str, target: tuple[int, int]) -> Found:
    kernel = next(kernel for kernel in table(full=True) if kernel.name == name)
    figures = compiling.examine(kernel, target)
    said = problems(kernel.block, kernel.meant, figures)
    return Found(name, f"sm_{target[0]}{target[1]}", kernel.block, figures, tuple(said))


def record(found: Sequence[Found]) -> dict[str, Any]:
    """Return what is written down: versions, and figures by target and kernel."""
    return {
        "versions": compiling.versions(),
        "kernels": {one.key: {name: getattr(one.figures, name) for name in EXACT} for one in found},
    }


def recorded() -> dict[str, Any]:
    """Return what is written down."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))


def departures(found: Sequence[Found], wanted: dict[str, Any]) -> Iterator[str]:
    """Say what is wrong with kernels, and where they are not as recorded.

    Figures are compared only if ``wanted`` is of the installed versions.
    """
    same = wanted["versions"] == compiling.versions()
    for one in found:
        for problem in one.problems:
            yield f"{one.key}: {problem}"
        of_this = wanted["kernels"].get(one.key)
        if same and of_this is not None:
            now = {name: getattr(one.figures, name) for name in EXACT}
            for name in EXACT:
                if now[name] != of_this[name]:
                    yield f"{one.key}: {now[name]} {name}, recorded {of_this[name]}"


def stale(wanted: dict[str, Any]) -> Iterator[str]:
    """Say what is recorded and no kernel any more, and what is to be recorded."""
    there = {
        f"sm_{major}{minor} {kernel.name}"
        for major, minor in compiling.TARGETS
        for kernel in table()
    }
    recorded = set(wanted["kernels"])
    yield from (f"{key}: recorded, but no such kernel" for key in sorted(recorded - there))
    yield from (f"{key}: not recorded" for key in sorted(there - recorded))
