"""Which of many a user means: cases, vectors, systems, by their names or a part of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from .case import SYSTEMS, Case
from .clauses import clauses_of

Item = TypeVar("Item")


class NoMatchError(LookupError):
    """A pattern or a name that means nothing here; ``str`` of it says what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


def corpus(quick: bool = False) -> list[Case]:
    """Return the corpus; it is built only for the commands that need it."""
    from .corpus import corpus as build

    return build(quick=quick)


def cases(quick: bool, patterns: Sequence[str]) -> list[Case]:
    """Return the cases of the corpus, or of its quick part, that any of the patterns selects."""
    return select(corpus(quick), patterns)


def select(given: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """Return the cases that any of the patterns selects by id or clause.

    A case's id selects it even if the given cases do not hold it.

    Raises
    ------
    NoMatchError
        A pattern selects nothing.
    """
    outside: list[Case] = []
    wrong: dict[str, ValueError] = {}

    def parsed(pattern: str) -> bool:
        try:
            outside.append(Case.parse(pattern))
        except ValueError as error:
            wrong[pattern] = error
            return False
        return True

    try:
        chosen = choose(
            given, lambda case: (case.id, *clauses_of(case)), patterns, "case", "id or clause",
            parsed,
        )  # fmt: skip
    except NoMatchError as error:
        pattern = next(reversed(wrong))
        # What has all parts of an id was meant for one.
        why = f"; as an id: {wrong[pattern]}" if pattern.count("/") >= 4 else ""
        raise NoMatchError(f"{error}{why}") from None
    meant = {*chosen, *outside}
    return [case for case in given if case in meant] + sorted(
        meant.difference(given), key=lambda case: case.id
    )


def choose(
    given: Sequence[Item],
    names_of: Callable[[Item], Iterable[str]],
    patterns: Sequence[str],
    what: str,
    named: str,
    otherwise: Callable[[str], bool] = lambda _: False,
) -> list[Item]:
    """Return the items that any of the patterns selects, in their order; without any, all.

    Parameters
    ----------
    given
        The items.
    names_of
        Gives the names of one.
    patterns
        What selects.  One that is a whole name means just that, and no longer name that begins
        alike.
    what, named
        What an item is called and what its names are, for the message.
    otherwise
        Asked about a pattern that is no whole name; true if it has been dealt with.

    Raises
    ------
    NoMatchError
        A pattern selects nothing.
    """
    if not patterns:
        return list(given)
    names = [tuple(names_of(item)) for item in given]
    chosen: set[int] = set()
    for pattern in patterns:
        found = {number for number, own in enumerate(names) if pattern in own}
        if not found and otherwise(pattern):
            continue
        found = found or {
            number
            for number, own in enumerate(names)
            if any(matches(name, pattern) for name in own)
        }
        if not found:
            raise NoMatchError(f"-k {pattern}: no {what} has such an {named}")
        chosen |= found
    return [item for number, item in enumerate(given) if number in chosen]


def matches(name: str, pattern: str) -> bool:
    """Tell whether a name contains a pattern or matches it.

    >>> matches("ce/index/4x10/f32/mean", "index/"), matches("ce/index", "*/prob")
    (True, False)
    """
    return pattern in name or fnmatch.fnmatchcase(name, pattern)


def system(name: str) -> str:
    """Return a system's short name, given that or the documented one.

    Raises
    ------
    NoMatchError
        There is none.

    Examples
    --------
    >>> system("oneflow.nn.CrossEntropyLoss")
    'oneflow'
    """
    for short, full in SYSTEMS.items():
        if name in (short, full):
            return short
    raise NoMatchError(f"no system {name!r}; there are {', '.join(SYSTEMS)}")
