"""a_c, what each class counts in a loss: of one class, or of a vector of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel
from .numbers import widen
from .wide_vectors import load_wide, load_wide_first, only_first

NOTHING = np.float32(0.0)


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
def coefficients(i: Any, base: Any, q: Any, q_at: Any, w: Any, sharp: Any, uniform: Any) -> Any:
    """a_c of the classes from i on: ``base``, or w_c·(sharp·q_c + uniform)."""
    if q is not None:
        share = load_wide(q, q_at + i) * sharp + uniform
        if w is not None:
            share = share * load_wide(w, i)
    if base is not None:
        share = load_wide(base, i)
    return share


@kernel()
def first_coefficients(
    i: Any, count: Any, base: Any, q: Any, q_at: Any, w: Any, sharp: Any, uniform: Any
) -> Any:
    """a_c of so many classes from i on, and zeros."""
    if q is not None:
        share = load_wide_first(q, q_at + i, count, NOTHING) * sharp + uniform
        share = only_first(share, count)
        if w is not None:
            share = share * load_wide_first(w, i, count, 0.0)
    if base is not None:
        share = load_wide_first(base, i, count, 0.0)
    return share


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
