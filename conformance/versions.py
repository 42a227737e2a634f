"""Versions that a caller asked for, held against those that a worker reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Pin:
    """A version that was asked for.

    Attributes
    ----------
    version
        The version.
    names
        The names under which a worker may report it, the likeliest first.
    """

    version: str
    names: tuple[str, ...]

    def mismatch(self, reported: Mapping[str, str]) -> str:
        """Return what is wrong with the versions that a worker reports, or nothing.

        >>> pin = Pin("2.13.0", ("torch",))
        >>> pin.mismatch({"torch": "2.13.0+cpu", "numpy": "2.3.1"})
        ''
        >>> pin.mismatch({"torch": "1.13.1"})
        'it has torch 1.13.1, asked for is 2.13.0'
        """
        known = {plain_name(name): (name, version) for name, version in reported.items()}
        for name in map(plain_name, self.names):
            if name in known:
                told, version = known[name]
                if same_version(self.version, version):
                    return ""
                return f"it has {told} {version}, asked for is {self.version}"
        told = ", ".join(reported) or "nothing"
        return (
            f"asked for is version {self.version} of {' or '.join(self.names)}, "
            f"but it reports the versions of {told}"
        )


def plain_name(name: str) -> str:
    """Return a package's name in the form in which names are compared.

    >>> plain_name("Unit_Scaling")
    'unit-scaling'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def same_version(asked: str, reported: str) -> bool:
    """Tell whether a version is the one asked for; a build's own suffix need not be asked for.

    >>> same_version("2.13", "2.13.0+cu130"), same_version("2.13.0+cpu", "2.13.0")
    (True, False)
    """
    if "+" not in asked:
        reported = reported.partition("+")[0]
    return _significant(asked) == _significant(reported)


def _significant(version: str) -> str:
    return re.sub(r"(\.0)+$", "", version.strip().lower())
