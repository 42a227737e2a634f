"""The ``crossent`` command."""

from __future__ import annotations

import json
import traceback
from typing import Any

import click

from conformance import adapters, on_gpu, runner, selection
from conformance.bench.cli import bench
from conformance.case import SYSTEMS, Case
from conformance.clauses import CATALOGUE, by_id
from conformance.driver import Unavailable
from conformance.environments.cli import env
from conformance.fuzz.cli import fuzz
from conformance.golden.cli import golden
from conformance.load.cli import load
from conformance.matrix.cli import matrix
from conformance.options import backend_options, judging_options, patterns_option, quick_option
from conformance.protocol import Unsupported
from conformance.strength.cli import strength
from conformance.terminal import (
    Assignment,
    Defect,
    Refused,
    carry_out,
    chosen_cases,
    find_program,
    unavailable,
)


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


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(runner.version(), prog_name="crossent")
def main() -> None:
    """Tell whether a framework implements the documented cross-entropy losses."""


_patterns_option = patterns_option(
    "Only cases whose id, or one of whose clauses, contains PATTERN or matches it (*, ?, [...]); "
    "may be repeated."
)


@main.command()
@judging_options
@backend_options
@quick_option
@_patterns_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    backend: str | None,
    simulator: bool,
    quick: bool,
    patterns: tuple[str, ...],
    **options: Any,
) -> None:
    """Judge a framework.

    ADAPTER is a registered name (see `crossent adapters`; "embedded" by default) or the path of
    an adapter's file.  The exit code is 0 if nothing but pass and unsupported occurred, 1 for
    failures, 2 for usage, 3 if the suite itself failed.
    """
    assignment = Assignment(**options)
    program = assignment.program()
    cases = chosen_cases(quick, patterns)
    if simulator and backend != "cuda":
        raise click.UsageError("--simulator goes with --backend cuda")
    if backend is not None and program.adapter != adapters.find("embedded"):
        raise click.UsageError("--backend is the embedded implementation's, without ADAPTER")
    if backend == "cuda":
        program = on_gpu.program(simulator)
        cases = on_gpu.small(cases) if simulator else cases
    ctx.exit(
        carry_out(assignment, program, cases, name=("crossent", "run"), examine=runner.examine)
    )


@main.command()
@click.option("--group", metavar="G", help="Only clauses of this group, such as smoothing.")
@click.option("--system", metavar="S", help=f"Only clauses of one of {', '.join(SYSTEMS)}.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def clauses(group: str | None, system: str | None, as_json: bool) -> None:
    """List the documented statements: id, pages, check."""
    groups = list(dict.fromkeys(clause.group for clause in CATALOGUE))
    if group is not None and group not in groups:
        raise Refused(f"no clause group {group!r}; there are {', '.join(groups)}")
    try:
        short = None if system is None else selection.system(system)
    except selection.NoMatchError as error:
        raise Refused(str(error)) from None
    chosen = [
        clause
        for clause in CATALOGUE
        if group in (None, clause.group) and (short is None or short in clause.systems)
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
        lines = clause_lines(clause, selection.corpus())
    for line in lines:
        click.echo(line)


@main.command()
@quick_option
@_patterns_option
def cases(quick: bool, patterns: tuple[str, ...]) -> None:
    """List the ids of the cases."""
    for case in chosen_cases(quick, patterns):
        click.echo(case.id)


@main.command()
@click.argument("name", metavar="CASE")
@click.option("--adapter", "spec", metavar="ADAPTER", default="embedded", show_default=True)
def repro(name: str, spec: str) -> None:
    """Print a script that shows a case in the framework's own API.

    Where the adapter writes no such calls, the script calls the framework through the adapter.
    """
    from conformance import repro

    case = _case(name)
    program = find_program(spec)
    try:
        click.echo(repro.script(case, program), nl=False)
    except Unavailable as error:
        raise unavailable(program, error) from None
    except Unsupported as error:
        raise Refused(f"{spec}: {error}") from None


@main.command(name="adapters")
def list_adapters() -> None:
    """List the registered adapters."""
    known = adapters.registered()
    width = max(map(len, known))
    for name, path in known.items():
        click.echo(f"{name:<{width}}  {adapters.summary(path)}")


def _case(name: str) -> Case:
    try:
        return Case.parse(name)
    except ValueError as error:
        raise Refused(str(error)) from None


main.add_command(bench)
main.add_command(env)
main.add_command(fuzz)
main.add_command(golden)
main.add_command(load)
main.add_command(matrix)
main.add_command(strength)
