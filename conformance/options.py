"""The options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from . import runner

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Command], Command]


def parse_size(text: str) -> int:
    """Return a number of bytes, given with K, M, G or T for powers of 1024.

    >>> parse_size("8G") == 8 * 2**30
    True
    """
    power = "KMGT".find(text[-1:].upper()) + 1 if text else 0
    digits = text[:-1] if power else text
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits) << 10 * power < 2**63):
        raise click.BadParameter(f"got {text!r}, allowed are sizes such as 500M or 8G")
    return int(digits) << 10 * power


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return options as one decorator, which lists them in this order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def file_to_write(option: str, what: str, name: str = "") -> Callable[[Command], Command]:
    """Return an option that names a file to write; the argument is its name and ``_file``."""
    return click.option(
        option,
        name or f"{option.removeprefix('--').replace('-', '_')}_file",
        metavar="FILE",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        help=what,
    )


def patterns_option(what: str) -> Callable[[Command], Command]:
    """Return ``-k``, with its own words on what it selects."""
    return click.option("-k", "patterns", metavar="PATTERN", multiple=True, help=what)


def timeout_option(what: str) -> Callable[[Command], Command]:
    """Return ``--timeout`` for one case or one call."""
    return click.option(
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        default=runner.TIMEOUT,
        show_default=True,
        help=f"What a framework may take for one {what}.",
    )


def most_option(option: str, name: str, most: int, what: str) -> Callable[[Command], Command]:
    """Return an option that limits how many of something are printed."""
    return click.option(
        option,
        name,
        metavar="N",
        type=click.IntRange(min=0),
        default=most,
        show_default=True,
        help=what,
    )


def expect_option(what: str) -> Callable[[Command], Command]:
    """Return ``--expect``, a file of expected failures."""
    return click.option(
        "--expect",
        "expect_file",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=what,
    )


quick_option = click.option("--quick", is_flag=True, help="About a tenth of the cases.")
jobs_option = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Processes; by default one a processor."
)

#: Where the embedded implementation runs.
backend_options = together(
    click.option(
        "--backend",
        type=click.Choice(("cpu", "cuda")),
        help="Judge the embedded implementation on the CPU, or on an NVIDIA GPU.",
    ),
    click.option(
        "--simulator",
        is_flag=True,
        help="With --backend cuda: a small part of the cases, in Numba's simulator of a GPU.",
    ),
)

#: ADAPTER and what stands for it.
program_options = together(
    click.argument("adapter", required=False),
    click.option(
        "--command", metavar="CMD", help="Run a program that speaks the protocol instead."
    ),
    click.option("--python", metavar="PATH", help="The Python that has the framework."),
)

#: The argument and options of a command that judges a framework.
judging_options = together(
    program_options,
    jobs_option,
    file_to_write("--json", "Write the full result, by schemas/result.schema.json."),
    click.option(
        "--resume",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Go on from the result file of a run that was stopped.",
    ),
    timeout_option("case"),
    click.option(
        "--memory",
        metavar="SIZE",
        type=parse_size,
        help="What each process of the framework may have, such as 500M or 8G.",
    ),
    most_option("--max-failures-shown", "limit", 10, "How many failing cases are printed."),
    expect_option(
        "Judge by a TOML file of expected failures: exit with 0 when exactly those occurred, with "
        "1 for any other failure, for an expected failure that passes and for an entry of whose "
        "cases none fails. An entry of whose cases none was run (-k, --quick) is not judged, "
        "unless the corpus has no such case.",
    ),
    file_to_write(
        "--write-expect",
        "Write the failures of this run to such a file; entries that still hold, with their "
        "reasons and links, and those of whose cases none was run, are kept.",
    ),
    file_to_write("--junit", "Write JUnit XML; failures that --expect names are skipped there."),
)
