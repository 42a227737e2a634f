"""The matrix on a terminal, as JSON and as Markdown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from conformance.case import SYSTEMS
from conformance.clauses import CATALOGUE
from conformance.runner import version

from .columns import Cell, Column

#: Names the form of the JSON file, which ``schemas/matrix.schema.json`` describes.
SCHEMA = "urn:crossent-spec:matrix:1"

TOTAL = "all cases"
LEGEND = (
    "passed/judged, then the worst error as a fraction of the allowed error and in ulps (u) of "
    "the output's dtype, or shape, dtype or missing where a value has no error to measure"
)
_STYLES = {"failing": "bold red", "passing": "green", "unsupported": "yellow"}


@dataclass(frozen=True)
class Matrix:
    """The columns, and the rows that any of them has."""

    columns: Sequence[Column]

    @cached_property
    def groups(self) -> list[str]:
        """The clause groups, in the catalogue's order."""
        used = {group for column in self.columns for group in column.cells}
        return [
            group for group in dict.fromkeys(clause.group for clause in CATALOGUE) if group in used
        ]

    def rows(self) -> Iterator[tuple[str, list[Cell | None]]]:
        """Yield each row's name and cells; None is a cell without cases."""
        for group in self.groups:
            yield group, [column.cells.get(group) for column in self.columns]
        yield TOTAL, [column.total if column.results else None for column in self.columns]


def number(value: float | None) -> str:
    """Write an error in three digits.

    >>> number(2.0213e6), number(0.25), number(1e-9), number(math.inf)
    ('2.02e6', '0.25', '1e-9', '∞')
    """
    if value is None:
        return "–"
    return "∞" if value == math.inf else re.sub(r"e\+?(-?)0?", r"e\1", f"{value:.3g}")


def lines(cell: Cell | None) -> tuple[str, str]:
    """Return what a cell says: the counts, and the worst errors."""
    if cell is None:
        return "·", ""
    if cell.state == "unsupported":
        return "unsup.", ""
    fraction, ulps = cell.summary["bound_fraction"], cell.summary["ulps"]
    worst = cell.misfit or ("" if ulps is None else f"{number(ulps)}u")
    errors = " · ".join(
        part for part in ("" if fraction is None else number(fraction), worst) if part
    )
    return f"{cell.passed}/{cell.judged}", errors


def print_matrix(out: Console, matrix: Matrix) -> None:
    """Print the table, in several parts where it is too wide for the terminal."""
    left = list(matrix.columns)
    start = 0
    while left:
        count = len(left)
        while count > 1 and not _fits(out, _table(matrix, start, start + count)):
            count -= 1
        out.print(_table(matrix, start, start + count))
        out.print()
        left, start = left[count:], start + count
    out.print(Text(f"{LEGEND}; · no cases, unsup. unsupported by the framework", "dim"))
    for column in matrix.columns:
        if column.problem:
            what = Text.assemble((f"{column.title}: ", "bold red"), column.problem)
            out.print(what, soft_wrap=True)
        elif not column.complete:
            out.print(Text(f"{column.title}: the run is incomplete", "bold red"))


def _fits(out: Console, table: Table) -> bool:
    return Measurement.get(out, out.options.update(width=10**6), table).maximum <= out.width


def _table(matrix: Matrix, start: int, end: int) -> Table:
    made = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 0, 0, 2))
    made.add_column("clauses", no_wrap=True)
    for column in matrix.columns[start:end]:
        parts = [column.adapter, column.version, column.system or "cannot be run", column.note]
        heading = Text("\n".join(part for part in parts if part))
        made.add_column(heading, justify="right", no_wrap=True, vertical="top")
    for name, cells in matrix.rows():
        if name == TOTAL:
            made.add_section()
        made.add_row(
            Text(name),
            *(
                Text("–" if column.problem else "\n".join(lines(cell)).rstrip(), _style(cell))
                for column, cell in list(zip(matrix.columns, cells, strict=True))[start:end]
            ),
        )
    return made


def _style(cell: Cell | None) -> str:
    return "dim" if cell is None else _STYLES[cell.state]


def to_json(matrix: Matrix) -> dict[str, Any]:
    """Return the matrix as JSON data."""
    return {
        "schema": SCHEMA,
        "suite": version(),
        "groups": matrix.groups,
        "columns": [
            {
                "adapter": column.adapter,
                "system": SYSTEMS.get(column.system),
                "versions": column.versions,
                "complete": column.complete,
                "problem": column.problem or None,
                "note": column.note,
                "total": _cell_json(column.total),
                "cells": {
                    group: _cell_json(column.cells[group])
                    for group in matrix.groups
                    if group in column.cells
                },
            }
            for column in matrix.columns
        ],
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    values = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in cell.summary.items()
    }
    return {**values, "failing": [result.case for result in cell.failing]}


def json_text(matrix: Matrix) -> str:
    """Return the JSON file."""
    return json.dumps(to_json(matrix), indent=1, allow_nan=False, ensure_ascii=False)


def markdown(matrix: Matrix) -> str:
    """Return the matrix as a Markdown table."""
    headings = ["clauses"]
    for column in matrix.columns:
        parts = [
            f"**{_plain(column.adapter)}**",
            _plain(column.version),
            column.system,
            _plain(column.note),
        ]
        headings.append("<br>".join(part for part in parts if part))
    rows = [headings, ["---"] + ["---:"] * len(matrix.columns)]
    for name, cells in matrix.rows():
        row = [f"**{name}**" if name == TOTAL else name]
        for column, cell in zip(matrix.columns, cells, strict=True):
            counts, errors = lines(cell)
            if column.problem:
                counts = "–"
            elif cell is not None and cell.failing:
                counts = f"❌ **{counts}**"
            row.append("<br>".join(part for part in (counts, errors) if part))
        rows.append(row)
    text = ["| " + " | ".join(row) + " |" for row in rows]
    text += ["", f"A cell tells {LEGEND}; ❌ something fails, · no cases."]
    for column in matrix.columns:
        if column.problem:
            text += ["", f"**{_plain(column.title)}** cannot be run: {_plain(column.problem)}"]
        elif not column.complete:
            text += ["", f"**{_plain(column.title)}**: the run is incomplete."]
    return "\n".join(text)


def _plain(text: str) -> str:
    """Write text on one line so that Markdown makes nothing of it."""
    text = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&])", r"\\\1", text)
