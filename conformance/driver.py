"""A worker seen from the harness: start it, ask it, and outlive whatever it does.

Nothing here can be blocked by the other side: :mod:`conformance.process` has a thread for each
of its pipes.  The process, with everything that it started, ends when it crashes, breaks the
protocol, exceeds its time or is closed.  Where the harness itself is killed, Linux ends the
worker; a lane of :mod:`conformance.runner` still ends what the worker started, too.
"""

from __future__ import annotations

import json
import math
import os
import queue
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from conformance.process import Line, Process
from conformance.protocol import PROTOCOL_VERSION
from conformance.text import printable
from conformance.versions import Pin

#: Seconds that a worker may take to import its framework.
START_LIMIT = 120.0
#: Seconds that a worker may take to go once it was told to.
_LEAVE_LIMIT = 2.0
#: How long a reply may be: so many bytes, and so many more for every element that the steps of
#: the request were given.  A float64 in base64 takes 11 bytes.
_REPLY_LIMIT, _ELEMENT_LIMIT = 1 << 24, 16
_WORKER = Path(__file__).with_name("worker.py")

Message = dict[str, Any]


@dataclass(frozen=True)
class WorkerFailure:
    """Why there is no reply."""

    kind: Literal["crash", "timeout"]
    detail: str


class Unavailable(Exception):  # noqa: N818 - the framework is missing, nothing is in error
    """A worker could not be started, or its framework not imported.

    Attributes
    ----------
    module
        The module that was missing, where that was the reason.
    """

    def __init__(self, text: str, module: str | None = None) -> None:
        super().__init__(text)
        self.module = module

    def __reduce__(self) -> tuple[type[Unavailable], tuple[str, str | None]]:
        """Pickle with both arguments."""
        return Unavailable, (str(self), self.module)


@dataclass(frozen=True)
class Hello:
    """What a worker says about itself.

    Attributes
    ----------
    compiling
        Seconds that it may compile for before a call, which do not count against a case.
    """

    name: str
    systems: tuple[str, ...]
    versions: dict[str, str]
    compiling: float = 0.0


@dataclass(frozen=True)
class Program:
    """What to start: an adapter in a Python process, or any program that speaks the protocol.

    Attributes
    ----------
    name
        What reports call it.
    command
        The command line.
    adapter
        The adapter's file, or None for a program of another kind.
    variables
        Environment variables, beside those of this process.
    pin
        The version that its framework must have, if one was asked for.
    remedy
        What a person can do where it cannot be run.
    note
        What a person should know before it is run.
    """

    name: str
    command: tuple[str, ...]
    adapter: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    pin: Pin | None = None
    remedy: str = ""
    note: str = ""

    @classmethod
    def of_adapter(cls, name: str, path: str, python: str | None = None) -> Program:
        """Return the worker of an adapter's file, run by ``python`` or by this interpreter."""
        command = [python or sys.executable, str(_WORKER), os.path.abspath(path)]
        if python is None:
            # So that the embedded implementation is found, and is the one beside this suite.
            command.append(str(_WORKER.parent.parent))
        return cls(name, tuple(command), path)

    @classmethod
    def of_command(cls, text: str) -> Program:
        """Return a program given as a command line.

        >>> Program.of_command("node 'my adapter.mjs'").command
        ('node', 'my adapter.mjs')
        """
        command = tuple(shlex.split(text))
        if not command:
            raise ValueError("the command is empty")
        return cls(text, command)

    @property
    def line(self) -> str:
        """The command line as a person would type it."""
        return shlex.join(self.command)


