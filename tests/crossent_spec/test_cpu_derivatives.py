"""The kernels' other derivatives, and logits that float32 arithmetic cannot reduce."""

import ml_dtypes
import numpy as np
import pytest
from flint import arb, ctx

import crossent_spec as cs
from crossent_spec import formulas

DTYPES = {"f2": np.float16, "b2": ml_dtypes.bfloat16, "f4": np.float32, "f8": np.float64}
SHAPES = [(7, 5), (40, 3), (3, 90), (2, 70, 3, 11), (2, 3, 700)]


def call(shape, name, probabilities, weighted):
    rng = np.random.default_rng(shape[1])
    x = (3 * rng.standard_normal(shape)).astype(DTYPES[name])
    samples = (shape[0], *shape[2:])
    target = (
        rng.dirichlet(np.ones(shape[1]), samples).swapaxes(-1, 1).astype(DTYPES[name])
        if probabilities
        else rng.integers(0, shape[1], samples)
    )
    if probabilities and len(shape) > 2:
        target = np.moveaxis(rng.dirichlet(np.ones(shape[1]), samples), -1, 1).astype(DTYPES[name])
    if not probabilities:
        target[0] = -100
    weight = rng.uniform(0.1, 2, shape[1]).astype(DTYPES[name]) if weighted else None
    return x, target.reshape(shape) if probabilities else target, weight


def symbols(x, target, weight, smoothing, reduction):
    flat = (x.shape[0], x.shape[1], -1)
    probabilities = target.shape == x.shape
    y = None if probabilities else target.reshape(len(x), -1)
    return formulas.Symbols(
        x=x.astype(float).reshape(flat),
        y=None if y is None else np.where(y == -100, 0, y),
        q=target.astype(float).reshape(flat) if probabilities else None,
        w=np.ones(x.shape[1]) if weight is None else weight.astype(float),
        keep=np.ones((len(x), x[0, 0].size), bool) if y is None else y != -100,
        epsilon=smoothing,
        reduction=reduction,
    )


def close(got, expected, dtype, scale=1.0):
    info = ml_dtypes.finfo(dtype)
    expected = np.asarray(expected, float).reshape(got.shape)
    bound = 4 * float(info.eps) * np.abs(expected) + 1e-13 * scale * np.abs(expected).max()
    # Small float16 gradients are subnormal.
    bound += float(info.smallest_subnormal)
    assert (np.abs(got.astype(float) - expected) <= bound).all()


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize(("smoothing", "reduction"), [(0.0, "mean"), (0.2, "mean"), (0.2, "none")])
def test_gradients_of_weights_and_probabilities(name, shape, probabilities, smoothing, reduction):
    x, target, weight = call(shape, name, probabilities, weighted=True)
    g = np.float64(0.7) if reduction == "mean" else np.linspace(-1, 2, x[:, 0].size)
    names = ["weight", "target"] if probabilities else ["weight"]
    loss, grads = cs.cross_entropy_value_and_grad(
        x, target, weight, reduction=reduction, label_smoothing=smoothing, wrt=names,
        grad_output=g.reshape(x[:, 0].shape if reduction == "none" else ()),
    )  # fmt: skip
    s = symbols(x, target, weight, smoothing, reduction)
    exact = formulas.gradients(
        s, g.reshape(s.keep.shape) if g.ndim else g, "qw" if probabilities else "w"
    )
    close(grads.weight, exact.w, weight.dtype)
    if probabilities:
        close(grads.target, exact.q, target.dtype)
        assert grads.target.dtype == target.dtype
    close(loss, formulas.loss(s), x.dtype)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_derivatives_along_a_direction(name, shape, probabilities, smoothing):
    x, target, weight = call(shape, name, probabilities, weighted=True)
    v = np.random.default_rng(1).standard_normal(shape).astype(x.dtype)
    arguments = {"weight": weight, "label_smoothing": smoothing}
    loss, moved = cs.cross_entropy_jvp(x, target, v, **arguments)
    product = cs.cross_entropy_hvp(x, target, v, **arguments)
    s = symbols(x, target, weight, smoothing, "mean")
    direction = v.astype(float).reshape(s.x.shape)
    losses = formulas.unreduced_jvp(s, direction)
    divisor = formulas.denominator(s)
    close(loss, formulas.loss(s), x.dtype)
    # A derivative is a difference of terms of this size.
    size = np.abs(direction).max() / abs(float(losses.sum() / divisor))
    close(moved, losses.sum() / divisor, x.dtype, size)
    scale = formulas.sample_scale(1.0, divisor, s)
    close(product, formulas.logit_hvp(s, scale, direction), x.dtype)


@pytest.mark.parametrize(("name", "ulps"), [("f4", 1), ("f8", 8)])
@pytest.mark.parametrize("gap", [10.0, 40.0])
def test_derivatives_where_one_class_has_nearly_all_probability(name, ulps, gap):
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (6, 50)).astype(DTYPES[name])
    y, v = rng.integers(0, 50, 6), rng.uniform(5, 6, (6, 50)).astype(x.dtype)
    # Of one sign beside it, so that the exact terms do not cancel either.
    x[np.arange(6), y], v[np.arange(6), y] = gap, 4.75
    moved = cs.cross_entropy_jvp(x, y, v, reduction="none")[1]
    product = cs.cross_entropy_hvp(x, y, v, reduction="sum")

    def balls(values):
        return np.array([arb(float(value)) for value in values.flat], dtype=object)

    before, ctx.prec = ctx.prec, 300
    s = formulas.Symbols(
        x=balls(x).reshape(6, 50, 1), y=y[:, None], q=None, w=balls(np.ones(50)),
        keep=np.ones((6, 1), bool), epsilon=arb(0), reduction="none",
    )  # fmt: skip
    along = balls(v).reshape(6, 50, 1)
    exact = (
        formulas.unreduced_jvp(s, along),
        formulas.logit_hvp(s, balls(np.ones(6))[:, None], along),
    )
    ctx.prec = before
    for got, wanted in zip((moved, product), exact, strict=True):
        wanted = np.array([float(value.mid()) for value in wanted.flat])
        spacing = np.spacing(np.abs(wanted).astype(x.dtype)).astype(float)
        assert (np.abs(got.ravel() - wanted) <= ulps * spacing).all()


