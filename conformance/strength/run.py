"""Runs every fault and every correct variant over the corpus: the kill table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conformance.case import Case
from conformance.corpus import corpus

from . import catalogue
from .measure import Outcome, cost, measure
from .reference import Reference


@dataclass(frozen=True)
class Row:
    """One framework of the kill table.

    Attributes
    ----------
    by_quick
        Whether a case of the quick corpus killed it.
    """

    framework: type[Reference]
    outcome: Outcome
    by_quick: bool

    @property
    def is_fault(self) -> bool:
        """Whether it must be killed; a correct variant must not be."""
        return catalogue.theme_of(self.framework) != "correct"

    @property
    def as_it_should(self) -> bool:
        """Whether the suite judged it rightly."""
        return (self.outcome.kill is not None) == self.is_fault


def ordered(full: bool) -> tuple[list[Case], int]:
    """Return the cases in the order in which they are tried, and how many of them are quick.

    The quick corpus comes first, and in each part the cheapest case.
    """
    quick = sorted(corpus(quick=True), key=cost)
    if not full:
        return quick, len(quick)
    first = set(quick)
    rest = sorted((case for case in corpus() if case not in first), key=cost)
    return quick + rest, len(quick)


def run(
    frameworks: Sequence[type[Reference]],
    *,
    full: bool = True,
    jobs: int | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Measure frameworks.

    Parameters
    ----------
    frameworks
        Faults, variants, or both.
    full
        Whether to go on with the rest of the corpus after the quick cases.
    jobs
        Processes; by default one a processor.
    on_row
        Called with every row as it comes.

    Returns
    -------
    list of Row
        In the order of ``frameworks``.
    """
    cases, quick = ordered(full)
    rows = []
    for framework, outcome in zip(frameworks, measure(frameworks, cases, jobs), strict=True):
        by_quick = outcome.kill is not None and outcome.kill.number < quick
        rows.append(Row(framework, outcome, by_quick))
        if on_row:
            on_row(rows[-1])
    return rows


def table(rows: Sequence[Row]) -> Table:
    """Return the kill table."""
    found = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("theme", "fault", "killed by", "clause", "case"):
        found.add_column(column, overflow="fold")
    for row in rows:
        kill = row.outcome.kill
        theme = catalogue.theme_of(row.framework)
        if kill is None:
            word = "[red]survives" if row.is_fault else "[green]passes"
            found.add_row(theme, row.outcome.name, word, "", f"{row.outcome.tried} cases")
            continue
        word = ("quick" if row.by_quick else "full") if row.is_fault else "[red]fails"
        clause = kill.clauses[0] if kill.clauses else ""
        found.add_row(theme, row.outcome.name, word, clause, escape(kill.case))
    return found


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the kill table, what went wrong, and the totals."""
    console.print(table(rows))
    for row in rows:
        if row.as_it_should:
            continue
        text = catalogue.description(row.framework)
        kill = row.outcome.kill
        what = "survives" if kill is None else f"is correct, but fails {kill.case}: {kill.message}"
        console.print(f"\n[red]{row.outcome.name}[/red] {escape(what)}\n    {escape(text)}")
    faults = [row for row in rows if row.is_fault]
    killed = [row for row in faults if row.outcome.kill is not None]
    quick = sum(row.by_quick for row in killed)
    passed = sum(row.as_it_should for row in rows if not row.is_fault)
    console.print(
        f"\n{len(killed)} of {len(faults)} faults killed, {quick} of them by --quick; "
        f"{passed} of {len(rows) - len(faults)} correct frameworks pass"
    )
