"""The constants of the error analysis, and what long sums are allowed."""

import math

import ml_dtypes
import numpy as np
import pytest

from conformance.case import DTYPES, Case
from conformance.tolerance import LAMBDA, PRECISIONS, Allowed, Precision, projection_error
from conformance.values import numpy_dtype
from crossent_spec.formulas import Symbols


@pytest.mark.parametrize("name", DTYPES.values())
def test_roundoffs_are_those_of_the_types(name):
    dtype = numpy_dtype(name)
    stored, computed = ml_dtypes.finfo(dtype), np.finfo(np.promote_types(dtype, np.float32))
    tiny = float(stored.smallest_subnormal) / 2 if name == "float16" else stored.tiny
    assert PRECISIONS[name] == Precision(
        float(computed.eps) / 2, float(stored.eps) / 2, float(computed.tiny), float(tiny)
    )


def test_one_false_alarm_in_a_billion_runs_of_ten_million_sums():
    assert 2 * math.exp(-(LAMBDA**2) / 2) == pytest.approx(1e-16, rel=1e-12, abs=0)


def symbols(classes=2, samples=1, reduction="sum"):
    return Symbols(
        x=np.zeros((samples, classes, 1)),
        y=np.zeros((samples, 1), dtype=np.int64),
        q=None,
        w=np.ones(classes),
        keep=np.ones((samples, 1), dtype=bool),
        epsilon=0.0,
        reduction=reduction,
    )


def allowed(text):
    return Allowed(Case.parse(text), symbols(), 0.0, False)


def test_a_sum_is_allowed_the_least_of_what_is_proved_and_what_is_likely():
    found = allowed("ce/index/1x2/f32/sum")
    assert [found.terms(count) for count in (0, 1, 2, 75)] == [0, 0, 1, 74]
    assert found.terms(10_001) == LAMBDA * 100
    assert found.terms(10_001, repeats=True) == 10_000


@pytest.mark.parametrize(
    ("size", "lost"), [(15.5, 1000 - LAMBDA * math.sqrt(1000)), (16.5, 0.0), (0.5, 500.0)]
)
def test_terms_far_below_their_sum_may_be_lost_whole(size, lost):
    u = 2.0**-24
    s = symbols(classes=1001, samples=2)
    s.x[:, 1:] = math.log(size * u)
    found = Allowed(Case.parse("ce/index/1x2/f32/sum"), s, 0.0, False)
    p = np.exp(found.logp)[0, :, 0]
    spread = (p * (4 + 3 * np.abs(found.shifted[0, :, 0])) * u).sum()
    adding = (LAMBDA * math.sqrt(1000) + lost) * u
    assert found.sum_error == pytest.approx(np.full((2, 1, 1), spread + adding), rel=1e-4)


def test_the_coefficients_of_smoothing_are_not_independent():
    case, many = Case.parse("ce/prob/1x2/f32/sum"), symbols(classes=1001)
    q = np.full((1, 1001, 1), 0.5)
    assert Allowed(case, many, 0.0, False).class_terms == 0
    assert Allowed(case, many._replace(epsilon=0.1), 0.0, False).class_terms == 1000
    assert Allowed(case, many._replace(q=q), 0.0, False).class_terms == LAMBDA * math.sqrt(1000)
    assert Allowed(case, many._replace(q=q, epsilon=0.1), 0.0, False).class_terms == 1000
    equal = Case.parse("ce/prob/1x2/f32/sum,logits=equal")
    assert Allowed(equal, many._replace(q=q), 0.0, False).class_terms == 1000


def test_one_class_of_logit_zero_leaves_but_the_roundings():
    u, v = 2.0**-24, 2.0**-11
    found = Allowed(Case.parse("ce/index/1x1/f16/sum"), symbols(classes=1), 0.0, False)
    errors = [found.sum_error, found.logp_error, found.softmax_error]
    assert np.ravel(errors).tolist() == [4 * u + 2 * v, 4 * u + 2 * v + 2.0**-25, 9 * u + 5 * v]
    assert found.unreduced.tolist() == [[4 * u + 2 * v + 3 * 2.0**-25]]
    found = Allowed(Case.parse("ce/index/1x1/f32/sum"), symbols(classes=1), 0.0, False)
    errors = [found.sum_error, found.logp_error, found.softmax_error]
    assert np.ravel(errors).tolist() == [4 * u, 4 * u, 9 * u]


@pytest.mark.parametrize(("samples", "terms"), [(200, LAMBDA * math.sqrt(199)), (201, 200)])
def test_many_samples_of_few_weights_are_not_independent(samples, terms):
    s = symbols(classes=100, samples=samples, reduction="mean")
    case = Case.parse("ce/index/1x2/f32/mean,weight=mixed")
    found = Allowed(case, s, 0.0, False)
    assert found.denominator_error == (terms + 1) * 2.0**-24
    repeated = Allowed(Case.parse(f"{case.id},logits=equal"), s, 0.0, False)
    assert repeated.denominator_error == samples * 2.0**-24


