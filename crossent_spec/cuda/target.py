"""The instructions of the GPU, or of the simulator that ``NUMBA_ENABLE_CUDASIM=1`` asks for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from numba import config

SIMULATED = bool(config.ENABLE_CUDASIM)

# The other of the two cannot even be imported.
_chosen: Any = import_module(".simulated" if SIMULATED else ".instructions", __package__)

WARP: int = _chosen.WARP
WIDE: int = _chosen.WIDE
device_function = _chosen.device_function
exp = _chosen.exp
kernel = _chosen.kernel
load = _chosen.load
load_wide = _chosen.load_wide
log1p = _chosen.log1p
over_lanes = _chosen.over_lanes
single = _chosen.single
store = _chosen.store
store_wide = _chosen.store_wide
wait_for_lanes = _chosen.wait_for_lanes
