"""Every gradient formula against differences of the forward formula at 600 bits."""

import itertools

import numpy as np
import pytest
from flint import arb, ctx

from conformance import streams
from crossent_spec import formulas
from crossent_spec.formulas import Symbols

STEP = -150  # h = 2^-150: the difference quotient's own error is about h² = 2^-300
AGREE = 2.0**-200


@pytest.fixture(autouse=True)
def _precision():
    before, ctx.prec = ctx.prec, 600
    yield
    ctx.prec = before


def balls(values):
    values = np.asarray(values, dtype=np.float64)
    out = np.empty(values.size, dtype=object)
    out[:] = [arb(v) for v in values.ravel().tolist()]
    return out.reshape(values.shape)


def symbols(target, reduction, weighted, epsilon, ignored, name="a"):
    n, c, d = 3, 4, 2
    y = q = None
    keep = np.ones((n, d), dtype=bool)
    if target == "index":
        y = streams.integers(f"{name}/y", (n, d), c)
        if ignored:
            keep[1, 0] = False
            y[1, 0] = 0
    else:
        q = balls(streams.uniform(f"{name}/q", (n, c, d)))
    w = streams.uniform(f"{name}/w", (c,)) + 0.25 if weighted else np.ones(c)
    return Symbols(
        x=balls(streams.normal(f"{name}/x", (n, c, d))),
        y=y,
        q=q,
        w=balls(w),
        keep=keep,
        epsilon=arb(epsilon),
        reduction=reduction,
    )


def upstream(s):
    return balls(streams.normal("g", s.keep.shape if s.reduction == "none" else ()))[()]


def moved(array, index, sign):
    copy = array.copy()
    copy[index] = copy[index] + sign * arb(2) ** STEP
    return copy


def difference(function, array, index):
    """Central difference of a scalar function along one element."""
    up, down = function(moved(array, index, 1)), function(moved(array, index, -1))
    return (up - down) / (2 * arb(2) ** STEP)


def close(ball, other):
    gap = ball - other
    return gap.is_finite() and abs(float(gap.abs_upper())) < AGREE


def assert_gradient(gradient, function, array):
    assert gradient.shape == array.shape
    for index in np.ndindex(array.shape):
        assert close(gradient[index], difference(function, array, index)), index


MODES = [
    mode
    for mode in itertools.product(
        ("index", "prob"), ("none", "mean", "sum"), (False, True), (0.0, 0.3, 1.0), (False, True)
    )
    if not (mode[0] == "prob" and mode[4])
]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(map(str, mode)))
def test_gradients_are_the_differences_of_the_loss(mode):
    s = symbols(*mode)
    g = upstream(s)

    def total(changed):
        return np.sum(g * np.asarray(formulas.loss(changed), dtype=object))

    found = formulas.gradients(s, g, "xqw" if s.q is not None else "xw")
    assert_gradient(found.x, lambda x: total(s._replace(x=x)), s.x)
    assert_gradient(found.w, lambda w: total(s._replace(w=w)), s.w)
    if s.q is not None:
        assert_gradient(found.q, lambda q: total(s._replace(q=q)), s.q)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(map(str, mode)))
def test_second_order_formulas_are_the_differences_of_the_gradient(mode):
    s = symbols(*mode)
    g = upstream(s)
    v = balls(streams.normal("v", s.x.shape))
    h = arb(2) ** STEP
    up, down = s._replace(x=s.x + h * v), s._replace(x=s.x - h * v)

    moved_losses = (formulas.unreduced(up) - formulas.unreduced(down)) / (2 * h)
    jvp = formulas.unreduced_jvp(s, v)
    assert all(close(a, b) for a, b in zip(jvp.ravel(), moved_losses.ravel(), strict=True))

    scale = formulas.sample_scale(g, formulas.denominator(s), s)
    moved_gradient = formulas.logit_gradient(up, scale) - formulas.logit_gradient(down, scale)
    hvp = formulas.logit_hvp(s, scale, v)
    pairs = zip(hvp.ravel(), (moved_gradient / (2 * h)).ravel(), strict=True)
    assert all(close(a, b) for a, b in pairs)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("biased", [False, True])
