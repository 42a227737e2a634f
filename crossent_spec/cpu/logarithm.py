"""log(1 + r) of numbers that are not negative, in lanes."""

from __future__ import annotations

import math
from typing import Any

from .compiling import kernel


@kernel()
def log1p_lanes(r: Any, found: Any) -> None:
    """log(1 + r) of every lane."""
    for lane in range(r.size):
        found[lane] = math.log1p(r[lane])
