"""The reproduction scripts that a page holds: one for each kind of failure of a cell."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conformance import adapters, repro
from conformance.case import Case
from conformance.driver import Program, Unavailable
from conformance.environments.resolve import resolve
from conformance.protocol import Unsupported

from .columns import Column

#: A longer script is left to ``crossent repro``.
SIZE_LIMIT = 20_000


@dataclass(frozen=True)
class Script:
    """A script, or why it is not here."""

    text: str = ""
    note: str = ""


def chosen(column: Column, limit: int) -> list[str]:
    """Return the cases to write scripts of: of each kind of failure in each cell the smallest.

    Parameters
    ----------
    limit
        How many at most; the first kind of failure of a clause goes before a second of another.
    """
    smallest: dict[tuple[int, str], tuple[int, str]] = {}
    for group, cell in column.cells.items():
        for result in cell.failing:
            key = (column.kinds[result.case].number, group)
            here = (math.prod(Case.parse(result.case).logits_shape), result.case)
            smallest[key] = min(smallest.get(key, here), here)
    return [smallest[key][1] for key in sorted(smallest)][:limit]


def write(
    column: Column,
    program: Program | None,
    limit: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Script]:
    """Return scripts by case, each of a kind of failure.

    Parameters
    ----------
    column
        The results.
    program
        What writes them, if that is known here.
    limit
        How many at most.
    advance
        Called after each.
    """
    made: dict[str, Script] = {}
    cases = [Case.parse(name) for name in chosen(column, limit)]
    if not cases:
        return made
    if program is None:
        note = "There is no script, because this suite has no adapter of that name."
        return {case.id: Script(note=note) for case in cases}
    try:
        for case, text in zip(cases, repro.scripts(cases, program), strict=True):
            note = f"The script has {len(text) / 1000:.0f} kB; this prints it."
            made[case.id] = Script(text) if len(text) <= SIZE_LIMIT else Script(note=note)
            advance()
    except Unavailable:
        note = "The framework could not be run where this page was made; this prints a script."
    except Unsupported as error:
        note = f"There is no script: {error}."
    for case in cases:
        made.setdefault(case.id, Script(note=note))
    return made


def program_of(adapter: str) -> Program | None:
    """Return the program of an adapter that a result file names, if it is a registered one.

    A path or a command in a file that somebody else wrote is not run.
    """
    if adapter.partition("==")[0] not in adapters.registered():
        return None
    try:
        return resolve(adapter)
    except (LookupError, ValueError):
        return None


def command(column: Column, what: str) -> str:
    """Return the command that shows a case, or runs what a pattern selects, once more."""
    name = column.adapter
    registered = name.partition("==")[0] in adapters.registered()
    if (
        "/" in what
        and not any(character in what for character in "*?[")
        and (registered or name.endswith(".py"))
    ):
        return shlex.join(["crossent", "repro", what, "--adapter", name])
    program = [name] if registered or name.endswith(".py") else ["--command", name]
    return shlex.join(["crossent", "run", *program, "-k", what])


def programs(columns: Sequence[Column], known: dict[str, Program]) -> dict[str, Program]:
    """Return the program of each column's adapter: one that was run here, or a registered one."""
    found = dict(known)
    for column in columns:
        if column.adapter not in found and (program := program_of(column.adapter)) is not None:
            found[column.adapter] = program
    return found
