"""float16 and bfloat16 as rows read and write them, without a copy in float32."""

import ml_dtypes
import numba
import numpy as np
import pytest

import crossent_spec as cs
from crossent_spec.cpu import single
from crossent_spec.cpu.halves import HALVES
from crossent_spec.cpu.memory import stored
from crossent_spec.cpu.vectors import LANES, load, load_first, store, store_first, store_past
from crossent_spec.cpu.wide_vectors import load_wide, load_wide_first, store_narrow

FULL = np.uint64(LANES)
KINDS = [
    kind
    for kind, pattern in ((np.float16, np.int16), (ml_dtypes.bfloat16, np.uint16))
    if np.dtype(pattern) in HALVES
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: np.dtype(kind).name)


@numba.njit
def copy(source, out):
    for i in range(np.uint64(0), np.uint64(source.size), FULL):
        store(out, i, load(source, i))


@numba.njit
def first_only(source, count, there, back):
    store(there, np.uint64(0), load_first(source, np.uint64(0), count, np.float32(-7)))
    store_first(back, np.uint64(0), count, load(there, np.uint64(0)))


@kinds
def test_every_pattern_is_read_as_the_number_that_it_is(kind):
    numbers = np.arange(1 << 16, dtype=np.uint16).view(kind)
    found = np.empty(1 << 16, np.float32)
    copy(stored(numbers), found)
    np.testing.assert_array_equal(found, numbers.astype(np.float32))
    assert np.array_equal(np.signbit(found), np.signbit(numbers))


@kinds
def test_rounding_is_to_nearest_and_ties_go_to_even(kind):
    # Every number of the type, and what lies next to it, halfway to the next, and about there.
    numbers = np.arange(1 << 16, dtype=np.uint16).view(kind).astype(np.float32)
    unit = 1 << (13 if kind is np.float16 else 16)
    bits = numbers.view(np.uint32).astype(np.int64)
    near = [bits + d for d in (0, 1, -1, unit // 2, unit // 2 - 1, unit // 2 + 1)]
    values = np.concatenate(near).astype(np.uint32).view(np.float32)
    values = np.concatenate([values, np.float32(2.0) ** np.arange(-149, 128, dtype=np.float32)])
    values = np.append(values, np.zeros(-values.size % LANES, np.float32))
    found = np.empty(values.size, kind)
    copy(values, stored(found))
    with np.errstate(all="ignore"):
        expected = values.astype(kind)
    np.testing.assert_array_equal(found.astype(np.float32), expected.astype(np.float32))
    assert np.array_equal(np.signbit(found)[values == 0], np.signbit(values)[values == 0])


@kinds
@pytest.mark.parametrize("count", [0, 1, 31, 63, 64])
def test_the_first_lanes_alone(kind, count):
    source = np.arange(1, LANES + 1).astype(kind)
    there, back = np.empty(LANES, np.float32), np.zeros(LANES, kind)
    first_only(stored(source)[:count].copy(), np.uint64(count), there, stored(back))
    assert there[:count].tolist() == list(range(1, count + 1))
    assert (there[count:] == -7).all()
    assert back.astype(int).tolist() == [*range(1, count + 1), *[0] * (LANES - count)]


@numba.njit
def through_wide(source, count, out, past):
    value = load_wide(source, np.uint64(0))
    store_narrow(out, np.uint64(0), value, False)
    rest = load_wide_first(source, np.uint64(0), count, np.float32(0))
    store_narrow(past, np.uint64(0), rest, True)
    store_past(past, FULL, load(source, np.uint64(0)))


@kinds
def test_vectors_in_float64_and_past_the_cache(kind):
    source = (np.arange(LANES) / 8).astype(kind)
    memory = np.zeros(3 * LANES, kind)
    first = -memory.ctypes.data // memory.itemsize % 32  # to the start of a cache line
    out, past = np.zeros(LANES, kind), memory[first : first + 2 * LANES]
    through_wide(stored(source), np.uint64(5), stored(out), stored(past))
    lanes = int(np.count_nonzero(out)) + 1
    assert lanes in (16, 32)
    assert np.array_equal(out[:lanes], source[:lanes])
    assert np.array_equal(past[:5], source[:5])
    assert not past[5:lanes].any()
    assert np.array_equal(past[LANES:], source)


def moved(array):
    """Return the same elements where kernels cannot read them: they take a copy in float32."""
    apart = np.empty((len(array), 2 * array.shape[1]), array.dtype)[:, ::2]
    apart[...] = array
    return apart


@kinds
@pytest.mark.parametrize("mode", ["plain", "weighted", "smoothed", "probabilities", "all"])
@pytest.mark.parametrize("classes", [256, 1023, 2100])
@pytest.mark.parametrize("spread", [5.0, 3e4])
@pytest.mark.parametrize("g", [1.0, 1e5, 1e12, np.inf])
def test_rows_that_are_not_copied_give_the_same(kind, mode, classes, spread, g):
    generator = np.random.default_rng(classes)
    with np.errstate(over="ignore"):
        x = (generator.standard_normal((7, classes)) * spread).astype(kind)
    x[5, 3], x[6, 4], x[4, 5] = -np.inf, np.nan, np.inf
    y = generator.integers(0, classes, 7)
    y[2], arguments = 1, {"ignore_index": 1}
    weight = None
    if mode in ("weighted", "all"):
        weight = generator.random(classes).astype(kind)
    if mode in ("smoothed", "all"):
        arguments["label_smoothing"] = 0.3
    if mode in ("probabilities", "all"):
        y, arguments = generator.dirichlet(np.ones(classes), 7).astype(kind), {}
    for reduction in ("sum", "none"):
        arguments["reduction"] = reduction
        grad_output = np.full(7 if reduction == "none" else (), g)

        def call(x, y, grad_output=grad_output, out=None, arguments=arguments):
            loss, gradients = cs.cross_entropy_value_and_grad(
                x, y, weight, grad_output=grad_output, out=out, **arguments
            )
            return np.asarray(loss, np.float32), gradients.input.astype(np.float32)

        expected = call(moved(x), moved(y) if y.ndim > 1 else y)
        own = x.copy()
        for found in (call(x, y), call(own, y, out=own)):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
        alone = cs.cross_entropy(x, y, weight, **arguments)
        np.testing.assert_array_equal(np.asarray(alone, np.float32), expected[0])


@kinds
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_gradient_that_goes_past_the_cache(kind, smoothing):
    shape = (900, 30_001)
    assert 2 * np.prod(shape) >= single.VAST
    generator = np.random.default_rng(7)
    x = generator.standard_normal(shape, np.float32).astype(kind)
    y = generator.integers(0, shape[1], shape[0])
    arguments = {"reduction": "sum", "label_smoothing": smoothing}
    whole = cs.cross_entropy_value_and_grad(x, y, **arguments)[1].input
    # Of a part the gradient is not large enough for that.
    for part in (slice(0, 300), slice(600, 900)):
        same = cs.cross_entropy_value_and_grad(x[part], y[part], **arguments)[1].input
        assert np.array_equal(whole[part], same)
