"""The correctly rounded value of every result, and why it is that one.

A formula evaluated on balls encloses its exact value.  Where both ends of the ball round to the
same number of the output's type, ties to even and in integer arithmetic, that number is the
exact value's rounding; the precision is raised until they do.  An exact value midway between two
numbers never lets them: it is rational, and :mod:`conformance.golden.exact` gives it.  NaN and
infinities are IEEE arithmetic's own results, so the formula in float64 must give the same ones.

Nothing is stored that is not proved: a result that resists raises :class:`UnprovedError`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from ..balls import to_balls, to_float
from ..case import DTYPES
from ..expect import ExactCall, ExactOutput
from .exact import Exact, to_exact
from .numbers import FORMATS, Format, round_dyadic, round_fraction

Float = NDArray[np.float64]

#: Precisions that are tried, in bits.  A zero that is no exact ball needs twice the exponent
#: range of float64.
PRECISIONS = (128, 256, 512, 1024, 2048)

#: 2^this is beyond what decides a rounding to any of the types.
_NEGLIGIBLE = -1200


class UnprovedError(ArithmeticError):
    """A result could not be rounded with proof."""


@dataclass(frozen=True)
class Proved:
    """One acceptable result, correctly rounded.

    Attributes
    ----------
    reading
        The name of the reading, where there is more than one.
    values
        Numbers of the output's type, as float64.
    bits
        The precision at which both ends of every enclosure round alike.
    ties
        Positions, in C order, of exact values midway between two numbers.
    distance
        How far each value lies from the exact one; 0 where the value is not finite.
    overflow
        Positions where a finite exact value rounds to an infinity.
    """

    reading: str
    values: Float
    bits: int
    ties: tuple[int, ...]
    distance: Float
    overflow: tuple[int, ...]


def prove(call: ExactCall, direction: str) -> dict[str, tuple[Proved, ...]]:
    """Round every output of a call's forward or backward pass, in every reading.

    Parameters
    ----------
    call
        The call.
    direction
        ``"forward"`` for the loss, ``"backward"`` for the gradients.
    """
    dtype = DTYPES[call.case.dtype]
    shapes = {name: output.shape for name, output in outputs_of(call, direction).items()}
    with np.errstate(all="ignore"):
        plain = list(call.evaluate(direction, to_float))
    tasks = [
        {name: _Rounding(np.reshape(values[name], shapes[name]), dtype) for name in shapes}
        for _, values in plain
    ]
    for precision in PRECISIONS:
        _try_precision(call, direction, precision, tasks)
        if all(task.is_done for outputs in tasks for task in outputs.values()):
            break
    else:
        _try_exact(call, direction, tasks)
    names = [label for label, _ in plain]
    return {
        name: _distinct(
            [outputs[name].proved(label) for label, outputs in zip(names, tasks, strict=True)]
        )
        for name in shapes
    }


def outputs_of(call: ExactCall, direction: str) -> dict[str, ExactOutput]:
    """Return what the suite itself expects of a pass: shapes, types, allowed errors."""
    return call.forward if direction == "forward" else call.backward


def _try_precision(
    call: ExactCall, direction: str, precision: int, tasks: list[dict[str, _Rounding]]
) -> None:
    before = ctx.prec
    ctx.prec = precision
    try:
        evaluated = call.evaluate(direction, to_balls)
        for (_, values), outputs in zip(evaluated, tasks, strict=True):
            for name, task in outputs.items():
                balls = np.asarray(values[name], dtype=object).ravel().tolist()
                task.try_balls(balls, precision)
    finally:
        ctx.prec = before


def _try_exact(call: ExactCall, direction: str, tasks: list[dict[str, _Rounding]]) -> None:
    with np.errstate(all="ignore"):
        evaluated = list(call.evaluate(direction, to_exact))
    for (label, values), outputs in zip(evaluated, tasks, strict=True):
        for name, task in outputs.items():
            task.try_exact(np.asarray(values[name], dtype=object).ravel().tolist())
            if not task.is_done:
                where = sorted(task.open)
                raise UnprovedError(
                    f"case {call.case.id}: {name} {label} at {where} could not be rounded at "
                    f"{PRECISIONS[-1]} bits, and is not rational as far as is known"
                )


class _Rounding:
    """The elements of one output in one reading, until each is rounded."""

    def __init__(self, plain: Float, dtype: str) -> None:
        self.plain = plain
        self.format = FORMATS[dtype]
        self.values = np.zeros(plain.size)
        self.distance = np.zeros(plain.size)
        self.open = set(range(plain.size))
        self.bits = PRECISIONS[0]
        self.ties: list[int] = []
        self.overflow: list[int] = []
        self.balls: dict[int, arb] = {}

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to round."""
        return not self.open

    def try_balls(self, balls: list[Any], precision: int) -> None:
        """Round what these balls decide."""
        for position in sorted(self.open):
            ball = balls[position]
            ball = ball if isinstance(ball, arb) else arb(ball)
            if not ball.is_finite():
                special = float(self.plain.flat[position])
                # A ball is no number, too, where its precision does not suffice.
                if not math.isfinite(special) and _is_special(ball, special):
                    self._settle(position, special, 0.0, precision)
                continue
            self.balls[position] = ball
            low, high = _round_ends(ball, self.format)
            if low == high:
                self._settle(position, low, _distance(ball, low), precision)

    def try_exact(self, numbers: list[Any]) -> None:
        """Round what is rational, and lies in its enclosure."""
        for position in sorted(self.open):
            number, ball = numbers[position], self.balls.get(position)
            fraction = number.fraction if isinstance(number, Exact) else None
            if fraction is None or ball is None or not _contains(ball, fraction):
                continue
            value = round_fraction(fraction, self.format)
            distance = float(abs(fraction - Fraction(value))) if math.isfinite(value) else 0.0
            self._settle(position, value, distance, self.bits)
            self.ties.append(position)

    def proved(self, reading: str) -> Proved:
        """Return the result."""
        shape = self.plain.shape
        return Proved(
            reading,
            self.values.reshape(shape),
            self.bits,
            tuple(self.ties),
            self.distance.reshape(shape),
            tuple(self.overflow),
        )

    def _settle(self, position: int, value: float, distance: float, precision: int) -> None:
        self.values[position] = value
        self.distance[position] = distance
        self.bits = max(self.bits, precision)
        self.open.remove(position)
        if math.isinf(value) and position in self.balls:
            self.overflow.append(position)


