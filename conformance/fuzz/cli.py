"""``crossent fuzz``: search a framework for failures beside the corpus."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import TextColumn

from conformance import expected, report
from conformance.case import SYSTEMS
from conformance.driver import Program, Unavailable
from conformance.options import expect_option, patterns_option, program_options, timeout_option
from conformance.result import HARMLESS, Result
from conformance.selection import matches
from conformance.terminal import (
    INTERRUPTED,
    Defect,
    Refused,
    program_of,
    progress_bar,
    unavailable,
)


@click.command()
@program_options
@click.option(
    "--max-examples",
    metavar="N",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="How many examples are drawn; shrinking comes on top.",
)
@click.option(
    "--max-failures",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Stop after failures of so many kinds.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    help="Draw what this seed draws; by default another one each time, which is printed.",
)
@patterns_option(
    "Only examples whose id, or one of whose clauses, contains PATTERN or matches it (*, ?, "
    "[...]); may be repeated."
)
@timeout_option("call")
@click.option(
    "--database",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where failures are remembered; by default in the user's cache.",
)
@click.option(
    "--replay",
    metavar="ID",
    multiple=True,
    help="Judge this example, and draw none; may be repeated.",
)
@expect_option("Pass over the failures that a file of `run --write-expect` names.")
@click.option(
    "--write-candidate",
    "candidates",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each failing case as a golden vector into FOLDER/vectors.",
)
@click.pass_context
def fuzz(
    ctx: click.Context,
    /,
    adapter: str | None,
    command: str | None,
    python: str | None,
    timeout: float,
    candidates: Path | None,
    **options: Any,
) -> None:
    """Search for failures: draw calls, check relations between calls, shrink what fails.

    ADAPTER is a registered name ("embedded" by default) or the path of an adapter's file.  What
    failed before is tried first.  The exit code is 0 if nothing failed, 1 for failures, 2 for
    usage, 3 if the suite itself failed.
    """
    from conformance.fuzz.referee import SuiteFailedError
    from conformance.fuzz.show import Reporter
    from conformance.golden.parse import GoldenFileError

    program = program_of(adapter, command, python)
    try:
        found, start = _search(program, timeout, **options)
    except Unavailable as error:
        raise unavailable(program, error) from None
    except SuiteFailedError as error:
        raise Defect(f"the suite itself failed {error}") from None
    reporter = Reporter(report.console(), program, again=_again(program), python=python)
    reporter.show(found, start)
    if candidates is not None:
        try:
            reporter.write_candidates(found, candidates)
        except (GoldenFileError, OSError) as error:
            raise Refused(f"--write-candidate: {error}") from None
    ctx.exit(1 if found.failures else 0 if found.complete else INTERRUPTED)


def _search(
    program: Program,
    timeout: float,
    *,
    max_examples: int,
    max_failures: int,
    seed: int | None,
    patterns: Sequence[str],
    database: Path | None,
    replay: Sequence[str],
    expect_file: Path | None,
) -> tuple[Any, int]:
    from conformance.fuzz import strategies
    from conformance.fuzz.example import parse
    from conformance.fuzz.referee import Referee
    from conformance.fuzz.search import Search, wanted
    from conformance.fuzz.store import Store, default_folder

    try:
        asked = [parse(text) for text in replay]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--replay") from None
    try:
        known = expected.read(expect_file) if expect_file else []
    except expected.BadExpectFile as error:
        raise Refused(f"--expect: {error}") from None
    start = secrets.randbelow(10**6) if seed is None else seed
    store = Store(database or default_folder(), program.name)
    with (
        Referee(program, timeout) as referee,
        progress_bar(program.name, max_examples, TextColumn("{task.fields[bad]}")) as (bar, task),
    ):
        if not referee.systems:
            raise Refused(f"{program.name} implements none of {', '.join(SYSTEMS.values())}")
        bad = 0

        def on_example(result: Result, drawn: bool) -> None:
            nonlocal bad
            bad += drawn and result.verdict not in HARMLESS
            note = f"[red]{bad} failing" if bad else ""
            bar.update(task, advance=int(drawn), bad=note if drawn else f"{note}, shrinking")

        search = Search(
            referee,
            strategies.examples(referee.systems),
            store=store,
            expected=lambda result: any(entry.covers(result) for entry in known),
            accepts=wanted(patterns, matches),
            on_example=on_example,
        )
        if asked:
            return search.replay(asked), start
        return search.run(max_examples, max_failures, start), start


def _again(program: Program) -> list[str]:
    return [program.name] if program.adapter is not None else ["--command", program.name]
