"""How every kernel is compiled: one decorator, one set of flags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

Function = Callable[..., Any]

#: a·b + c may become one rounding; nothing else is rearranged.  Divisions give infinities and NaN;
#: indices are the caller's own and in range.
FLAGS = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract"},
}


def kernel(inline: str = "never") -> Callable[[Function], Function]:
    """Compile a function at its first call, and keep the machine code on disk."""

    def decorate(function: Function) -> Function:
        try:
            compiled = numba.njit(cache=True, inline=inline, **FLAGS)(function)
        except RuntimeError:
            # No directory that could hold the cache is writable.
            return numba.njit(inline=inline, **FLAGS)(function)
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
