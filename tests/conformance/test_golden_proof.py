"""Proved values against values that are known otherwise."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from flint import arb, ctx

from conformance.case import Case
from conformance.expect import ExactCall
from conformance.golden import make
from conformance.golden import prove as proving
from conformance.golden.exact import Exact
from conformance.golden.make import AmbiguousOverflowError, make_vector
from conformance.golden.numbers import FORMATS, round_fraction
from conformance.golden.prove import UnprovedError, _contains, _round_ends, _Rounding, prove
from conformance.request import build


def call_of(case):
    request = build(case)
    return ExactCall(case, request, request.steps[0]["arrays"])


def exp(x, terms=200):
    """The exponential of a rational at most 8 in size, to some 300 bits: its Taylor series."""
    total = term = Fraction(1)
    for n in range(1, terms):
        term = term * x / n
        total += term
        # Keep the fractions short; 2^-1000 is far below what is compared.
        total, term = (Fraction(round(y * 2**1000), 2**1000) for y in (total, term))
    return total


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gradients_are_the_correctly_rounded_softmax(dtype, reduction):
    """Rational arithmetic and a Taylor series, no ball and no float in them."""
    case = Case(shape=(2, 5), dtype=dtype, reduction=reduction, grad="ones", seed=8)
    request = build(case)
    x = request.arrays["input"].values
    y = request.arrays["target"].values
    scale = Fraction(1, 2) if reduction == "mean" else 1
    expected = []
    for row, hot in zip(x.tolist(), y.tolist(), strict=True):
        powers = [exp(Fraction(v)) for v in row]
        total = sum(powers)
        expected += [
            round_fraction(scale * (p / total - (c == hot)), FORMATS[make_vector(case).loss.dtype])
            for c, p in enumerate(powers)
        ]
    (proved,) = prove(call_of(case), "backward")["input"]
    assert proved.values.ravel().tolist() == expected


@pytest.mark.parametrize("classes", [2, 3, 7, 16])
def test_equal_logits_lose_the_logarithm_of_the_classes(classes):
    case = Case(shape=(1, classes), dtype="f64", reduction="sum", logits="zeros")
    (proved,) = prove(call_of(case), "forward")["loss"]
    ctx.prec = 500
    exact = arb(classes).log()
    # The nearest float64: nearer than both its neighbours.
    value = float(proved.values)
    distance = abs(exact - arb(value))
    for neighbour in (math.nextafter(value, 0), math.nextafter(value, 9)):
        assert distance < abs(exact - arb(neighbour))
    assert math.isclose(float(distance), float(proved.distance), rel_tol=1e-9)


@pytest.mark.parametrize("target", ["index", "prob"])
def test_one_class_has_neither_loss_nor_gradient(target):
    case = Case(shape=(3, 1), target=target, dtype="f64", reduction="sum", probs="onehot")
    vector = make_vector(case)
    assert vector.loss.answers[0].values == 0
    assert not vector.gradients["input"].answers[0].values.any()
    assert not np.signbit(vector.gradients["input"].answers[0].values).any()


def test_a_tie_is_settled_by_rational_arithmetic():
    """An exact value midway between two float32 numbers, which no ball can round."""
    case = Case.parse("linear/index/6x5-4/f32/sum,logits=zeros")
    (proved,) = prove(call_of(case), "backward")["input"]
    assert proved.ties
    weight = build(case).arrays["linear_weight"].values
    target = build(case).arrays["target"].values
    for position in proved.ties:
        row, feature = divmod(position, 5)
        exact = sum(
            (Fraction(1, 4) - (c == target[row])) * Fraction(weight[c, feature]) for c in range(4)
        )
        value = float(proved.values.flat[position])
        assert value == round_fraction(exact, FORMATS["float32"])
        unit = Fraction(float(np.spacing(np.float32(abs(value)))))
        assert abs(exact - Fraction(value)) == unit / 2
        even = int(abs(Fraction(value)) / unit)
        assert even % 2 == 0


def test_what_cannot_be_proved_is_not_stored(monkeypatch):
    monkeypatch.setattr(proving, "PRECISIONS", (8,))
    with pytest.raises(UnprovedError, match="could not be rounded at 8 bits"):
        prove(call_of(Case(dtype="f64", reduction="sum")), "forward")


def test_a_result_about_the_largest_number_is_not_stored():
    case = Case(shape=(4096, 3), dtype="f16", reduction="sum", logits="against")
    with pytest.raises(AmbiguousOverflowError, match="loss is about the largest float16"):
        make_vector(case)


@pytest.mark.parametrize("value", [65504.0, -65504.0])
def test_what_may_round_to_infinity_is_about_the_largest_number(value):
    """Half a unit beyond 65504, that is 16 but for what lies between the bound and a product."""
    proved = SimpleNamespace(values=np.array([value]), overflow=False, distance=np.array([0.5]))
    arguments = Case(), "loss", "float16"
    (bound,) = make._tolerance(*arguments, np.array([15.98]), (proved,))
    assert 16.48 <= bound <= 16.5
    with pytest.raises(AmbiguousOverflowError):
        make._tolerance(*arguments, np.array([16.0]), (proved,))


def test_readings_that_a_page_leaves_open_stand_beside_each_other():
    vector = make_vector(Case.parse("ce/index/5x4/f32/sum,logits=posinf,grad=ones"))
    first, second = vector.loss.answers
    assert (first.reading, second.reading) == ("shifted: NaN", "exp(x)/∞ = 0")
    assert np.isnan(first.values)
    assert second.values == math.inf
    assert vector.loss.tolerance == 0


def test_the_precision_of_balls_is_left_as_it_was():
    ctx.prec = 77
    prove(call_of(Case(dtype="f64")), "backward")
    assert ctx.prec in (77, 128)  # what the suite's own expectation sets


def test_both_ends_of_a_ball_are_rounded():
    ball = arb(0.1, 0.25)
    middle, radius = Fraction(0.1), Fraction(float(ball.rad()))
    ends = (float(middle - radius), float(middle + radius))
    assert _round_ends(ball, FORMATS["float64"]) == ends
    assert _round_ends(arb(0.1), FORMATS["float64"]) == (0.1, 0.1)


def test_a_radius_however_small_leaves_a_tie_open(monkeypatch):
    monkeypatch.setattr(ctx, "prec", 128)
    to, tie, tiny = FORMATS["float64"], arb(1) + arb(2.0**-53), arb(2.0**-650) ** 2
    assert tie.is_exact()
    assert _round_ends(tie, to) == (1.0, 1.0)
    assert _round_ends(arb(tie, tiny), to) == (1.0, 1 + 2.0**-52)
    assert _round_ends(tiny, to) == (0.0, 0.0)


def test_rational_ties_are_settled_and_whatever_else_stays_open():
    to = FORMATS["float16"]
    tie, beyond = Fraction(2049, 2048), Fraction(65520)
    rounding = _Rounding(np.zeros(5), "float16")
    # No enclosure is narrow enough for all its numbers to round alike.
    middles = [Fraction(1, 3) + tie, tie, beyond, tie, tie]
    rounding.try_balls([arb(float(m), 1e-3) for m in middles], 128)
    assert rounding.open == set(range(5))
    rounding.try_exact([Exact(None), Exact(tie), Exact(beyond), 1.0, Exact(7)])
    assert rounding.open == {0, 3, 4}
    proved = rounding.proved("")
    assert proved.ties == (1, 2)
    assert proved.values.tolist() == [0.0, float(round_fraction(tie, to)), math.inf, 0.0, 0.0]
    assert proved.distance.tolist() == [0.0, 2.0**-11, 0.0, 0.0, 0.0]
    assert proved.overflow == (2,)


def test_the_end_of_an_enclosure_belongs_to_it():
    assert _contains(arb(1.5), Fraction(3, 2))
    assert not _contains(arb(1.5), Fraction(3, 2) + Fraction(1, 2**2000))


def test_a_number_that_the_formula_knows_needs_no_ball():
    rounding = _Rounding(np.zeros(2), "float32")
    rounding.try_balls([0.0, 0.1], 128)
    assert rounding.is_done
    assert rounding.values.tolist() == [0.0, float(np.float32(0.1))]


def test_a_radius_below_the_last_bit_of_a_long_middle_leaves_a_tie_open(monkeypatch):
    monkeypatch.setattr(ctx, "prec", 2048)
    below = arb(1) + arb(2) ** -53 - arb(2) ** -1500
    assert below.is_exact()
    assert _round_ends(below, FORMATS["float64"]) == (1.0, 1.0)
    assert _round_ends(arb(below, arb(2) ** -1300), FORMATS["float64"]) == (1.0, 1 + 2.0**-52)
