"""Descendants whose parents are gone: what a worker started and let go of.

A process group is not enough: a child that calls ``setsid`` leaves it.  On Linux a process may
declare itself the parent of every orphan below it; a lane of :mod:`conformance.runner` does, so
that it can find and end whatever its worker left behind.  Elsewhere such children escape, and
so they do on Linux where the lane itself is killed with a signal that cannot be caught.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
#: Seconds that the ending of orphans may take: one that forks faster than it is killed wins.
_LIMIT = 3.0

_adopting = False


def adopt() -> bool:
    """Make this process the parent of every orphan below it; say whether that was possible.

    Only for a process that starts nothing beside its worker: :func:`end_adopted` ends all.
    """
    global _adopting
    if sys.platform.startswith("linux"):
        with contextlib.suppress(Exception):
            import ctypes

            _adopting = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    return _adopting


def end_adopted() -> None:
    """End every child of this process and theirs, if it called :func:`adopt`."""
    deadline = time.monotonic() + _LIMIT
    while _adopting and _has_children() and time.monotonic() < deadline:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        # Their own children become ours when they die, so there is another round.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.001)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    """Return the ids of the children of this process, whichever thread they belong to."""
    own = str(os.getpid())
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may itself contain blanks and brackets.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if fields[1] == own:
                found.append(int(stat.parent.name))
    return found