@pytest.mark.parametrize("shape", [(400, 90), (4000, 4), (2, 5, 900)])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("probabilities", [False, True])
def test_logits_too_large_for_the_reduction_of_float32(shape, in_place, probabilities):
    x, target, _ = call(shape, "f4", probabilities, weighted=False)
    far = np.random.default_rng(3).random((shape[0], *shape[2:])) < 0.1
    x = np.moveaxis(x, 1, -1).copy()
    x[far] += np.float32(3e6)
    x[far, 1] = np.float32(3.1e38)
    x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    s = symbols(x, target, None, 0.0, "none")
    g = np.ones(x[:, 0].shape)
    out = x if in_place else np.empty_like(x)
    loss, grads = cs.cross_entropy_value_and_grad(
        x, target, reduction="none", grad_output=g, out=out
    )
    np.testing.assert_allclose(loss, formulas.loss(s).reshape(loss.shape), rtol=2**-22)
    exact = formulas.gradients(s, 1.0, "x").x.reshape(shape)
    np.testing.assert_allclose(grads.input, exact, rtol=2**-21, atol=2**-23)


@pytest.mark.parametrize("shape", [(600, 1000), (9000, 5), (600, 70)])
@pytest.mark.parametrize("name", ["f4", "b2"])
def test_a_batch_in_chunks_gives_the_same_bits(shape, name):
    x, target, _ = call(shape, name, False, weighted=False)
    arguments = {"reduction": "none", "label_smoothing": 0.1}
    whole, grads = cs.cross_entropy_value_and_grad(
        x, target, grad_output=np.ones(shape[0]), **arguments
    )
    for begin, end in [(0, 1), (1, 8), (8, 333), (333, shape[0])]:
        loss, part = cs.cross_entropy_value_and_grad(
            x[begin:end], target[begin:end], grad_output=np.ones(end - begin), **arguments
        )
        assert loss.tobytes() == whole[begin:end].tobytes()
        assert part.input.tobytes() == grads.input[begin:end].tobytes()


def test_more_than_2_to_the_31_elements_are_indexed_right():
    # 2^31 + 2^22 logits in 1 KiB of memory: every sample is the same row.
    row = np.random.default_rng(0).standard_normal(512).astype(np.float16)
    count = (2**31 + 2**22) // 512
    x = np.broadcast_to(row, (count, 512))
    target = np.zeros(count, np.int8)
    target[-1] = 3
    losses = cs.cross_entropy(x, target, reduction="none")
    one = cs.cross_entropy(row, np.array(0)), cs.cross_entropy(row, np.array(3))
    assert (losses[:-1] == one[0]).all()
    assert losses[-1] == one[1]


def test_out_whose_positions_are_no_single_axis():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    y = rng.integers(0, 3, (2, 4, 5))
    expected = cs.cross_entropy_value_and_grad(x, y)[1].input
    wide = np.full((2, 3, 9, 11), 7, np.float32)
    out = wide[:, :, 1::2, 1::2]
    assert cs.cross_entropy_value_and_grad(x, y, out=out)[1].input is out
    np.testing.assert_array_equal(out, expected)
    assert (wide[:, :, ::2] == 7).all()
    own = np.asfortranarray(x)
    assert cs.cross_entropy_value_and_grad(own, y, out=own)[1].input is own
    np.testing.assert_allclose(own, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_out_of_a_subclass_and_out_of_no_elements():
    x, y = np.zeros((2, 3)), np.array([0, 2])
    out = np.matrix(np.full((2, 3), 7.0))
    assert cs.cross_entropy_value_and_grad(x, y, out=out)[1].input is out
    np.testing.assert_array_equal(np.asarray(out), cs.cross_entropy_value_and_grad(x, y)[1].input)
    empty = np.zeros((0, 3))
    found = cs.cross_entropy_value_and_grad(empty, y[:0], reduction="sum", out=empty)
    assert found[1].input is empty


def test_the_gradient_of_float64_weights_is_exact_beside_float32_logits():
    x = np.random.default_rng(1).standard_normal((50, 3)).astype(np.float32)
    weight, y = np.array([1.0, 2.0, 0.5]), np.arange(50) % 3
    found = cs.cross_entropy_value_and_grad(x, y, weight, wrt="weight")[1].weight
    s = symbols(x, y, weight, 0.0, "mean")
    np.testing.assert_allclose(found, formulas.gradients(s, 1.0, "w").w, rtol=1e-13, atol=1e-15)


def test_no_warning_leaks_from_overflow():
    x, y = np.full((2, 3), 1e300), np.array([0, 1])
    assert np.isnan(cs.unit_scaled_cross_entropy(x, y, mult=1e30))
    cs.unit_scaled_cross_entropy_value_and_grad(x, y, grad_output=1.7e308)
