"""The instructions of the GPU, or of the simulator that ``NUMBA_ENABLE_CUDASIM=1`` asks for."""

from __future__ import annotations

from numba import config

SIMULATED = bool(config.ENABLE_CUDASIM)

if SIMULATED:
    from .simulated import (
        WARP,
        WIDE,
        device_function,
        exp,
        kernel,
        load,
        load_wide,
        log1p,
        over_lanes,
        single,
        store,
        store_wide,
    )  # fmt: skip
else:
    from .instructions import (
        WARP,
        WIDE,
        device_function,
        exp,
        kernel,
        load,
        load_wide,
        log1p,
        over_lanes,
        single,
        store,
        store_wide,
    )  # fmt: skip

__all__ = [
    "SIMULATED",
    "WARP",
    "WIDE",
    "device_function",
    "exp",
    "kernel",
    "load",
    "load_wide",
    "log1p",
    "over_lanes",
    "single",
    "store",
    "store_wide",
]  # fmt: skip
