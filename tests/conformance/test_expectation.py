"""Expectations: what must be raised, what is left open, and how results are stated."""

import numpy as np
import pytest

from conformance import expect
from conformance.expect import ExpectedStep
from crossent_spec.formulas import Symbols
from tests.conformance.test_expect import expected


@pytest.mark.parametrize(
    ("text", "raises"),
    [
        ("linear/index/4x3-5/f32/mean,script=twice,options=auto,bias=yes", ["no", "no", "must"]),
        ("linear/index/4x3-5x2/f32/mean,script=twice,options=auto", ["no", "no", "must"]),
        ("ce/prob/4x5/f32/mean,ignore_index=0", ["may", "no"]),
    ],
)
def test_what_must_and_may_raise(text, raises):
    assert [step.raises for step in expected(text)[1].steps] == raises


ZERO = ["0·log 0 = NaN (IEEE)", "0·log 0 = 0"]
FORMULA = "gradient of an empty mean by the formula"


@pytest.mark.parametrize(
    ("text", "step", "names"),
    [
        ("ce/index/6x4/f32/mean,ignored=all", 1, [FORMULA, "gradient of an empty mean is NaN"]),
        ("ce/index/6x4/f32/mean,weight=zeros", 1, [FORMULA, "gradient of an empty mean is 0"]),
        ("ce/index/6x4/f32/sum,ignored=all", 1, [""]),
        ("unit/index/6x4/f32/mean,ignored=all", 1, [""]),
        ("ce/index/6x4/f32/none,logits=nan,ignored=some,grad=ones", 0, [""]),
        ("ce/prob/4x5/f32/none,probs=onehot,logits=neginf-row,grad=ones", 0, [""]),
        ("ce/index/5x5/f32/none,weight=somezero,logits=posinf,grad=ones", 0, [""]),
        ("ce/index/4x10/f32/sum,weight=somezero,smoothing=0.1,logits=neginf", 0, ZERO),
        ("ce/index/9x3/f32/none,weight=somezero,logits=neginf-target,grad=ones", 0, ZERO),
        ("ce/index/6x4/f32/none,logits=nan,ignored=some,grad=ones", 1, [""]),
    ],
)
def test_what_a_page_leaves_open_about_nothing_and_nan(text, step, names):
    readings = next(iter(expected(text)[1].steps[step].outputs.values())).readings
    assert [reading.name for reading in readings] == names


def test_an_impossible_target_that_is_smoothed_away():
    text = "ce/index/4x3/f32/none,smoothing=1.0,logits=neginf-target,grad=ones"
    mixed, literal = expected(text)[1].steps[0].outputs["loss"].readings
    assert np.isinf(mixed.high).tolist() == [True, False, False, True]
    np.testing.assert_array_equal(literal.high, np.where(np.isinf(mixed.high), np.nan, mixed.high))


def test_a_nan_spreads_to_its_own_loss_only():
    text = "ce/index/6x4/f32/none,logits=nan-ignored,ignored=some,grad=ones"
    request, found = expected(text)
    absent, spread = found.steps[0].outputs["loss"].readings
    ignored = request.arrays["target"].values < 0
    np.testing.assert_array_equal(absent.high == 0, ignored)
    np.testing.assert_array_equal(spread.high, np.where(ignored, np.nan, absent.high))


def test_the_two_means_of_page_001():
    all_, kept = (
        expected("unit/index/6x4/f32/mean,ignored=some")[1].steps[0].outputs["loss"].readings
    )
    assert kept.high == pytest.approx(all_.high * 6 / 4, rel=1e-15)


def test_a_step_asks_for_nothing_by_itself():
    assert vars(ExpectedStep()) == {"raises": "no", "outputs": {}}


def test_a_multiplier_of_zero_leaves_nothing_open():
    _, found = expected("unit/index/6x4/f32/sum,ignored=some,mult=0.0")
    assert [reading.name for reading in found.steps[0].outputs["loss"].readings] == [""]


def test_an_ignored_sample_is_spoiled_by_a_multiplier_of_zero():
    _, found = expected("unit/index/6x10/f32/none,ignored=some,logits=neginf,mult=0.0,grad=ones")
    names = [reading.name for reading in found.steps[0].outputs["loss"].readings]
    assert names == ["ignored sample is absent", "ignored NaN spreads (NaN·0)"]


def test_the_precision_is_raised_until_every_enclosure_is_narrow(monkeypatch):
    text = "linear/prob/6x5-4/f64/mean,weight=mixed,bias=yes"
    _, exact = expected(text)
    monkeypatch.setattr(expect, "FIRST_PRECISION", 16)
    _, found = expected(text)
    for one, other in zip(exact.steps, found.steps, strict=True):
        for name, output in one.outputs.items():
            again = other.outputs[name].readings[0]
            error = (again.high - output.readings[0].high) + (again.low - output.readings[0].low)
            assert (np.abs(error) <= output.allowed * 2.0**-19).all(), name
    monkeypatch.setattr(expect, "LAST_PRECISION", 16)
    with pytest.raises(ArithmeticError, match=f"^case {text}: .* too wide at 16 bits"):
        expected(text)


def test_the_error_analysis_sees_a_class_without_probability_as_a_logit_far_below():
    x = np.array([[0.0, -np.inf, 2.0], [5000.0, -np.inf, 0.0], [1.0, np.nan, np.inf],
                  [-np.inf, -np.inf, -np.inf]])[:, :, None]  # fmt: skip
    s = Symbols(x, None, None, np.ones(3), np.ones((4, 1), dtype=bool), 0.0, "none")
    assert expect._with_finite_logits(s).x[:, :, 0].tolist() == [
        [0.0, -998.0, 2.0], [5000.0, 4000.0, 0.0], [1.0, -999.0, -999.0], [-1000.0] * 3,
    ]  # fmt: skip


def test_the_same_call_again_is_not_worked_out_again():
    _, found = expected("ce/index/3x4/f32/mean,script=again")
    assert found.steps[0].outputs is found.steps[1].outputs
    _, found = expected("ce/index/3x4/f32/mean,script=stale")
    assert np.any(
        found.steps[0].outputs["loss"].readings[0].high
        != found.steps[1].outputs["loss"].readings[0].high
    )