def _is_special(ball: arb, value: float) -> bool:
    middle = float(ball.mid())
    if math.isnan(value):
        return math.isnan(middle)
    return middle == value and bool(ball.rad().is_finite())


def _round_ends(ball: arb, to: Format) -> tuple[float, float]:
    """Round both ends of a finite ball."""
    middle, middle_exponent = _dyadic(ball.mid())
    radius, radius_exponent = _dyadic(ball.rad())
    slack = 0
    if middle and middle.bit_length() + middle_exponent < _NEGLIGIBLE:
        middle, middle_exponent, slack = 0, 0, 1
    if radius and radius.bit_length() + radius_exponent < _NEGLIGIBLE:
        radius, radius_exponent, slack = 0, 0, slack + 1
    exponent = min(middle_exponent, radius_exponent, _NEGLIGIBLE if slack else 0)
    middle <<= middle_exponent - exponent
    radius <<= radius_exponent - exponent
    if slack:  # the ball with its ends farther apart, but near enough in numbers of this size
        radius += slack << (_NEGLIGIBLE - exponent)
    return (
        round_dyadic(middle - radius, exponent, to),
        round_dyadic(middle + radius, exponent, to),
    )


def _dyadic(number: arb) -> tuple[int, int]:
    integer, exponent = number.man_exp()
    return int(integer), int(exponent)


def _distance(ball: arb, value: float) -> float:
    if not math.isfinite(value):
        return 0.0
    return float(abs(ball - arb(value)).upper())


def _contains(ball: arb, value: Fraction) -> bool:
    middle, exponent = _dyadic(ball.mid())
    radius, radius_exponent = _dyadic(ball.rad())
    two = Fraction(2)
    return abs(value - middle * two**exponent) <= radius * two**radius_exponent


def _distinct(found: list[Proved]) -> tuple[Proved, ...]:
    """Drop readings that round to the same as an earlier one; a single one needs no name."""
    kept: list[Proved] = []
    for proved in found:
        if not any(np.array_equal(proved.values, other.values, equal_nan=True) for other in kept):
            kept.append(proved)
    if len(kept) == 1:
        one = kept[0]
        return (Proved("", one.values, one.bits, one.ties, one.distance, one.overflow),)
    return tuple(kept)
