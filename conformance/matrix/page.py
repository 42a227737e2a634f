"""The matrix as one self-contained HTML page, in which a cell opens to its failing cases."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2

from conformance.case import DTYPES, SYSTEMS
from conformance.clauses import PAGES, Clause, by_id
from conformance.departures import source_for
from conformance.report import ALIKE, clip
from conformance.result import Result

from .columns import Cell, Column
from .plot import BOTTOM, HEIGHT, LEFT, MARKS, RIGHT, TOP, WIDTH, Plot, draw, points
from .scripts import Script, command
from .table import LEGEND, TOTAL, Matrix, lines, number

#: How many further cases of one kind of failure are named.
NAMED = 12

#: Scripts by column number and case.
Scripts = Mapping[tuple[int, str], Script]


def render(matrix: Matrix, scripts: Scripts) -> str:
    """Return the page."""
    folder = files(__package__)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    template = environment.from_string(folder.joinpath("page.html.j2").read_text("utf-8"))
    script = folder.joinpath("page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    rows = [
        (
            name,
            [
                {"id": _id(index, name), "cell": cell, "lines": lines(cell), "column": column}
                for index, (column, cell) in enumerate(zip(matrix.columns, cells, strict=True))
            ],
        )
        for name, cells in matrix.rows()
    ]
    return template.render(
        columns=matrix.columns,
        rows=rows,
        details=list(_details(matrix, scripts)),
        clauses=_clauses(matrix),
        pages=PAGES,
        systems=SYSTEMS,
        total=TOTAL,
        legend=LEGEND,
        marks=MARKS,
        dtypes=DTYPES,
        plot={
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": WIDTH - RIGHT,
            "top": TOP,
            "bottom": HEIGHT - BOTTOM,
        },
        style=folder.joinpath("page.css").read_text("utf-8"),
        script=script,
        digest=digest,
    )


def _id(number: int, group: str) -> str:
    return f"cell-{number}-{group.replace(' ', '-')}"


def _details(matrix: Matrix, scripts: Scripts) -> Iterator[dict[str, Any]]:
    """Yield what each cell opens to."""
    for index, column in enumerate(matrix.columns):
        for group, cell in [*column.cells.items(), (TOTAL, column.total)]:
            if not cell.results:
                continue
            yield {
                "id": _id(index, group),
                "group": group,
                "column": column,
                "cell": cell,
                "kinds": [] if group == TOTAL else list(_kinds(index, column, cell, scripts)),
                "again": command(column, f"{group}.*"),
                "plots": _plots(cell),
                "jumps": _jumps(index, column, matrix.groups) if group == TOTAL else [],
            }


def _jumps(index: int, column: Column, groups: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return the cells of a column in which something fails: group, id and number of cases."""
    return [
        (group, _id(index, group), len(column.cells[group].failing))
        for group in groups
        if group in column.cells and column.cells[group].failing
    ]


def _plots(cell: Cell) -> list[Plot]:
    made = []
    for title, loss in (("loss", True), ("gradients", False)):
        found = points(cell.results, loss=loss)
        if found:
            made.append(draw(title, found))
    return made


def _kinds(index: int, column: Column, cell: Cell, scripts: Scripts) -> Iterator[dict[str, Any]]:
    """Yield the kinds of failure in a cell, in the report's order."""
    groups: dict[int, list[Result]] = {}
    for result in cell.failing:
        groups.setdefault(column.kinds[result.case].number, []).append(result)
    for _, alike in sorted(groups.items()):
        # What has a script comes first.
        alike = sorted(alike, key=lambda result: (index, result.case) not in scripts)
        kind = column.kinds[alike[0].case]
        clause = by_id(kind.clause) if kind.clause else None
        yield {
            "verdict": kind.verdict,
            "clause": clause,
            "source": source_for(kind.clause, column.system) if clause else None,
            "count": len(alike),
            "shown": [
                {
                    "case": result.case,
                    "message": clip(result.message),
                    "command": command(column, result.case),
                    "script": scripts.get((index, result.case), Script()),
                }
                for result in alike[:ALIKE]
            ],
            "named": [result.case for result in alike[ALIKE : ALIKE + NAMED]],
            "left": max(0, len(alike) - ALIKE - NAMED),
        }


def _clauses(matrix: Matrix) -> Sequence[Clause]:
    """Return the clauses that the page names."""
    named = {
        column.kinds[result.case].clause
        for column in matrix.columns
        for result in column.total.failing
    }
    return [by_id(clause) for clause in sorted(named - {""})]
