"""The smallest readable file for the failures of a run."""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomlkit
from tomlkit.items import AoT

from conformance.case import Case
from conformance.clauses import PAGES, by_id
from conformance.departures import failure_kinds
from conformance.files import write_whole
from conformance.result import HARMLESS, Result, Run

from .entries import Entry, read
from .judge import judge

#: How many parts of a case's id, beside the system, a pattern may name.
_PARTS = 3
_PROBLEM_WIDTH = 200
#: A shape with three axes or more.
_SPATIAL = "[0-9]*x[0-9]*x[0-9]*"
_HEAD = len(("system", "target", "shape", "dtype", "reduction"))

#: A part of an id: where it stands, and its text.
_Part = tuple[int, str]


def update(path: Path, run: Run) -> list[Entry]:
    """Write the failures of a run to a file, and return its entries.

    Where the file exists, what still holds stays as it is, comments included; so do entries
    of whose cases none was run.  What holds no more is taken out, and where the cases of an
    entry still fail in part, the new entries keep its reason and its link.
    """
    old = read(path) if path.exists() else []
    judgement = judge(run.results, old)
    gone = {*judgement.passes, *judgement.unmet, *judgement.unknown}
    kept = [entry for entry in old if entry not in gone]
    left = [result for result in run.results if not any(entry.covers(result) for entry in kept)]
    new = [_inherit(entry, left, gone) for entry in propose(run.results, kept)]
    if path.exists():
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        tables = document.get("expect", tomlkit.aot())
        assert isinstance(tables, AoT)
        for index in reversed(range(len(old))):
            if old[index] in gone:
                del tables[index]
    else:
        document = tomlkit.document()
        versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
        document.add(tomlkit.comment(f"Expected failures of {run.adapter}: {versions}"))
        tables = tomlkit.aot()
    for entry in new:
        tables.append(_table(entry))
    if not tables:
        document.pop("expect", None)
    elif "expect" not in document:
        document.add("expect", tables)
    write_whole(path, tomlkit.dumps(document))
    return [*kept, *new]


def _table(entry: Entry) -> tomlkit.items.Table:
    table = tomlkit.table()
    for key, value in vars(entry).items():
        if value:
            table.add(key, list(value) if isinstance(value, tuple) else value)
    return table


def _inherit(entry: Entry, results: Sequence[Result], gone: Iterable[Entry]) -> Entry:
    """Give a new entry the words of an old one that covered all of its failures."""
    own = [result for result in results if entry.covers(result)]
    for old in gone:
        if all(map(old.covers, own)):
            return replace(entry, reason=old.reason, link=old.link)
    return entry


def propose(results: Sequence[Result], kept: Sequence[Entry] = ()) -> list[Entry]:
    """Return entries that cover every failure the kept ones do not, and are about no pass.

    Each is the clause or the pattern of ids that covers the most of what is left (the greedy
    way to cover a set), the one with the fewest parts where several do.

    Parameters
    ----------
    results
        Of a run.
    kept
        Entries that stay.
    """
    judged = [result for result in results if result.verdict != "unsupported"]
    cover = _Cover(judged)
    reasons = _Reasons(judged)
    left = {
        number
        for number, result in enumerate(judged)
        if result.verdict not in HARMLESS and not any(entry.covers(result) for entry in kept)
    }
    made: list[tuple[int, Entry]] = []
    for verdict in dict.fromkeys(judged[number].verdict for number in sorted(left)):
        wanted = _mask(number for number in left if judged[number].verdict == verdict)
        for entry, covered in cover.entries(verdict, wanted):
            own = [judged[number] for number in _numbers(covered)]
            entry = replace(entry, reason=reasons.of(own))
            made.append((next(_numbers(covered)), entry))
    return [entry for _, entry in sorted(made, key=lambda item: item[0])]


@dataclass(frozen=True)
class _Candidate:
    """A possible entry.

    Attributes
    ----------
    about
        The numbers of the cases that it seems to be about, as bits.
    parts
        How hard it is to read.
    """

    entry: Entry
    about: int
    parts: int


