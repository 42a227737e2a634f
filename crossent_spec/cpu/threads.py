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
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def thread_count() -> int:
    """Number of threads: ``NUMBA_NUM_THREADS``, by default the CPUs this process may use."""
    return max(1, int(config.NUMBA_NUM_THREADS))


def scratch(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return memory of the calling thread, in use until its next call; page faults are dear."""
    size = count * dtype.itemsize
    if len(getattr(_local, "memory", b"")) < size:
        _local.memory = np.empty(size, np.uint8)
    return _local.memory[:size].view(dtype)


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
    futures = []
    # An interpreter that shuts down starts no threads: this one does the work.
    with contextlib.suppress(RuntimeError):
        futures += [_shared_pool().submit(take) for _ in range(helpers)]
    try:
        take()
    finally:
        for future in futures:
            # One that has not begun has nothing left to do.
            if not future.cancel():
                future.result()
        works.clear()


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, thread_count() - 1), "crossent")
        return _pool


def _forget() -> None:
    """Drop the parent's pool, whose threads a child does not have."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
