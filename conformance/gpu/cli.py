"""The command that examines the GPU kernels where there is no GPU."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich import box
from rich.table import Table

from conformance.files import write_whole
from conformance.options import jobs_option
from conformance.report import console
from conformance.terminal import Refused, progress_bar


@click.command()
@click.option("--only", "patterns", metavar="TEXT", multiple=True,
              help="Only kernels whose name contains TEXT; may be repeated.")  # fmt: skip
@click.option("--write", is_flag=True, help="Record what is found.")
@click.option("--full", is_flag=True, help="Also kernels whose registers are not recorded.")
@click.option("--traffic", is_flag=True,
              help="Instead, count in the simulator the bytes that kernels move.")  # fmt: skip
@jobs_option
@click.pass_context
def check(
    ctx: click.Context,
    patterns: tuple[str, ...],
    write: bool,
    full: bool,
    traffic: bool,
    jobs: int | None,
) -> None:
    """Compile every kernel for A100 and H100; show registers, spills and accesses.

    The exit code is 1 if a kernel spills, uses local memory, lacks its 128-bit accesses or has
    atomic floating-point additions; or, with the compiler that the record is of, if it needs other
    registers than recorded.
    """
    if traffic:
        if patterns or write or full:
            raise click.UsageError("--traffic goes with no other option")
        ctx.exit(_traffic())
    if write and (patterns or full):
        raise click.UsageError("--write takes the recorded kernels; leave out --only and --full")
    from conformance.gpu import check as checking
    from conformance.gpu import compiling

    try:
        compiling.ptxas()
    except FileNotFoundError as error:
        raise Refused(str(error)) from None
    kernels = checking.chosen(patterns, full)
    if not kernels:
        raise click.BadParameter("no kernel's name contains that", param_hint="--only")
    total = len(kernels) * len(compiling.TARGETS)
    with progress_bar("kernels", total) as (progress, task):
        found = checking.examined(
            kernels, jobs=jobs or os.cpu_count() or 1, on_one=lambda: progress.advance(task)
        )
    out = console()
    out.print(table(found))
    if write:
        text = json.dumps(checking.record(found), indent=1)
        write_whole(checking.EXPECTED, f"{text}\n")
    wanted = checking.recorded()
    versions = compiling.versions()
    out.print(", ".join(f"{name} {version}" for name, version in versions.items()))
    if wanted["versions"] != versions:
        out.print("recorded with other versions: registers are not compared")
    said = list(checking.departures(found, wanted))
    said += checking.stale(wanted)
    for line in said:
        out.print(line, style="bold red", soft_wrap=True)
    spilled = sum(one.figures.spill_stores + one.figures.spill_loads for one in found)
    out.print(
        f"{len(found)} kernels: at most {max(one.figures.registers for one in found)} registers, "
        f"{spilled} bytes spilled, {len(said)} problems"
    )
    ctx.exit(int(bool(said)))


def table(found: Sequence[Any]) -> Table:
    """Return the figures as a table, a row for each kernel and target."""
    made = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    made.add_column("kernel", overflow="fold", min_width=36)
    made.add_column("target", no_wrap=True)
    for title in ("block", "regis-\nters", "shared\nbytes", "stack", "spilled", "barriers",
                  "shuffles"):  # fmt: skip
        made.add_column(title, justify="right", no_wrap=True)
    made.add_column("loads\n(× bits)", no_wrap=True)
    made.add_column("stores\n(× bits)", no_wrap=True)
    for one in found:
        figures = one.figures
        made.add_row(
            one.kernel,
            one.target,
            *map(str, (
                one.block, figures.registers, figures.shared, figures.stack,
                figures.spill_stores + figures.spill_loads, figures.barriers, figures.shuffles,
            )),
            _widths(figures.loads),
            _widths(figures.stores),
            style="bold red" if one.problems else "",
        )  # fmt: skip
    return made


def _widths(counts: Mapping[int, int]) -> str:
    return "\n".join(f"{count} × {bits}" for bits, count in counts.items())


def _traffic() -> int:
    """Show the traffic; the simulator has to be asked for before Numba is imported."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
        raise Refused("--traffic: needs NUMBA_ENABLE_CUDASIM=1 in the environment")
    from conformance.gpu import traffic

    out = console()
    found = [traffic.measured(problem) for problem in traffic.PROBLEMS]
    out.print(traffic.table(found))
    return int(any(not one.met for one in found))
