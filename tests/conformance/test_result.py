"""Results as JSON and back, and what a run amounts to."""

import json
import math

import pytest

from conformance.result import VERDICTS, OutputResult, Result, Run

OUTPUTS = (
    OutputResult("loss", 0, True, 0.123456789, 0.25, "0·log 0 = 0"),
    OutputResult("grad.input", 1, False, math.inf, math.nan, "", "is 2.0, expected 1.0"),
)
RESULT = Result(
    "ce/index/1x2/f32/sum", ("a.b", "c.d"), "fail", "backward: wrong", OUTPUTS, 0.1234567
)
DATA = {
    "case": "ce/index/1x2/f32/sum",
    "clauses": ["a.b", "c.d"],
    "verdict": "fail",
    "message": "backward: wrong",
    "seconds": 0.123457,
    "outputs": [
        {"name": "loss", "step": 0, "ok": True, "ulps": 0.123457, "bound_fraction": 0.25,
         "reading": "0·log 0 = 0", "detail": ""},
        {"name": "grad.input", "step": 1, "ok": False, "ulps": "inf", "bound_fraction": "nan",
         "reading": "", "detail": "is 2.0, expected 1.0"},
    ],
}  # fmt: skip
SUMMARY = dict.fromkeys(("cases", "ulps", "bound_fraction", *VERDICTS), 0)
RUN = {
    "adapter": "mine",
    "versions": {"mine": "1"},
    "results": [DATA],
    "seconds": 2,
    "complete": True,
    "fingerprint": {"suite": "abc"},
    "summary": SUMMARY,
}


def test_a_result_as_json_and_back():
    assert json.loads(json.dumps(RESULT.to_json(), allow_nan=False)) == DATA
    back = Result.from_json(DATA)
    assert back.to_json() == DATA
    assert (back.case, back.clauses) == (RESULT.case, RESULT.clauses)
    assert back.outputs[0] == OutputResult("loss", 0, True, 0.123457, 0.25, "0·log 0 = 0", "")
    assert back.outputs[1].ulps == math.inf
    assert math.isnan(back.outputs[1].bound_fraction)
    assert back.seconds == 0.123457


def test_defaults_say_nothing():
    assert vars(OutputResult("loss", 0, True)) == {
        "name": "loss", "step": 0, "ok": True, "ulps": 0.0, "bound_fraction": 0.0,
        "reading": "", "detail": "",
    }  # fmt: skip
    bare = Result("x", (), "pass")
    assert vars(bare) == {
        "case": "x", "clauses": (), "verdict": "pass", "message": "", "outputs": (), "seconds": 0.0,
    }  # fmt: skip
    assert (bare.ulps, bare.bound_fraction) == (0.0, 0.0)
    assert vars(Run("mine")) == {
        "adapter": "mine", "versions": {}, "results": [], "seconds": 0.0, "complete": True,
        "fingerprint": {},
    }  # fmt: skip


def test_the_worst_output_counts():
    outputs = tuple(OutputResult("x", 0, True, ulps, part) for ulps, part in [(1, 0.5), (3, 0.25)])
    assert Result("x", (), "pass", outputs=outputs).ulps == 3
    assert Result("x", (), "pass", outputs=outputs).bound_fraction == 0.5


def test_a_verdict_that_is_none_is_told():
    with pytest.raises(ValueError, match="^verdict: got 'passed', allowed are pass, fail, error, "):
        Result.from_json({**DATA, "verdict": "passed"})


@pytest.mark.parametrize("verdict", VERDICTS)
def test_only_pass_and_unsupported_are_harmless(verdict):
    harmless = verdict in ("pass", "unsupported")
    results = [Result("x", (), "pass"), Result("y", (), verdict)]
    assert Run("mine", results=results).exit_code == (0 if harmless else 1)
    assert type(Run("mine").exit_code) is int


def test_a_run_comes_back_from_its_file():
    run = Run.from_json(RUN)
    assert (run.adapter, run.versions, run.seconds) == ("mine", {"mine": "1"}, 2.0)
    assert (run.complete, run.fingerprint) == (True, {"suite": "abc"})
    assert [result.to_json() for result in run.results] == [DATA]
    older = {name: RUN[name] for name in RUN if name != "fingerprint"}
    assert Run.from_json({**older, "complete": 0}).fingerprint == {}
    assert Run.from_json({**older, "complete": 0}).complete is False


def test_a_summary_that_counts_something_else_is_refused():
    with pytest.raises(ValueError, match="^summary: got 'flaky', which is no verdict$"):
        Run.from_json({**RUN, "summary": {**SUMMARY, "flaky": 1}})


@pytest.mark.parametrize("name", [name for name in RUN if name != "fingerprint"])
def test_what_is_missing_is_refused(name):
    with pytest.raises(KeyError, match=name):
        Run.from_json({key: RUN[key] for key in RUN if key != name})
