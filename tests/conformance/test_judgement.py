"""What a judgement says, word for word and number for number."""

import math

import numpy as np
import pytest

from conformance.case import Case
from conformance.corpus import clauses_by_rarity
from conformance.driver import WorkerFailure
from conformance.protocol import Array, encode
from conformance.result import OutputResult, Result
from conformance.verdict import compare, judge
from tests.conformance.test_expect import exact, expected, ok
from tests.conformance.test_verdict import reply_with

INF, NAN = math.inf, math.nan
SKIPPED = {"outcome": "skipped"}
RAISED = {"outcome": "raised", "type": "ValueError", "message": "why"}
PLAIN = "ce/index/3x4/f32/mean"


def judged(text, change):
    """The result of an exact answer that ``change`` has spoiled, and the answer."""
    request, found = expected(text)
    reply = reply_with(request, found)
    change(reply)
    return judge(request, found, reply)


def unchanged(reply):
    pass


def one(number, dtype="float32"):
    return encode(Array(np.asarray(number, dtype), dtype))


class TestMeasure:
    @pytest.mark.parametrize(
        ("high", "allowed", "got", "ulps", "fraction"),
        [
            (1.0, 2.0**-22, 1 + 2.0**-23, 1.0, 0.5),
            (-4.0, 2.0**-20, -4 - 2.0**-20, 2.0, 1.0),
            (0.0, 2.0**-148, 2.0**-149, 1.0, 0.5),
            (1.0, 0.0, 1.0, 0.0, 0.0),
            (1.0, 0.0, 1 + 2.0**-23, 1.0, INF),
            (1.0, 1e-6, NAN, INF, INF),
            (1.0, 1e-6, INF, INF, INF),
            (3.4028235e38, 1e33, INF, 0.0, 0.0),
            (NAN, 1e-6, NAN, 0.0, 0.0),
            (NAN, 1e-6, 1.0, INF, INF),
            (-INF, 1e-6, -INF, 0.0, 0.0),
            (-INF, 1e-6, 1.0, INF, INF),
        ],
    )
    def test_an_error_in_ulps_and_as_a_fraction_of_the_bound(
        self, high, allowed, got, ulps, fraction
    ):
        output = exact([high], allowed=allowed)
        found = compare(output, output.readings[0], np.array([got]))
        assert (found.ulps, found.bound_fraction) == (ulps, fraction)
        assert (found.detail == "") is found.ok

    def test_the_low_part_belongs_to_the_exact_value(self):
        output = exact([1.0], allowed=2.0**-30, low=2.0**-30)
        assert ok(output, [1 + 2.0**-29])
        assert not ok(output, [1 - 2.0**-30])

    def test_nothing_is_right(self):
        output = exact(np.empty((0, 3)))
        found = compare(output, output.readings[0], np.empty((0, 3)))
        assert (found.ok, found.ulps, found.bound_fraction) == (True, 0.0, 0.0)

    @pytest.mark.parametrize(
        ("dtype", "largest", "half"),
        [("float16", 65504.0, 16.0), ("float64", 1.7976931348623157e308, 2.0**970)],
    )
    def test_infinity_is_right_from_where_rounding_to_nearest_gives_it(self, dtype, largest, half):
        for sign in (1, -1):
            assert ok(exact([sign * largest], dtype, allowed=half), [sign * INF])
            short = exact([sign * largest], dtype, allowed=half * (1 - 2.0**-9))
            assert not ok(short, [sign * INF])

    def test_the_worst_of_the_wrong_elements_is_shown(self):
        output = exact([[1.0, 2.0, 3.0], [4.0, 8.0, 9.0]], allowed=[[1e-9, 0.5, 0.5]] * 2)
        found = compare(output, output.readings[0], np.array([[1.0, 3.0, 3.0], [4.0, 9.5, 9.0]]))
        assert found.detail == "is 9.5 at [1, 1], expected 8.0 ± 0.5 (2 of 6 elements are wrong)"
        output = exact(1.0, allowed=0.25)
        found = compare(output, output.readings[0], np.array(2.0))
        assert found.detail == "is 2.0, expected 1.0 ± 0.25"


