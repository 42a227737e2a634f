"""The ``crossent`` command."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import shlex
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from conformance import adapters, report, runner
from conformance.case import SYSTEMS, Case
from conformance.clauses import CATALOGUE, by_id, clauses_of
from conformance.driver import Hello, Program, Unavailable
from conformance.protocol import Unsupported
from conformance.result import HARMLESS, Result

#: Exit codes, beside 0 and click's own 2 for usage.
FAILURES, USAGE, INTERNAL, INTERRUPTED = 1, 2, 3, 130


class Refused(click.ClickException):
    """The command cannot be carried out as it was given."""

    exit_code = USAGE


class Defect(click.ClickException):
    """The suite itself failed."""

    exit_code = INTERNAL


class _Group(click.Group):
    """Keeps a failure of the suite apart from a framework's failures, by its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception:
            raise Defect(f"the suite itself failed\n{traceback.format_exc()}") from None


def corpus(quick: bool = False) -> list[Case]:
    """Return the corpus; it is built only for the commands that need it."""
    from conformance.corpus import corpus as build

    return build(quick=quick)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(runner.version(), prog_name="crossent")
def main() -> None:
    """Tell whether a framework implements the documented cross-entropy losses."""


patterns_option = click.option(
    "-k",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="Only cases whose id, or one of whose clauses, contains PATTERN or matches it "
    "(*, ?, [...]); may be repeated.",
)
quick_option = click.option("--quick", is_flag=True, help="About a tenth of the cases.")


@main.command()
@click.argument("adapter", required=False)
@click.option("--command", metavar="CMD", help="Run a program that speaks the protocol instead.")
@click.option("--python", metavar="PATH", help="The Python that has the framework.")
@quick_option
@patterns_option
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Workers; by default one a processor."
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the full result, by schemas/result.schema.json.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=runner.TIMEOUT,
    show_default=True,
    help="What the framework may take for one case.",
)
@click.option(
    "--max-failures-shown",
    "limit",
    metavar="N",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many failing cases are printed.",
)
@click.pass_context
def run(
    ctx: click.Context,
    adapter: str | None,
    command: str | None,
    python: str | None,
    quick: bool,
    patterns: tuple[str, ...],
    jobs: int | None,
    json_file: Path | None,
    timeout: float,
    limit: int,
) -> None:
    """Judge a framework.

    ADAPTER is a registered name (see `crossent adapters`; "embedded" by default) or the path of
    an adapter's file.  The exit code is 0 if nothing but pass and unsupported occurred, 1 for
    failures, 2 for usage, 3 if the suite itself failed.
    """
    program = _program(adapter, command, python)
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise Refused(f"--json: there is no folder {json_file.absolute().parent}")
    cases = select(corpus(quick), patterns)
    defect = ""
    try:
        with _progress(len(cases)) as hooks:
            result = runner.run(
                program, cases, jobs=jobs, timeout=timeout, examine=runner.examine, **hooks
            )
    except Unavailable as error:
        raise Refused(_unavailable(program, error)) from None
    except runner.NothingToRunError as error:
        raise Refused(
            f"{program.name} implements {error}, and none of the {len(cases)} cases is about that"
        ) from None
    except runner.HarnessError as error:
        result, defect = error.run, str(error)
    if json_file is not None:
        report.write_json(result, json_file)
    if defect:
        raise Defect(defect)
    again = ["--command", command] if command else [program.name]
    report.print_run(
        report.console(),
        result,
        again=shlex.join(["crossent", "run", *again]),
        repro="" if command else shlex.join(["--adapter", program.name]),
        limit=limit,
    )
    ctx.exit(result.exit_code or (0 if result.complete else INTERRUPTED))


