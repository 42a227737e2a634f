"""What the corpus does not ask of the GPU's kernels: memory, layouts, arguments of theirs alone.

Values are held against the same kernels in another layout, exactly, or by the corpus.
"""

import ml_dtypes
import numpy as np
import pytest

import crossent_spec
from crossent_spec.cuda import memory
from crossent_spec.device_array import DeviceArray

generator = np.random.default_rng(11)
LOGITS = generator.normal(size=(4, 5)).astype(np.float32) * 3
TARGET = np.array([0, 4, -100, 2])
BATCH = generator.normal(size=(2, 3, 4, 2)).astype(np.float32)
INDICES = generator.integers(0, 3, (2, 4, 2))


def host(*found):
    return [None if array is None else array.copy_to_host() for array in found]


def strided(array, step=2):
    """The same values in memory of the GPU, every ``step``-th element of longer axes."""
    wide = np.full([extent * step for extent in array.shape], 7, array.dtype)
    whole = memory.to_device(wide)
    view = DeviceArray(
        whole,
        whole.pointer,
        array.shape,
        array.dtype,
        tuple(stride * step for stride in wide.strides),
    )
    from crossent_spec.cuda.copying import copy

    if array.size:
        copy(memory.to_device(array), view, memory.stream_of(view))
    return view


def test_arrays_of_the_gpu_give_arrays_of_the_gpu():
    x, y = memory.to_device(LOGITS), memory.to_device(TARGET)
    loss, grads = crossent_spec.cross_entropy_value_and_grad(x, y)
    assert isinstance(loss, DeviceArray)
    assert loss.shape == ()
    assert grads.input.shape == LOGITS.shape
    on_host = crossent_spec.cross_entropy_value_and_grad(LOGITS, TARGET, backend="cuda")
    assert isinstance(on_host[0], np.float32)
    np.testing.assert_array_equal(host(loss)[0], on_host[0])
    np.testing.assert_array_equal(host(grads.input)[0], on_host[1].input)
    np.testing.assert_array_equal(x.copy_to_host(), LOGITS)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_results_have_the_dtype_of_the_input(dtype):
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    for reduction in ("none", "mean"):
        loss, grads = crossent_spec.cross_entropy_value_and_grad(
            LOGITS.astype(kind), TARGET, reduction=reduction, backend="cuda"
        )
        assert loss.dtype == kind
        assert grads.input.dtype == kind


def test_out_takes_the_gradient_and_may_be_the_input():
    x, y = memory.to_device(LOGITS), memory.to_device(TARGET)
    expected = host(crossent_spec.cross_entropy_value_and_grad(x, y)[1].input)[0]
    out = memory.empty(LOGITS.shape, LOGITS.dtype)
    _, grads = crossent_spec.cross_entropy_value_and_grad(x, y, out=out)
    assert grads.input is out
    np.testing.assert_array_equal(out.copy_to_host(), expected)
    loss, grads = crossent_spec.cross_entropy_value_and_grad(x, y, out=x)
    assert grads.input is x
    np.testing.assert_array_equal(x.copy_to_host(), expected)
    np.testing.assert_array_equal(
        loss.copy_to_host(), crossent_spec.cross_entropy(LOGITS, TARGET, backend="cuda")
    )
    buffer = np.empty_like(LOGITS)
    crossent_spec.cross_entropy_value_and_grad(LOGITS, TARGET, out=buffer, backend="cuda")
    np.testing.assert_array_equal(buffer, expected)


def test_out_of_any_layout_is_written_and_nothing_beside_it():
    y = memory.to_device(INDICES)
    expected = host(
        crossent_spec.cross_entropy_value_and_grad(memory.to_device(BATCH), y)[1].input
    )[0]
    out = strided(np.zeros_like(BATCH))
    crossent_spec.cross_entropy_value_and_grad(memory.to_device(BATCH), y, out=out)
    np.testing.assert_array_equal(out.copy_to_host(), expected)
    whole = out.owner.copy_to_host()
    assert (whole[1::2] == 7).all()
    assert (whole[:, :, :, 1::2] == 7).all()


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (lambda x: memory.empty((4, 4), x.dtype), ValueError, "out: got shape"),
        (lambda x: memory.empty(x.shape, np.dtype("f8")), TypeError, "out: got dtype float64"),
        (lambda x: x.part(0, 4).reshape(5, 4), ValueError, "out: got shape"),
        (
            lambda x: DeviceArray(x, x.pointer + 4, x.shape, x.dtype),
            ValueError,
            "out: overlaps an argument",
        ),
        (
            lambda x: DeviceArray(x, x.pointer, x.shape, x.dtype, (0, 4)),
            ValueError,
            "out: got strides",
        ),
        (
            lambda x: DeviceArray(x, x.pointer, x.shape, x.dtype, read_only=True),
            ValueError,
            "out: got an array that is read-only",
        ),
        (lambda x: np.zeros(x.shape, x.dtype), TypeError, "out: is on the host"),
    ],
)
def test_out_is_refused_by_name(out, error, words):
    x, y = memory.to_device(LOGITS), memory.to_device(TARGET)
    with pytest.raises(error, match=words):
        crossent_spec.cross_entropy_value_and_grad(x, y, out=out(x))
    np.testing.assert_array_equal(x.copy_to_host(), LOGITS)


