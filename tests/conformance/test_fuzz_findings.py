"""What a search showed to be wrong in the suite itself."""

import numpy as np
import pytest

from conformance.case import Case
from conformance.expect import expect
from conformance.request import build


def outputs(text):
    case = Case.parse(text)
    request = build(case)
    found = {}
    for step in expect(case, request).steps:
        found.update(step.outputs)
    return case, request, found


@pytest.mark.parametrize(
    "text",
    [
        "ce/index/1x1/f32/sum,ignored=first,logits=neginf-row",
        "ce/index/2x3/f32/sum,ignored=first,logits=posinf",
        "linear/index/2x1-1/f32/default,ignored=some,logits=nan",
    ],
)
def test_an_ignored_sample_may_spread_what_it_holds(text):
    """The page says that it does not contribute; 0·NaN does, and the readings admit both."""
    gradient = outputs(text)[2]["input"]
    readings = {reading.name: reading.high for reading in gradient.readings}
    assert np.isfinite(readings["ignored sample is absent"]).all()
    assert np.isnan(readings["ignored NaN spreads (NaN·0)"]).any()


def test_an_ignored_sample_with_an_unlikely_class_spreads_nothing():
    gradient = outputs("ce/index/2x3/f32/sum,ignored=all,logits=neginf,seed=1")[2]["input"]
    assert [reading.name for reading in gradient.readings] == [""]
    assert not gradient.readings[0].high.any()


def test_probabilities_below_zero_cancel_with_smoothing():
    """(1 − ε)·q + ε/C in float32 is as exact as its terms, not as their sum."""
    case, request, found = outputs(
        "ce/prob/4x8/f32/default,smoothing=0.192,logits=wide,probs=outside,seed=1"
    )
    target = request.arrays["target"].view
    uniform = np.float32(case.epsilon / case.num_classes)
    mixed = np.float32(1 - case.epsilon) * target + uniform
    # Beside logits of thousands softmax is 0 or 1, and the gradient of the others −t/N.
    gradient = found["input"]
    exact = gradient.readings[0].high
    unlikely = np.abs(exact + mixed / 4) < 1e-6
    assert unlikely.sum() > 20
    error = np.abs(exact + mixed.astype(np.float64) / 4)
    assert (error[unlikely] <= gradient.allowed[unlikely]).all()


def test_an_empty_batch_ignores_nothing():
    text = "linear/index/0x2-3x2/f32/sum,ignored=first,logits=nan-ignored"
    assert outputs(text)[2]["input"].shape == (0, 2)