@main.command()
@click.option("--group", metavar="G", help="Only clauses of this group, such as smoothing.")
@click.option("--system", metavar="S", help=f"Only clauses of one of {', '.join(SYSTEMS)}.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def clauses(group: str | None, system: str | None, as_json: bool) -> None:
    """List the documented statements: id, pages, check."""
    groups = list(dict.fromkeys(clause.group for clause in CATALOGUE))
    if group is not None and group not in groups:
        raise Refused(f"no clause group {group!r}; there are {', '.join(groups)}")
    short = {**{name: name for name in SYSTEMS}, **{full: name for name, full in SYSTEMS.items()}}
    if system is not None and system not in short:
        raise Refused(f"no system {system!r}; there are {', '.join(SYSTEMS)}")
    chosen = [
        clause
        for clause in CATALOGUE
        if group in (None, clause.group) and (system is None or short[system] in clause.systems)
    ]
    if as_json:
        listed = [
            {
                "id": clause.id,
                "group": clause.group,
                "systems": [SYSTEMS[name] for name in clause.systems],
                "sources": [vars(source) for source in clause.sources],
                "check": clause.check,
                "formula": clause.formula,
                "observable": clause.observable,
                "why": clause.why,
            }
            for clause in chosen
        ]
        click.echo(json.dumps(listed, indent=1, ensure_ascii=False))
        return
    for clause in chosen:
        pages = " ".join(dict.fromkeys(source.page for source in clause.sources))
        click.echo(f"{click.style(clause.id, bold=True)}  ({pages})\n    {clause.check}")


@main.command()
@click.argument("name", metavar="ID")
def explain(name: str) -> None:
    """Explain a clause, or a case, in full."""
    from conformance.explain import case_lines, clause_lines

    if "/" in name:
        lines = case_lines(_case(name))
    else:
        try:
            clause = by_id(name)
        except ValueError as error:
            raise Refused(str(error)) from None
        lines = clause_lines(clause, corpus())
    for line in lines:
        click.echo(line)


@main.command()
@quick_option
@patterns_option
def cases(quick: bool, patterns: tuple[str, ...]) -> None:
    """List the ids of the cases."""
    for case in select(corpus(quick), patterns):
        click.echo(case.id)


@main.command()
@click.argument("name", metavar="CASE")
@click.option("--adapter", "spec", metavar="ADAPTER", default="embedded", show_default=True)
def repro(name: str, spec: str) -> None:
    """Print a script that shows a case in the framework's own API."""
    from conformance import repro

    case = _case(name)
    program = _program(spec, None, None)
    try:
        click.echo(repro.script(case, Path(str(program.adapter))), nl=False)
    except (ImportError, NotImplementedError, Unsupported) as error:
        raise Refused(f"{spec}: {error}") from None


@main.command(name="adapters")
def list_adapters() -> None:
    """List the registered adapters."""
    known = adapters.registered()
    width = max(map(len, known), default=0)
    for name, path in known.items():
        click.echo(f"{name:<{width}}  {adapters.summary(path)}")


def select(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """Return the cases that any of the patterns selects.

    A pattern that is a case's id, or a clause's, means just that and no longer id that begins
    alike; a case's id selects it even if the corpus does not hold it.
    """
    if not patterns:
        return list(cases)
    names = {case: (case.id, *clauses_of(case)) for case in cases}
    chosen: set[Case] = set()
    for pattern in patterns:
        found = {case for case in cases if pattern in names[case]}
        if not found:
            with contextlib.suppress(ValueError):
                found = {Case.parse(pattern)}
        found = found or {
            case
            for case in cases
            if any(pattern in name or fnmatch.fnmatchcase(name, pattern) for name in names[case])
        }
        if not found:
            raise Refused(f"-k {pattern}: no case has such an id or clause")
        chosen |= found
    return [case for case in cases if case in chosen] + sorted(
        chosen.difference(cases), key=lambda case: case.id
    )


def _case(name: str) -> Case:
    try:
        return Case.parse(name)
    except ValueError as error:
        raise Refused(str(error)) from None


def _program(adapter: str | None, command: str | None, python: str | None) -> Program:
    if command is not None:
        if adapter is not None or python is not None:
            raise click.UsageError("--command stands alone, without ADAPTER and --python")
        try:
            return Program.of_command(command)
        except ValueError as error:
            raise Refused(f"--command: {error}") from None
    spec = adapter or "embedded"
    try:
        return Program.of_adapter(spec, adapters.find(spec), python)
    except LookupError as error:
        raise Refused(str(error.args[0])) from None


def _unavailable(program: Program, error: Unavailable) -> str:
    lines = [f"{program.name} cannot be run: {error}", f"  tried: {program.line}"]
    if program.adapter is not None:
        if error.module is not None:
            package = error.module.partition(".")[0].replace("_", "-")
            lines.append(f"  install it there: {program.command[0]} -m pip install {package}")
        lines.append(
            f"  or name a Python that has it: crossent run {program.name} --python /path/to/python"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def _progress(count: int) -> Iterator[dict[str, Any]]:
    """Show a progress bar on stderr where that is a terminal; yield the hooks that move it."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bad]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bad = 0

    def on_start(hello: Hello, total: int) -> None:
        progress.update(task, description=hello.name, total=total)

    def on_result(result: Result) -> None:
        nonlocal bad
        bad += result.verdict not in HARMLESS
        progress.update(task, advance=1, bad=f"[red]{bad} not conforming" if bad else "")

    with progress:
        task = progress.add_task("starting", total=count, bad="")
        yield {"on_start": on_start, "on_result": on_result}
