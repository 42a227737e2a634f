"""The columns of a matrix: what one framework gave for one system, or why it gave nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from conformance.case import SYSTEMS, Case
from conformance.clauses import by_id
from conformance.departures import failure_kinds
from conformance.report import SCHEMA, misfit, summary
from conformance.result import HARMLESS, Result, Run

#: Packages that are no framework.
_COMMON = ("numpy", "python", "crossent-spec")


class BadResultFile(Exception):  # noqa: N818 - the file is at fault, not the suite
    """A file that holds no result of this suite."""


@dataclass(frozen=True)
class Kind:
    """A kind of failure: cases alike in verdict, likeliest clause and message."""

    number: int
    verdict: str
    clause: str


@dataclass(frozen=True)
class Column:
    """One framework on one system.

    Attributes
    ----------
    adapter
        Name of the adapter, path of its file, or a command.
    system
        Short name of the system; empty where the framework could not be run.
    versions
        As in a run.
    results
        Of this system.
    complete
        Whether the run came to its end.
    problem
        Why the framework could not be run.
    note
        What tells columns apart that are alike otherwise: the result file's name.
    """

    adapter: str
    system: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    results: Sequence[Result] = ()
    complete: bool = True
    problem: str = ""
    note: str = ""

    @property
    def version(self) -> str:
        """The framework's version, with the package's name where that is another."""
        for package, version in self.versions.items():
            if package == self.adapter or self.adapter == f"{package}=={version}":
                return version
            if package not in _COMMON:
                return f"{package} {version}"
        return ""

    @property
    def title(self) -> str:
        """One line that names the column."""
        parts = [self.adapter, self.version, self.system, self.note and f"({self.note})"]
        return " ".join(part for part in parts if part)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The results by the group of the clause that each case is about, its first."""
        groups: dict[str, list[Result]] = {}
        for result in self.results:
            groups.setdefault(by_id(result.clauses[0]).group, []).append(result)
        return {group: Cell(tuple(results)) for group, results in groups.items()}

    @cached_property
    def total(self) -> Cell:
        """All results."""
        return Cell(tuple(self.results))

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each failing case, by its id."""
        found = failure_kinds(self.results)
        return {
            result.case: Kind(number, verdict, clause)
            for number, ((verdict, clause, _), alike) in enumerate(found.items())
            for result in alike
        }


@dataclass(frozen=True)
class Cell:
    """The results of one framework on one group of clauses."""

    results: tuple[Result, ...]

    @cached_property
    def summary(self) -> dict[str, float | None]:
        """Counts by verdict, and the worst errors."""
        return summary(self.results)

    @cached_property
    def misfit(self) -> str:
        """Why values have no error to measure, if any have none."""
        return misfit(self.results)

    @cached_property
    def failing(self) -> list[Result]:
        """The results that do not conform."""
        return [result for result in self.results if result.verdict not in HARMLESS]

    @property
    def passed(self) -> int:
        """How many cases passed."""
        return int(self.summary["pass"] or 0)

    @property
    def judged(self) -> int:
        """How many cases were not unsupported."""
        return self.passed + len(self.failing)

    @property
    def state(self) -> str:
        """``failing``, ``passing``, or ``unsupported`` where nothing was judged."""
        return "failing" if self.failing else "passing" if self.judged else "unsupported"


def of_run(run: Run, note: str = "") -> list[Column]:
    """Return a column for each system of a run."""
    by_system: dict[str, list[Result]] = {system: [] for system in SYSTEMS}
    for result in run.results:
        by_system[Case.parse(result.case).system].append(result)
    made = [
        Column(run.adapter, system, run.versions, results, run.complete, note=note)
        for system, results in by_system.items()
        if results
    ]
    if made:
        return made
    return [Column(run.adapter, "", run.versions, problem="the run has no results", note=note)]


def read(path: Path) -> Run:
    """Read a result file.

    Raises
    ------
    BadResultFile
        It is none, or of a version of the suite with other cases or clauses.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadResultFile(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise BadResultFile(f"{path}: is no result file, which `crossent run --json` writes")
    try:
        run = Run.from_json(data)
        for result in run.results:
            Case.parse(result.case)
            if not result.clauses:
                raise ValueError(f"{result.case}: has no clause")
            for clause in result.clauses:
                by_id(clause)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadResultFile(
            f"{path}: is broken, or of another version of the suite: "
            f"{type(error).__name__}: {error}"
        ) from None
    return run


def told_apart(columns: Iterable[Column]) -> list[Column]:
    """Return the columns, with their notes only where others have the same title."""
    columns = list(columns)
    bare = [replace(column, note="") for column in columns]
    counts = Counter(column.title for column in bare)
    return [
        column if counts[plain.title] > 1 else plain
        for column, plain in zip(columns, bare, strict=True)
    ]