@pytest.mark.parametrize("weight", ["float32", "float64"])
def test_out_may_be_the_input_beside_the_gradient_of_weights(weight):
    arrays = LOGITS, TARGET, np.arange(1, 6, dtype=weight)
    wrt = ("input", "weight")
    expected = crossent_spec.cross_entropy_value_and_grad(*arrays, wrt=wrt, backend="cuda")
    x, y, w = map(memory.to_device, arrays)
    loss, grads = crossent_spec.cross_entropy_value_and_grad(x, y, w, wrt=wrt, out=x)
    np.testing.assert_array_equal(loss.copy_to_host(), expected[0])
    np.testing.assert_array_equal(x.copy_to_host(), expected[1].input)
    np.testing.assert_array_equal(grads.weight.copy_to_host(), expected[1].weight)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.broadcast_to(np.zeros((1, 5), np.float32), (4, 5)), "read-only"),
        (np.lib.stride_tricks.as_strided(np.zeros(5, np.float32), (4, 5), (0, 4)), "strides"),
        (None, "overlaps an argument"),
    ],
)
def test_numpys_out_is_refused_as_on_the_cpu(out, words):
    target = np.full(LOGITS.shape, 0.2, np.float32)
    for backend in ("cpu", "cuda"):
        with pytest.raises(ValueError, match=f"out: .*{words}"):
            crossent_spec.cross_entropy_value_and_grad(
                LOGITS, target, out=target if out is None else out, backend=backend
            )


def test_out_must_not_hold_the_gradient_of_the_loss():
    x, y = memory.to_device(LOGITS), memory.to_device(TARGET)
    out = memory.empty(LOGITS.shape, LOGITS.dtype)
    inside = DeviceArray(out, out.pointer + 8, (), LOGITS.dtype)
    with pytest.raises(ValueError, match="out: overlaps an argument"):
        crossent_spec.cross_entropy_value_and_grad(x, y, grad_output=inside, out=out)


def test_float64_beside_16_bits_is_rounded_once():
    logits = LOGITS.astype(np.float16)
    q = np.full(LOGITS.shape, 0.2)
    found = crossent_spec.cross_entropy_value_and_grad(
        logits, q, wrt=("input", "target"), backend="cuda"
    )
    wide = crossent_spec.cross_entropy_value_and_grad(
        logits.astype(float), q, wrt=("input", "target"), backend="cuda"
    )
    np.testing.assert_array_equal(found[1].target, wide[1].target)
    np.testing.assert_array_equal(found[1].input, wide[1].input.astype(np.float16))
    assert found[0] == wide[0].astype(np.float16)
    other = crossent_spec.cross_entropy_value_and_grad(
        logits.astype(float), q.astype(np.float16), wrt="target", backend="cuda"
    )
    exact = crossent_spec.cross_entropy_value_and_grad(
        logits.astype(float), q.astype(np.float16).astype(float), wrt="target", backend="cuda"
    )
    np.testing.assert_array_equal(other[1].target, exact[1].target.astype(np.float16))


def test_a_class_that_is_none_is_refused_before_anything_is_written():
    x = memory.to_device(LOGITS)
    bad = memory.to_device(np.array([0, 1, 5, -1]))
    with pytest.raises(IndexError, match=r"target: got class 5 at position \(2,\), expected"):
        crossent_spec.cross_entropy_value_and_grad(x, bad, out=x)
    np.testing.assert_array_equal(x.copy_to_host(), LOGITS)
    nested = memory.to_device(np.where(INDICES.max() == INDICES, -5, INDICES))
    position = tuple(int(i) for i in np.argwhere(INDICES.max() == INDICES)[0])
    with pytest.raises(IndexError, match=f"got class -5 at position \\({position[0]}, "):
        crossent_spec.cross_entropy(memory.to_device(BATCH), nested)


@pytest.mark.parametrize(
    ("dtype", "ignored"),
    [("uint8", 200), ("int16", -100), ("uint64", 2**64 - 100), ("uint64", -100), ("int8", 3)],
)
def test_targets_of_any_integer_dtype(dtype, ignored):
    kept = np.array([0, 4, 1, 2])
    fits = np.iinfo(dtype).min <= ignored <= np.iinfo(dtype).max
    target = kept.astype(dtype)
    if fits:
        target[1] = ignored
    found = crossent_spec.cross_entropy(
        LOGITS, target, ignore_index=ignored, reduction="none", backend="cuda"
    )
    of_all = crossent_spec.cross_entropy(LOGITS, kept, reduction="none", backend="cuda")
    np.testing.assert_array_equal(found, np.where([False, fits, False, False], 0, of_all))


