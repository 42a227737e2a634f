"""The results of a run against what was expected to fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

from conformance.clauses import clauses_of
from conformance.result import HARMLESS, Result

from .entries import Entry


@dataclass
class Judgement:
    """What came as expected and what did not.

    Attributes
    ----------
    covered
        The entry that expects a failing case, by the case's id.
    unexpected
        Failures that no entry covers.
    passes
        By entry, the cases that pass although it says that they fail.
    unmet
        Entries of whose cases none passes and none fails in the way expected: all are
        unsupported, or fail in another way.
    unknown
        Entries about no case of the corpus and none of this run: the case was renamed or the
        pattern has a mistake.
    not_run
        Entries about cases of the corpus, none of which was run, because of ``-k``, ``--quick``
        or the adapter's systems.  They are not judged.
    """

    covered: dict[str, Entry] = field(default_factory=dict)
    unexpected: list[Result] = field(default_factory=list)
    passes: dict[Entry, list[Result]] = field(default_factory=dict)
    unmet: list[Entry] = field(default_factory=list)
    unknown: list[Entry] = field(default_factory=list)
    not_run: list[Entry] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 when exactly the expected failures occurred, else 1."""
        return int(bool(self.unexpected or self.passes or self.unmet or self.unknown))


def judge(results: Sequence[Result], entries: Sequence[Entry]) -> Judgement:
    """Judge the results of a run by the entries of a file.

    An entry is met when a case of it failed in the way expected and none passed.  Cases that are
    ``unsupported`` neither meet it nor speak against it.  Only cases that were run count, so that
    one file serves the full corpus, ``--quick``, ``-k`` and several adapters.
    """
    made = Judgement()
    for result in results:
        if result.verdict not in HARMLESS:
            entry = next((entry for entry in entries if entry.covers(result)), None)
            if entry is None:
                made.unexpected.append(result)
            else:
                made.covered[result.case] = entry
    absent = []
    for entry in entries:
        own = [result for result in results if entry.is_about(result.case, result.clauses)]
        passes = [result for result in own if result.verdict == "pass"]
        if not own:
            absent.append(entry)
        elif passes:
            made.passes[entry] = passes
        elif not any(map(entry.covers, own)):
            made.unmet.append(entry)
    if absent:
        known = in_corpus(absent)
        made.unknown = [entry for entry in absent if entry not in known]
        made.not_run = [entry for entry in absent if entry in known]
    return made


def in_corpus(entries: Sequence[Entry]) -> set[Entry]:
    """Return the entries that are about some case of the whole corpus."""
    from conformance.corpus import corpus

    found: set[Entry] = set()
    for case in corpus():
        clauses = clauses_of(case)
        name = case.id
        found.update(entry for entry in entries if entry.is_about(name, clauses))
    return found


def show(out: Console, judgement: Judgement, path: Path, limit: int) -> None:
    """Print what did not come as expected, and the sum of it."""

    def heading(what: str, name: str) -> None:
        out.print(Text.assemble((what, "bold red"), "  ", name), soft_wrap=True)

    def because(entry: Entry) -> None:
        link = f" ({entry.link})" if entry.link else ""
        out.print(Text(f"    {entry.reason}{link}"), soft_wrap=True)

    for entry, results in judgement.passes.items():
        heading("unexpected pass", entry.title)
        because(entry)
        for result in results[:limit]:
            out.print(Text(f"    passes  {result.case}", "cyan"), soft_wrap=True)
        if len(results) > limit:
            out.print(f"    ... and {len(results) - limit} more pass")
    for entry in judgement.unmet:
        heading("not met", entry.title)
        because(entry)
        ways = f" with {' or '.join(entry.verdicts)}" if entry.verdicts else ""
        out.print(f"    none of its cases fails{ways}, and none passes")
    for entry in judgement.unknown:
        heading("about no case", entry.title)
        because(entry)
        out.print("    the corpus has no such case")
    if judgement.not_run:
        out.print(Text(f"{path}: not judged, because none of their cases was run:"))
        for entry in judgement.not_run:
            out.print(Text(f"    {entry.title}"), soft_wrap=True)
    counts = [
        (len(judgement.unexpected), "unexpected failures"),
        (sum(map(len, judgement.passes.values())), "unexpected passes"),
        (len(judgement.unmet), "entries not met"),
        (len(judgement.unknown), "entries about no case"),
    ]
    wrong = ", ".join(f"{count} {what}" for count, what in counts if count)
    right = f"{len(judgement.covered)} failures were expected"
    text = f"{path}: {right}; {wrong}" if wrong else f"{path}: {right}, and nothing else failed"
    out.print(Text(text, "bold red" if wrong else "bold green"), soft_wrap=True)
