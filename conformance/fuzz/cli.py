"""``crossent fuzz``: search a framework for failures beside the corpus."""

from __future__ import annotations

import fnmatch
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import TextColumn

from conformance import expected, report, runner
from conformance.case import SYSTEMS
from conformance.driver import Program, Unavailable
from conformance.result import HARMLESS, Result
from conformance.terminal import (
    INTERRUPTED,
    Defect,
    Refused,
    program_of,
    progress_bar,
    unavailable,
)


@click.command()
@click.argument("adapter", required=False)
@click.option("--command", metavar="CMD", help="Run a program that speaks the protocol instead.")
@click.option("--python", metavar="PATH", help="The Python that has the framework.")
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
@click.option(
    "-k",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="Only examples whose id, or one of whose clauses, contains PATTERN or matches it "
    "(*, ?, [...]); may be repeated.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=runner.TIMEOUT,
    show_default=True,
    help="What the framework may take for one call.",
)
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
@click.option(
    "--expect",
    "expect_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Pass over the failures that a file of `run --write-expect` names.",
)
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
            accepts=wanted(patterns, _matches),
            on_example=on_example,
        )
        if asked:
            return search.replay(asked), start
        return search.run(max_examples, max_failures, start), start


def _again(program: Program) -> list[str]:
    return [program.name] if program.adapter is not None else ["--command", program.name]


def _matches(name: str, pattern: str) -> bool:
    return pattern in name or fnmatch.fnmatchcase(name, pattern)
