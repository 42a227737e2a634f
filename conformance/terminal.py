"""What the commands that drive a framework share: the work, progress, errors, exit codes."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from conformance import expected, junit, report, resume, runner, selection
from conformance.case import Case
from conformance.driver import Hello, Program, Unavailable
from conformance.environments.resolve import resolve
from conformance.interrupt import Stop
from conformance.result import HARMLESS, Result, Run

#: Exit codes, beside 0 and the 1 of :attr:`conformance.result.Run.exit_code`.
USAGE, INTERNAL, INTERRUPTED = 2, 3, 130


class Refused(click.ClickException):
    """The command cannot be carried out as it was given."""

    exit_code = USAGE


class Defect(click.ClickException):
    """The suite itself failed."""

    exit_code = INTERNAL


@dataclass(frozen=True)
class Assignment:
    """Which framework to judge, and how: the options of :data:`.options.judging_options`."""

    adapter: str | None
    command: str | None
    python: str | None
    jobs: int | None
    json_file: Path | None
    timeout: float
    limit: int
    expect_file: Path | None
    write_expect_file: Path | None
    junit_file: Path | None
    resume: Path | None
    memory: int | None

    @property
    def result_file(self) -> Path | None:
        """The file to write: of a run that goes on, the same unless another is named."""
        if self.json_file is None and self.resume is not None:
            return resume.whole(self.resume)
        return self.json_file

    def program(self) -> Program:
        """Return the program to start; refuse what the options do not allow."""
        if self.expect_file is not None and self.write_expect_file is not None:
            raise click.UsageError("--expect and --write-expect exclude each other")
        refuse_missing_folders(
            {
                "--json": self.json_file,
                "--write-expect": self.write_expect_file,
                "--junit": self.junit_file,
            }
        )
        self.expectations()
        return program_of(self.adapter, self.command, self.python)

    def expectations(self) -> list[expected.Entry] | None:
        """Return the expected failures, from the file to judge by or the one to be written."""
        file = self.expect_file or self.write_expect_file
        if file is None or (self.expect_file is None and not file.exists()):
            return None
        try:
            return expected.read(file)
        except expected.BadExpectFile as error:
            raise Refused(str(error)) from None


def refuse_missing_folders(files: Mapping[str, Path | None]) -> None:
    """Refuse, before the work, a file to write whose folder is not there; keys are options."""
    for option, file in files.items():
        if file is not None and not file.absolute().parent.is_dir():
            raise Refused(f"{option}: there is no folder {file.absolute().parent}")


def unwritable(option: str, file: Path, error: OSError) -> str:
    """Return the words for a file that an option names and that could not be written."""
    return f"{option}: {file} cannot be written: {error.strerror or error}"


def chosen_cases(quick: bool, patterns: Sequence[str]) -> list[Case]:
    """Return the cases that ``--quick`` and ``-k`` select."""
    try:
        return selection.cases(quick, patterns)
    except selection.NoMatchError as error:
        raise Refused(str(error)) from None


def carry_out(
    assignment: Assignment,
    program: Program,
    cases: Sequence[Case],
    *,
    name: Sequence[str],
    examine: runner.Examine,
    basis: str = "",
) -> int:
    """Judge a framework on cases, report, and return the exit code.

    Parameters
    ----------
    assignment, program
        What was asked for, and the program that it names.
    cases
        What to judge it on.
    name
        The command's own words, such as ``("crossent", "run")``.
    examine
        How a lane treats a case.
    basis
        Digest of the files by which it is judged, where there are any.
    """
    with Stop() as stop:
        return _carry_out(assignment, program, cases, name, examine, basis, stop)


def _carry_out(
    assignment: Assignment,
    program: Program,
    cases: Sequence[Case],
    name: Sequence[str],
    examine: runner.Examine,
    basis: str,
    stop: Stop,
) -> int:
    defect = ""
    fingerprint = resume.fingerprint(program, f"{shlex.join(name)} {basis}".strip())
    try:
        record = resume.Record(
            Run(program.name, fingerprint=fingerprint),
            cases,
            file=assignment.result_file,
            earlier=assignment.resume,
        )
        with result_progress(len(cases), record) as hooks:
            result = runner.run(
                program,
                cases,
                jobs=assignment.jobs,
                timeout=assignment.timeout,
                memory=assignment.memory,
                earlier=record.results,
                examine=examine,
                stop=stop,
                **hooks,
            )
    except resume.NotResumable as error:
        raise Refused(f"--resume: {error}") from None
    except Unavailable as error:
        raise unavailable(program, error) from None
    except runner.NothingToRunError as error:
        raise Refused(
            f"{program.name} implements {error}, and none of the {len(cases)} cases is about that"
        ) from None
    except runner.HarnessError as error:
        result, defect = error.run, str(error)
    # What cannot be written is said after the report, which may have taken hours.
    unwritten = [problem] if (problem := record.save(result)) else []
    if defect:
        raise Defect("\n".join([defect, *unwritten]))
    expect_file = assignment.expect_file or assignment.write_expect_file
    entries = assignment.expectations()
    if assignment.write_expect_file is not None:
        if not result.complete:
            raise Refused(f"{expect_file} is not written: the run is incomplete")
        try:
            entries = expected.update(assignment.write_expect_file, result)
        except OSError as error:
            unwritten.append(unwritable("--write-expect", assignment.write_expect_file, error))
    expectation = None if entries is None else expected.judge(result.results, entries)
    command = assignment.command
    again = [program.name] if command is None else ["--command", command]
    commands = {
        "again": shlex.join([*name, *again]),
        "repro": "" if program.adapter is None else shlex.join(["--adapter", program.name]),
    }
    if assignment.junit_file is not None:
        try:
            junit.write(result, assignment.junit_file, judgement=expectation, **commands)
        except OSError as error:
            unwritten.append(unwritable("--junit", assignment.junit_file, error))
    report.print_run(
        report.console(),
        result,
        limit=assignment.limit,
        expected=expectation.covered if expectation else (),
        **commands,
    )
    if expectation and expect_file:
        expected.show(report.console(), expectation, expect_file, assignment.limit)
    if unwritten:
        raise Refused("\n".join(unwritten))
    if not result.complete and assignment.result_file is not None:
        click.echo(f"To go on: add --resume {shlex.quote(str(assignment.result_file))}")
    exit_code = expectation.exit_code if expectation else result.exit_code
    return exit_code or (0 if result.complete else INTERRUPTED)


def program_of(adapter: str | None, command: str | None, python: str | None) -> Program:
    """Return the program that the argument ADAPTER and its options name."""
    if command is None:
        return find_program(adapter or "embedded", python)
    if adapter is not None or python is not None:
        raise click.UsageError("--command stands alone, without ADAPTER and --python")
    try:
        return Program.of_command(command)
    except ValueError as error:
        raise Refused(f"--command: {error}") from None


def find_program(adapter: str, python: str | None = None) -> Program:
    """Return the program of a registered adapter or of an adapter's file, perhaps ==VERSION."""
    try:
        program = resolve(adapter, python)
    except (LookupError, ValueError) as error:
        raise Refused(str(error.args[0])) from None
    if program.note:
        click.echo(program.note, err=True)
    return program


