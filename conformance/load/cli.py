"""``crossent load``: the figures in a table."""

from __future__ import annotations

import click
from rich import box
from rich.table import Table
from rich.text import Text

from conformance import report
from conformance.terminal import progress_bar


@click.command()
@click.option("--quick", is_flag=True, help="Little of everything.")
@click.pass_context
def load(ctx: click.Context, quick: bool) -> None:
    """Put the library and the suite's file writes under load.

    Threads, forks, arrays of 2^31 elements, memory limits, faults in file writes.  The exit code
    is 1 if any of them does harm.
    """
    from .check import SMALL, Size, carry_out
    from .library import CHECKS as LIBRARY
    from .writes import CHECKS as WRITES

    checks = LIBRARY + WRITES
    rows = []
    with progress_bar("load", len(checks)) as (progress, task):
        for check in checks:
            progress.update(task, description=check.what)
            rows.append(carry_out(check, SMALL if quick else Size()))
            progress.advance(task)
    made = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for heading in ("what", "how many", "result"):
        made.add_column(heading)
    made.add_column("seconds", justify="right")
    for row in rows:
        result = Text(row.result, "" if row.ok else "bold red")
        made.add_row(row.what, row.amount, result, f"{row.seconds:.1f}")
    report.console().print(made)
    bad = sum(not row.ok for row in rows)
    if bad:
        click.secho(f"{bad} of {len(rows)} failed", fg="red", bold=True)
    ctx.exit(int(bool(bad)))
