"""How every kernel is compiled: one decorator, one set of flags."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

Function = Callable[..., Any]

if numba.config.DISABLE_JIT:
    raise RuntimeError("NUMBA_DISABLE_JIT: is set, but kernels run compiled only; unset it")

# A child that is forked while another thread compiles would wait for that thread for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )

#: a·b + c may become one rounding; nothing else is rearranged.  Divisions give infinities and NaN;
#: indices are the caller's own and in range.
FLAGS = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract"},
}


def kernel(inline: str = "never", allocates: bool = False) -> Callable[[Function], Function]:
    """Compile a function at its first call, and keep the machine code on disk.

    Parameters
    ----------
    inline
        "always" where it is part of its callers before they are compiled.
    allocates
        Whether it makes arrays.  What does not counts no references to those it is given: done by
        atomic instructions at each call of another kernel, that took a sixth of a short row's time.
    """

    def decorate(function: Function) -> Function:
        try:
            compiled = numba.njit(cache=True, inline=inline, _nrt=allocates, **FLAGS)(function)
        except RuntimeError:
            # No directory that could hold the cache is writable.
            return numba.njit(inline=inline, _nrt=allocates, **FLAGS)(function)
        _depend_on_every_source(compiled)
        return compiled

    return decorate


def _depend_on_every_source(compiled: Any) -> None:
    """Make an edit of any file of this package outdate cached code, not only of its own file.

    Numba stamps a cache with the file of the outer function alone; code inlined from another
    file would stay as it was.
    """
    stamps = sorted(
        (path.name, path.stat().st_mtime, path.stat().st_size)
        for path in Path(__file__).parent.glob("*.py")
    )
    index: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = stamps
