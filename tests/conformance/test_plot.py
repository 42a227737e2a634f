"""The plots of a matrix: errors against classes."""

import itertools
import math
import re

import numpy as np
import pytest

import conformance
from conformance.case import DTYPES, Case
from conformance.matrix import plot
from conformance.matrix.plot import MARKS, Point, draw, points
from conformance.result import Result


def test_losses_and_gradients_are_drawn_apart():
    both = Result(
        Case(shape=(4, 33)).id, ("index.mean.formula",), "fail", "x",
        (conformance.result.OutputResult("loss", 0, True, 0.5, 0.1),
         conformance.result.OutputResult("grad.input", 1, False, 7.0, 2.0),
         conformance.result.OutputResult("call", 1, True, reading="refused")),
    )  # fmt: skip
    assert points([both], loss=True) == [Point(33, "f32", 0.5, True)]
    assert points([both], loss=False) == [Point(33, "f32", 7.0, False)]


def test_a_plot_marks_every_dtype_and_what_is_wrong():
    drawn = draw("loss", [Point(10, "f16", 1.0, True), Point(10, "f64", 100.0, False)])
    assert drawn.marks.keys() == {"f16", "f64"}
    assert all(path.endswith(MARKS[dtype]) for dtype, path in drawn.marks.items())
    assert drawn.failing.count("M") == 1
    assert drawn.worst == [("f16", 1, 1.0, 1.0), ("f64", 1, 100.0, 100.0)]


def heights(drawn, dtype):
    return [float(part.removesuffix("h0").split()[1]) for part in drawn.marks[dtype].split("M")[1:]]


def test_more_error_is_higher_and_extremes_have_lines_of_their_own():
    sizes = [0.0, 1e-12, 0.5, 3.0, 1e40, math.inf]
    found = [Point(10 * (i + 1), "f32", ulps, True) for i, ulps in enumerate(sizes)]
    drawn = draw("loss", found)
    up = heights(drawn, "f32")
    assert up == sorted(up, reverse=True)
    assert len(set(up)) == len(up)
    ticks = [text for _, text in drawn.up]
    assert ticks[-2:] == ["0", "∞"]
    at = sorted(position for position, _ in drawn.up)
    assert min(b - a for a, b in itertools.pairwise(at)) > 8
    assert all(0 <= position <= 210 for position in at)


def test_marks_that_hide_each_other_are_drawn_once():
    drawn = draw("loss", [Point(10, "f32", 1.0 + i * 1e-6, True) for i in range(1000)])
    assert drawn.marks["f32"].count("M") == 1
    assert drawn.worst[0][1] == 1000


@pytest.mark.parametrize("ulps", [0.0, math.inf, 1.0])
@pytest.mark.parametrize("count", [0, 1, 10**6])
def test_a_plot_of_one_point_has_axes(ulps, count):
    drawn = draw("loss", [Point(count, "f32", ulps, True)])
    assert len(drawn.across) >= 2
    assert len(drawn.up) >= 3


def places(path, mark):
    return [tuple(map(float, part.split())) for part in path.replace(mark, "").split("M")[1:]]


def test_marks_stand_where_ticks_say():
    found = [Point(10**i, "f32", 10.0 ** (i - 1), i != 2) for i in range(4)]
    drawn = draw("loss", found)
    across, up = ({text: at for at, text in ticks} for ticks in (drawn.across, drawn.up))
    assert list(across) == ["1", "10", "100", "1000"]
    assert list(up) == ["10⁻¹", "1", "10", "100"]
    marks = places(drawn.marks["f32"], MARKS["f32"])
    expected = list(zip(across.values(), up.values(), strict=True))
    np.testing.assert_allclose(marks, expected, atol=0.75)  # half of what places are rounded to
    (ring,) = places(drawn.failing, plot._RING)
    assert ring == marks[2]
    assert drawn.worst == [("f32", 4, 10.0, 100.0)]
    # Each a step from the one before, within the drawing and beside what is written there.
    for at, size in ((list(across.values()), plot.WIDTH), (list(up.values()), plot.HEIGHT)):
        np.testing.assert_allclose(np.diff(at), at[1] - at[0])
        assert abs(at[1] - at[0]) > size / 8
        assert 0 < min(at) < max(at) < size


def test_ticks_are_few_and_those_that_are_needed():
    def ticks(*ulps):
        return [text for _, text in draw("", [Point(2, "f64", one, True) for one in ulps]).up]

    assert ticks() == ticks(1.0) == ["1", "10", "100"]
    assert ticks(0.0) == ["1", "10", "100", "0"]
    assert ticks(math.inf) == ["1", "10", "100", "∞"]
    assert ticks(1e-12) == ["10⁻³", "10⁻²", "10⁻¹"]
    assert ticks(1.0, 1e7) == [plot._power(power) for power in range(8)]
    assert ticks(1.0, 1e8) == ["1", "100", "10⁴", "10⁶", "10⁸"]
    assert ticks(1e-3, 1e7) == ["10⁻³", "10⁻¹", "10", "1000", "10⁵", "10⁷"]
    drawn = draw("", [Point(2, "f32", one, True) for one in (0.0, 3.0, math.inf)])
    heights = [up for _, up in places(drawn.marks["f32"], MARKS["f32"])]
    up = {text: at for at, text in drawn.up}
    np.testing.assert_allclose([min(heights), max(heights)], [up["∞"], up["0"]], atol=0.75)
    assert [text for _, text in draw("", []).across] == ["1", "10"]
    assert [text for _, text in draw("", [Point(1, "f32", 1.0, True)]).across] == ["1", "10"]


def test_marks_are_paths_of_every_dtype():
    assert set(MARKS) == set(DTYPES)
    assert all(re.fullmatch(r"[mlhvz0-9-][mlhvz0-9 -]*", path) for path in MARKS.values())
    assert len(set(MARKS.values())) == len(MARKS)
