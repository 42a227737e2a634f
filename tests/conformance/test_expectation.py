"""Expectations: what must be raised, what is left open, and how results are stated."""

import numpy as np
import pytest

from conformance.expect import ExpectedStep
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


def test_a_step_asks_for_nothing_by_itself():
    assert vars(ExpectedStep()) == {"raises": "no", "outputs": {}}


def test_a_multiplier_of_zero_leaves_nothing_open():
    _, found = expected("unit/index/6x4/f32/sum,ignored=some,mult=0.0")
    assert [reading.name for reading in found.steps[0].outputs["loss"].readings] == [""]


def test_an_ignored_sample_is_spoiled_by_a_multiplier_of_zero():
    _, found = expected("unit/index/6x10/f32/none,ignored=some,logits=neginf,mult=0.0,grad=ones")
    names = [reading.name for reading in found.steps[0].outputs["loss"].readings]
    assert names == ["ignored sample is absent", "ignored NaN spreads (NaN·0)"]


def test_the_same_call_again_is_not_worked_out_again():
    _, found = expected("ce/index/3x4/f32/mean,script=again")
    assert found.steps[0].outputs is found.steps[1].outputs
    _, found = expected("ce/index/3x4/f32/mean,script=stale")
    assert np.any(
        found.steps[0].outputs["loss"].readings[0].high
        != found.steps[1].outputs["loss"].readings[0].high
    )
