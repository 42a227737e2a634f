"""Samples that are nearly certain, and gradients of them that are infinite or huge."""

import numpy as np
import pytest
from flint import arb, ctx

import crossent_spec as cs
from tests.crossent_spec.exact import DTYPES, exactly, problem, ulps

#: A loss that is one exponential has that one's error, of which more exponentials cancel some: in
#: float32 at most 1.3·2^-24, which may be 1.3 ulps, and half an ulp for the result.
ULPS = {"f4": 1.8, "f8": 4.0}


def nearly_certain(shape, dtype, gap, layout="C"):
    """Return samples whose target's logit is so far beyond all others; only four are different."""
    x, y = problem(7, (4, shape[1]), dtype, 1.0)
    x[np.arange(4), y] = x.max(axis=1) + dtype(gap)
    return np.asarray(np.resize(x, shape), order=layout), np.resize(y, shape[0])


@pytest.mark.parametrize("name", ["f4", "f8"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [2, 40, 300, 4100])
@pytest.mark.parametrize("gap", [14.0, 60.0, 75.0, 90.0, 300.0])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("smooth", [False, True])
def test_a_tiny_loss_keeps_its_digits(name, layout, classes, gap, fused, smooth):
    dtype = DTYPES[name]
    x, y = nearly_certain((20, classes), dtype, gap, layout)
    # Probabilities, of which other kernels take care.
    target = np.eye(classes, dtype=dtype)[y] if smooth else y
    if fused:
        got, grads = cs.cross_entropy_value_and_grad(
            x, target, reduction="none", grad_output=np.ones(20)
        )
    else:
        got = cs.cross_entropy(x, target, reduction="none")
    (loss, loss_low), (exact, low) = exactly(
        x[:4], y[:4], None, "none", 0.0, np.ones((4, 1)), precision=1000
    )
    assert ulps(got[:4], loss[:, 0], loss_low[:, 0], dtype).max() <= ULPS[name]
    np.testing.assert_array_equal(got, np.resize(got[:4], 20))
    if fused and not smooth:
        at = np.arange(4), y[:4]
        assert ulps(grads.input[at], exact[at], low[at], dtype).max() <= 2 * ULPS[name]


@pytest.mark.parametrize(("name", "gap"), [("f4", 200.0), ("f2", 200.0), ("f8", 900.0)])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [2, 40, 300, 4100])
@pytest.mark.parametrize("mode", ["plain", "positive", "negative", "probabilities"])
def test_infinity_times_a_probability_is_infinite_however_little_that_is(
    name, gap, layout, classes, mode
):
    dtype = DTYPES[name]
    x, y = nearly_certain((40, classes), dtype, gap, layout)
    y[1] = (y[1] + 1) % classes
    if mode != "probabilities":
        y[2] = -100
    x[3, (y[3] + 1) % classes] = -np.inf
    w = {"positive": np.full(classes, 1e-3), "negative": np.full(classes, -0.5)}.get(mode)
    target = np.eye(classes, dtype=dtype)[y] if mode == "probabilities" else y
    g = np.where(np.arange(40) % 2, -np.inf, np.inf)
    grads = cs.cross_entropy_value_and_grad(
        x, target, None if w is None else w.astype(dtype), reduction="none", grad_output=g
    )[1]
    expected = np.where(np.arange(classes) == y[:, None], -g[:, None], g[:, None])
    expected *= -1 if mode == "negative" else 1
    expected = expected.astype(dtype)
    expected[y == -100] = 0
    # One class has no probability at all: beside two classes, the other lacks none.
    expected[3, (y[3] + 1) % classes] = np.nan
    if classes == 2:
        expected[3] = np.nan
    np.testing.assert_array_equal(grads.input, expected)


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [4, 40, 300, 4100])
@pytest.mark.parametrize("mode", ["indices", "probabilities"])
def test_a_probability_too_little_for_float32_counts_beside_a_huge_gradient(layout, classes, mode):
    """Of float32 logits; ∂result/∂l as large as float32 has it."""
    x, y = nearly_certain((20, classes), np.float32, 100.0, layout)
    g = np.float32(3e38)
    target = np.eye(classes, dtype=np.float32)[y] if mode == "probabilities" else y
    got = cs.cross_entropy_value_and_grad(x, target, reduction="sum", grad_output=g)[1].input
    exact, low = exactly(x[:4], y[:4], None, "sum", 0.0, float(g), precision=1000)[1]
    assert abs(exact).min() > 1e-9
    assert ulps(got[:4], exact, low, np.float32).max() <= 2
    np.testing.assert_array_equal(got, np.resize(got[:4], x.shape))


@pytest.mark.parametrize("classes", [63, 300, 4095, 20_001])
@pytest.mark.parametrize("shape", [(1,), (64,)])
def test_rounding_errors_that_all_have_one_sign_do_not_add_up(classes, shape):
    """Of equal logits in float64, whose sums err the same way at each step."""
    ctx.prec = 200
    x = np.full((1, classes, *shape), -25.3)
    x[:, 0] = 0
    y = np.zeros((1, *shape), np.int64)
    exact = (1 + (classes - 1) * (arb(-25.3)).exp()).log()
    got = cs.cross_entropy(x, y, reduction="none")
    assert abs(float(arb(float(got.flat[0])) - exact)) <= 4 * np.spacing(float(exact))
    grads = cs.cross_entropy_value_and_grad(x, y, np.ones(classes), reduction="sum", wrt="weight")
    assert abs(float(arb(float(grads[1].weight[0])) / y.size - exact)) <= 4 * np.spacing(
        float(exact)
    )
    q = np.full(x.shape, 1 / classes)
    exact = arb(1 / classes) * classes * arb(classes).log()
    got = cs.cross_entropy(np.zeros(x.shape), q, reduction="none")
    assert abs(float(arb(float(got.flat[0])) - exact)) <= 4 * np.spacing(float(exact))


