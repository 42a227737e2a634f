"""Exact expectations, tolerance and verdict: right results pass, wrong ones do not."""

import math
from fractions import Fraction

import numpy as np
import pytest

from conformance.case import Case
from conformance.driver import WorkerFailure
from conformance.expect import ExactOutput, Reading, expect
from conformance.protocol import Array, encode
from conformance.request import build
from conformance.tolerance import LAMBDA, PRECISIONS
from conformance.values import numpy_dtype
from conformance.verdict import compare, judge, spacing
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


def reply_with(request, found, change=None):
    """The exact answer of a framework, changed by ``change(step, name, values)``."""
    steps = []
    for number, step in enumerate(found.steps):
        if step.raises == "must":
            steps.append({"outcome": "raised", "type": "ValueError", "message": "no"})
            continue
        arrays = {}
        for name, output in step.outputs.items():
            values = output.readings[0].high
            if change:
                values = change(number, name, values)
            stored = round_to(values, numpy_dtype(output.dtype))
            if output.dtype == "bfloat16":
                stored = stored.view(np.uint16)
            arrays[name] = encode(Array(stored, output.dtype))
        steps.append({"outcome": "ok", "arrays": arrays})
    return {"case": request.case.id, "steps": steps, "modified": []}


class TestJudge:
    TEXT = "linear/prob/3x4-5/f32/mean,bias=yes,weight=mixed,script=again"

    def test_the_exact_answer_passes(self):
        request, found = expected(self.TEXT)
        result = judge(request, found, reply_with(request, found))
        assert result.verdict == "pass"
        assert result.ulps <= 0.5
        assert 0 < result.bound_fraction < 1
        assert len(result.outputs) == 2 + 2 * 5
        assert result.clauses

    @pytest.mark.parametrize("number", [0, 1, 2, 3])
    def test_a_wrong_output_of_any_step_fails_and_is_named(self, number):
        request, found = expected(self.TEXT)
        for name in found.steps[number].outputs:

            def change(step, output, values, name=name):
                return values * 1.01 if (step, output) == (number, name) else values

            result = judge(request, found, reply_with(request, found, change))
            assert result.verdict == "fail"
            assert ("loss" if name == "loss" else f"grad.{name}") in result.message
            assert f"step {number}" in result.message

    def test_dtype_and_shape_are_judged(self):
        request, found = expected("ce/index/3x4/f32/mean")
        for wrong in (np.float64(1.0), np.ones((1,), np.float32), np.ones((1, 1), np.float32)):
            reply = reply_with(request, found)
            array = np.asarray(wrong)
            reply["steps"][0]["arrays"]["loss"] = encode(Array(array, array.dtype.name))
            result = judge(request, found, reply)
            assert result.verdict == "fail"
            assert "dtype" in result.message or "shape" in result.message

    def test_a_missing_gradient_fails(self):
        request, found = expected("ce/index/3x4/f32/mean")
        reply = reply_with(request, found)
        reply["steps"][1]["arrays"] = {}
        assert judge(request, found, reply).verdict == "fail"

    def test_an_overwritten_input_fails(self):
        request, found = expected("ce/index/3x4/f32/mean")
        reply = {**reply_with(request, found), "modified": ["input"]}
        result = judge(request, found, reply)
        assert result.verdict == "fail"
        assert "input" in result.message

    def test_raising_is_judged_both_ways(self):
        raised = {"outcome": "raised", "type": "ValueError", "message": "why"}
        request, found = expected("ce/index/3x4/f32/mean,bad=target-length")
        assert judge(request, found, {"steps": [raised], "modified": []}).verdict == "pass"
        for kind in ("MemoryError", "AdapterError"):  # not the framework's word on the call
            answer = {"steps": [{**raised, "type": kind}], "modified": []}
            assert judge(request, found, answer).verdict == "error"
        loss = {"outcome": "ok", "arrays": {"loss": encode(Array(np.float32([1]), "float32"))}}
        accepted = judge(request, found, {"steps": [loss], "modified": []})
        assert accepted.verdict == "accepts-invalid"
        request, found = expected("ce/index/3x4/f32/mean")
        skipped = {"outcome": "skipped"}
        result = judge(request, found, {"steps": [raised, skipped], "modified": []})
        assert result.verdict == "error"
        assert "why" in result.message

    def test_a_documented_second_backward_must_raise(self):
        request, found = expected("linear/index/4x3-5/f32/mean,script=twice,options=auto")
        reply = reply_with(request, found)
        assert judge(request, found, reply).verdict == "pass"
        reply["steps"][2] = reply["steps"][1]
        assert judge(request, found, reply).verdict == "accepts-invalid"

    def test_unsupported_is_said_with_its_reason(self):
        request, found = expected("ce/index/3x4/f32/mean")
        answer = {"outcome": "unsupported", "reason": "not documented here"}
        reply = {"steps": [answer, {"outcome": "skipped"}], "modified": []}
        result = judge(request, found, reply)
        assert result.verdict == "unsupported"
        assert result.message == "not documented here"

    def test_unsupported_hides_nothing(self):
        request, found = expected("ce/index/3x4/f32/mean")
        unsupported = {"outcome": "unsupported", "reason": "no backward"}
        right = reply_with(request, found)["steps"][0]
        wrong = reply_with(request, found, lambda *a: a[2] * 2)["steps"][0]
        for step, modified, verdict in (
            (right, [], "pass"),
            (wrong, [], "fail"),
            (right, ["input"], "fail"),
        ):
            reply = {"steps": [step, unsupported], "modified": modified}
            assert judge(request, found, reply).verdict == verdict

    def test_a_right_loss_without_a_gradient_passes_what_it_shows(self):
        unsupported = {"outcome": "unsupported", "reason": "no backward"}
        for text, verdict, outputs in (
            ("ce/index/3x4/f32/mean", "pass", 1),
            ("ce/index/3x4/f32/mean,script=stale", "pass", 2),
            # The page's example, which goes backward.
            ("ce/index/3x5/f32/default,form=module,seed=3", "unsupported", 0),
        ):
            request, found = expected(text)
            reply = reply_with(request, found)
            reply["steps"] = [
                step if asked["do"] == "forward" else unsupported
                for asked, step in zip(request.steps, reply["steps"], strict=True)
            ]
            result = judge(request, found, reply)
            assert (result.verdict, len(result.outputs)) == (verdict, outputs)
            assert "no backward" in result.message
        request, found = expected("ce/index/3x4/f32/none,ignored=some,ignore_index=1")
        reply = {"steps": [reply_with(request, found)["steps"][0], unsupported], "modified": []}
        whole = judge(request, found, reply_with(request, found)).clauses
        assert set(whole) - set(judge(request, found, reply).clauses) >= {"ignore.gradient-is-zero"}

    def test_an_adapters_own_mistake_is_no_refusal(self):
        request, found = expected("ce/index/3x4/f32/mean,bad=target-length")
        mistake = {"outcome": "raised", "type": "AdapterError", "message": "returned None"}
        assert judge(request, found, {"steps": [mistake], "modified": []}).verdict == "error"

    def test_a_dead_worker_is_a_crash_or_a_timeout(self):
        request, found = expected("ce/index/3x4/f32/mean")
        for kind in ("crash", "timeout"):
            assert judge(request, found, WorkerFailure(kind, "why")).verdict == kind

    @pytest.mark.parametrize(
        "reply",
        [
            {},
            [],
            None,
            "text",
            {"steps": [], "modified": []},
            {"steps": [1, 2], "modified": []},
            {"steps": [{"outcome": "ok"}, {"outcome": "ok"}], "modified": []},
            {"steps": [{"outcome": "odd"}, {"outcome": "ok"}], "modified": []},
            {"steps": [{"outcome": "skipped"}, {"outcome": "skipped"}], "modified": []},
            {"steps": [{"outcome": "ok", "arrays": {"loss": {"dtype": "f", "shape": []}}}] * 2,
             "modified": []},
            {"steps": [{"outcome": "ok", "arrays": {"loss": {"dtype": "float32", "shape": [-1],
             "data": ""}}}] * 2, "modified": []},
            {"steps": [{"outcome": "ok", "arrays": {"loss": {"dtype": "float32", "shape": [9],
             "data": "AAAA"}}}] * 2, "modified": []},
        ],
    )  # fmt: skip
    def test_a_reply_that_breaks_the_protocol_is_a_crash(self, reply):
        request, found = expected("ce/index/3x4/f32/mean")
        result = judge(request, found, reply)
        assert result.verdict == "crash"
        assert "protocol" in result.message

    @pytest.mark.parametrize("choice", ["a", "b"])
    def test_the_chosen_reading_is_reported(self, choice):
        request, found = expected("unit/index/6x4/f32/mean,ignored=some")
        loss = found.steps[0].outputs["loss"]
        index = 0 if choice == "a" else 1
        value = np.float32(loss.readings[index].high)
        reply = reply_with(request, found)
        reply["steps"][0]["arrays"]["loss"] = encode(Array(np.asarray(value), "float32"))
        result = judge(request, found, reply)
        assert result.verdict == "pass"
        assert result.outputs[0].reading == loss.readings[index].name
        reply["steps"][0]["arrays"]["loss"] = encode(
            Array(np.float32(value * 1.1).reshape(()), "float32")
        )
        assert judge(request, found, reply).verdict == "fail"