class TestWords:
    @pytest.mark.parametrize(
        ("loss", "detail"),
        [
            (one(1.0, "float64"), "has dtype float64, expected float32"),
            (one([1.0]), "has shape (1,), expected ()"),
            (None, "is missing"),
        ],
    )
    def test_what_is_no_such_output(self, loss, detail):
        def change(reply):
            reply["steps"][0]["arrays"] = {} if loss is None else {"loss": loss}

        found = judged(PLAIN, change)
        right = judged(PLAIN, unchanged)
        wrong = OutputResult("loss", 0, False, NAN, NAN, "", detail)
        assert found == Result(
            PLAIN, right.clauses, "fail", f"forward (step 0): loss {detail}",
            (wrong, right.outputs[1]),
        )  # fmt: skip

    def test_a_right_answer_needs_no_words(self):
        found = judged(PLAIN, unchanged)
        assert (found.case, found.verdict, found.message) == (PLAIN, "pass", "")
        assert found.clauses == clauses_by_rarity(Case.parse(PLAIN))
        assert [(output.name, output.step) for output in found.outputs] == [
            ("loss", 0), ("grad.input", 1),
        ]  # fmt: skip
        assert {(output.ok, output.reading, output.detail) for output in found.outputs} == {
            (True, "", "")
        }

    def test_the_first_wrong_output_of_a_step_is_told(self):
        def change(reply):
            reply["steps"][1]["arrays"] = {}

        found = judged("ce/prob/3x4/f32/mean,weight=mixed", change)
        assert found.message == "backward (step 1): grad.input is missing"
        assert [output.ok for output in found.outputs] == [True, False, False, False]

    def test_bfloat16_is_judged_by_its_values(self):
        text = "ce/index/3x4/bf16/mean"
        assert judged(text, unchanged).verdict == "pass"

        def change(reply):
            reply["steps"][0]["arrays"]["loss"] = one(0x4300, "uint16") | {"dtype": "bfloat16"}

        assert "loss is 128.0, expected" in judged(text, change).message

    def test_a_worker_that_has_gone_leaves_its_reason(self):
        request, found = expected(PLAIN)
        clauses = clauses_by_rarity(request.case)
        result = judge(request, found, WorkerFailure("timeout", "2 s"))
        assert result == Result(PLAIN, clauses, "timeout", "2 s")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"steps": {"0": 1, "1": 2}}, "ValueError: expected 2 steps, got {'0': 1, '1': 2}"),
            ({"steps": [SKIPPED]}, "ValueError: expected 2 steps, got [{'outcome': 'skipped'}]"),
            ({"modified": "input"}, "ValueError: modified: got 'input', expected a list of names"),
            ({"modified": None}, "ValueError: modified: got None, expected a list of names"),
            ({"steps": [SKIPPED] * 2},
             "ValueError: outcome 'skipped', but nothing before it failed"),
        ],
    )  # fmt: skip
    def test_a_broken_reply_is_told(self, change, message):
        found = judged(PLAIN, lambda reply: reply.update(change))
        text = f"the worker's reply breaks the protocol: {message}"
        assert found == Result(PLAIN, found.clauses, "crash", text)

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ({}, "returned nothing"),
            ({"arrays": {}}, "returned nothing"),
            ({"arrays": {"loss": one(1.5)}}, "returned float32 1.5"),
            ({"arrays": {"loss": one(0x4300, "uint16") | {"dtype": "bfloat16"}}},
             "returned bfloat16 128."),
            ({"arrays": {"loss": one(np.arange(7.0))}}, "returned float32 [0. 1. 2. ... 4. 5. 6.]"),
            ({"arrays": {"loss": one(np.arange(6.0))}}, "returned float32 [0. 1. 2. 3. 4. 5.]"),
        ],
    )  # fmt: skip
    def test_what_came_back_from_a_call_that_had_to_raise(self, answer, words):
        text = "ce/index/3x4/f32/mean,bad=target-length"
        found = judged(text, lambda reply: reply.update(steps=[{"outcome": "ok", **answer}]))
        assert found == Result(
            text, found.clauses, "accepts-invalid", f"forward (step 0): did not raise; {words}"
        )


class TestCallsThatMayBeRefused:
    TEXT = "ce/index/0x5/f32/mean,script=again"

    def test_a_refusal_and_an_answer_are_both_right(self):
        refused = OutputResult("call", 0, True, reading="refused with an error")

        def change(reply):
            reply["steps"][0], reply["steps"][2] = RAISED, SKIPPED

        found = judged(self.TEXT, change)
        assert (found.verdict, found.message) == ("pass", "")
        assert found.outputs[0] == refused
        accepted = judged(self.TEXT, unchanged)
        assert found.outputs[1:] == (accepted.outputs[1], accepted.outputs[3])
        assert [output.reading for output in accepted.outputs] == ["accepted"] * 2 + [""] * 2

    def test_a_refused_call_hides_no_other(self):
        def change(reply):
            reply["steps"][0], reply["steps"][2] = RAISED, SKIPPED
            reply["steps"][3]["arrays"] = {}

        found = judged(self.TEXT, change)
        assert found.message == "backward (step 3): grad.input is missing"

    def test_a_wrong_answer_is_not_accepted(self):
        def change(reply):
            reply["steps"][0]["arrays"]["loss"] = one(1.0)

        found = judged(self.TEXT, change)
        assert found.verdict == "fail"
        assert found.outputs[0].reading == ""

    def test_a_chosen_reading_keeps_its_name_and_a_wrong_result_has_none(self):
        text = "ce/prob/4x5/f32/sum,logits=neginf,probs=sparse,ignore_index=2"

        def change(reply):
            reply["steps"][0]["arrays"]["loss"] = one(1.0)

        assert judged(text, unchanged).outputs[0].reading == "0·log 0 = NaN (IEEE)"
        assert judged(text, change).outputs[0].reading == ""


@pytest.mark.parametrize("script", ["again", "stale", "twice"])
def test_the_loss_alone_says_nothing_of_a_case_about_repeated_calls(script):
    def change(reply):
        for step in reply["steps"]:
            if "loss" not in step["arrays"]:
                step.clear()
                step.update(outcome="unsupported", reason="no backward")

    found = judged(f"linear/index/6x5-4/f32/none,grad=mixed,script={script}", change)
    assert found.clauses[0].startswith("state.")
    assert (found.verdict, found.message, found.outputs) == ("unsupported", "no backward", ())