class _Cover:
    """Chooses entries; sets of cases are integers with a bit for each."""

    def __init__(self, judged: Sequence[Result]) -> None:
        self.judged = judged
        self.passing = _mask(n for n, result in enumerate(judged) if result.verdict == "pass")
        self.of_clause: defaultdict[str, int] = defaultdict(int)
        self.of_part: defaultdict[_Part, int] = defaultdict(int)
        self.parts = [_parts(result.case) for result in judged]
        for number, result in enumerate(judged):
            for clause in result.clauses:
                self.of_clause[clause] |= 1 << number
            for part in self.parts[number]:
                self.of_part[part] |= 1 << number

    def entries(self, verdict: str, wanted: int) -> Iterable[tuple[Entry, int]]:
        """Yield entries with a verdict that together cover the wanted cases, and what each does."""
        candidates = self.candidates(wanted)
        heap = [
            (-(candidate.about & wanted).bit_count(), candidate.parts, number)
            for number, candidate in enumerate(candidates)
        ]
        heapq.heapify(heap)
        left = wanted
        while left:
            gain, parts, number = heapq.heappop(heap)
            candidate = candidates[number]
            now = (candidate.about & left).bit_count()
            if now == 0:
                continue
            if now < -gain:
                heapq.heappush(heap, (-now, parts, number))
                continue
            entry = replace(candidate.entry, verdicts=(verdict,))
            about = self.about(entry)
            # A pattern may say more than the parts that it was made of: "smoothing=0.1*".
            if about & self.passing or not about & left:
                continue
            shorter = replace(entry, case=entry.case.removesuffix("*"))
            if entry.case.endswith("*") and self.about(shorter) == about:
                entry = shorter
            yield entry, about & wanted
            left &= ~about

    def candidates(self, wanted: int) -> list[_Candidate]:
        """Return every clause and pattern about some wanted case and about none that passes."""
        found: dict[Entry, _Candidate] = {}

        def add(entry: Entry, about: int, parts: int) -> None:
            if not about & self.passing:
                found.setdefault(entry, _Candidate(entry, about, parts))

        for clause, about in self.of_clause.items():
            if about & wanted:
                add(Entry(clause=clause), about, 0)
        seen: set[tuple[_Part, ...]] = set()
        for number in _numbers(wanted):
            system, *others = self.parts[number]
            add(Entry(case=self.judged[number].case), 1 << number, 3)
            for count in range(_PARTS + 1):
                for chosen in itertools.combinations(others, count):
                    parts = (system, *chosen)
                    if parts in seen:
                        continue
                    seen.add(parts)
                    about = self.of_part[system]
                    for part in chosen:
                        about &= self.of_part[part]
                    case = _pattern(parts)
                    add(Entry(case=case), about, 1 + count + (count > 1))
                    if count == 1:
                        for clause in self.judged[number].clauses:
                            both = about & self.of_clause[clause]
                            add(Entry(clause=clause, case=case), both, 5)
        return list(found.values())

    def about(self, entry: Entry) -> int:
        """Return the numbers of the judged cases that an entry is about."""
        return _mask(
            number
            for number, result in enumerate(self.judged)
            if entry.is_about(result.case, result.clauses)
        )


class _Reasons:
    """Words for why cases fail: what was seen, and the words of the page."""

    def __init__(self, judged: Sequence[Result]) -> None:
        self.kind = {
            result.case: kind for kind, alike in failure_kinds(judged).items() for result in alike
        }

    def of(self, results: Sequence[Result]) -> str:
        """Return the reason why some cases fail, that of the most of them."""
        kind, _ = Counter(self.kind[result.case] for result in results).most_common(1)[0]
        result = next(result for result in results if self.kind[result.case] == kind)
        problem = result.message.split("\n", 1)[0][:_PROBLEM_WIDTH].rstrip(" .:;")
        problem = re.sub(r"^(forward|backward) \(step \d+\): ", r"the \1 pass: ", problem)
        if result.verdict == "accepts-invalid":
            problem = problem.partition("; returned")[0]
        reason = problem
        if len(results) > 1:
            reason += f" (and {len(results) - 1} more)"
        if kind[1]:
            system = Case.parse(result.case).system
            sources = sorted(by_id(kind[1]).sources, key=lambda item: PAGES[item.page] != system)
            reason += f"; page {sources[0].page} says “{sources[0].words}”"
        return reason


def _parts(case: str) -> list[_Part]:
    """Return the parts of an id, the system first; the seed stands for nothing.

    >>> _parts("ce/index/4x10/f32/mean,weight=mixed")[2:]
    [(2, '4x10'), (3, 'f32'), (4, 'mean'), (5, 'weight=mixed'), (5, 'weight=*')]
    """
    head, *options = case.split(",")
    parts = list(enumerate(head.split("/")))
    for option in options:
        name = option.partition("=")[0]
        if name != "seed":
            parts += [(_HEAD, option), (_HEAD, f"{name}=*")]
    if parts[2][1].count("x") > 1:
        parts.insert(3, (2, _SPATIAL))
    return parts


def _pattern(parts: Sequence[_Part]) -> str:
    """Return the pattern of ids that have these parts.

    >>> _pattern([(0, "ce"), (3, "f16"), (5, "logits=against")])
    'ce/*/f16/*,logits=against*'
    >>> _pattern([(0, "ce"), (4, "mean")])
    'ce/*/mean*'
    >>> _pattern([(0, "ce")])
    'ce/*'
    """
    head = ["*"] * _HEAD
    options = ""
    for place, text in parts:
        if place < _HEAD:
            head[place] = text
        else:
            options += f"*,{text}"
    pattern = re.sub(r"\*(/\*)+", "*", "/".join(head)) + options + "*"
    return re.sub(r"\*{2,}", "*", pattern)


def _mask(numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def _numbers(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
