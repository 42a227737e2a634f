"""Balls taken apart, and readings that say the same."""

import math

import numpy as np
from flint import arb, ctx

from conformance.balls import split, to_balls
from conformance.expect import Reading, _distinct
from tests.conformance.test_expect import expected

NAN = math.nan


def test_a_ball_is_its_middle_in_two_parts_and_its_radius():
    before = ctx.prec
    ctx.prec = 128
    try:
        third = arb(1) / 3
        low = float(third.mid() - arb(1 / 3))
        balls = np.array([[third, arb("nan"), arb("inf")], [arb(2), arb(0), third]], dtype=object)
        given = np.array([[7.0, NAN, math.inf], [7.0, 7.0, 7.0]])
        high, rest, radius = split(balls, given, (3, 2))
    finally:
        ctx.prec = before
    np.testing.assert_array_equal(high, [[1 / 3, NAN], [math.inf, 2.0], [0.0, 1 / 3]])
    np.testing.assert_array_equal(rest, [[low, 0.0], [0.0, 0.0], [0.0, low]])
    assert 0 < abs(low) < 2.0**-54
    assert 0 < radius[0, 0] == radius[2, 1] < 2.0**-120
    np.testing.assert_array_equal(radius[0, 1], math.inf)
    np.testing.assert_array_equal(radius[1:].ravel()[:3], [math.inf, 0.0, 0.0])


def test_balls_are_exact_and_keep_the_shape():
    values = np.array([[0.1, -2.0], [0.0, 5e-324]])
    balls = to_balls(values)
    assert balls.shape == (2, 2)
    assert all(ball.is_exact() for ball in balls.ravel())
    assert [float(ball) for ball in balls.ravel()] == values.ravel().tolist()


def test_the_first_part_is_the_nearest_number():
    for step in expected("linear/prob/6x5-4/f64/mean,weight=mixed")[1].steps:
        for output in step.outputs.values():
            for reading in output.readings:
                assert ((reading.high + reading.low) == reading.high).all()
                assert reading.low.any()


def test_readings_that_say_the_same_are_one():
    def reading(name, low, first=NAN):
        return Reading(name, np.array([first, 1.0]), np.array([0.0, low]))

    (one,) = _distinct([reading("a", 0.25), reading("b", 0.25)])
    assert one.name == ""
    np.testing.assert_array_equal(one.high, [NAN, 1.0])
    np.testing.assert_array_equal(one.low, [0.0, 0.25])
    found = _distinct([reading("a", 0.25), reading("b", 0.5), reading("c", 0.25)])
    assert [x.name for x in found] == ["a", "b"]
    found = _distinct([reading("a", 0.25), reading("b", 0.25, first=0.0)])
    assert [x.name for x in found] == ["a", "b"]
