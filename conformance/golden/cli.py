"""The ``crossent golden`` commands."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from .. import selection
from ..options import jobs_option, judging_options, most_option, patterns_option
from ..resume import digest
from ..terminal import Assignment, Refused, carry_out, progress_bar
from . import PLACES, find_folder
from .diff import compare
from .judge import Examiner
from .parse import GoldenFileError
from .read import read_folder
from .select import select
from .vector import Vector
from .verify import verify as verify_files
from .write import VECTORS, make_all, render_all, replace_files

_FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)


class BadFiles(Refused):
    """Golden files that cannot be used."""


@click.group()
def golden() -> None:
    """Golden vectors: the exact results of small cases, in JSON files for any language."""


@golden.command()
@click.option(
    "--into",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Another folder than the source tree's golden/.",
)
@jobs_option
def regenerate(into: Path | None, jobs: int | None) -> None:
    """Work out every vector and replace the files, all at once."""
    from ..corpus import corpus

    _, source = PLACES
    if into is None and not source.is_dir():
        raise BadFiles(f"there is no source tree here ({source}); say --into FOLDER")
    folder = into or source
    cases = select(corpus())
    with _progress("proving", len(cases)) as advance:
        vectors = make_all(cases, jobs, advance)
    files = render_all(vectors)
    try:
        replace_files(folder, files)
    except OSError as error:
        raise BadFiles(f"{folder} cannot be written: {error.strerror}; nothing changed") from None
    for system, count in Counter(vector.case.system for vector in vectors).items():
        click.echo(f"{count:6} vectors of {system}")
    size = sum(map(len, files.values()))
    click.echo(f"{len(vectors):6} vectors in {len(files) - 1} files, {size:,} bytes, in {folder}")


@golden.command()
@click.argument("folder", type=_FOLDER, required=False)
@most_option(
    "--max-problems-shown", "limit", 20, "How many vectors or files with problems are printed."
)
@jobs_option
@click.pass_context
def verify(ctx: click.Context, folder: Path | None, limit: int, jobs: int | None) -> None:
    """Prove every stored value again, and check the index and the form of every file.

    The exit code is 0 if all is proved, 1 if anything is not, 2 if a file cannot be read.
    """
    folder = _folder(folder)
    with contextlib.ExitStack() as stack:
        bars: list[Any] = []

        def on_start(count: int) -> None:
            bars.append(stack.enter_context(_progress("proving", count)))

        try:
            found = verify_files(folder, jobs, on_start, lambda: bars[0]())
        except GoldenFileError as error:
            raise BadFiles(str(error)) from None
    for name, lines in list(found.problems.items())[:limit]:
        click.secho(name, fg="red", bold=True)
        for line in lines:
            click.echo(f"    {line}")
    if found.problems:
        total = len(found.problems)
        if total > limit:
            click.echo(f"... and {total - limit} more (--max-problems-shown)")
        click.echo(f"{folder}: problems with {total}, {found.vectors} vectors in all")
        ctx.exit(1)
    click.echo(f"{found.vectors} vectors of {folder} proved")


@golden.command()
@judging_options
@click.option("--golden", "folder", metavar="FOLDER", type=_FOLDER, help="Other golden files.")
@patterns_option(
    "Only vectors whose id, clause or flag contains PATTERN or matches it (*, ?, [...])."
)
@click.pass_context
def run(
    ctx: click.Context, /, folder: Path | None, patterns: tuple[str, ...], **options: Any
) -> None:
    """Judge a framework by the files alone.

    ADAPTER and the exit code are those of `crossent run`.
    """
    assignment = Assignment(**options)
    program = assignment.program()
    folder = _folder(folder).absolute()
    try:
        vectors = choose(read_folder(folder), patterns)
    except GoldenFileError as error:
        raise BadFiles(str(error)) from None
    cases = [vector.case for vector in vectors]
    ctx.exit(
        carry_out(
            assignment,
            program,
            cases,
            name=("crossent", "golden", "run"),
            examine=Examiner(folder),
            basis=digest(sorted((folder / VECTORS).glob("*.json"))),
        )
    )


@golden.command(name="diff")
@click.argument("old", type=_FOLDER)
@click.argument("new", type=_FOLDER, required=False)
@click.pass_context
def show_differences(ctx: click.Context, old: Path, new: Path | None) -> None:
    """Say what changed from OLD to NEW, by default the golden files of this installation.

    The exit code is 0 if nothing did, 1 if anything did, 2 if a file cannot be read.
    """
    try:
        changes = compare(read_folder(old), read_folder(_folder(new)))
    except GoldenFileError as error:
        raise BadFiles(str(error)) from None
    marks = {"added": "+", "removed": "-", "changed": "~"}
    for change in changes:
        click.echo(f"{marks[change.kind]} {change.id}")
        for line in change.details:
            click.echo(f"    {line}")
    counts = Counter[str](change.kind for change in changes)
    click.echo(", ".join(f"{counts[kind]} {kind}" for kind in marks))
    ctx.exit(1 if changes else 0)


def choose(vectors: Sequence[Vector], patterns: Sequence[str]) -> list[Vector]:
    """Return the vectors that any of the patterns selects; a whole name means just that."""
    try:
        return selection.choose(
            vectors,
            lambda vector: (vector.id, *vector.clauses, *vector.flags),
            patterns,
            "vector",
            "id, clause or flag",
        )
    except selection.NoMatchError as error:
        raise BadFiles(str(error)) from None


def _folder(given: Path | None) -> Path:
    if given is not None:
        return given
    try:
        return find_folder()
    except LookupError as error:
        raise BadFiles(str(error)) from None


@contextlib.contextmanager
def _progress(what: str, count: int) -> Iterator[Any]:
    """Show a progress bar; yield what moves it."""
    with progress_bar(what, count) as (progress, task):
        yield lambda: progress.advance(task)
