"""Derivatives along a direction on the GPU: every layout and mode, held against the CPU's."""

import ml_dtypes
import numpy as np
import pytest

import crossent_spec
from crossent_spec import formulas
from crossent_spec.cuda import memory, moving, simulated
from crossent_spec.cuda.directions import along
from crossent_spec.cuda.geometry import Shape
from crossent_spec.device_array import DeviceArray

DTYPES = {"f4": np.float32, "f8": np.float64, "f2": np.float16, "bf2": ml_dtypes.bfloat16}
#: Spacing of the numbers just above 1, of storage and of the arithmetic.
STORED = {"f4": 2.0**-23, "f8": 2.0**-52, "f2": 2.0**-10, "bf2": 2.0**-7}
WORKED = {"f8": 2.0**-52}


def drawn(shape, name="f4", probabilities=False, weighted=True, spread=3.0, seed=5):
    rng = np.random.default_rng(seed)
    dtype = DTYPES[name]
    batch, classes, *rest = shape
    x = (rng.standard_normal(shape) * spread).astype(dtype)
    v = rng.standard_normal(shape).astype(dtype)
    if probabilities:
        target = rng.dirichlet(np.ones(classes), (batch, *rest))
        target = np.moveaxis(target, -1, 1).astype(dtype)
    else:
        target = rng.integers(0, classes, (batch, *rest))
    weight = rng.uniform(0.5, 2, classes).astype(dtype) if weighted else None
    return x, target, v, weight


def wide(array):
    return None if array is None else np.asarray(array).astype(np.float64)


def exact(x, target, v, weight, epsilon, reduction, ignore_index=-100, g=1.0):
    """Return derivative and product in float64, and the terms that each is a sum of."""
    probabilities = target.dtype.kind not in "iu"
    batch, classes = x.shape[:2]
    flat = (batch, classes, -1)
    keep = np.ones((batch, x[0, 0].size), bool)
    y = None
    if not probabilities:
        y = target.reshape(batch, -1)
        keep = y != ignore_index
        y = np.where(keep, y, 0)
    s = formulas.Symbols(
        x=wide(x).reshape(flat), y=y, q=wide(target).reshape(flat) if probabilities else None,
        w=np.ones(classes) if weight is None else wide(weight), keep=keep, epsilon=epsilon,
        reduction=reduction,
    )  # fmt: skip
    direction = wide(v).reshape(flat)
    divisor = formulas.denominator(s)
    scale = formulas.sample_scale(g, divisor, s)
    p = np.exp(formulas.log_softmax(s.x))
    a = formulas.coefficients(s)
    total = a.sum(axis=1, keepdims=True)
    # How far v can be from its value at the largest logit.
    reach = np.ptp(direction, axis=1, keepdims=True)
    losses = formulas.unreduced_jvp(s, direction)
    size = ((total * p + a) * reach).sum(axis=1) * keep
    return (
        formulas.reduced(losses, divisor, reduction),
        formulas.reduced(size, divisor, reduction),
        formulas.logit_hvp(s, scale, direction).reshape(x.shape),
        (np.abs(np.where(keep, scale, 0))[:, None] * total * p * reach).reshape(x.shape),
    )


def held(got, wanted, size, x, name):
    """An exponential is wrong by its rounding and by that of a difference of logits."""
    assert np.asarray(got).dtype == DTYPES[name]
    working = WORKED.get(name, 2.0**-23)
    allowed = working * (8 + np.ptp(wide(x))) * size + STORED[name] * np.abs(wanted)
    if STORED[name] > 2.0**-23:
        allowed = allowed + 2.0**-24
    off = np.abs(wide(got).reshape(np.shape(wanted)) - wanted)
    assert (off <= allowed).all(), (off / allowed).max()


def judged(x, target, v, weight, name, epsilon=0.0, reduction="mean", ignore_index=-100):
    arguments = {
        "weight": weight, "label_smoothing": epsilon, "reduction": reduction,
        "ignore_index": ignore_index, "backend": "cuda",
    }  # fmt: skip
    loss, moved = crossent_spec.cross_entropy_jvp(x, target, v, **arguments)
    product = crossent_spec.cross_entropy_hvp(x, target, v, **arguments)
    assert product.shape == x.shape
    same = crossent_spec.cross_entropy(x, target, **arguments)
    np.testing.assert_array_equal(loss, same)
    value, size, change, change_size = exact(
        x, target, v, weight, epsilon, reduction, ignore_index
    )  # fmt: skip
    held(moved, value, size, x, name)
    held(product, change, change_size, x, name)
    return moved, product


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(
    ("probabilities", "epsilon", "reduction"),
    [(False, 0.0, "mean"), (False, 0.2, "none"), (True, 0.0, "sum"), (True, 0.3, "mean"),
     (False, 1.0, "sum")],
)  # fmt: skip
def test_modes_and_dtypes(name, probabilities, epsilon, reduction):
    x, target, v, weight = drawn((3, 40), name, probabilities)
    if not probabilities:
        target[1] = -100
        x[1], v[1] = np.nan, np.nan
        _, product = judged(
            np.where(np.isnan(x), 0, x), target, np.where(np.isnan(v), 0, v), weight, name,
            epsilon, reduction,
        )  # fmt: skip
        spoilt = crossent_spec.cross_entropy_hvp(
            x, target, v, weight, label_smoothing=epsilon, reduction=reduction, backend="cuda"
        )
        np.testing.assert_array_equal(spoilt, product)
        assert not np.asarray(product)[1].astype(float).any()
    else:
        judged(x, target, v, weight, name, epsilon, reduction)


