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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from conformance.case import SYSTEMS, Case
from conformance.driver import Hello, Message, Program, Unavailable, Worker, WorkerFailure
from conformance.interrupt import Stop
from conformance.orphans import adopt
from conformance.result import HARMLESS, Result, Run
from conformance.worker import die_with_parent

#: Seconds that a framework may take for one case.
TIMEOUT = 20.0
#: A lane gives up when its worker could not be started this often in a row.
START_ATTEMPTS = 3
#: How the message of a case begins that no worker has ever seen.
NEVER_ASKED = "the worker cannot be started again"

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


def versions(hello: Hello) -> dict[str, str]:
    """Return the versions of all that takes part in a run."""
    return {**hello.versions, "crossent-spec": version()}


def run(
    program: Program,
    cases: Sequence[Case],
    *,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
    memory: int | None = None,
    earlier: Mapping[str, Result] | None = None,
    on_start: Callable[[Hello, int], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
    examine: Examine = examine,
    stop: Stop | None = None,
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
    memory
        Bytes of data that each process of the framework may have.
    earlier
        Results by the ids of their cases, which are taken as they are.
    on_start
        Called once, with what the program says about itself and the number of cases left to do.
    on_result
        Called with every result as it comes, and again where what came after a reply changes it.
    examine
        How a lane treats a case: a function that other processes can import.
    stop
        Tells when to stop; by default at the first SIGINT or SIGTERM.

    Returns
    -------
    Run
        With ``complete=False`` if it was stopped, or the program could not be started any more.

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
    result = Run(program.name, complete=False)
    known = earlier or {}
    done = {i: known[case.id] for i, case in enumerate(cases) if case.id in known}
    lanes: list[_Lane] = []
    with contextlib.nullcontext(stop) if stop else Stop() as stop:
        try:
            with _no_interrupt():
                lanes.extend(_Lane(program, timeout, memory, examine) for _ in range(count))
            _share_out(lanes, cases, done, result, on_start, on_result, stop)
        finally:
            for lane in lanes:
                lane.stop()
            for lane in lanes:
                lane.join()
            result.results = [done[index] for index in sorted(done)]
            result.seconds = time.monotonic() - started
    return result


def _share_out(
    lanes: list[_Lane],
    cases: Sequence[Case],
    done: dict[int, Result],
    result: Run,
    on_start: Callable[[Hello, int], None] | None,
    on_result: Callable[[Result], None] | None,
    stop: Stop,
) -> None:
    """Hand the cases to whichever lane is free, until all are done or no lane is left."""
    queue: Iterator[int] | None = None
    total = -1
    busy = {lane.connection: lane for lane in lanes}
    while busy:
        for connection in multiprocessing.connection.wait([*busy, stop.connection]):
            if stop.requested:
                return
            assert isinstance(connection, Connection)
            lane = busy[connection]
            said = lane.receive(cases, result)
            if isinstance(said, Hello) and queue is None:
                order = [i for i, case in enumerate(cases) if SYSTEMS[case.system] in said.systems]
                if not order:
                    raise NothingToRunError(", ".join(said.systems) or "no system")
                left = [index for index in order if index not in done]
                queue, total = iter(left), len(order)
                result.versions = versions(said)
                if on_start:
                    on_start(said, len(left))
            elif isinstance(said, _Done):
                done[said.index] = said.result
                if on_result:
                    on_result(said.result)
                if said.more:
                    continue
            assert queue is not None
            index = None if isinstance(said, _GaveUp) else next(queue, None)
            if index is None:
                del busy[connection]
            else:
                lane.give(index, cases[index])
    result.complete = len(done) == total


# What a lane says, beside Hello and Unavailable.


@dataclass(frozen=True)
class _Done:
    """A result; if ``more``, one that was given before and has changed, with another to come."""

    index: int
    result: Result
    more: bool = False


@dataclass(frozen=True)
class _Defect:
    trace: str


@dataclass(frozen=True)
class _GaveUp:
    """The worker could not be started again and again."""


class _Lane:
    """A lane as the process that hands out the cases sees it."""

    def __init__(
        self, program: Program, timeout: float, memory: int | None, examine: Examine
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_lane_main, args=(far, program, timeout, memory, examine), daemon=True
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


class Seat:
    """A worker, started again where it crashed or hung.

    Attributes
    ----------
    failed_starts
        How often in a row it could not be.
    late_failure
        What it did after the last but one reply, and should not have.
    """

    def __init__(self, program: Program, timeout: float, memory: int | None = None) -> None:
        self.worker = Worker(program, memory=memory)
        self.failed_starts = 0
        self.late_failure: WorkerFailure | None = None
        self._timeout = timeout

    def ask(self, message: Message) -> Callable[[], Reply]:
        """Send a request, to a new worker if the last one is gone."""
        self.late_failure = self.worker.after_reply()
        if not self.worker.running:
            try:
                self.worker.start()
            except Unavailable as error:
                self.failed_starts += 1
                failure = WorkerFailure("crash", f"{NEVER_ASKED}: {error}")
                return lambda: failure
        self.failed_starts = 0
        self.worker.send(message)
        return self._receive

    def _receive(self) -> Reply:
        """Return the reply; what it took beyond the limit goes off what may be compiled."""
        reply = self.worker.receive(self._timeout + self.worker.compiling)
        self.worker.compiling -= min(
            max(0.0, self.worker.elapsed - self._timeout), self.worker.compiling
        )
        return reply


def _lane_main(
    connection: Connection,
    program: Program,
    timeout: float,
    memory: int | None,
    examine: Examine,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    die_with_parent(signal.SIGTERM)
    adopt()
    seat = Seat(program, timeout, memory)
    try:
        try:
            _work(connection, seat, examine)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    finally:
        seat.worker.close()


def _work(connection: Connection, seat: Seat, examine: Examine) -> None:
    """Judge what comes, until there is no more."""
    try:
        connection.send(seat.worker.start())
        before: _Done | None = None
        while seat.failed_starts < START_ATTEMPTS:
            index, case = connection.recv()
            result = examine(case, seat.ask)
            if result.verdict == "crash":
                seat.worker.kill()  # it runs on if only what its reply says breaks the protocol
            late = seat.late_failure
            if late and before and before.result.verdict in HARMLESS:
                changed = replace(before.result, verdict=late.kind, message=late.detail, outputs=())
                connection.send(replace(before, result=changed, more=True))
            before = _Done(index, replace(result, seconds=seat.worker.elapsed))
            connection.send(before)
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
