"""Exact arithmetic for the few results that a ball cannot round: those midway between numbers.

A result midway between two numbers of its type is rational, and for rational logits that are not
all alike exp and log make it irrational (Lindemann and Weierstrass).  What remains are samples
whose finite logits are equal: their probabilities are 1/k, their logarithms the log of a rational.
:class:`Exact` is closed under what the formulas do to those, and says "unknown" to the rest.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Exact:
    """A rational plus the logarithm of a positive rational, an infinity, or unknown.

    The formulas of :mod:`crossent_spec.formulas` run on object arrays of it.

    >>> (-Exact(3).log()).exp().fraction
    Fraction(1, 3)
    """

    __slots__ = ("log_of", "rational")

    def __init__(self, rational: Any, log_of: Fraction | int = 1) -> None:
        if isinstance(rational, float) and not math.isfinite(rational):
            self.rational: Any = rational
        else:
            self.rational = None if rational is None else Fraction(rational)
        self.log_of = Fraction(log_of)

    @property
    def fraction(self) -> Fraction | None:
        """The value, where it is known and rational."""
        known = isinstance(self.rational, Fraction) and self.log_of == 1
        return self.rational if known else None

    @property
    def is_finite(self) -> bool:
        """Whether the value is known and no infinity."""
        return isinstance(self.rational, Fraction)

    def __float__(self) -> float:
        if self.rational is None:
            return math.nan
        return float(self.rational) + math.log(self.log_of)

    def __neg__(self) -> Exact:
        return self * -1

    def __add__(self, other: Any) -> Exact:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = _exact(other)
        if self.is_finite and other.is_finite:
            return Exact(self.rational + other.rational, self.log_of * other.log_of)
        infinite = [x.rational for x in (self, other) if not x.is_finite]
        # -inf plus anything known and finite
        return Exact(infinite[0] if len(infinite) == 1 else None)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Exact:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return self + _exact(other) * -1

    def __rsub__(self, other: Any) -> Exact:
        return _exact(other) + self * -1

    def __mul__(self, other: Any) -> Exact:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = _exact(other)
        if other.fraction is None:
            self, other = other, self
        factor = other.fraction
        if factor is None or self.rational is None:
            return Exact(None)
        if not self.is_finite:
            return Exact(self.rational * factor if factor else None)
        if self.log_of == 1:
            return Exact(self.rational * factor)
        if factor.denominator != 1 or abs(factor) > 4096:
            return Exact(None)
        return Exact(self.rational * factor, self.log_of**factor.numerator)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Exact:
        if isinstance(other, np.ndarray):
            return NotImplemented
        divisor = _exact(other).fraction
        return self * (1 / divisor) if divisor else Exact(None)

    def __rtruediv__(self, other: Any) -> Exact:
        return _exact(other) / self

    def exp(self) -> Exact:
        """exp(0 + log q) = q."""
        if self.rational == -math.inf:
            return Exact(0)
        return Exact(self.log_of) if self.rational == 0 else Exact(None)

    def log(self) -> Exact:
        """Log q of a positive rational q."""
        value = self.fraction
        return Exact(0, value) if value is not None and value > 0 else Exact(None)

    def sqrt(self) -> Exact:
        """The root of a square."""
        value = self.fraction
        if value is None or value < 0:
            return Exact(None)
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        return Exact(root if root * root == value else None)

    def __eq__(self, other: object) -> bool:
        return self._compare(other) == 0

    def __ne__(self, other: object) -> bool:
        return self._compare(other) != 0

    def __lt__(self, other: object) -> bool:
        return self._compare(other) < 0

    def __gt__(self, other: object) -> bool:
        return self._compare(other) > 0

    def __le__(self, other: object) -> bool:
        return self._compare(other) <= 0

    def __ge__(self, other: object) -> bool:
        return self._compare(other) >= 0

    __hash__ = None  # type: ignore[assignment]

    def _compare(self, other: object) -> int:
        # Only logits and arguments are compared, which are rational, infinite or NaN.
        a, b = self.rational, _exact(other).rational
        if a is None or b is None or self.log_of != 1:
            return 1
        return (a > b) - (a < b)


def _exact(value: Any) -> Exact:
    if isinstance(value, Exact):
        return value
    return Exact(value.item() if isinstance(value, np.generic) else value)


def to_exact(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array of :class:`Exact` with the values of a float64 array."""
    numbers = np.empty(values.size, dtype=object)
    for position, value in enumerate(np.asarray(values, dtype=np.float64).ravel().tolist()):
        # NaN and +inf stay unknown: no result that depends on them is midway between numbers.
        numbers[position] = Exact(None if value != value or value == math.inf else value)
    return numbers.reshape(values.shape)
