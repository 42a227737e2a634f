"""What single classes give to a loss and its gradient, where vectors of them say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .numbers import widen


@kernel(inline="always")
def coefficient(
    i: Any, base: Any, q: Any, q_at: Any, q_along: Any, w: Any, sharp: Any, uniform: Any
) -> Any:
    """a_c of one class, without what is the target's own; the parameters are :func:`.steep`'s."""
    a = 0.0
    if q is not None:
        a = sharp * np.float64(widen(q[q_at + i * q_along])) + uniform
        if w is not None:
            a *= w[i]
    if base is not None:
        a = base[i]
    return a


@kernel()
def below_top(
    x: Any,
    at: Any,
    along: Any,
    n: Any,
    m: Any,
    base: Any,
    q: Any,
    q_at: Any,
    q_along: Any,
    w: Any,
    sharp: Any,
    uniform: Any,
) -> Any:
    """Σ a_c·(m − x_c) over the logits that are not the largest.

    Of the largest not even an infinite a_c makes anything here: with log(1 + R) it does.
    """
    m = np.float64(m)
    below = 0.0
    for i in range(n):
        value = np.float64(widen(x[at + i * along]))
        if value != m:
            below += coefficient(i, base, q, q_at, q_along, w, sharp, uniform) * (m - value)
    return below
