"""The errors of a cell as SVG: ulps against the number of classes, one mark for each dtype."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from conformance.case import DTYPES, Case
from conformance.result import Result

#: The drawing, and the axes' distance from its edges.
WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 18, 8, 34
#: The height of the lines for no error and for an unbounded one.
_LINE = 14
#: Marks closer than this hide each other, and are drawn once.
_GRID = 1.5

#: A mark as a path from a point on: told apart by shape as well as by colour.  A stroke of no
#: length is a circle or a square, by the style sheet's line caps, and takes few bytes.
MARKS = {
    "f16": "m-3 3h6l-3-6z",  # triangle
    "bf16": "m0-4l4 4-4 4-4-4z",  # diamond
    "f32": "h0",  # circle
    "f64": "v0",  # square
}
_RING = "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0"


@dataclass(frozen=True)
class Point:
    """One error that was measured."""

    classes: int
    dtype: str
    ulps: float
    ok: bool


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes
    ----------
    title
        What is drawn.
    marks
        Path data by dtype.
    failing
        Path data of the rings around values that are wrong.
    across, up
        Ticks: position and text.
    worst
        For each dtype, the number of values and the median and the worst error, for those who
        cannot see the drawing.
    """

    title: str
    marks: dict[str, str]
    failing: str
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    worst: list[tuple[str, int, float, float]]


@cache
def _size(case: str) -> tuple[int, str]:
    """Return the number of classes and the dtype of a case, which many columns have."""
    parsed = Case.parse(case)
    return parsed.num_classes, parsed.dtype


def points(results: Iterable[Result], *, loss: bool) -> list[Point]:
    """Return the errors of the losses, or of the gradients."""
    found = []
    for result in results:
        classes, dtype = _size(result.case)
        found += [
            Point(classes, dtype, output.ulps, output.ok)
            for output in result.outputs
            if output.name != "call"
            and (output.name == "loss") is loss
            and not math.isnan(output.ulps)
        ]
    return found


def draw(title: str, found: Sequence[Point]) -> Plot:
    """Draw errors; no error at all has a line of its own, as an unbounded one has."""
    classes = [max(point.classes, 1) for point in found]
    finite = [point.ulps for point in found if 0 < point.ulps < math.inf]
    right = max(1, math.ceil(math.log10(max(classes, default=10))))
    low = max(-3, math.floor(math.log10(min(finite, default=1.0))))
    high = math.ceil(math.log10(max(finite, default=1.0)))
    high = max(high, low + 2)
    some_zero = any(point.ulps == 0 for point in found)
    some_inf = any(point.ulps == math.inf for point in found)
    bottom = HEIGHT - BOTTOM - _LINE * some_zero
    unit = (bottom - TOP - _LINE * some_inf) / (high - low)

    def x(count: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(count, 1)) / right

    def y(ulps: float) -> float:
        if ulps == 0:
            return HEIGHT - BOTTOM
        if ulps == math.inf:
            return TOP
        return bottom - unit * (max(math.log10(ulps), low) - low)

    places: dict[str, set[tuple[int, int]]] = {dtype: set() for dtype in DTYPES}
    wrong: set[tuple[int, int]] = set()
    for point in found:
        place = (round(x(point.classes) / _GRID), round(y(point.ulps) / _GRID))
        places[point.dtype].add(place)
        if not point.ok:
            wrong.add(place)
    every = max(1, math.ceil((high - low) / 7))
    up = [(bottom - unit * (power - low), _power(power)) for power in range(low, high + 1, every)]
    if some_zero:
        up.append((y(0), "0"))
    if some_inf:
        up.append((y(math.inf), "∞"))
    worst = []
    for dtype in DTYPES:
        own = sorted(point.ulps for point in found if point.dtype == dtype)
        if own:
            worst.append((dtype, len(own), own[len(own) // 2], own[-1]))
    return Plot(
        title,
        {dtype: _path(own, MARKS[dtype]) for dtype, own in places.items() if own},
        _path(wrong, _RING),
        [(x(10**power), _power(power)) for power in range(right + 1)],
        up,
        worst,
    )


def _path(places: set[tuple[int, int]], mark: str) -> str:
    return "".join(f"M{x * _GRID:g} {y * _GRID:g}{mark}" for x, y in sorted(places))


def _power(power: int) -> str:
    """Write a power of ten.

    >>> _power(3), _power(-2), _power(12)
    ('1000', '10⁻²', '10¹²')
    """
    if 0 <= power <= 3:
        return str(10**power)
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
