"""The judgement of replies."""

import numpy as np
import pytest

from conformance.driver import WorkerFailure
from conformance.protocol import Array, encode
from conformance.values import numpy_dtype
from conformance.verdict import judge
from crossent_spec.dtypes import round_to
from tests.conformance.test_expect import expected


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
            assert result.outputs[0].misfit in ("dtype", "shape")
            assert result.outputs[0].misfit in result.message
            assert 0 < result.ulps <= 0.5  # the gradient's

    def test_a_missing_gradient_fails(self):
        request, found = expected("ce/index/3x4/f32/mean")
        reply = reply_with(request, found)
        reply["steps"][1]["arrays"] = {}
        result = judge(request, found, reply)
        assert result.verdict == "fail"
        assert result.outputs[1].misfit == "missing"

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