@pytest.mark.parametrize("arguments", [{}, {"reduction": "none"}, {"label_smoothing": 0.25}])
def test_layouts_change_nothing(arguments):
    def evaluate(place, batch=BATCH):
        found = crossent_spec.cross_entropy_value_and_grad(
            place(batch), place(INDICES), place(np.array([1.5, 0.5, 2], np.float32)),
            wrt=("input", "weight"), **arguments,
        )  # fmt: skip
        return host(found[0], found[1].input, found[1].weight)

    plain = evaluate(memory.to_device)
    for found, expected in zip(evaluate(strided), plain, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_gradients_of_losses_on_the_gpu_and_on_the_host():
    x, y = memory.to_device(LOGITS), memory.to_device(TARGET)
    scale = np.array([1.0, -2.0, 3.0, 0.5], np.float32)
    _, vjp = crossent_spec.cross_entropy_vjp(x, y, reduction="none")
    expected = host(vjp(memory.to_device(scale)).input)[0]
    np.testing.assert_array_equal(host(vjp(scale).input)[0], expected)
    np.testing.assert_array_equal(host(vjp(strided(scale)).input)[0], expected)
    ones = host(vjp().input)[0]
    np.testing.assert_array_equal(expected, ones * scale[:, None])
    _, vjp = crossent_spec.cross_entropy_vjp(x, y)
    four = host(vjp(4.0).input)[0]
    np.testing.assert_array_equal(four, host(vjp(memory.to_device(np.float32(4))).input)[0])
    np.testing.assert_array_equal(four, 4 * host(vjp().input)[0])
    for wrong in (scale, memory.to_device(scale)):
        with pytest.raises(ValueError, match=r"grad_output: got shape \(4,\)"):
            vjp(wrong)
    with pytest.raises(TypeError, match="grad_output: got dtype int64"):
        vjp(memory.to_device(np.array(4)))


def test_results_are_the_same_from_run_to_run():
    first, second = (
        crossent_spec.cross_entropy_value_and_grad(
            BATCH, INDICES, np.ones(3, np.float32), wrt=("input", "weight"), backend="cuda"
        )
        for _ in range(2)
    )
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].input.tobytes() == second[1].input.tobytes()
    assert first[1].weight.tobytes() == second[1].weight.tobytes()


def test_no_samples():
    x, y = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    assert crossent_spec.cross_entropy(x, y, reduction="sum", backend="cuda") == 0
    assert np.isnan(crossent_spec.cross_entropy(x, y, backend="cuda"))
    loss, grads = crossent_spec.cross_entropy_value_and_grad(x, y, reduction="none", backend="cuda")
    assert (loss.shape, grads.input.shape) == ((0,), (0, 3))


def test_a_stream_is_one_of_numbas_or_its_number():
    x, y = memory.to_device(LOGITS), memory.to_device(TARGET)
    expected = host(crossent_spec.cross_entropy(x, y))[0]
    np.testing.assert_array_equal(host(crossent_spec.cross_entropy(x, y, stream=0))[0], expected)


@pytest.mark.parametrize(
    ("stream", "error"),
    [("abc", TypeError), (True, TypeError), (3.5, TypeError), (-5, ValueError), ([], TypeError)],
)
def test_what_is_no_stream_is_refused_by_name(stream, error):
    with pytest.raises(error, match="stream: got"):
        crossent_spec.cross_entropy(LOGITS, TARGET, backend="cuda", stream=stream)


def test_modules_take_arrays_of_the_gpu():
    x, y = memory.to_device(LOGITS), memory.to_device(TARGET)
    weight = memory.to_device(np.array([1, 2, 3, 4, 5], np.float32))
    module = crossent_spec.CrossEntropyLoss(weight, label_smoothing=0.1)
    expected = crossent_spec.cross_entropy(x, y, weight, label_smoothing=0.1)
    np.testing.assert_array_equal(host(module(x, y))[0], host(expected)[0])
    assert host(module.vjp(x, y)[1]().input)[0].shape == LOGITS.shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_a_target_at_a_low_peak_does_not_cancel(dtype):
    """Smoothed wholly, the target's share is as little as its probability."""
    x = generator.normal(size=(3, 900)).astype(dtype)
    y = x.argmax(axis=1)
    arguments = {"label_smoothing": 1.0, "reduction": "sum", "wrt": "input"}
    got, expected = (
        crossent_spec.cross_entropy_value_and_grad(x, y, backend=where, **arguments)[1].input
        for where in ("cuda", "cpu")
    )
    # Of the two that are subtracted each has some units of error.
    eps = np.finfo(x.dtype).eps
    np.testing.assert_allclose(got, expected, rtol=4 * eps, atol=8 * eps / 900)