SHAPES = [
    Shape(1, 1, 1, 64, True, True),
    Shape(1, 1, 1, 8, False, True),
    Shape(2, 1, 1, 4, False, True),
    Shape(16, 4, 1, 1, True, False),
    Shape(16, 4, 4, 1, True, False),
    Shape(4, 4, 4, 1, False, False),
    Shape(32, 1, 1, 1, False, True),
    Shape(64, 1, 1, 1, True, True),
    Shape(64, 1, 1, 1, False, True),
]


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_layout_of_threads(monkeypatch, shape, probabilities):
    plans = []
    monkeypatch.setattr(moving, "choose", lambda layout: shape)  # noqa: ARG005
    monkeypatch.setattr(moving, "along", lambda plan: plans.append(plan) or along(plan))
    x, target, v, weight = drawn((3, 37), "f4", probabilities, spread=6.0)
    judged(x, target, v, weight, "f4", 0.1)
    (plan, _) = plans
    assert (plan.threads, plan.resident, plan.whole) == (shape.threads, shape.resident, shape.whole)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, 3, 2), (2, 40, 3), (1, 300), (1, 600), (4, 1)])
def test_sizes(shape, probabilities):
    judged(*drawn(shape, "f4", probabilities), "f4", 0.1, "none")


@pytest.mark.parametrize("shape", [Shape(1, 1, 1, 4, False, True), Shape(8, 1, 1, 2, False, True)])
def test_an_origin_that_moves_loses_nothing(monkeypatch, shape):
    monkeypatch.setattr(moving, "choose", lambda layout: shape)  # noqa: ARG005
    # The largest logit comes last, and v is its value everywhere but in the first class.
    x = np.linspace(-1, 1, 400, dtype=np.float32)[None]
    v = np.full_like(x, 1e6)
    v[0, 0] += 1
    y = np.array([399])
    moved = crossent_spec.cross_entropy_jvp(x, y, v, backend="cuda")[1]
    p = np.exp(x[0].astype(float))
    assert abs(moved / (p[0] / p.sum()) - 1) < 2.0**-18


@pytest.mark.parametrize("gap", [10.0, 40.0])
@pytest.mark.parametrize(
    "threads", [Shape(1, 1, 1, 64, True, True), Shape(4, 1, 1, 2, False, True)]
)
def test_where_one_class_has_nearly_all_probability(monkeypatch, gap, threads):
    monkeypatch.setattr(moving, "choose", lambda layout: threads)  # noqa: ARG005
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (6, 50)).astype(np.float32)
    y, v = rng.integers(0, 50, 6), rng.uniform(5, 6, (6, 50)).astype(np.float32)
    # Of one sign beside it, so that the exact terms do not cancel either.
    x[np.arange(6), y], v[np.arange(6), y] = gap, 4.75
    arguments = {"reduction": "sum", "backend": "cuda"}
    moved = crossent_spec.cross_entropy_jvp(x, y, v, **{**arguments, "reduction": "none"})[1]
    product = crossent_spec.cross_entropy_hvp(x, y, v, **arguments)
    p = np.exp(x.astype(float) - gap)
    p[np.arange(6), y] = 1
    p /= p.sum(axis=1, keepdims=True)
    step = v.astype(float) - 4.75
    mean = (p * step).sum(axis=1, keepdims=True)
    allowed = (8 + gap + 1) * 2.0**-23
    np.testing.assert_allclose(moved, mean[:, 0], rtol=allowed)
    np.testing.assert_allclose(product, p * (step - mean), rtol=2 * allowed)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_that_are_not_finite_give_what_the_cpu_gives(monkeypatch, shape):
    monkeypatch.setattr(moving, "choose", lambda layout: shape)  # noqa: ARG005
    x, y, v, _ = drawn((11, 37), weighted=False)
    for row, fill in ((0, -np.inf), (3, np.inf), (6, np.nan)):
        x[row] = fill
        x[row + 1, 5], y[row + 1] = fill, 6
        x[row + 2, :20], y[row + 2] = fill, 30
    v[9, 7], v[10, 7] = np.inf, np.nan
    found, wanted = (
        (
            crossent_spec.cross_entropy_jvp(x, y, v, reduction="none", backend=backend)[1],
            crossent_spec.cross_entropy_hvp(x, y, v, reduction="sum", backend=backend),
        )
        for backend in ("cuda", "cpu")
    )
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_wide_direction_of_short_logits_is_rounded_once():
    x, target, v, weight = drawn((3, 40), "f2")
    v = v.astype(float) + 1e-9
    for arguments in ({"label_smoothing": 0.1}, {"reduction": "none"}):
        found, same = (
            (
                crossent_spec.cross_entropy_jvp(one, target, v, w, **arguments, backend="cuda")[1],
                crossent_spec.cross_entropy_hvp(one, target, v, w, **arguments, backend="cuda"),
            )
            for one, w in ((x, weight), (x.astype(float), weight.astype(float)))
        )
        for short, long in zip(found, same, strict=True):
            np.testing.assert_array_equal(short, long.astype(np.float16))


