"""The times as a table, as JSON and as a plot."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.bench.contestant import GRADIENT, LOSS
from conformance.bench.measuring import Timing, ratios
from conformance.bench.targets import Goal, goals
from conformance.bench.workloads import Workload


@dataclass(frozen=True)
class Row:
    """One line of the table: a contestant of a workload.

    Attributes
    ----------
    milliseconds
        Median of a call; NaN where it failed.
    ratio, least
        Median and minimum of the time by the base's, round by round.
    rounds
        The times of the rounds, in milliseconds.
    memory
        Bytes beyond inputs and gradients, where measured.
    note
        What to know about it, or why it has no times.
    """

    workload: Workload
    task: str
    contestant: str
    milliseconds: float
    ratio: float
    least: float
    rounds: tuple[float, ...]
    memory: float | None
    goals: tuple[Goal, ...]
    note: str
    failed: bool


def rows(
    workload: Workload,
    timings: Sequence[Timing],
    memory: dict[str, float],
    with_goals: bool = True,
) -> list[Row]:
    """Return the rows of a workload: the losses, then the gradients, each after its base.

    The first contestant of a task is its base.  The goals are those of a CPU.
    """
    right = {timing.contestant.key: timing for timing in timings if not timing.failure}
    found = []
    for task in (LOSS, GRADIENT):
        own = [timing for timing in timings if timing.contestant.task == task]
        for timing in own:
            failed = bool(timing.failure or own[0].failure)
            of_base = [math.nan] if failed else ratios(timing, own[0])
            found.append(
                Row(
                    workload,
                    task,
                    timing.contestant.name,
                    math.nan if timing.failure else timing.median * 1e3,
                    statistics.median(of_base),
                    min(of_base),
                    tuple(second * 1e3 for second in timing.seconds),
                    memory.get(timing.contestant.name),
                    tuple(goals(workload, timing, right, own[0], memory))
                    if with_goals and not failed
                    else (),
                    timing.failure or timing.contestant.note,
                    bool(timing.failure),
                )
            )
    return found


def table(found: Sequence[Row]) -> Table:
    """Return the table of the rows of one task of a workload."""
    made = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    # As wide as the names and times of nearly all tables, so that columns lie below each other.
    made.add_column("", no_wrap=True, min_width=15)
    made.add_column("ms", justify="right", no_wrap=True, min_width=6)
    made.add_column("× base (min)", justify="right", no_wrap=True, min_width=13)
    with_memory = any(row.memory is not None for row in found)
    if with_memory:
        made.add_column("extra MB", justify="right", no_wrap=True)
    for row in found:
        cells = [row.contestant]
        if math.isnan(row.milliseconds):
            cells += ["", ""]
        else:
            cells += [_digits(row.milliseconds), f"{row.ratio:.2f} ({row.least:.2f})"]
        if with_memory:
            known = row.memory is not None and not math.isnan(row.memory)
            cells.append(f"{row.memory / 1e6:.0f}" if known and row.memory is not None else "")
        made.add_row(*cells)
    return made


def _remarks(found: Sequence[Row]) -> Iterator[Text]:
    """Yield what is to be said of contestants of one table: why they failed, and their targets."""
    for row in found:
        if row.failed:
            yield Text.assemble(f"{row.contestant}: ", (row.note, "bold red"))
        for goal in row.goals:
            verdict = ("met", "green") if goal.met else ("missed", "bold red")
            yield Text.assemble(f"{row.contestant}: {goal.text}: {goal.found}, ", verdict)


def _digits(milliseconds: float) -> str:
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}"


def show(out: Console, found: Sequence[Row]) -> None:
    """Print tables, what to know about the contestants, and how many targets are met."""
    for (workload, task), rows_of_task in groupby(found, key=lambda row: (row.workload, row.task)):
        own = list(rows_of_task)
        out.print(Text(f"{workload.name}: {task}", "bold"), table(own), *_remarks(own), sep="\n")
        out.print()
    notes: dict[str, list[str]] = {}
    for row in found:
        if row.note and not row.failed:
            notes.setdefault(row.note, []).append(f"{row.contestant} ({row.task})")
    for note, names in notes.items():
        out.print(f"{note}: {', '.join(dict.fromkeys(names))}")
    reached = [goal.met for row in found for goal in row.goals]
    if reached:
        out.print(f"{sum(reached)} of {len(reached)} targets met")


def to_json(facts: dict[str, Any], found: Sequence[Row]) -> dict[str, Any]:
    """Return facts about the machine and the rows as JSON data."""
    return {
        "schema": "urn:crossent-spec:bench:1",
        "machine": facts,
        "rows": [
            {
                "workload": row.workload.name,
                "task": row.task,
                "contestant": row.contestant,
                "milliseconds": _number(row.milliseconds),
                "ratio": _number(row.ratio),
                "least_ratio": _number(row.least),
                "rounds_milliseconds": [_number(value) for value in row.rounds],
                "extra_bytes": None if row.memory is None else _number(row.memory),
                "targets": [vars(goal) for goal in row.goals],
                "failed": row.failed,
                "note": row.note,
            }
            for row in found
        ],
    }


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def plot(facts: dict[str, Any], found: Sequence[Row], path: Path) -> None:
    """Draw the ratios as bars, a panel for each task of a workload; the format is the suffix's.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    panels: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        if not math.isnan(row.ratio):
            panels.setdefault((row.workload.name, row.task), []).append(row)
    counts = [len(own) for own in panels.values()] or [1]
    figure = Figure(figsize=(9, 0.32 * sum(counts) + 1.1 * len(counts) + 1), layout="constrained")
    figure.suptitle(f"time ÷ base, {facts['cpu']}, {facts['cores']} cores")
    axes = figure.subplots(
        len(counts), 1, squeeze=False, sharex=True, height_ratios=[n + 1 for n in counts]
    )
    for axis, ((workload, task), own) in zip(axes[:, 0], panels.items(), strict=False):
        names = [row.contestant for row in own]
        values = [row.ratio for row in own]
        colours = ["#888888"] + [
            "#0b6e4f" if name.startswith("crossent") else "#b5651d" for name in names[1:]
        ]
        bars = axis.barh(names, values, color=colours, height=0.7)
        axis.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.axvline(1.0, color="#888888", linewidth=0.8)
        axis.invert_yaxis()
        axis.set_title(f"{workload}: {task}", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
    every = [row.ratio for own in panels.values() for row in own] or [1.0]
    axes[0, 0].set_xlim(0.9 * min(0.7, min(every)), 1.6 * max(every))
    figure.savefig(path)
