"""One started process, its pipes, and the threads that keep either side from blocking."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from conformance.orphans import end_adopted

#: Bytes of stderr that are kept.
_TAIL = 8192
#: Seconds in which what a process wrote before its end must have been read.
_DRAIN_LIMIT = 0.5


@dataclass(frozen=True)
class Line:
    """A line that arrived, or the end of them: why there will be no more."""

    arrived: float
    text: bytes = b""
    end: Literal["", "closed", "long"] = ""


class Process:
    """One started process, its three pipes and the threads that serve them.

    Parameters
    ----------
    command
        What to start.
    variables
        Environment variables that it gets beside this process's own.

    Attributes
    ----------
    lines
        What it wrote to stdout.
    """

    def __init__(self, command: tuple[str, ...], variables: Mapping[str, str]) -> None:
        self._popen = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        # Where memory runs out, Linux should take the framework and leave the harness.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._popen.pid}/oom_score_adj").write_text("1000")
        self.lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._limit = 0
        self._parts: list[bytes] = []
        self._tail = b""
        self._spoken_to = False
        stdin, stdout, stderr = self._popen.stdin, self._popen.stdout, self._popen.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        self._reader = threading.Thread(target=self._read, args=(stdout,), daemon=True)
        self._threads = [
            self._reader,
            threading.Thread(target=self._write, args=(stdin,), daemon=True),
            threading.Thread(target=self._drain, args=(stderr,), daemon=True),
            threading.Thread(target=self._watch, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._popen.pid

    def send(self, line: bytes, limit: int) -> None:
        """Hand over a line to be written, to which a line of ``limit`` bytes may be the reply.

        What stderr said between two lines is forgotten, not what it said at the start: a process
        may say why it cannot run, and be gone, before it is spoken to.
        """
        if self._spoken_to:
            self._tail = b""
        self._spoken_to = True
        self._limit = limit
        self._outgoing.put(line)

    def end(self, patience: float) -> int | None:
        """Close stdin, wait for the process to go, kill what is left of all that it started.

        Returns its status, or None if it had to be killed.
        """
        self._outgoing.put(None)
        deadline = time.monotonic() + patience
        while not (exited := self._has_exited()) and time.monotonic() < deadline:
            time.sleep(0.005)
        # Until it is reaped, below, the process keeps its id, so this can hit no other group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        status = self._popen.wait()
        end_adopted()
        deadline = time.monotonic() + 1.0
        for thread in self._threads:  # a pipe that an escaped grandchild keeps open is left to it
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        return status if exited else None

    def last_words(self) -> str:
        """Return the end of what the process wrote to stderr since the last request."""
        lines = self._tail.decode("utf-8", "replace").strip().split("\n")
        # Python's fault handler ends its report with a list of all it has loaded.
        return "\n".join(line for line in lines if not line.startswith("Extension modules: "))

    def _has_exited(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._popen.pid, flags) is not None

    def _write(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError), pipe:
            while (line := self._outgoing.get()) is not None:
                pipe.write(line)
                pipe.flush()

    def _read(self, pipe: IO[bytes]) -> None:
        size = 0
        end: Literal["closed", "long"] = "closed"
        with contextlib.suppress(OSError), pipe:
            while chunk := os.read(pipe.fileno(), 1 << 20):
                *complete, rest = chunk.split(b"\n")
                for piece in complete:
                    self.lines.put(Line(time.monotonic(), b"".join([*self._parts, piece])))
                    self._parts, size = [], 0
                self._parts.append(rest)
                size += len(rest)
                if size > self._limit:
                    end = "long"
                    break
                # One reply is under way at most: the second line that piles up breaks the
                # protocol, and whoever reads it asks for no more.
                if self.lines.qsize() > 16:
                    break
        self.lines.put(Line(time.monotonic(), b"".join(self._parts), end))

    def _drain(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError), pipe:
            while chunk := os.read(pipe.fileno(), 1 << 16):
                self._tail = (self._tail + chunk)[-_TAIL:]

    def _watch(self) -> None:
        """Tell the end of the process even while something that it started holds its stdout."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        self._reader.join(_DRAIN_LIMIT)
        if self._reader.is_alive():
            self.lines.put(Line(time.monotonic(), b"".join(self._parts), "closed"))