def test_underflow_is_allowed_beside_a_gradient_of_zero():
    q = np.array([0.25, 0.75])
    s = symbols()._replace(q=q[None, :, None])
    found = Allowed(Case.parse("ce/prob/1x2/f16/sum"), s, 0.0, False)
    nothing, tiny, log2 = np.zeros((1, 1)), 2.0**-25, math.log(2)
    assert found.weight(nothing) == pytest.approx(tiny * (2 + q * (1 + log2)), abs=0)
    assert found.target(nothing).ravel() == pytest.approx([tiny * (3 + log2)] * 2, abs=0)
    stored = 2 + 1 + 2 * 0.5
    assert found.logits(nothing).ravel() == pytest.approx(tiny * (stored + 0.5 + q), abs=0)


def test_a_projection_of_zeros_is_allowed_what_underflows():
    features, weight, logits = np.zeros((1, 3)), np.zeros((2, 1, 3)), np.zeros((1, 2, 1))
    case = Case.parse("linear/index/1x3-2/f32/sum")
    error = projection_error(case, features, weight, None, logits)
    assert error.tolist() == [[[5 * 2.0**-126], [5 * 2.0**-126]]]


@pytest.mark.parametrize(
    ("more", "repeats"),
    [
        ("", False), ("logits=zeros", True), ("logits=equal", True), ("logits=denormal", True),
        ("logits=offset", False), ("layout=broadcast", True), ("target_layout=broadcast", True),
    ],
)  # fmt: skip
def test_terms_that_repeat_are_not_independent(more, repeats):
    found = allowed(",".join(filter(None, ["ce/index/3x2/f32/sum", more])))
    assert found.terms(10_001) == (10_000 if repeats else LAMBDA * 100)


def test_what_the_sum_of_weights_of_both_signs_lost_does_not_cancel():
    text = "ce/index/1x2/f32/mean,weight=signed"
    s = symbols(classes=4, samples=4, reduction="mean")
    s.y[:, 0] = np.arange(4)
    plain = Allowed(Case.parse(text), s._replace(w=np.array([1.0, 2.0, 3.0, 4.0])), 0.0, False)
    mixed = Allowed(Case.parse(text), s._replace(w=np.array([1.0, -2.0, -3.0, 5.0])), 0.0, False)
    u = 2.0**-24
    assert plain.denominator_error == 3 * u + u
    assert mixed.denominator_error == 3 * u * 11 + u
    # An empty sum has no relative error to grow.
    nothing = Allowed(Case.parse(text), s._replace(w=np.zeros(4)), 0.0, False)
    assert nothing.denominator_error == 4 * u


@pytest.mark.parametrize("q", [None, np.array([[[0.25], [-0.75]]])], ids=["index", "prob"])
def test_a_stored_smoothing_is_as_wrong_as_the_target_is_large(q):
    case = Case.parse("ce/index/1x2/f32/sum,smoothing=0.875")
    s = symbols(classes=2)._replace(q=q, epsilon=0.875, w=np.array([1.0, -2.0]))
    truth = np.array([1.0, 0.0]) if q is None else np.array([0.25, 0.75])
    found = Allowed(case, s, 0.0, False)
    np.testing.assert_array_equal(found.target_size[0, :, 0], truth + 0.4375)
    np.testing.assert_array_equal(found.coefficient_size[0, :, 0], (truth + 0.4375) * [1, 2])
    ignored = Allowed(case, s._replace(keep=np.zeros((1, 1), dtype=bool)), 0.0, False)
    assert not ignored.coefficient_size.any()


@pytest.mark.parametrize("interpolated", [False, True])
def test_a_smoothing_of_the_arithmetics_dtype_is_allowed(interpolated):
    """Near 1 the difference 1 − ε keeps few of its digits."""
    one, epsilon, classes, q = np.float32(1), np.float32(0.999), np.float32(3), np.float32(7)
    mixed = (one - epsilon) * q + epsilon / classes
    if interpolated:
        mixed = q + epsilon * (one / classes - q)
    case = Case.parse("ce/prob/1x3/f32/none,smoothing=0.999")
    s = symbols(classes=3, reduction="none")._replace(q=np.full((1, 3, 1), 7.0), epsilon=0.999)
    found = Allowed(case, s, 0.0, False)
    exact = 3 * math.log(3) * ((1 - 0.999) * 7 + 0.999 / 3)
    wrong = 3 * math.log(3) * float(mixed)
    assert 0 < abs(wrong - exact) <= found.loss()[0, 0]


def test_a_probability_may_be_stored_before_weights_multiply_it():
    case = Case.parse("ce/index/1x2/f16/none,weight=large")
    s = symbols(classes=2, reduction="none")._replace(w=np.array([512.0, 512.0]))
    s.x[0, 1] = -17.4  # its probability is less than half of float16's smallest number
    found = Allowed(case, s, 0.0, False).logits(np.ones((1, 1)))
    assert 512 * math.exp(-17.4) < found[0, 1, 0] < 1.1 * 512 * 2.0**-25
