"""Which statement of the pages a failing case most likely departs from."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from .case import Case
from .clauses import PAGES, by_id
from .clauses.clause import Source
from .result import HARMLESS, Result

Kind = tuple[str, str, str]

#: Where the most of a clause's cases fail, a broader one explains as much if this part of that
#: rate is its own.
_MOSTLY, _ALIKE = 0.5, 0.9
#: A process dies of many things.  A statement has to do with it if half of its cases do, or more,
#: and more than one.
_DYING, _DEATHS = 0.5, 2
_DIED = frozenset({"crash", "timeout"})


def failure_kinds(results: Iterable[Result]) -> dict[Kind, list[Result]]:
    """Sort failures by verdict, the clause most likely violated and the form of the message."""
    results = list(results)
    likeliest = likeliest_clauses(results)
    kinds: dict[Kind, list[Result]] = defaultdict(list)
    for result in results:
        if result.verdict not in HARMLESS:
            kinds[result.verdict, likeliest[result.case], _form(result.message)].append(result)
    # The second kind of failure of a clause comes after the first of every other clause.
    order: Counter[str] = Counter()
    ranks = {}
    for kind in kinds:
        ranks[kind] = order[kind[1]]
        order[kind[1]] += 1
    return {kind: kinds[kind] for kind in sorted(kinds, key=lambda kind: ranks[kind])}


def likeliest_clauses(results: Iterable[Result]) -> dict[str, str]:
    """Return the clause that each failing case most likely departs from, or nothing.

    Of a case's clauses the likeliest is the one whose cases fail the most often, where one more
    case that passes is supposed, lest a clause with a single case win with that.  Of clauses
    whose cases mostly fail, about as often, it is the broadest: where nearly everything fails,
    what is rare explains nothing.  Calls that must be refused count by themselves, since what they
    show is another thing than what valid calls show.  A crash or a timeout counts by itself, too,
    and departs from no statement in particular unless the most of that statement's cases end so.
    """
    observed: Counter[tuple[str, bool, str]] = Counter()
    broken: Counter[tuple[str, bool, str, bool]] = Counter()
    failing = []
    for result in results:
        if result.verdict == "unsupported":
            continue
        case = Case.parse(result.case)
        seen = case.system, case.bad == "no"
        observed.update((*seen, clause) for clause in result.clauses)
        if result.verdict not in HARMLESS:
            died = result.verdict in _DIED
            broken.update((*seen, clause, died) for clause in result.clauses)
            failing.append((result, seen, died))

    found = {}
    for result, seen, died in failing:
        rates = {
            clause: broken[*seen, clause, died] / (observed[*seen, clause] + 1)
            for clause in result.clauses
        }
        best = max(rates.values(), default=0.0)
        # A call that breaks a requirement shows that alone: there is nothing broader about it.
        valid = seen[1]
        enough = _ALIKE * best if valid and best >= _MOSTLY else best
        alike = [clause for clause in rates if rates[clause] >= enough]
        clause = max(alike, key=lambda clause: observed[*seen, clause], default="")
        if died and clause and valid:
            count = broken[*seen, clause, died]
            if count < _DEATHS or count < _DYING * observed[*seen, clause]:
                clause = ""
        found[result.case] = clause
    return found


def departure(clause_id: str, case_id: str) -> tuple[str, str, str]:
    """Return the words that a failing case most likely departs from: before, id and after.

    Without a clause only the first is not empty.
    """
    if not clause_id:
        return "departs from no statement of the pages more likely than from another", "", ""
    source = source_for(clause_id, Case.parse(case_id).system)
    return (
        "departs, most likely, from ",
        clause_id,
        f" (page {source.page}): “{source.words}”",
    )


def source_for(clause_id: str, system: str) -> Source:
    """Return where a clause stands, on the system's own page if it does."""
    return min(by_id(clause_id).sources, key=lambda source: PAGES[source.page] != system)


def _form(message: str) -> str:
    """Return a message's first line without its numbers, and without where they are.

    >>> _form("loss is -1.5e3 at [0, 12], expected nan ± 0.1 (3 of 4 elements are wrong)")
    'loss is #, expected # ± #'
    """
    line = message.split("\n", 1)[0]
    line = re.sub(r" at \[[^]]*\]| \(\d+ of \d+ .*\)$", "", line)
    line = re.sub(r"[-+]?\b(?:\d[\d.]*(?:e[-+]?\d+)?|inf|nan)\b", "#", line)
    return re.sub(r"#(?:, ?#)+", "#", line)
