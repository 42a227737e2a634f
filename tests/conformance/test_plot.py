"""The plots of a matrix: errors against classes."""

import itertools
import math

import pytest

import conformance
from conformance.case import Case
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
