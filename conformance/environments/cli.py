"""The ``crossent env`` commands."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from conformance.environments.build import BuildError, create
from conformance.environments.manifest import (
    Manifest,
    ManifestError,
    all_manifests,
    manifest_of,
    split,
)
from conformance.environments.store import (
    USABLE,
    BusyError,
    Environment,
    all_environments,
)
from conformance.report import console
from conformance.terminal import INTERRUPTED, Refused

_STYLES = {"ready": "green", "out of date": "yellow", "being built": "cyan"}

names_argument = click.argument("names", metavar="NAME[==VERSION]...", nargs=-1)


@click.group()
def env() -> None:
    """Environments: for each adapter its framework, isolated, at the version of its manifest.

    They are built in CROSSENT_CACHE, by default ~/.cache/crossent; several versions of one
    framework have their places side by side.
    """


@env.command(name="create")
@names_argument
@click.option("--all", "everything", is_flag=True, help="Of every registered adapter.")
@click.option("--rebuild", is_flag=True, help="Build anew what is ready.")
@click.pass_context
def create_command(
    ctx: click.Context, names: tuple[str, ...], everything: bool, rebuild: bool
) -> None:
    """Build environments, unless they are ready.

    The exit code is 1 if one could not be built; the others are built all the same.
    """
    _some(names, everything)
    with _refusing():
        manifests = all_manifests() if everything else _manifests(names)
    failed = []
    for manifest in manifests:
        environment = Environment.of(manifest)
        try:
            with _progress(manifest.label) as show:
                built = create(manifest, show, again=rebuild)
        except (BuildError, OSError) as error:  # a full disk, a cache that is not writable
            failed.append(manifest.label)
            click.secho(f"{manifest.label} is not built: {error}", fg="red", err=True)
        except KeyboardInterrupt:
            click.echo(f"interrupted: {manifest.label} is not built", err=True)
            ctx.exit(INTERRUPTED)
        else:
            told = f", {_size(environment.size())}" if built else " already"
            click.echo(f"{manifest.label} is ready{told}: {environment.path}")
    if failed and len(manifests) > 1:
        click.echo(f"{len(failed)} of {len(manifests)} failed: {', '.join(failed)}", err=True)
    ctx.exit(1 if failed else 0)


@env.command(name="list")
def list_command() -> None:
    """List what has been built, and what could be."""
    built = all_environments()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "version", "Python", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("path", no_wrap=True)
    for environment in built:
        record, state = environment.record() or {}, environment.state()
        table.add_row(
            environment.name,
            environment.version,
            record.get("python") or "·",
            f"[{_STYLES.get(state, 'red')}]{state}",
            _size(environment.size()),
            str(environment.path),
        )
    if built:
        out = console()
        out.width = max(out.width, 1000)  # a path is copied, so it must not be broken
        out.print(table)
    there = {environment.label for environment in built}
    with _refusing():
        missing = [made for made in all_manifests() if Environment.of(made).label not in there]
    if missing:
        click.echo(f"not built: {', '.join(manifest.label for manifest in missing)}")


@env.command(name="path")
@click.argument("name", metavar="NAME[==VERSION]")
def path_command(name: str) -> None:
    """Print the folder of an environment that has been built, and nothing else."""
    with _refusing():
        (manifest,) = _manifests([name])
    environment = Environment.of(manifest)
    if environment.state() not in USABLE:
        raise Refused(
            f"the environment of {manifest.label} is {environment.state()}; "
            f"build it: crossent env create {manifest.asked}"
        )
    click.echo(environment.path)


@env.command(name="remove")
@names_argument
@click.option("--all", "everything", is_flag=True, help="All that has been built.")
@click.pass_context
def remove_command(ctx: click.Context, names: tuple[str, ...], everything: bool) -> None:
    """Remove environments."""
    _some(names, everything)
    chosen = all_environments() if everything else [_built(name) for name in names]
    busy = False
    for environment in chosen:
        try:
            with environment.lock():
                environment.clear()
        except BusyError as error:
            busy = True
            click.secho(f"not removed: {error}", fg="red", err=True)
        else:
            click.echo(f"removed {environment.label}")
    ctx.exit(1 if busy else 0)


def _some(names: tuple[str, ...], everything: bool) -> None:
    if bool(names) == everything:
        raise click.UsageError("name at least one environment, or say --all")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Say of names and manifests what is wrong with them."""
    try:
        yield
    except (LookupError, ManifestError) as error:
        raise Refused(str(error.args[0])) from None


def _manifests(names: tuple[str, ...] | list[str]) -> list[Manifest]:
    """Return the manifests that are named, each once."""
    found: dict[str, Manifest] = {}
    for given in names:
        name, version = split(given)
        manifest = manifest_of(name, version)
        if manifest is None:
            raise Refused(f"{name} has no manifest, so it needs no environment of its own")
        found.setdefault(manifest.label, manifest)
    return list(found.values())


def _built(given: str) -> Environment:
    """Return the environment that is named, even if its adapter is gone."""
    there = {environment.label: environment for environment in all_environments()}
    if given in there:
        return there[given]
    with _refusing():
        (manifest,) = _manifests([given])
    label = Environment.of(manifest).label
    if label not in there:
        raise Refused(f"{label} is not built; built are {', '.join(there) or 'none'}")
    return there[label]


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[str], None]]:
    """Show what a tool says: its last line on a terminal, else a line now and then."""
    out = Console(stderr=True)
    if not out.is_terminal:
        last = 0.0

        def tell(line: str) -> None:
            nonlocal last
            if line.startswith(("making", "installing", "another")) or time.monotonic() > last + 30:
                last = time.monotonic()
                click.echo(f"{label}: {line}", err=True)

        yield tell
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", style="bold"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}", style="dim", markup=False),
    )
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task(label, total=None, said="")
        room = max(20, out.width - len(label) - 16)
        yield lambda line: progress.update(task, said=line.strip()[:room])


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
