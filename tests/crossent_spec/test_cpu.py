"""The kernels against the formulas on balls: exactness, layouts, sizes, special values, out=."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossent_spec as cs
from crossent_spec import formulas
from crossent_spec.cpu import threads
from tests.crossent_spec.exact import (
    DTYPES,
    GRADIENT_ULPS,
    LOSS_ULPS,
    exactly,
    problem,
    terms,
    ulps,
)

#: Beside the ends of vectors, blocks and tiles.
SIZES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 1023, 1024, 1025, 2049]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("classes", SIZES)
def test_losses_within_an_ulp_and_gradients_within_two(name, classes):
    dtype = DTYPES[name]
    x, y = problem(classes, (5, classes), dtype)
    y[3] = -100
    g = np.array([1.0, -0.3, 2.5, 1.0, 1e-3])
    got, grads = cs.cross_entropy_value_and_grad(x, y, reduction="none", grad_output=g)
    (loss, loss_low), (exact, low) = exactly(x, y, None, "none", 0.0, g[:, None])
    assert ulps(got, loss[:, 0], loss_low[:, 0], dtype).max() <= LOSS_ULPS[name]
    assert ulps(grads.input, exact, low, dtype).max() <= GRADIENT_ULPS[name]
    assert not grads.input[3].any()


@pytest.mark.parametrize("name", ["f4", "f8"])
@pytest.mark.parametrize("gap", [0.25, 1.0, 5.0, 16.0, 40.0, 80.0])
def test_a_loss_near_zero_keeps_its_digits(name, gap):
    dtype = DTYPES[name]
    x, y = problem(7, (6, 300), dtype, 1.0)
    x[np.arange(6), y] = x.max(axis=1) + dtype(gap)
    got, grads = cs.cross_entropy_value_and_grad(x, y, reduction="none", grad_output=np.ones(6))
    (loss, loss_low), (exact, low) = exactly(x, y, None, "none", 0.0, np.ones((6, 1)))
    assert ulps(got, loss[:, 0], loss_low[:, 0], dtype).max() <= LOSS_ULPS[name]
    assert ulps(grads.input, exact, low, dtype).max() <= GRADIENT_ULPS[name]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_mode_of_class_indices(name, reduction, smoothing, weighted):
    dtype = DTYPES[name]
    x, y = problem(3, (9, 37), dtype)
    y[[0, 4]] = 36
    w = np.random.default_rng(1).uniform(0, 2, 37).astype(dtype) if weighted else None
    arguments = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": 36}
    got, grads = cs.cross_entropy_value_and_grad(x, y, w, grad_output=0.7, **arguments)
    (loss, loss_low), (exact, low) = exactly(x, y, w, reduction, smoothing, 0.7, 36)
    assert ulps(got, loss, loss_low, dtype).max() <= LOSS_ULPS[name]
    near = ulps(grads.input, exact, low, dtype)
    info = ml_dtypes.finfo(dtype)
    # softmax − target may cancel: then the smaller term's own ulps count.
    scale = 0.7 * (1.0 if reduction == "sum" else 1 / (y != 36).sum()) * 3
    beside = np.abs(np.asarray(grads.input, np.float64) - exact) / terms(x, scale)
    assert np.minimum(near, beside / float(info.eps)).max() <= GRADIENT_ULPS[name]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    classes=st.integers(1, 70),
    axis=st.sampled_from(["c", "f", "strided", "reversed", "rows"]),
    name=st.sampled_from(["f4", "f8", "b2"]),
    seed=st.integers(0, 2**16),
)
def test_any_layout_gives_the_same(rows, classes, axis, name, seed):
    x, y = problem(seed, (rows, classes), DTYPES[name])
    views = {
        "c": x,
        "f": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=1)[:, ::2],
        "reversed": np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        "rows": np.ascontiguousarray(x[::-1])[::-1],
    }
    loss, grads = cs.cross_entropy_value_and_grad(views[axis], y, label_smoothing=0.05)
    same, plain = cs.cross_entropy_value_and_grad(x, y, label_smoothing=0.05)
    eps = float(ml_dtypes.finfo(DTYPES[name]).eps)
    np.testing.assert_allclose(float(loss), float(same), rtol=2 * eps)
    np.testing.assert_allclose(
        grads.input.astype(float), plain.input.astype(float), rtol=2 * eps, atol=4 * eps / rows
    )


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(200, 2000), (3000, 5), (3, 4, 50, 70)])
def test_the_number_of_threads_changes_no_bit(name, shape, monkeypatch):
    x, y = problem(5, shape, DTYPES[name])
    found = []
    for count in (1, 2, 3, 7):
        monkeypatch.setattr(threads, "thread_count", lambda count=count: count)
        monkeypatch.setattr(threads, "_pool", None)
        loss, grads = cs.cross_entropy_value_and_grad(x, y)
        found.append((loss.tobytes(), grads.input.tobytes(), cs.cross_entropy(x, y).tobytes()))
    assert len(set(found)) == 1
    assert found[0][0] == found[0][2]


@pytest.mark.parametrize(
    "shape", [(8, 100), (30, 4), (2, 5, 9), (1000, 10), (3, 21, 600), (40, 300), (5, 5000)]
)
class TestOut:
    def test_it_receives_the_gradient(self, shape):
        x, y = problem(2, shape, np.float32)
        expected = cs.cross_entropy_value_and_grad(x, y)[1].input
        wide = np.full((*shape[:-1], 2 * shape[-1]), 9.0, np.float32)
        for out in (np.empty_like(x), np.asfortranarray(x) * 0, wide[..., ::2]):
            grads = cs.cross_entropy_value_and_grad(x, y, out=out)[1]
            assert grads.input is out
            np.testing.assert_array_equal(out, expected)
        assert (wide[..., 1::2] == 9).all()

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_it_may_be_the_input_itself(self, shape, smoothing):
        x, y = problem(2, shape, np.float32)
        loss, grads = cs.cross_entropy_value_and_grad(x, y, label_smoothing=smoothing)
        for own in (x.copy(), np.asfortranarray(x)):
            expected = grads.input
            if own.flags.f_contiguous and own.ndim > 1:
                again = cs.cross_entropy_value_and_grad(own.copy("K"), y, label_smoothing=smoothing)
                expected = again[1].input
            got, same = cs.cross_entropy_value_and_grad(own, y, label_smoothing=smoothing, out=own)
            assert same.input is own
            np.testing.assert_array_equal(own, expected)
            np.testing.assert_array_max_ulp(got, loss, 1)


@pytest.mark.parametrize(("shape", "axis"), [((601, 30_001), 0), ((1, 17, 1 << 20), 2)])
def test_a_gradient_that_goes_past_the_cache(shape, axis):
    x, y = problem(6, shape, np.float32)
    memory = np.empty(x.size + 16, np.float32)
    first = -(memory.ctypes.data // 4) % 16  # from the start of a cache line
    out = memory[first : first + x.size].reshape(shape)
    cs.cross_entropy_value_and_grad(x, y, reduction="sum", out=out)
    # Of half the samples the gradient is not large enough for that.
    for part in np.split(np.arange(shape[axis]), [shape[axis] // 2]):
        own, target = np.take(x, part, axis), np.take(y, part, 1 if axis else 0)
        same = cs.cross_entropy_value_and_grad(own, target, reduction="sum")[1].input
        assert np.array_equal(np.take(out, part, axis), same)


def test_out_is_checked():
    x, y = problem(2, (4, 6), np.float32)
    big = np.empty((5, 6), np.float32)
    big[:4] = x
    locked = np.empty_like(x)
    locked.flags.writeable = False
    for error, out in [
        (TypeError, x.tolist()),
        (TypeError, np.empty((4, 6))),
        (ValueError, np.empty((6, 4), np.float32)),
        (ValueError, locked),
        (ValueError, np.broadcast_to(np.float32(0), (4, 6))),
    ]:
        with pytest.raises(error, match="^out: "):
            cs.cross_entropy_value_and_grad(x, y, out=out)
    with pytest.raises(ValueError, match="^out: overlaps"):
        cs.cross_entropy_value_and_grad(big[:4], y, out=big[1:])
    shared = np.lib.stride_tricks.as_strided(np.zeros(9, np.float32), (4, 6), (4, 4))
    with pytest.raises(ValueError, match="^out: .*every element in its own place"):
        cs.cross_entropy_value_and_grad(x, y, out=shared)
    beside = np.zeros((4, 12), np.float32)
    beside[:, :6] = x
    grads = cs.cross_entropy_value_and_grad(beside[:, :6], y, out=beside[:, 6:])[1]
    np.testing.assert_array_equal(beside[:, 6:], cs.cross_entropy_value_and_grad(x, y)[1].input)
    assert grads.input is not None
    np.testing.assert_array_equal(beside[:, :6], x)
    with pytest.raises(ValueError, match="^out: .* not in wrt"):
        cs.cross_entropy_value_and_grad(
            x, y, np.ones(6, np.float32), wrt="weight", out=np.empty_like(x)
        )
    kept = x.copy()
    with pytest.raises(IndexError):
        cs.cross_entropy_value_and_grad(x, np.full(4, 6), out=x)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("name", ["f4", "f8", "f2", "b2"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [4, 100])
def test_special_values_as_the_formulas_have_them(name, layout, classes):
    x, y = problem(11, (8, classes), DTYPES[name])
    y[:] = 1
    x[0, 2] = np.nan
    x[1] = -np.inf
    x[2, 1] = -np.inf
    x[3, 3] = -np.inf
    x[4, 2] = np.inf
    x[5, 1] = np.inf
    x[6], y[6] = np.nan, -100
    x = np.asarray(x, order=layout)
    loss, grads = cs.cross_entropy_value_and_grad(x, y, reduction="none", grad_output=np.ones(8))
    with np.errstate(all="ignore"):
        s = formulas.Symbols(
            x=x.astype(float)[:, :, None], y=np.where(y == -100, 0, y)[:, None], q=None,
            w=np.ones(classes), keep=(y != -100)[:, None], epsilon=0.0, reduction="none",
        )  # fmt: skip
        expected = formulas.loss(s)[:, 0]
        gradient = formulas.gradients(s, 1.0, "x").x[:, :, 0]
    eps = float(ml_dtypes.finfo(DTYPES[name]).eps)
    np.testing.assert_allclose(loss.astype(float), expected, rtol=2 * eps)
    np.testing.assert_allclose(grads.input.astype(float), gradient, rtol=2 * eps, atol=eps)


@pytest.mark.parametrize("name", ["f4", "f8", "b2"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("classes", [4, 300, 5000])
@pytest.mark.parametrize("mode", ["plain", "weighted", "smoothed", "probabilities"])
def test_an_infinite_or_huge_gradient_of_the_loss(name, layout, classes, mode):
    dtype = DTYPES[name]
    rng = np.random.default_rng(3)
    x, y = problem(12, (70, classes), dtype)
    x[:, 0] = -150  # of which float32 has no exponential beside the others
    target, smoothing, w = y, 0.0, None
    if mode == "weighted":
        w = rng.uniform(1, 2, classes).astype(dtype)
    elif mode == "smoothed":
        smoothing = 0.1
    elif mode == "probabilities":
        target = rng.uniform(0.5, 1, x.shape).astype(dtype)
    # The last two: beyond float32 but finite, and beyond float64 as soon as it is multiplied.
    g = np.resize([np.inf, -np.inf, 1.0, 1e42, 1.7e308], 70)
    x = np.asarray(x, order=layout)
    grads = cs.cross_entropy_value_and_grad(
        x, target, w, reduction="none", label_smoothing=smoothing, grad_output=g
    )[1]
    dense = target if mode == "probabilities" else None
    s = formulas.Symbols(
        x=x.astype(float)[:, :, None], y=None if dense is not None else y[:, None],
        q=None if dense is None else dense.astype(float)[:, :, None],
        w=np.ones(classes) if w is None else w.astype(float), keep=np.ones((70, 1), bool),
        epsilon=smoothing, reduction="none",
    )  # fmt: skip
    with np.errstate(all="ignore"):
        expected = formulas.gradients(s, g[:, None], "x").x[:, :, 0]
        rounded = expected.astype(dtype).astype(float)
        got = grads.input.astype(float)
        # Relative to the terms, which may cancel.
        p = np.exp(formulas.log_softmax(s.x)) * formulas.coefficients(s).sum(1, keepdims=True)
        terms = (p + formulas.coefficients(s))[:, :, 0]
        off = np.abs(got / g[:, None] - expected / g[:, None]) / (
            terms + float(ml_dtypes.finfo(dtype).tiny)
        )
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    assert not finite[:2].any()
    # In float64 the reference, the exponential of a logarithm, is not more exact itself.
    assert off[finite].max() <= (300 if name == "f8" else 8) * float(ml_dtypes.finfo(dtype).eps)


def test_sums_of_many_samples_are_exact():
    import math

    rng = np.random.default_rng(0)
    x = rng.standard_normal((1_000_003, 2))
    y = rng.integers(0, 2, len(x))
    losses = cs.cross_entropy(x, y, reduction="none")
    assert cs.cross_entropy(x, y, reduction="sum") == math.fsum(losses)


@pytest.mark.parametrize("name", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(7, 5), (3, 90), (2, 70, 3, 11), (5, 2000)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_probabilities_as_the_formulas_have_them(name, shape, smoothing):
    dtype = DTYPES[name]
    rng = np.random.default_rng(9)
    x, _ = problem(9, shape, dtype)
    q, w = rng.uniform(0, 1, shape).astype(dtype), rng.uniform(0, 2, shape[1]).astype(dtype)
    got, grads = cs.cross_entropy_value_and_grad(
        x, q, w, reduction="none", label_smoothing=smoothing, grad_output=np.ones(q[:, 0].shape)
    )
    assert cs.cross_entropy(x, q, w, reduction="none", label_smoothing=smoothing).tobytes() == (
        got.tobytes()
    )
    flat = (shape[0], shape[1], -1)
    s = formulas.Symbols(
        x=x.astype(float).reshape(flat), y=None, q=q.astype(float).reshape(flat),
        w=w.astype(float), keep=np.ones((shape[0], q[0, 0].size), bool), epsilon=smoothing,
        reduction="none",
    )  # fmt: skip
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got.ravel(), formulas.loss(s).ravel(), rtol=8 * eps)
    expected = formulas.gradients(s, 1.0, "x").x.reshape(shape)
    np.testing.assert_allclose(grads.input, expected, rtol=16 * eps, atol=16 * eps)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(40, 1), (2, 1, 300), (5, 1, 3)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, 0.3])
def test_one_class_has_no_gradient(name, shape, smoothing, weight):
    rng = np.random.default_rng(0)
    x = (9 * rng.standard_normal(shape)).astype(DTYPES[name])
    w = None if weight is None else np.array([weight], x.dtype)
    for target in (
        np.ones(shape, x.dtype), rng.random(shape).astype(x.dtype), np.zeros(x[:, 0].shape, int)
    ):  # fmt: skip
        loss, grads = cs.cross_entropy_value_and_grad(x, target, w, label_smoothing=smoothing)
        assert loss == 0
        assert not grads.input.any()


@pytest.mark.parametrize("mult", [1.0, -0.7, 0.0, 2.5])
@pytest.mark.parametrize("shape", [(7, 5), (3, 90), (2, 70, 33)])
def test_the_unit_scaled_loss_as_the_formulas_have_it(mult, shape):
    x, y = problem(4, shape, np.float64)
    got, grads = cs.unit_scaled_cross_entropy_value_and_grad(x, y, mult=mult)
    s = formulas.Symbols(
        x=x.reshape(shape[0], shape[1], -1), y=y.reshape(shape[0], -1), q=None,
        w=np.ones(shape[1]), keep=np.ones((shape[0], y[0].size), bool), epsilon=0.0,
        reduction="mean",
    )  # fmt: skip
    s = formulas.unit_symbols(s, mult)
    np.testing.assert_allclose(got, formulas.unit_loss(s), rtol=1e-15)
    expected = formulas.unit_gradients(s, 1.0, "x").x.reshape(shape)
    np.testing.assert_allclose(grads.input, expected, rtol=1e-14, atol=1e-14)