class Worker:
    """A worker that is started again as often as it takes.

    Use it from one thread that lives as long as the worker: on Linux a process that is tied to
    its parent's life is tied to the thread that started it.

    Attributes
    ----------
    elapsed
        Seconds from the last request to its reply.
    compiling
        Seconds that are left of what the program asked for beside the time of its cases; however
        often it is started, it has them once, so that a program that hangs does not take long.
    """

    def __init__(
        self, program: Program, start_limit: float = START_LIMIT, memory: int | None = None
    ) -> None:
        self.program = program
        self.elapsed = 0.0
        self.compiling = 0.0
        self._started = False
        self._start_limit = start_limit
        self._memory = memory
        self._process: Process | None = None
        self._sent = 0.0
        self._case: object = None

    @property
    def running(self) -> bool:
        """Whether there is a process that owes no explanation."""
        return self._process is not None

    def start(self) -> Hello:
        """Start the process and make its acquaintance.

        Raises
        ------
        Unavailable
            It cannot be started, its framework cannot be imported or has another version than
            the one asked for, or it speaks another protocol.
        """
        self.close()
        self.elapsed = 0.0
        command = self.program.command
        if self.program.adapter is None or self._memory is not None:
            # Another program cannot tie its life to the harness; this does it on its behalf.
            limit = () if self._memory is None else ("--memory", str(self._memory))
            command = (sys.executable, "-S", "-E", str(_WORKER), *limit, "--exec", *command)
        try:
            self._process = Process(command, self.program.variables)
        except OSError as error:
            raise Unavailable(f"{command[0]}: {error.strerror or error}") from None
        self.send({"op": "hello"})
        reply = self.receive(self._start_limit)
        try:
            hello = _acquaint(reply)
            if self.program.pin and (wrong := self.program.pin.mismatch(hello.versions)):
                raise Unavailable(wrong)
        except BaseException:
            self._stop(0.0)
            raise
        if not self._started:
            self._started, self.compiling = True, hello.compiling
        return hello

    def send(self, message: Message) -> None:
        """Send a request; return at once."""
        assert self._process is not None, "start() comes first"
        line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
        self._case = message.get("case")
        self._sent = time.monotonic()
        self._process.send(line, _reply_limit(message))

    def after_reply(self) -> WorkerFailure | None:
        """Return what the process has done since its last reply that it should not have.

        It ended, or wrote another line.  Then it is gone, as after a failure of a reply.
        """
        if self._process is None or self._process.lines.empty():
            return None
        line = self._process.lines.get()
        if line.end:
            return self._explain(line, "after its reply")
        return self._fail("crash", f"another line followed the reply: {_brief(line.text)}")

    def receive(self, timeout: float) -> Message | WorkerFailure:
        """Return the reply, or why there is none within ``timeout`` seconds of the request.

        After a failure the process is gone, and :meth:`start` starts another.
        """
        assert self._process is not None, "start() comes first"
        deadline = self._sent + timeout
        try:
            line = self._process.lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            line = Line(time.monotonic(), b"", "closed")
            late = True
        else:
            late = line.arrived > deadline
        self.elapsed = line.arrived - self._sent
        if late:
            return self._fail("timeout", f"no reply within {timeout:g} s")
        if line.end:
            return self._explain(line, "without a reply")
        try:
            reply = json.loads(line.text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or reply.get("case") != self._case:
            return self._fail(
                "crash", f"a line on stdout is not the reply to this request: {_brief(line.text)}"
            )
        return reply

    def kill(self) -> None:
        """End the process at once."""
        self._stop(0.0)

    def close(self) -> None:
        """Let the process go, and see that it does."""
        if self._process is not None:
            self._process.send(b'{"op":"quit"}\n', _REPLY_LIMIT)
            self._stop(_LEAVE_LIMIT)

    def _explain(self, line: Line, when: str) -> WorkerFailure:
        """Say why there will be no more lines."""
        process = self._process
        assert process is not None
        if line.end == "long":
            return self._fail(
                "crash", f"the reply is too long: over {len(line.text):,} bytes, and no end"
            )
        exited = _describe_status(self._stop(_LEAVE_LIMIT))
        detail = f"the process {exited} {when}"
        if line.text:
            detail += f"; its last line breaks off: {_brief(line.text)}"
        return WorkerFailure("crash", _with_words(detail, process.last_words()))

    def _fail(self, kind: Literal["crash", "timeout"], detail: str) -> WorkerFailure:
        process = self._process
        assert process is not None
        self._stop(0.0)
        return WorkerFailure(kind, _with_words(detail, process.last_words()))

    def _stop(self, patience: float) -> int | None:
        process, self._process = self._process, None
        return process.end(patience) if process is not None else None


def _reply_limit(message: Message) -> int:
    """Return how long a reply may be; base64 of all that a step gives is far below."""
    elements = sum(math.prod(array["shape"]) for array in message.get("arrays", {}).values())
    return _REPLY_LIMIT + _ELEMENT_LIMIT * elements * len(message.get("steps", ()))


def _acquaint(reply: Message | WorkerFailure) -> Hello:
    if isinstance(reply, WorkerFailure):
        raise Unavailable(reply.detail)
    if "error" in reply:
        module = reply.get("module")
        raise Unavailable(
            printable(reply["error"]), printable(module) if isinstance(module, str) else None
        )
    if reply.get("protocol") != PROTOCOL_VERSION:
        spoken = printable(reply.get("protocol"))
        raise Unavailable(f"it speaks protocol {spoken}, this suite speaks {PROTOCOL_VERSION}")
    systems, versions = reply.get("systems"), reply.get("versions", {})
    if not isinstance(systems, list) or not isinstance(versions, dict):
        raise Unavailable("its hello lacks a list of systems, or its versions are no object")
    compiling = reply.get("compiling", 0.0)
    if isinstance(compiling, bool) or not isinstance(compiling, int | float):
        raise Unavailable(f"it compiles for {printable(compiling)}, which is no number of seconds")
    if not 0 <= compiling <= START_LIMIT:
        raise Unavailable(f"it compiles for {compiling:g} s, allowed are 0 to {START_LIMIT:g}")
    return Hello(
        printable(reply.get("name", "")),
        tuple(map(printable, systems)),
        {printable(name): printable(version) for name, version in versions.items()},
        compiling,
    )


def _describe_status(status: int | None) -> str:
    if status is None:
        return "closed its stdout"
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _with_words(detail: str, words: str) -> str:
    return f"{detail}; stderr ends:\n{printable(words)}" if words else detail


def _brief(text: bytes) -> str:
    return repr(text[:200].decode("utf-8", "replace")) + (" ..." if len(text) > 200 else "")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
