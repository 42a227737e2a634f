"""What a person reads after a run, and the JSON file that other programs read."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.clauses import CATALOGUE, by_id
from conformance.departures import departure, failure_kinds
from conformance.files import write_whole
from conformance.openings import Opening, opening_of
from conformance.result import HARMLESS, VERDICTS, Result, Run

#: Names the form of the JSON file, which ``schemas/result.schema.json`` describes.
SCHEMA = "urn:crossent-spec:result:1"

#: How many failing cases of one kind are shown.
ALIKE = 2
_MESSAGE_LINES, _MESSAGE_WIDTH = 12, 400
_STYLES = {"pass": "green", "unsupported": "yellow"}
_HEADINGS = {
    "accepts-invalid": "accepts\ninvalid",
    "unsupported": "unsup-\nported",
    "timeout": "time-\nout",
}


def summary(results: Iterable[Result]) -> dict[str, Any]:
    """Return the number of results by verdict and the worst errors of the values judged."""
    results = list(results)
    counts = Counter(result.verdict for result in results)
    measured = [
        result
        for result in results
        if result.verdict in ("pass", "fail")
        and any(not output.misfit for output in result.outputs)
    ]
    return {
        "cases": len(results),
        **{verdict: counts[verdict] for verdict in VERDICTS},
        "ulps": max((result.ulps for result in measured), default=None),
        "bound_fraction": max((result.bound_fraction for result in measured), default=None),
    }


def misfit(results: Iterable[Result]) -> str:
    """Return why values have no error to measure, the reason of the most of them.

    It is ``shape``, ``dtype`` or ``missing``; empty where every error could be measured.
    """
    found = Counter(output.misfit for result in results for output in result.outputs)
    del found[""]
    return found.most_common(1)[0][0] if found else ""


def _number(value: float) -> float | str:
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def to_json(run: Run) -> dict[str, Any]:
    """Return a run as JSON data."""
    totals = summary(run.results)
    return {
        "schema": SCHEMA,
        "adapter": run.adapter,
        "versions": run.versions,
        **({"fingerprint": run.fingerprint} if run.fingerprint else {}),
        "complete": run.complete,
        "seconds": round(run.seconds, 3),
        "summary": {
            name: _number(value) if isinstance(value, float) else value
            for name, value in totals.items()
        },
        "results": [result.to_json() for result in run.results],
    }


def write_json(run: Run, path: Path) -> None:
    """Write a run to a file, which at no time holds half of it."""
    text = json.dumps(to_json(run), indent=1, allow_nan=False, ensure_ascii=False)
    write_whole(path, text)


def console() -> Console:
    """Return a console on stdout; where that is no terminal, without colours and 100 wide."""
    made = Console(highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = 100
    return made


def print_run(
    out: Console,
    run: Run,
    *,
    again: str,
    repro: str = "",
    limit: int = 10,
    expected: Container[str] = (),
) -> None:
    """Print a run for a person.

    Parameters
    ----------
    out
        Where to.
    run
        What happened.
    again
        The command that runs the same program, without the choice of cases.
    repro
        What ``crossent repro CASE`` must be told to reproduce a case, if it can.
    limit
        How many failing cases to show.
    expected
        Ids of failing cases that are no news, and not shown.
    """
    out.print(table(run.results, gap=2 if out.width >= 90 else 1))
    out.print()
    news = [
        result
        for result in run.results
        if result.verdict in HARMLESS or result.case not in expected
    ]
    print_failures(out, news, again=again, repro=repro, limit=limit)
    print_readings(out, run.results)
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    out.print(Text(f"{run.adapter}: {versions}"))
    totals = summary(run.results)
    bad = sum(totals[verdict] for verdict in VERDICTS if verdict not in HARMLESS)
    words = f"{bad} cases do not conform, {totals['pass']} do" if bad else ""
    words = words or f"conforms in all {totals['pass']} cases"
    alone = sum(result.verdict == "pass" and bool(result.message) for result in run.results)
    if alone:
        words += f" ({alone} by the loss alone)"
    if totals["unsupported"]:
        words += f", {totals['unsupported']} are unsupported"
    out.print(Text(f"{words}; {run.seconds:.1f} s", "bold red" if bad else "bold green"))
    if not run.complete:
        out.print(Text("The run is incomplete: it was stopped before the last case.", "bold red"))


def table(results: Sequence[Result], gap: int) -> Table:
    """Return the results by the group of the clause that each case is about, its first."""
    made = Table(
        box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 0, 0, gap), show_footer=True
    )
    total = _row(results)
    made.add_column("clauses", "all cases", no_wrap=True)
    for number, heading in enumerate(("cases", *VERDICTS, "worst\nulps", "worst of\nbound")):
        style = "" if heading == "cases" or number > len(VERDICTS) else "red"
        made.add_column(
            _HEADINGS.get(heading, heading),
            total[number],
            justify="right",
            style=_STYLES.get(heading, style),
        )
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[by_id(result.clauses[0]).group].append(result)
    for group in dict.fromkeys(clause.group for clause in CATALOGUE):
        if group in groups:
            made.add_row(group, *_row(groups[group]))
    return made


def _row(results: Sequence[Result]) -> list[str]:
    totals = summary(results)
    counts = [str(totals[name] or "·") for name in ("cases", *VERDICTS)]
    worst = (misfit(results) or totals["ulps"], totals["bound_fraction"])
    return counts + [_worst(value) for value in worst]


def _worst(value: float | str | None) -> str:
    """Write an error, or the word for what is wrong where there is none to measure."""
    return "·" if value is None else value if isinstance(value, str) else f"{value:.3g}"


def print_failures(
    out: Console, results: Sequence[Result], *, again: str, repro: str, limit: int
) -> None:
    """Print failing cases, of every kind of failure a few, so that none hides another."""
    kinds = failure_kinds(results)
    shown = 0
    for number, ((verdict, clause, _), alike) in enumerate(kinds.items()):
        if shown >= limit:
            left = len(kinds) - number
            out.print(Text(f"... and {left} more kinds of failure (--max-failures-shown)\n"))
            break
        for result in alike[: min(ALIKE, limit - shown)]:
            shown += 1
            out.print(Text.assemble((verdict, "bold red"), "  ", result.case), soft_wrap=True)
            _print_indented(out, clip(result.message))
            command = command_for(result.case, again=again, repro=repro)
            out.print(Text(f"    {command}", "cyan"), soft_wrap=True)
        left = len(alike) - ALIKE
        if left > 0:
            out.print(f"    ... and {left} more like it")
        before, name, after = departure(clause, alike[0].case)
        _print_indented(out, Text.assemble(before, (name, "bold"), after))
        out.print()


def command_for(case: str, *, again: str, repro: str) -> str:
    """Return the command that shows one case: as a script if there can be one, else once more."""
    return f"crossent repro '{case}' {repro}" if repro else f"{again} -k '{case}'"


def print_readings(out: Console, results: Sequence[Result]) -> None:
    """Print which result the framework chose where a page leaves it open."""
    chosen = Counter(
        output.reading
        for result in results
        if result.verdict == "pass"
        for output in result.outputs
        if output.reading
    )
    if not chosen:
        return
    out.print("Where a page leaves the result open, it chose:")
    width = len(str(max(chosen.values())))
    questions: dict[Opening | None, list[tuple[str, int]]] = defaultdict(list)
    for reading, count in chosen.most_common():
        questions[opening_of(reading)].append((reading, count))
    for question, answers in questions.items():
        for reading, count in answers:
            _print_indented(out, f"{count:>{width}} × {reading}")
        if question is not None:
            pages = " ".join(dict.fromkeys(source.page for source in question.sources))
            _print_indented(
                out, Text(f"open (page {pages}): {question.what}. {question.why}", "dim"), by=6
            )
    out.print()


def _print_indented(out: Console, text: Text | str, by: int = 4) -> None:
    """Print text some columns in, without the blanks with which rich fills lines up."""
    for line in (Text(text) if isinstance(text, str) else text).wrap(out, out.width - by):
        line.rstrip()
        out.print(Text.assemble(" " * by, line) if line else "")


def clip(message: str) -> str:
    """Leave out the middle of a long message."""
    lines = [line[:_MESSAGE_WIDTH] for line in message.split("\n")]
    if len(lines) > _MESSAGE_LINES:
        half = _MESSAGE_LINES // 2
        lines = [*lines[:half], "[...]", *lines[-half:]]
    return "\n".join(lines)
