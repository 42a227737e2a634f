"""The search: examples drawn, judged and, where they fail, shrunk, one kind of failure at a time.

Hypothesis draws and shrinks.  Each round ends at the first failure that none before explains;
shrinking it keeps to the same symptom, so that it cannot slip to another fault.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, Verbosity, assume, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from conformance.case import Case
from conformance.clauses import clauses_of
from conformance.result import HARMLESS, Result

from .example import Example, parse
from .store import Store

#: Judges an example; None where a relation does not apply to its case.
Judge = Callable[[Example], Result | None]
Symptom = tuple[str, str]

#: Seconds after which a failure is reported as small as it is by then.
SHRINK_LIMIT = 60.0
#: How many failures of one symptom may shrink to known ones before it is shrunk no more.
_REPEATS = 3


@dataclass(frozen=True)
class Failure:
    """A minimal failing example.

    Attributes
    ----------
    result
        Its verdict.
    drawn
        The example as it was drawn, before it was shrunk; itself if it was remembered.
    remembered
        Whether the store replayed it.
    steady
        Whether it failed again when it was asked a second time.
    """

    result: Result
    drawn: str
    remembered: bool = False
    steady: bool = True

    @property
    def kind(self) -> tuple[str, ...]:
        """What tells it from other failures: clause, verdict, problem."""
        return (self.result.clauses[0] if self.result.clauses else "", *symptom(self.result))


@dataclass
class Found:
    """What a search found.

    Attributes
    ----------
    failures
        One of each kind.
    examples, shrinks, replayed
        How many examples were drawn and judged, judged while shrinking, and replayed.
    forgotten
        Remembered examples that pass by now.
    seconds
        How long it took.
    complete
        Whether the search went through all its examples, or to the last failure asked for.
    stop
        Why not.
    """

    failures: list[Failure] = field(default_factory=list)
    examples: int = 0
    shrinks: int = 0
    replayed: int = 0
    forgotten: list[str] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = True
    stop: str = ""


def symptom(result: Result) -> Symptom:
    """Return the verdict and the first line of the problem, without its numbers.

    >>> symptom(Result("ce/...", (), "fail", "forward: loss is 0.5 at [2], expected 1 ± 2e-7"))
    ('fail', 'forward: loss is #, expected # ± #')
    """
    line = result.message.partition("\n")[0]
    line = re.sub(r" at \[[\d, ]*\]", "", line)
    line = re.sub(r" \(\d+ of \d+ elements are wrong\)", "", line)
    line = re.sub(r"(did not raise; returned).*", r"\1", line)
    line = re.sub(r"\[[\d, ]*\]|\([\d, ]*\)", "#", line)  # shapes
    return result.verdict, re.sub(r"-?\d[\d.]*(e[+-]?\d+)?", "#", line)


def explains(known: Example, other: Example) -> bool:
    """Tell whether all that a minimal example sets is set alike in another.

    Numbers and sizes are drawn with every example and say nothing about its kind, nor does a
    gradient where losses that are not reduced need some.
    """
    if known.relation != other.relation:
        return False
    first, second = known.case, other.case
    vary = {"seed", "shape", "classes"}
    if first.grad == "mixed" and first.effective_reduction == "none":
        vary.add("grad")
    return first.system == second.system and all(
        getattr(second, one.name) == getattr(first, one.name)
        for one in dataclasses.fields(Case)
        if one.name not in vary and getattr(first, one.name) != one.default
    )


class Search:
    """A search with one program.

    Parameters
    ----------
    judge
        Puts an example to the program.
    strategy
        What to draw.
    store
        What was found before, if anything is to be remembered.
    accepts
        Which examples are wanted.
    expected
        Which failures are known and not worth reporting.
    on_example
        Called with every result, and whether it was drawn (not shrunk).
    """

    def __init__(
        self,
        judge: Judge,
        strategy: st.SearchStrategy[Example],
        *,
        store: Store | None = None,
        accepts: Callable[[Example], bool] = lambda _: True,
        expected: Callable[[Result], bool] = lambda _: False,
        on_example: Callable[[Result, bool], None] = lambda *_: None,
    ) -> None:
        self.found = Found()
        self._ask = judge
        self._strategy = strategy
        self._store = store
        self._accepts = accepts
        self._expected = expected
        self._on_example = on_example
        self._judged: dict[str, Result | None] = {}
        #: Minimal failures, those too whose kind another had before.
        self._known: list[Result] = []
        self._repeats = Counter[Symptom]()

    def run(self, max_examples: int, max_failures: int, start: int) -> Found:
        """Replay what is remembered, then draw.

        Parameters
        ----------
        max_examples
            How many examples to draw; shrinking comes on top.
        max_failures
            After how many failures to stop.
        start
            The seed.
        """
        found, began = self.found, time.monotonic()
        try:
            self._replay()
            number = 0
            while found.examples < max_examples and len(found.failures) < max_failures:
                failing = self._round(max_examples - found.examples, start + number)
                number += 1
                if failing is None:
                    # Hypothesis ends early where it has drawn all there is.
                    break
                self._add(*failing)
        except KeyboardInterrupt:
            found.complete = False
        found.seconds = time.monotonic() - began
        return found

    def replay(self, examples: Sequence[Example]) -> Found:
        """Judge these examples, and draw none."""
        began = time.monotonic()
        for example in examples:
            self.found.replayed += 1
            result = self._judge(example)
            if result is None:
                self.found.stop = f"{example.relation} says nothing about {example.case.id}"
            elif self._fails(result):
                self.found.failures.append(Failure(result, example.id))
        self.found.seconds = time.monotonic() - began
        return self.found

    def _replay(self) -> None:
        """Judge what is remembered; forget what passes."""
        for text in self._store.ids() if self._store else ():
            try:
                example = parse(text)
            except ValueError:  # of a version that had other ids
                assert self._store is not None
                self._store.remove(text)
                continue
            if not self._accepts(example):
                continue
            self.found.replayed += 1
            result = self._judge(example)
            if self._fails(result):
                assert result is not None
                self.found.failures.append(Failure(result, text, remembered=True))
                self._known.append(result)
            elif result is None or result.verdict == "pass":
                assert self._store is not None
                self._store.remove(text)
                self.found.forgotten.append(text)

    def _round(self, max_examples: int, start: int) -> tuple[Result, str] | None:
        """Draw until an example fails in a new way, and shrink it."""
        found = self.found
        target: Symptom | None = None
        drawn, smallest, deadline = "", None, 0.0

        @seed(start)
        @settings(
            max_examples=max_examples,
            database=None,  # ids are remembered instead, in the store
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            # Hypothesis' own choice where it finds itself in CI, which makes seeds mean nothing.
            derandomize=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        @given(self._strategy)
        def check(example: Example) -> None:
            nonlocal target, drawn, smallest, deadline
            assume(self._accepts(example))
            is_new = example.id not in self._judged
            if target is not None and is_new and time.monotonic() > deadline:
                return
            result = self._judge(example)
            # What was drawn before counts only where it is a failure not yet told.
            assume(result is not None and (target or is_new or self._fails(result)))
            assert result is not None
            found.examples += is_new and target is None
            found.shrinks += is_new and target is not None
            if is_new:
                self._on_example(result, target is None)
            if not self._fails(result):
                return
            if target is None and self._is_explained(example, result):
                return
            if target is None:
                target, drawn = symptom(result), example.id
                deadline = time.monotonic() + SHRINK_LIMIT
            if symptom(result) == target:
                smallest = result
                raise _Fails

        try:
            check()
        except _Fails:
            # The last example that Hypothesis runs is the smallest.
            assert smallest is not None
            return smallest, drawn
        except Unsatisfiable:
            found.stop = "no example that was drawn is wanted or applies"
        return None

    def _add(self, result: Result, drawn: str) -> None:
        """Keep a minimal failure, unless it is a known one."""
        self._known.append(result)
        again = self._ask(parse(result.case))
        steady = again is not None and symptom(again) == symptom(result)
        failure = Failure(result, drawn, steady=steady)
        kinds = {known.kind for known in self.found.failures}
        if failure.kind in kinds:
            self._repeats[symptom(result)] += 1
            return
        self.found.failures.append(failure)
        if self._store and steady:
            self._store.add(result.case)

    def _is_explained(self, example: Example, result: Result) -> bool:
        return self._repeats[symptom(result)] >= _REPEATS or any(
            symptom(known) == symptom(result) and explains(parse(known.case), example)
            for known in self._known
        )

    def _judge(self, example: Example) -> Result | None:
        """Judge each example once, so that Hypothesis sees a framework that makes up its mind."""
        if example.id not in self._judged:
            self._judged[example.id] = self._ask(example)
        return self._judged[example.id]

    def _fails(self, result: Result | None) -> bool:
        return result is not None and result.verdict not in HARMLESS and not self._expected(result)


class _Fails(Exception):  # noqa: N818 - it is the framework's failure
    """Tells Hypothesis that an example fails."""


def wanted(
    patterns: Sequence[str], matches: Callable[[str, str], bool]
) -> Callable[[Example], bool]:
    """Return whether an example's id or one of its clauses matches any pattern."""

    def accepts(example: Example) -> bool:
        if not patterns:
            return True
        names = (example.id, *clauses_of(example.case))
        return any(matches(name, pattern) for name in names for pattern in patterns)

    return accepts
