"""``crossent strength``: the suite measured with seeded faults and correct variants."""

from __future__ import annotations

import click
from rich.console import Console

from conformance.options import jobs_option
from conformance.terminal import progress_bar


@click.command()
@click.option("--quick/--full", default=False, help="Only the quick corpus, or all of it.")
@click.option(
    "--fault",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this fault or correct variant; may be repeated.",
)
@jobs_option
@click.option("--list", "only_list", is_flag=True, help="List the faults and variants, run none.")
@click.pass_context
def strength(
    ctx: click.Context, quick: bool, names: tuple[str, ...], jobs: int | None, only_list: bool
) -> None:
    """Measure the suite: it must find every seeded fault and pass every correct variant.

    The exit code is 1 if a fault survives or a correct variant fails.
    """
    from conformance.strength import catalogue, run
    from conformance.strength.measure import name_of

    try:
        frameworks = [catalogue.find(name) for name in names]
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None
    frameworks = frameworks or [*catalogue.correct().values(), *catalogue.faults().values()]
    if only_list:
        for framework in frameworks:
            click.echo(f"{catalogue.theme_of(framework)}  {name_of(framework)}")
            click.echo(f"    {catalogue.description(framework)}")
            if framework.seen:
                click.echo(f"    {framework.seen}")
        return
    with progress_bar("strength", len(frameworks)) as (progress, task):
        rows = run.run(
            frameworks, full=not quick, jobs=jobs, on_row=lambda _: progress.advance(task)
        )
    run.show(rows, Console())
    if not all(row.as_it_should for row in rows):
        ctx.exit(1)