@contextlib.contextmanager
def progress_bar(what: str, count: int, *columns: Any) -> Iterator[tuple[Progress, Any]]:
    """Show a progress bar on stderr where that is a terminal; yield it and its task."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield progress, progress.add_task(what, total=count, bad="")


@contextlib.contextmanager
def result_progress(count: int, record: resume.Record | None = None) -> Iterator[dict[str, Any]]:
    """Show how a run goes, and record it if asked; yield the hooks of :func:`runner.run`."""
    bad: dict[str, bool] = {}
    with progress_bar("starting", count, TextColumn("{task.fields[bad]}")) as (progress, task):

        def on_start(hello: Hello, total: int) -> None:
            if record:
                record.on_start(hello)
            progress.update(task, description=hello.name, total=total)

        def on_result(result: Result) -> None:
            if record:
                record.on_result(result)
            bad[result.case] = result.verdict not in HARMLESS
            count = sum(bad.values())
            progress.update(
                task, completed=len(bad), bad=f"[red]{count} not conforming" if count else ""
            )

        yield {"on_start": on_start, "on_result": on_result}


def unavailable(program: Program, error: Unavailable) -> Refused:
    """Return the refusal that tells what to do about a program that cannot be run."""
    lines = [f"{program.name} cannot be run: {error}", f"  tried: {program.line}"]
    if program.adapter is not None:
        if error.module is not None and not program.remedy:
            package = error.module.partition(".")[0].replace("_", "-")
            lines.append(f"  install it there: {program.command[0]} -m pip install {package}")
        lines.append(
            f"  or name a Python that has it: crossent run {program.name} --python /path/to/python"
        )
    if program.remedy:
        lines.append(f"  {program.remedy}")
    return Refused("\n".join(lines))
