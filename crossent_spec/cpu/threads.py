"""A small pool of threads for kernels that run without the interpreter's lock.

Numba's own parallel loops are not used: its workqueue layer ends the process when two Python
threads meet in it, its OpenMP layer in a forked child.  Who calls works along, and needs no free
thread to finish; a forked child starts its own pool.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import config
from numpy.typing import NDArray

_local = threading.local()
_lock = threading.RLock()
_pool: ThreadPoolExecutor | None = None


def thread_count() -> int:
    """Number of threads: ``NUMBA_NUM_THREADS``, by default the CPUs this process may use."""
    return max(1, int(config.NUMBA_NUM_THREADS))


def scratch(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return memory that the calling thread keeps between calls; page faults are dear.

    It is the caller's until :func:`give_back`: a signal handler or finaliser may call the library
    in between.
    """
    size = count * dtype.itemsize
    memory = _local.__dict__.pop("memory", None)
    if memory is None or len(memory) < size:
        memory = np.empty(size, np.uint8)
    return memory[:size].view(dtype)


def give_back(memory: NDArray[Any]) -> None:
    """Keep what :func:`scratch` returned for the thread's next call."""
    base = memory if memory.base is None else memory.base
    _local.memory = base.view(np.uint8)


def in_parts(work: Callable[[int, int], None], count: int, part: int) -> None:
    """Call ``work(begin, end)`` for consecutive parts of ``range(count)``, on several threads.

    Parameters
    ----------
    work
        Must not depend on how the range is cut.
    part
        Items of one part; a range not longer than one stays on the calling thread.
    """
    parts = -(-count // max(1, part))
    helpers = min(thread_count(), parts) - 1
    numbers = itertools.count()
    # Emptied at the end: a cancelled task, which stays queued, must keep no arrays alive.
    works = [work]

    def take() -> None:
        # next() of a count is atomic.
        for number in iter(lambda: next(numbers), None):
            if number >= parts:
                return
            works[0](count * number // parts, count * (number + 1) // parts)

    if helpers < 1:
        take()
        return
    gate = threading.Condition()
    busy, errors = [0], []

    def help_along() -> None:
        with gate:
            if not works:
                return  # too late
            busy[0] += 1
        try:
            take()
        except BaseException as error:
            errors.append(error)
        finally:
            with gate:
                busy[0] -= 1
                gate.notify_all()

    # No thread may start (shutdown, a limit): a task may stay queued all the same, and run later.
    with contextlib.suppress(RuntimeError):
        for _ in range(helpers):
            _shared_pool().submit(help_along)
    try:
        take()
    finally:
        with gate:
            while busy[0]:
                gate.wait()
            works.clear()
    if errors:
        raise errors[0]


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, thread_count() - 1), "crossent")
        return _pool


def _forget() -> None:
    """Drop the parent's pool, whose threads a child does not have."""
    global _pool, _lock
    _pool, _lock = None, threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