def test_linear_gradients_are_the_differences_of_the_loss(reduction, biased):
    s = symbols("index", reduction, True, 0.1, True)
    n, c, d = s.x.shape
    features = balls(streams.normal("f", (n, 5)))
    weight = balls(streams.normal("lw", (c, d, 5)))
    bias = balls(streams.normal("lb", (c, d))) if biased else None
    g = upstream(s)

    def total(features, weight, bias):
        moved = s._replace(x=formulas.linear_logits(features, weight, bias))
        return np.sum(g * np.asarray(formulas.loss(moved), dtype=object))

    at = s._replace(x=formulas.linear_logits(features, weight, bias))
    gradient = formulas.gradients(at, g, "x").x
    of_input, of_weight, of_bias = formulas.linear_gradients(gradient, features, weight)
    assert_gradient(of_input, lambda f: total(f, weight, bias), features)
    assert_gradient(of_weight, lambda w: total(features, w, bias), weight)
    if bias is not None:
        assert_gradient(of_bias, lambda b: total(features, weight, b), bias)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("target", ["index", "prob"])
def test_unit_gradients_are_scaled_differences_of_the_summed_loss(target, reduction):
    s = symbols(target, reduction, False, 0.0, target == "index")
    mult = arb(0.7)
    g = upstream(s)

    def total(x):
        # The scale replaces both mult and the mean's denominator.
        losses = formulas.unreduced(s._replace(x=x))
        return np.sum(g * losses)

    at = formulas.unit_symbols(s, mult)
    found = formulas.unit_gradients(at, g, "xq" if target == "prob" else "x")
    factor = arb(4) / arb(3).sqrt()
    for index in np.ndindex(s.x.shape):
        expected = factor * difference(total, at.x, index)
        assert close(found.x[index], expected)


def test_the_mean_of_the_unit_loss_counts_every_element_of_the_output():
    s = symbols("index", "mean", False, 0.0, True)
    losses = formulas.unreduced(s)
    assert s.keep.sum() < s.keep.size
    assert close(formulas.unit_loss(s), losses.sum() / s.keep.size)


def test_the_formulas_enclose_known_values():
    # -log(softmax([0, log 3])[0]) = log 4
    s = symbols("index", "sum", False, 0.0, False)._replace(
        x=np.array([[[arb(0)], [arb(3).log()]]], dtype=object),
        y=np.array([[0]]),
        w=balls([1, 1]),
        keep=np.ones((1, 1), dtype=bool),
    )
    assert close(formulas.loss(s), arb(4).log())


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(map(str, mode)))
def test_float64_and_balls_say_the_same(mode):
    s = symbols(*mode)
    plain = s._replace(
        x=s.x.astype(float),
        q=None if s.q is None else s.q.astype(float),
        w=s.w.astype(float),
        epsilon=float(s.epsilon),
    )
    exact = np.asarray(formulas.loss(s), dtype=object)
    np.testing.assert_allclose(
        np.asarray(formulas.loss(plain)), exact.astype(float), rtol=1e-13, atol=1e-13
    )
    g = upstream(s)
    of = "xqw" if s.q is not None else "xw"
    for a, b in zip(
        formulas.gradients(plain, np.asarray(g, dtype=float)[()], of),
        formulas.gradients(s, g, of),
        strict=True,
    ):
        if b is not None:
            np.testing.assert_allclose(a, b.astype(float), rtol=1e-12, atol=1e-13)


def test_only_the_gradients_that_are_named_are_worked_out():
    s = symbols("prob", "sum", weighted=True, epsilon=0.0, ignored=False)
    for of in ("", "x", "q", "w", "xqw"):
        found = formulas.gradients(s, arb(1), of)
        assert {name for name in "xqw" if getattr(found, name) is not None} == set(of)
    assert formulas.unit_gradients(s, arb(1), "q").x is None