def test_arrays_of_the_gpu_and_layouts():
    x, target, v, weight = drawn((2, 6, 4))
    placed = [memory.to_device(array) for array in (x, target, v, weight)]
    expected = crossent_spec.cross_entropy_jvp(*map(np.asarray, (x, target, v, weight)),
                                               backend="cuda")  # fmt: skip
    found = crossent_spec.cross_entropy_jvp(*placed)
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, DeviceArray)
        np.testing.assert_array_equal(one.copy_to_host(), other)
    product = crossent_spec.cross_entropy_hvp(x, target, v, weight, backend="cuda")
    np.testing.assert_array_equal(
        crossent_spec.cross_entropy_hvp(*placed).copy_to_host(), product
    )  # fmt: skip
    # Classes side by side in the logits, not in the direction.
    last = memory.to_device(np.ascontiguousarray(np.moveaxis(x, 1, -1)))
    steps = last.strides
    turned = DeviceArray(last, last.pointer, x.shape, x.dtype, (steps[0], steps[2], steps[1]))
    other = crossent_spec.cross_entropy_hvp(turned, *placed[1:]).copy_to_host()
    np.testing.assert_allclose(other, product, rtol=2.0**-18, atol=2.0**-22)


@pytest.mark.parametrize(
    ("shape", "reads"), [(Shape(32, 4, 4, 2, True, True), 1), (Shape(8, 4, 4, 2, False, True), 2)]
)
def test_not_a_byte_more_is_moved_than_the_layout_demands(monkeypatch, shape, reads):
    monkeypatch.setattr(moving, "choose", lambda layout: shape)  # noqa: ARG005
    x, y, v = (memory.to_device(array) for array in drawn((3, 200), weighted=False)[:3])
    size, own = 3 * 200 * 4, 3 * shape.threads * 4
    simulated.forget_traffic()
    product = crossent_spec.cross_entropy_hvp(x, y, v)
    assert simulated.traffic(x.pointer) == (reads * size, 0, reads * size, 0)
    # Each thread loads how its sample's class moves, which is one access of a warp.
    assert simulated.traffic(v.pointer) == (reads * size + own, 0, reads * size, 0)
    assert simulated.traffic(product.pointer) == (0, size, 0, size)
    simulated.forget_traffic()
    crossent_spec.cross_entropy_jvp(x, y, v)
    assert simulated.traffic(v.pointer).loaded == size + own


def test_gradients_of_the_losses():
    x, target, v, _ = drawn((4, 9))
    g = np.array([1.0, -2.0, 0.5, 0.0])
    ones = crossent_spec.cross_entropy_hvp(x, target, v, reduction="none", backend="cuda")
    for given in (g, g.astype(np.float32)):
        found = crossent_spec.cross_entropy_hvp(
            x, target, v, reduction="none", grad_output=given, backend="cuda"
        )
        np.testing.assert_array_equal(found, ones * given[:, None].astype(np.float32))
    four = crossent_spec.cross_entropy_hvp(x, target, v, grad_output=4.0, backend="cuda")
    np.testing.assert_array_equal(
        four, 4 * crossent_spec.cross_entropy_hvp(x, target, v, backend="cuda")
    )  # fmt: skip


def test_a_direction_is_where_the_input_is():
    x, target, v, _ = drawn((4, 9))
    placed = [memory.to_device(array) for array in (x, target, v)]
    jvp = crossent_spec.cross_entropy_jvp
    with pytest.raises(TypeError, match="tangent: is on the host, but input is on a GPU"):
        jvp(*placed[:2], v)
    for backend in (None, "cuda"):
        with pytest.raises(TypeError, match="tangent: is on a GPU, but input is on the host"):
            jvp(x, target, placed[2], backend=backend)
    with pytest.raises(ValueError, match=r"tangent: got shape \(3, 9\)"):
        jvp(*placed[:2], placed[2].part(0, 3))
    with pytest.raises(TypeError, match="tangent: got dtype int64"):
        jvp(*placed[:2], memory.to_device(np.zeros(x.shape, np.int64)))
    with pytest.raises(IndexError, match="target: got class 9"):
        crossent_spec.cross_entropy_hvp(x, np.full(4, 9), v, backend="cuda")


def test_no_samples():
    x, y = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    for reduction, shape in (("none", (0,)), ("sum", ())):
        loss, moved = crossent_spec.cross_entropy_jvp(x, y, x, reduction=reduction, backend="cuda")
        assert (np.shape(loss), np.shape(moved)) == (shape, shape)
    assert crossent_spec.cross_entropy_hvp(x, y, x, backend="cuda").shape == (0, 3)
