"""What a person reads after a search, and the golden vectors that it proposes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from conformance import repro
from conformance.clauses import by_id
from conformance.driver import Program, Unavailable
from conformance.golden.make import AmbiguousOverflowError, make_vector
from conformance.golden.read import read_folder
from conformance.golden.vector import CALLS, Vector
from conformance.golden.write import VECTORS, render_all, replace_files
from conformance.protocol import Unsupported

from .example import Example, parse
from .metamorphic import RELATIONS
from .search import Failure, Found


class Reporter:
    """Prints what a search found.

    Parameters
    ----------
    out
        Where to.
    program
        What was searched.
    again
        How a command names it.
    python
        The Python that was named for it, if one was.
    """

    def __init__(
        self, out: Console, program: Program, again: Sequence[str], python: str | None = None
    ) -> None:
        self._out = out
        self._program = program
        self._again = [*again, *(["--python", python] if python else [])]

    def show(self, found: Found, start: int) -> None:
        """Print every failure, what was forgotten, and the totals."""
        for number, failure in enumerate(found.failures, start=1):
            self._failure(number, failure)
        for text in found.forgotten:
            self._line(f"passes now, and is forgotten: {text}", "green")
        if found.replayed:
            self._line(f"{found.replayed} examples replayed")
        total = found.examples + found.shrinks
        rate = f", {total / found.seconds:.0f} a second" if total and found.seconds else ""
        self._line(
            f"{found.examples} examples drawn (--seed {start}), "
            f"{found.shrinks} more to shrink failures; {found.seconds:.1f} s{rate}"
        )
        if found.stop:
            self._line(f"stopped: {found.stop}", "yellow")
        if not found.complete:
            self._line("interrupted", "yellow")
        count = len(found.failures)
        words = f"{count} kinds of failure" if count != 1 else "1 kind of failure"
        self._line(words if count else "nothing fails", "red" if count else "green")

    def write_candidates(self, found: Found, folder: Path) -> None:
        """Write the failing cases as golden vectors, beside those that the folder holds."""
        vectors: dict[str, Vector] = {}
        if (folder / VECTORS).is_dir():
            vectors = {vector.id: vector for vector in read_folder(folder)}
        for failure in found.failures:
            example = parse(failure.result.case)
            if example.relation:
                self._line(f"no vector: a relation is several calls: {example.id}", "yellow")
            elif example.case.script not in CALLS:
                self._line(f"no vector: files do not hold such calls: {example.id}", "yellow")
            else:
                try:
                    vectors[example.id] = make_vector(example.case)
                except AmbiguousOverflowError as error:
                    self._line(f"no vector: {error}", "yellow")
        if vectors:
            replace_files(folder, render_all(vectors.values()))
            self._line(f"{len(vectors)} proved vectors in {folder / VECTORS}")

    def _failure(self, number: int, failure: Failure) -> None:
        result = failure.result
        self._line(f"{number}. {result.verdict}  {result.case}", "bold red")
        for line in result.message.splitlines() or ["(no message)"]:
            self._line(f"   {line}")
        example = parse(result.case)
        if example.relation:
            meaning = RELATIONS[example.relation].derive.__doc__ or ""
            self._line(f"   {example.relation}: {meaning}")
        if result.clauses:
            clause = by_id(result.clauses[0])
            self._line(f"   {clause.id}: {clause.check}")
            for source in clause.sources:
                self._line(f"   page {source.page}: “{source.words}”", "dim")
        if failure.remembered:
            self._line("   remembered from an earlier search")
        elif failure.drawn != result.case:
            self._line(f"   shrunk from {failure.drawn}")
        if not failure.steady:
            self._line("   asked again, it did something else: it does not repeat", "yellow")
        self._line(f"   crossent fuzz {shlex.join([*self._again, '--replay', result.case])}")
        self._out.print()
        self._script(example)

    def _script(self, example: Example) -> None:
        """Print the script in the framework's own API, where there is one."""
        if example.relation or self._program.adapter is None:
            return
        try:
            script = repro.script(example.case, self._program)
        except (Unavailable, Unsupported) as error:
            self._line(f"   no script: {error}", "yellow")
            return
        self._out.out(script, highlight=False)
        self._out.print()

    def _line(self, text: str, style: str = "") -> None:
        self._out.print(Text(text, style=style), soft_wrap=True)
