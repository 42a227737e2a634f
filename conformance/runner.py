"""A run: every case put to a worker and judged, in several lanes at once.

A lane is a process of the harness that owns one worker.  It sends a case to its worker, works
out what to expect while the framework computes, and judges.  The process that called
:func:`run` hands out one case at a time, so that lanes finish together.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from conformance.case import SYSTEMS, Case
from conformance.driver import Hello, Message, Program, Unavailable, Worker, WorkerFailure
from conformance.result import Result, Run
from conformance.worker import die_with_parent

#: Seconds that a framework may take for one case.
TIMEOUT = 20.0
#: A lane gives up when its worker could not be started this often in a row.
_START_ATTEMPTS = 3

Reply = Message | WorkerFailure
#: Sends a request to the framework, and returns how to wait for the reply.
Ask = Callable[[Message], Callable[[], Reply]]
Examine = Callable[[Case, Ask], Result]


class HarnessError(Exception):
    """A defect of the suite itself, not of the framework.

    Attributes
    ----------
    run
        What was finished before.
    """

    def __init__(self, text: str, run: Run) -> None:
        super().__init__(text)
        self.run = run


class NothingToRunError(Exception):
    """None of the cases is of a system that the framework implements."""


def examine(case: Case, ask: Ask) -> Result:
    """Put one case to a framework and judge the answer."""
    from conformance.expect import expect
    from conformance.request import build
    from conformance.verdict import judge

    request = build(case)
    answer = ask(request.message())
    expected = expect(case, request)  # while the framework computes
    return judge(request, expected, answer())


def version() -> str:
    """Return the version of the suite."""
    try:
        return importlib.metadata.version("crossent-spec")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def run(
    program: Program,
    cases: Sequence[Case],
    *,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
    on_start: Callable[[Hello, int], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
    examine: Examine = examine,
) -> Run:
    """Run every case whose system the program implements; results come in the cases' order.

    Parameters
    ----------
    program
        What to judge.
    cases
        What to judge it on.
    jobs
        How many lanes; by default one a processor.
    timeout
        Seconds that the framework may take for one case.
    on_start
        Called once, with what the program says about itself and the number of its cases.
    on_result
        Called with every result as it comes.
    examine
        How a lane treats a case: a function that other processes can import.

    Returns
    -------
    Run
        With ``complete=False`` after Ctrl-C, or where the program could not be started any more.

    Raises
    ------
    Unavailable
        The program cannot be started, or its framework not imported.
    NothingToRunError
        None of the cases is of a system that it implements.
    HarnessError
        The suite itself failed.
    """
    count = max(1, min(jobs or os.cpu_count() or 1, len(cases)))
    started = time.monotonic()
    result = Run(program.name)
    done: dict[int, Result] = {}
    lanes: list[_Lane] = []
    interrupted = False
    try:
        with _no_interrupt():
            lanes.extend(_Lane(program, timeout, examine) for _ in range(count))
        _share_out(lanes, cases, done, result, on_start, on_result)
    except KeyboardInterrupt:
        interrupted = True
    except HarnessError:
        result.complete = False
        raise
    finally:
        for lane in lanes:
            lane.stop()
        for lane in lanes:
            lane.join()
        result.results = [done[index] for index in sorted(done)]
        result.seconds = time.monotonic() - started
        result.interrupted = interrupted
        result.complete = result.complete and not interrupted
    return result


def _share_out(
    lanes: list[_Lane],
    cases: Sequence[Case],
    done: dict[int, Result],
    result: Run,
    on_start: Callable[[Hello, int], None] | None,
    on_result: Callable[[Result], None] | None,
) -> None:
    """Hand the cases to whichever lane is free, until all are done or no lane is left."""
    queue: Iterator[int] | None = None
    remaining = -1
    busy = {lane.connection: lane for lane in lanes}
    while busy:
        for connection in multiprocessing.connection.wait(list(busy)):
            assert isinstance(connection, Connection)
            lane = busy[connection]
            said = lane.receive(cases, result)
            if isinstance(said, Hello) and queue is None:
                order = [i for i, case in enumerate(cases) if SYSTEMS[case.system] in said.systems]
                if not order:
                    raise NothingToRunError(", ".join(said.systems) or "no system")
                queue, remaining = iter(order), len(order)
                result.versions = {**said.versions, "crossent-spec": version()}
                if on_start:
                    on_start(said, remaining)
            elif isinstance(said, _Done):
                done[said.index] = said.result
                remaining -= 1
                if on_result:
                    on_result(said.result)
            assert queue is not None
            index = None if isinstance(said, _GaveUp) else next(queue, None)
            if index is None:
                del busy[connection]
            else:
                lane.give(index, cases[index])
    result.complete = remaining == 0


# What a lane says, beside Hello and Unavailable.


@dataclass(frozen=True)
class _Done:
    index: int
    result: Result


@dataclass(frozen=True)
class _Defect:
    trace: str


@dataclass(frozen=True)
class _GaveUp:
    """The worker could not be started again and again."""


class _Lane:
    """A lane as the process that hands out the cases sees it."""

    def __init__(self, program: Program, timeout: float, examine: Examine) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_lane_main, args=(far, program, timeout, examine), daemon=True
        )
        self._index: int | None = None
        self._process.start()
        far.close()

    def give(self, index: int, case: Case) -> None:
        """Hand over a case."""
        self._index = index
        # A lane that died is noticed by the end of its pipe, which receive() reports.
        with contextlib.suppress(OSError):
            self.connection.send((index, case))

    def receive(self, cases: Sequence[Case], run: Run) -> Hello | _Done | _GaveUp:
        """Return what the lane says; raise what it could not deal with."""
        where = "before the first case" if self._index is None else f"in {cases[self._index].id}"
        try:
            said: Any = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(5.0)
            raise HarnessError(
                f"a lane died {where} (exit code {self._process.exitcode})", run
            ) from None
        if isinstance(said, _Defect):
            raise HarnessError(f"the suite failed {where}\n{said.trace}", run)
        if isinstance(said, Unavailable):
            raise said
        assert isinstance(said, Hello | _Done | _GaveUp)
        return said

    def stop(self) -> None:
        """Tell the lane to end: at once if it is at work, else by closing its pipe."""
        self.connection.close()
        self._process.terminate()

    def join(self) -> None:
        """Wait for the lane to end; what does not is killed, and its worker dies with it."""
        self._process.join(10.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Start processes that ignore Ctrl-C from their first instruction on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# From here on: what runs in a lane's process.


class _Seat:
    """A lane's worker, started again where it crashed or hung."""

    def __init__(self, program: Program, timeout: float) -> None:
        self.worker = Worker(program)
        self.failed_starts = 0
        self._timeout = timeout

    def ask(self, message: Message) -> Callable[[], Reply]:
        """Send a request, to a new worker if the last one is gone."""
        if not self.worker.running:
            try:
                self.worker.start()
            except Unavailable as error:
                self.failed_starts += 1
                failure = WorkerFailure("crash", f"the worker cannot be started again: {error}")
                return lambda: failure
        self.failed_starts = 0
        self.worker.send(message)
        return lambda: self.worker.receive(self._timeout)


def _lane_main(connection: Connection, program: Program, timeout: float, examine: Examine) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    die_with_parent(signal.SIGTERM)
    seat = _Seat(program, timeout)
    try:
        try:
            _work(connection, seat, examine)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    finally:
        seat.worker.close()


def _work(connection: Connection, seat: _Seat, examine: Examine) -> None:
    """Judge what comes, until there is no more."""
    try:
        connection.send(seat.worker.start())
        while seat.failed_starts < _START_ATTEMPTS:
            index, case = connection.recv()
            result = examine(case, seat.ask)
            connection.send(_Done(index, replace(result, seconds=seat.worker.elapsed)))
        connection.send(_GaveUp())
    except Unavailable as error:
        connection.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the run is over
    except Exception:
        connection.send(_Defect(traceback.format_exc()))


def _leave(signum: int, frame: object) -> None:  # noqa: ARG001 - the shape of a handler
    # A second signal must not cut the cleaning up short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)
