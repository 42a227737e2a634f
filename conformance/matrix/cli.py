"""``crossent matrix``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click

from conformance import report, runner
from conformance.case import Case
from conformance.driver import Program, Unavailable
from conformance.files import write_whole
from conformance.interrupt import Stop
from conformance.options import (
    file_to_write,
    jobs_option,
    most_option,
    patterns_option,
    quick_option,
    timeout_option,
)
from conformance.result import Run
from conformance.terminal import (
    INTERRUPTED,
    Defect,
    Refused,
    chosen_cases,
    find_program,
    progress_bar,
    refuse_missing_folders,
    result_progress,
    unwritable,
)

from . import page, scripts, table
from .columns import BadResultFile, Column, of_run, read, told_apart


@click.command()
@click.argument("sources", metavar="[ADAPTER|RESULT.json]...", nargs=-1)
@quick_option
@patterns_option("Only cases that PATTERN selects, as for `crossent run`; of result files, too.")
@file_to_write("--json", "Write JSON.")
@file_to_write("--markdown", "Write Markdown.")
@file_to_write("--html", "Write one HTML page.")
@most_option(
    "--scripts",
    "limit",
    20,
    "How many reproduction scripts the page holds of each framework, at most.",
)
@timeout_option("case")
@jobs_option
@click.pass_context
def matrix(
    ctx: click.Context,
    sources: tuple[str, ...],
    quick: bool,
    patterns: tuple[str, ...],
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    limit: int,
    timeout: float,
    jobs: int | None,
) -> None:
    """Show several frameworks in one table: clause groups down, systems across.

    ADAPTER is what `crossent run` takes, RESULT.json a file that its --json wrote; without any,
    the embedded implementation is run.  A framework that cannot be run has a column that says
    so.  The exit code is 0 when the table was made, whatever it shows, 2 for usage.
    """
    refuse_missing_folders({"--json": json_file, "--markdown": markdown_file, "--html": html_file})
    sources = sources or ("embedded",)
    # Whatever cannot be understood is refused before anything runs.
    known: dict[str, Program] = {}
    runs: dict[str, Run] = {}
    for source in sources:
        if source.endswith(".json"):
            try:
                runs[source] = read(Path(source))
            except BadResultFile as error:
                raise Refused(str(error)) from None
        else:
            program = find_program(source)
            known[program.name] = program
    cases = chosen_cases(quick, patterns)
    columns: list[Column] = []
    defects: list[str] = []
    with Stop() as stop:
        for source in dict.fromkeys(sources):
            if source in runs:
                run = _narrowed(runs[source], cases, patterns, quick)
                columns += of_run(run, Path(source).stem)
            elif not stop.requested:
                try:
                    columns += _columns(known[source], cases, jobs, timeout, stop)
                except runner.HarnessError as error:
                    defects.append(str(error))
                    columns += of_run(error.run)
        stopped = stop.requested
    made_matrix = table.Matrix(told_apart(columns))
    # What cannot be written is said after the table, which may have taken hours.
    unwritten = [
        _unwritten("--json", json_file, lambda: table.json_text(made_matrix)),
        _unwritten("--markdown", markdown_file, lambda: table.markdown(made_matrix)),
        _unwritten(
            "--html",
            html_file,
            lambda: page.render(made_matrix, _scripts(made_matrix, known, limit)),
        ),
    ]
    table.print_matrix(report.console(), made_matrix)
    problems = [*defects, *filter(None, unwritten)]
    if defects:
        raise Defect("\n".join(problems))
    if problems:
        raise Refused("\n".join(problems))
    ctx.exit(INTERRUPTED if stopped else 0)


def _unwritten(option: str, file: Path | None, content: Callable[[], str]) -> str:
    """Write a file, if it is asked for; return what went wrong, or nothing."""
    if file is None:
        return ""
    text = content()
    try:
        write_whole(file, text)
    except OSError as error:
        return unwritable(option, file, error)
    return ""


def _columns(
    program: Program, cases: Sequence[Case], jobs: int | None, timeout: float, stop: Stop
) -> list[Column]:
    """Run a program; where that cannot be done, return the column that says so."""
    try:
        with result_progress(len(cases)) as hooks:
            return of_run(
                runner.run(program, cases, jobs=jobs, timeout=timeout, stop=stop, **hooks)
            )
    except Unavailable as error:
        problem = f"{error}\n{program.remedy}" if program.remedy else str(error)
        return [Column(program.name, problem=problem)]
    except runner.NothingToRunError as error:
        return [Column(program.name, problem=f"it implements {error}, which no case is about")]


def _narrowed(run: Run, cases: Sequence[Case], patterns: Sequence[str], quick: bool) -> Run:
    """Return a run with the cases that were asked for."""
    if not patterns and not quick:
        return run
    wanted = {case.id for case in cases}
    return replace(run, results=[result for result in run.results if result.case in wanted])


def _scripts(
    made: table.Matrix, known: dict[str, Program], limit: int
) -> dict[tuple[int, str], scripts.Script]:
    """Return the reproduction scripts, by column and case."""
    programs = scripts.programs(made.columns, known)
    count = sum(len(scripts.chosen(column, limit)) for column in made.columns)
    with progress_bar("scripts", count) as (progress, task):
        return {
            (number, case): text
            for number, column in enumerate(made.columns)
            for case, text in scripts.write(
                column, programs.get(column.adapter), limit, lambda: progress.advance(task)
            ).items()
        }
