"""What a clause is: one documented statement, and the cases that observe it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from conformance.case import SYSTEMS, Case

#: The documentation pages, and the system that each describes.
PAGES = {"000": "linear", "001": "unit", "002": "ce", "003": "oneflow", "004": "ce"}

#: Pages 000 and 001 define their loss by reference to ``CrossEntropyLoss``: what its pages
#: (002 and 004) say holds for those systems too, unless their own page says otherwise.
DEFINITION = ("linear", "unit")
LINEAR = ("linear",)

Predicate = Callable[[Case], bool]


@dataclass(frozen=True)
class Source:
    """Where a statement stands: a page, and its words there.

    Attributes
    ----------
    page
        Number of the page, such as ``"002"``.
    words
        A verbatim excerpt with runs of white space made one space.
    """

    page: str
    words: str


def on(pages: str, words: str) -> tuple[Source, ...]:
    """Return the same words as they stand on several pages.

    >>> [source.page for source in on("002 003", "Otherwise, scalar.")]
    ['002', '003']
    """
    return tuple(Source(page, words) for page in pages.split())


def never(_: Case) -> bool:
    """Say that only a call which breaks the requirement can observe the statement."""
    return False


def every(_: Case) -> bool:
    """Say that each valid call observes the statement."""
    return True


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One documented statement.

    Attributes
    ----------
    id
        Dotted name in lower case; the part before the first dot is the clause's group.
    sources
        Every page that states it, and the words.
    check
        What it means as a check on a framework.
    applies
        Whether a valid case of the clause's systems and target kind would come out differently
        if the statement were violated.
    formula
        The mathematics, where the statement has any.
    target
        ``"index"`` or ``"prob"`` when the statement is about that kind of target only.
    breaks
        Values of ``Case.bad`` that break the statement's requirement.
    also
        Systems that inherit the statement through a reference from their own page.
    observable
        Whether some case of the forward and backward protocol can observe it.
    why
        Why not, for one that is not observable.
    """

    id: str
    sources: tuple[Source, ...]
    check: str
    applies: Predicate = never
    formula: str = ""
    target: str = ""
    breaks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    observable: bool = True
    why: str = ""

    @property
    def group(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems that the statement holds for, in the order of ``SYSTEMS``."""
        held = {PAGES[source.page] for source in self.sources}.union(self.also)
        return tuple(system for system in SYSTEMS if system in held)

    def covers(self, case: Case) -> bool:
        """Return whether the case observes the statement.

        A call that breaks a requirement must raise and so shows no values: it observes the
        requirement that it breaks, and nothing else.
        """
        if not self.observable or case.system not in self.systems:
            return False
        if self.target not in ("", case.target):
            return False
        if case.bad != "no":
            return case.bad in self.breaks
        return self.applies(case)