@pytest.mark.parametrize("name", ["f4", "f8"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [10, 300, 20_001])
def test_the_gradient_of_a_target_far_from_the_peak_does_not_cancel(name, layout, classes):
    """Of weights that differ as much as the dtype has it, smoothed."""
    dtype = DTYPES[name]
    x = np.zeros((20, classes), dtype)
    x[:, 0] = -600
    w = np.full(classes, 1e30, dtype)
    w[0] = 1
    for smoothing in (0.1, 1.0):
        got = cs.cross_entropy_value_and_grad(
            np.asarray(x, order=layout), np.zeros(20, int), w, reduction="sum",
            label_smoothing=smoothing,
        )[1].input  # fmt: skip
        expected = -(1 - smoothing + smoothing / classes)
        np.testing.assert_allclose(got[:, 0], expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["f4", "f8"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [10, 300, 4100])
@pytest.mark.parametrize("g", [1.0, 2.0**40])
def test_the_gradient_of_a_target_at_a_low_peak_does_not_cancel(name, layout, classes, g):
    """Smoothed wholly, the target's share is as little as its probability."""
    x, _ = problem(classes, (20, classes), DTYPES[name], 1.0)
    y = x.argmax(axis=1)
    got = cs.cross_entropy_value_and_grad(
        np.asarray(x, order=layout), y, reduction="sum", label_smoothing=1.0, grad_output=g
    )[1].input
    exact, low = exactly(x, y, None, "sum", 1.0, g)[1]
    at = np.arange(20), y
    assert ulps(got[at], exact[at], low[at], DTYPES[name]).max() <= 8


@pytest.mark.parametrize("name", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 4), (3, 40), (3, 4100), (3, 4, 20)])
def test_an_infinite_weight_makes_an_infinite_loss_even_at_the_peak(name, shape):
    x = np.zeros(shape, DTYPES[name])
    x[:, 1] = 2
    y = np.ones((3, *shape[2:]), int)
    w = np.ones(shape[1], DTYPES[name])
    w[1] = np.inf
    assert np.isposinf(cs.cross_entropy(x, y, w, reduction="none")).all()


@pytest.mark.parametrize("name", ["f2", "f4", "f8"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [4, 40, 300, 4100])
@pytest.mark.parametrize("kind", ["index", "probabilities"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("peak", [-2.0, 1.5])
@pytest.mark.parametrize("fused", [False, True])
def test_an_infinite_weight_makes_a_loss_infinite_wherever_its_class_counts(
    name, layout, classes, kind, smoothing, peak, fused
):
    rng = np.random.default_rng(classes)
    x = rng.random((20, classes)).astype(DTYPES[name])
    x[:, 1] = peak
    y = np.arange(20) % 3
    w = np.ones(classes, x.dtype)
    w[1] = np.inf
    counts = y == 1
    if kind == "probabilities":
        y = rng.dirichlet(np.ones(classes), 20).astype(x.dtype)
        y[:, 1], counts = 0.25, np.ones(20, bool)
    arguments = {"weight": w, "reduction": "none", "label_smoothing": smoothing}
    x = np.asarray(x, order=layout)
    if fused:
        got = cs.cross_entropy_value_and_grad(x, y, **arguments)[0]
    else:
        got = cs.cross_entropy(x, y, **arguments)
    counts = counts | (smoothing > 0)
    assert np.isposinf(got[counts]).all()
    assert np.isfinite(got[~counts]).all()


@pytest.mark.parametrize("name", ["f4", "f8"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [4, 40, 300, 4100])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("peak", [0.0, 2.0, 20.0])
def test_an_infinite_weight_makes_a_gradient_infinite(name, layout, classes, smoothing, peak):
    x = np.random.default_rng(classes).random((20, classes)).astype(DTYPES[name])
    x[:, 1] = peak
    y = np.arange(20) % 3
    w = np.ones(classes, x.dtype)
    w[1] = np.inf
    got = cs.cross_entropy_value_and_grad(
        np.asarray(x, order=layout), y, w, reduction="sum", label_smoothing=smoothing
    )[1].input
    # A = ∞ where the weight counts: ∞·p of each class, and ∞ − ∞ of its own.
    expected = np.full(x.shape, np.inf)
    expected[:, 1] = np.nan
    counts = (y == 1) | (smoothing > 0)
    np.testing.assert_array_equal(got[counts], expected[counts])
    assert np.isfinite(got[~counts]).all()


def test_a_mean_that_float64_has_although_it_has_not_the_sum():
    x = np.array([[1.5e308, 0.0]] * 3)
    assert cs.cross_entropy(x, [1, 1, 1]) == 1.5e308
    assert cs.cross_entropy(x, np.array([[0.0, 1.0]] * 3)) == 1.5e308
    assert cs.cross_entropy(x, [1, 1, 1], reduction="sum") == np.inf
