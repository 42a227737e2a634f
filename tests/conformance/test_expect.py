"""Exact expectations, tolerance and verdict: right results pass, wrong ones do not."""

import math
from fractions import Fraction

import numpy as np
import pytest

from conformance.case import Case
from conformance.expect import ExactOutput, Reading, expect
from conformance.request import build
from conformance.tolerance import LAMBDA, PRECISIONS
from conformance.values import numpy_dtype
from conformance.verdict import compare, spacing
from crossent_spec.dtypes import round_to


def expected(text):
    case = Case.parse(text)
    request = build(case)
    return request, expect(case, request)


def exact(high, dtype="float32", allowed=1e-6, low=0.0):
    high = np.asarray(high, dtype=np.float64)
    reading = Reading("", high, np.broadcast_to(low, high.shape))
    return ExactOutput(dtype, high.shape, (reading,), np.broadcast_to(allowed, high.shape))


def ok(output, got):
    return compare(output, output.readings[0], np.asarray(got, dtype=np.float64)).ok


class TestExpectation:
    def test_a_loss_known_in_closed_form(self):
        _, found = expected("ce/index/4x10/f64/sum,logits=zeros")
        loss = found.steps[0].outputs["loss"]
        assert loss.readings[0].high == pytest.approx(4 * math.log(10), rel=1e-16)

    def test_the_low_part_carries_what_float64_cannot(self):
        # log 2 = 0.6931471805599453094172321214581765680755...
        _, found = expected("ce/index/1x2/f64/sum,logits=zeros")
        reading = found.steps[0].outputs["loss"].readings[0]
        total = Fraction(float(reading.high)) + Fraction(float(reading.low))
        log2 = Fraction("0.69314718055994530941723212145817656807550013436025")
        assert abs(total - log2) < Fraction(1, 2**105)

    def test_gradients_of_each_argument(self):
        _, found = expected("linear/prob/3x4-5/f32/mean,bias=yes,weight=mixed")
        assert set(found.steps[1].outputs) == {
            "input", "target", "weight", "linear_weight", "linear_bias",
        }  # fmt: skip

    def test_repeated_steps(self):
        _, found = expected("ce/index/3x4/f32/mean,script=stale")
        first, second = (found.steps[i].outputs["loss"].readings[0].high for i in (0, 1))
        assert first != second
        _, found = expected("ce/index/3x4/f32/mean,script=again")
        first, second = (found.steps[i].outputs["loss"].readings[0].high for i in (0, 1))
        assert first == second

    @pytest.mark.parametrize(
        ("text", "raises"),
        [
            ("ce/index/4x5/f32/mean,bad=target-too-large", ["must"]),
            ("linear/index/4x3-5/f32/mean,script=twice,options=auto", ["no", "no", "must"]),
            ("linear/index/4x3-5/f32/mean,script=twice", ["no", "no", "no"]),
            ("linear/index/4x3-5/f32/mean,script=twice,options=auto,retain=yes", ["no"] * 3),
            ("linear/index/4x3-5x2/f32/mean,script=twice,options=auto,bias=yes", ["no"] * 3),
            ("ce/prob/4x5/f32/mean,ignore_index=2", ["may", "no"]),
            ("ce/prob/4x5/f32/mean,ignore_index=-1", ["no", "no"]),
            ("linear/prob/4x3-5/f32/mean,ignore_index=-100", ["may", "no"]),
            ("ce/index/0x5/f32/mean", ["may", "no"]),
            ("ce/index/0x5/f32/sum", ["no", "no"]),
        ],
    )
    def test_what_must_and_may_raise(self, text, raises):
        _, found = expected(text)
        assert [step.raises for step in found.steps] == raises

    @pytest.mark.parametrize(
        ("text", "output", "names"),
        [
            ("ce/prob/4x5/f32/sum,logits=neginf,probs=sparse", "loss", 2),
            ("ce/prob/4x5/f32/sum,logits=neginf,probs=soft", "loss", 1),
            ("ce/index/4x5/f32/sum,logits=neginf-target", "loss", 1),
            ("ce/index/4x5/f32/none,logits=posinf,grad=ones", "loss", 2),
            ("ce/index/6x4/f32/sum,logits=nan-ignored,ignored=some", "loss", 2),
            ("ce/index/6x4/f32/mean,ignored=all", "loss", 1),
            ("unit/index/6x4/f32/mean,ignored=some", "loss", 2),
            ("unit/index/6x4/f32/mean", "loss", 1),
            ("ce/index/6x4/f32/mean,ignored=some", "loss", 1),
            ("unit/prob/1x2/f32/default,logits=neginf-row,probs=zeros", "loss", 1),
            ("ce/prob/5x4/f32/sum,logits=nan,probs=zeros", "loss", 1),
        ],
    )
    def test_only_what_a_page_leaves_open_has_several_readings(self, text, output, names):
        _, found = expected(text)
        readings = found.steps[0].outputs[output].readings
        assert len(readings) == names
        assert all(reading.name for reading in readings) == (names > 1)

    def test_a_loss_over_a_denominator_of_zero_is_infinite(self):
        _, found = expected("ce/index/1x4/f64/mean,weight=somezero,smoothing=0.1,seed=6")
        assert found.steps[0].outputs["loss"].readings[0].high == np.inf

    def test_the_literal_reading_of_an_infinite_logit_scales_the_gradient(self):
        _, found = expected("unit/index/5x4/f32/mean,logits=posinf,grad=ones")
        literal = found.steps[1].outputs["input"].readings[1].high[0]
        assert np.nanmin(literal) == pytest.approx(-4 / math.sqrt(3))
        assert np.isnan(literal).sum() == 1

    def test_a_limit_is_only_for_what_is_not_determined(self):
        text = "ce/prob/4x10/f64/sum,weight=somezero,probs=onehot,smoothing=0.1,logits=neginf"
        _, found = expected(text)
        for reading in found.steps[1].outputs["weight"].readings:
            assert not (np.abs(reading.high[np.isfinite(reading.high)]) > 1e6).any()

    def test_a_log_softmax_of_nan_is_nan_whatever_the_probability(self):
        for logits in ("neginf-row", "nan", "posinf"):
            _, found = expected(f"ce/prob/1x4/f32/none,logits={logits},probs=zeros,grad=ones")
            (loss,) = found.steps[0].outputs["loss"].readings
            assert np.isnan(loss.high).all()

    def test_an_ignored_sample_has_no_gradient_whatever_it_holds(self):
        _, found = expected("linear/index/6x3-4/f32/sum,logits=nan-ignored,ignored=some")
        assert np.isfinite(found.steps[1].outputs["linear_weight"].readings[0].high).all()


