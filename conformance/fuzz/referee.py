"""Puts examples to one program, in a process that is started again where it crashed or hung."""

from __future__ import annotations

import traceback
from dataclasses import replace
from types import TracebackType

from conformance.case import SYSTEMS
from conformance.driver import Hello, Program, Unavailable
from conformance.result import Result
from conformance.runner import START_ATTEMPTS, Examine, Seat
from conformance.runner import examine as examine_case

from . import metamorphic
from .example import Example


class SuiteFailedError(Exception):
    """A defect of the suite itself, in one example."""


class Referee:
    """Judges examples by a program; a context manager that ends it.

    Parameters
    ----------
    program
        What to judge.
    timeout
        Seconds that it may take for one call.
    examine
        How a case is judged; by default as in a run.

    Raises
    ------
    Unavailable
        It cannot be started, or not any more.
    """

    def __init__(self, program: Program, timeout: float, examine: Examine | None = None) -> None:
        self._seat = Seat(program, timeout)
        self._examine = examine or examine_case
        self.hello: Hello = self._seat.worker.start()
        self.systems = [name for name, full in SYSTEMS.items() if full in self.hello.systems]

    def __enter__(self) -> Referee:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the program."""
        self._seat.worker.close()

    def __call__(self, example: Example) -> Result | None:
        """Judge an example; None where a relation does not apply."""
        try:
            if example.relation:
                found = metamorphic.examine(example.relation, example.case, self._seat.ask)
            else:
                found = self._examine(example.case, self._seat.ask)
        except Exception:
            raise SuiteFailedError(f"in {example.id}\n{traceback.format_exc()}") from None
        if self._seat.failed_starts >= START_ATTEMPTS:
            raise Unavailable("it was started again and again, in vain")
        return found and replace(found, seconds=self._seat.worker.elapsed)
