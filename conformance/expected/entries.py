"""The entries of a file of expected failures, and how it is read."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from conformance.case import Case
from conformance.clauses import CATALOGUE, by_id
from conformance.result import HARMLESS, VERDICTS, Result

#: Verdicts that can be expected.
FAILING = tuple(verdict for verdict in VERDICTS if verdict not in HARMLESS)


class BadExpectFile(Exception):  # noqa: N818 - the file is at fault, not the suite
    """A file that cannot be understood; the message names it and the entry."""


@dataclass(frozen=True)
class Entry:
    """Cases that are expected to fail.

    Attributes
    ----------
    clause
        Id of a clause, or a pattern of such ids; empty for any.
    case
        Id of a case, or a pattern of such ids; empty for any.
    verdicts
        How the cases fail; empty for any way.
    reason
        Why they do.
    link
        Where that is discussed.
    """

    clause: str = ""
    case: str = ""
    verdicts: tuple[str, ...] = ()
    reason: str = ""
    link: str = ""

    @property
    def title(self) -> str:
        """What the entry is about, as the file says it."""
        parts = [("clause", self.clause), ("case", self.case)]
        return ", ".join(f'{key} = "{pattern}"' for key, pattern in parts if pattern)

    def is_about(self, case: str, clauses: Sequence[str]) -> bool:
        """Return whether a case with these clauses is among the entry's."""
        return (not self.case or fnmatch.fnmatchcase(case, self.case)) and (
            not self.clause or any(fnmatch.fnmatchcase(clause, self.clause) for clause in clauses)
        )

    def covers(self, result: Result) -> bool:
        """Return whether a result is a failure that the entry expects."""
        return result.verdict in (self.verdicts or FAILING) and self.is_about(
            result.case, result.clauses
        )


def read(path: Path) -> list[Entry]:
    """Read a file.

    Raises
    ------
    BadExpectFile
        It is no such file.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadExpectFile(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    unknown = data.keys() - {"expect"}
    if unknown:
        raise BadExpectFile(
            f"{path}: {min(unknown)!r} is no part of such a file; it holds [[expect]] entries"
        )
    items = data.get("expect", [])
    if not isinstance(items, list):
        raise BadExpectFile(f"{path}: an entry begins with [[expect]], in two pairs of brackets")
    return [_entry(item, f"{path}: entry {number}") for number, item in enumerate(items, start=1)]


def _entry(item: Any, where: str) -> Entry:
    allowed = [field.name for field in fields(Entry)]
    if not isinstance(item, dict):
        raise BadExpectFile(f"{where}: got {item!r}, expected a table")
    for key, value in item.items():
        if key not in allowed:
            raise BadExpectFile(f"{where}: got {key!r}, allowed are {', '.join(allowed)}")
        if key == "verdicts":
            if not isinstance(value, list) or not value or not set(map(str, value)) <= set(FAILING):
                raise BadExpectFile(
                    f"{where}: verdicts: got {value!r}, expected a list of some of "
                    f"{', '.join(FAILING)}"
                )
        elif not isinstance(value, str):
            raise BadExpectFile(f"{where}: {key}: got {value!r}, expected a string")
    entry = Entry(**{**item, "verdicts": tuple(item.get("verdicts", ()))})
    if not entry.clause and not entry.case:
        raise BadExpectFile(f"{where}: it needs a clause or a case")
    if not entry.reason.strip():
        raise BadExpectFile(f"{where} ({entry.title}): it needs a reason")
    try:
        if entry.clause and not _is_pattern(entry.clause):
            by_id(entry.clause)
        if entry.case and not _is_pattern(entry.case):
            Case.parse(entry.case)
    except ValueError as error:
        raise BadExpectFile(f"{where}: {error}") from None
    if not any(fnmatch.fnmatchcase(clause.id, entry.clause or "*") for clause in CATALOGUE):
        raise BadExpectFile(f"{where}: clause: no clause matches {entry.clause!r}")
    return entry


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")