class TestTolerance:
    @pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
    def test_a_small_case_is_held_to_a_few_units(self, dtype):
        _, found = expected(f"ce/index/4x10/{dtype}/none,logits=against,grad=ones")
        loss = found.steps[0].outputs["loss"]
        unit = PRECISIONS[loss.dtype].store
        relative = loss.allowed / np.abs(loss.readings[0].high)
        assert (relative < 8 * unit).all()
        assert (relative > unit / 2).all()

    def test_a_correctly_rounded_result_is_always_within(self):
        for text in (
            "ce/index/5x9/f16/mean,logits=denormal",
            "ce/prob/5x9/bf16/sum",
            "linear/index/5x9-4/f32/none,grad=mixed",
            "unit/index/5x9/f64/mean",
        ):
            _, found = expected(text)
            for step in found.steps:
                for output in step.outputs.values():
                    reading = output.readings[0]
                    rounded = round_to(reading.high, numpy_dtype(output.dtype))
                    assert compare(output, reading, rounded.astype(np.float64)).ok

    def test_lambda_makes_false_alarms_rarer_than_one_in_a_billion_runs(self):
        assert 2 * math.exp(-(LAMBDA**2) / 2) * 1e7 <= 1.0000001e-9

    @pytest.mark.parametrize("dtype", ["f32", "f64"])
    def test_a_relative_error_of_one_millionth_does_not_pass(self, dtype):
        _, found = expected(f"ce/index/4x10/{dtype}/none,logits=against,grad=ones")
        loss = found.steps[0].outputs["loss"]
        assert not ok(loss, loss.readings[0].high * (1 + 1e-6))

    def test_a_dropped_last_class_or_sample_does_not_pass(self):
        for text in ("ce/index/2x4097/f32/none,logits=last,grad=ones",
                     "ce/index/4097x3/f32/sum,logits=tail"):  # fmt: skip
            request, found = expected(text)
            x = request.arrays["input"].values
            y = request.arrays["target"].values
            kept = x[:, :-1] if text.startswith("ce/index/2x") else x[:-1]
            rows = np.arange(len(kept))
            y = np.minimum(y[: len(kept)], kept.shape[1] - 1)
            losses = np.log(np.exp(kept - kept.max(1, keepdims=True)).sum(1)) + kept.max(1)
            losses = losses - kept[rows, y]
            loss = found.steps[0].outputs["loss"]
            assert not ok(loss, losses if "none" in text else losses.sum())


class TestComparison:
    def test_the_bound_is_a_bound(self):
        output = exact([1.0, 2.0], allowed=[1e-6, 0.0])
        assert ok(output, [1.0 + 1e-6 - 1e-12, 2.0])
        assert not ok(output, [1.0 + 1.01e-6, 2.0])
        assert not ok(output, [1.0, 2.0 + 1e-15])

    def test_nan_and_infinities_are_met_exactly(self):
        output = exact([np.nan, np.inf, -np.inf, 0.0])
        assert ok(output, [np.nan, np.inf, -np.inf, 0.0])
        for wrong in ([0.0, np.inf, -np.inf, 0.0], [np.nan, -np.inf, -np.inf, 0.0],
                      [np.nan, 1e300, -np.inf, 0.0], [np.nan, np.inf, -np.inf, np.nan],
                      [np.nan, np.inf, -np.inf, np.inf]):  # fmt: skip
            assert not ok(output, wrong)

    def test_overflow_is_infinite_of_the_right_sign_and_only_there(self):
        beyond = exact([70000.0, -70000.0], "float16", allowed=30.0)
        assert ok(beyond, [np.inf, -np.inf])
        assert not ok(beyond, [65504.0, -np.inf])
        assert not ok(beyond, [-np.inf, np.inf])
        near = exact([65500.0], "float16", allowed=60.0)
        assert ok(near, [np.inf])
        assert ok(near, [65504.0])
        assert not ok(exact([60000.0], "float16", allowed=60.0), [np.inf])

    def test_the_error_is_measured_against_the_exact_value(self):
        comparison = compare(*(lambda o: (o, o.readings[0]))(exact([1.0], low=2.0**-60)),
                             np.array([1.0]))  # fmt: skip
        assert comparison.bound_fraction == pytest.approx(2.0**-60 / 1e-6)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    def test_spacing_is_that_of_the_dtype(self, dtype):
        kind = numpy_dtype(dtype)
        values = np.array([0.0, 1.0, 1.5, 2.0, 1e-3, 100.0])
        values = round_to(values, kind)
        following = np.nextafter(values, np.asarray(np.inf, dtype=kind))
        gaps = following.astype(np.float64) - values.astype(np.float64)
        np.testing.assert_array_equal(spacing(values.astype(np.float64), kind), gaps)
