"""The options of a command that judges a framework by its expected failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def options() -> list[Callable[[Any], Any]]:
    """Return ``--expect`` and ``--write-expect``."""
    return [
        click.option(
            "--expect",
            "expect_file",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Judge by a TOML file of expected failures: exit with 0 when exactly those "
            "occurred, with 1 for any other failure, for an expected failure that passes and for "
            "an entry of whose cases none fails. An entry of whose cases none was run (-k, "
            "--quick) is not judged, unless the corpus has no such case.",
        ),
        click.option(
            "--write-expect",
            "write_expect_file",
            metavar="FILE",
            type=click.Path(dir_okay=False, writable=True, path_type=Path),
            help="Write the failures of this run to such a file; entries that still hold, with "
            "their reasons and links, and those of whose cases none was run, are kept.",
        ),
    ]
