"""Starting kernels."""

from __future__ import annotations

import warnings
from typing import Any

from numba.cuda.core.errors import NumbaPerformanceWarning

from .target import SIMULATED


def launch(kernel: Any, blocks: int, threads: int, stream: Any, *arguments: Any) -> None:
    """Start a kernel on a stream."""
    if not SIMULATED:
        with warnings.catch_warnings():
            # That a sum's last step is one block.
            warnings.simplefilter("ignore", NumbaPerformanceWarning)
            kernel[blocks, threads, stream](*arguments)
        return
    import sys

    # The simulator's threads wait for each other by polling: let them take turns quickly.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-3)
    try:
        with warnings.catch_warnings():
            # Infinities and NaN are results here, of which NumPy's scalars would warn.
            warnings.simplefilter("ignore", RuntimeWarning)
            kernel[blocks, threads](*arguments)
    finally:
        sys.setswitchinterval(interval)
