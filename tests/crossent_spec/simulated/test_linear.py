"""The linear loss on the GPU: its chunks, and what only it takes."""

import numpy as np
import pytest

import crossent_spec
from crossent_spec.cuda import linear, memory
from crossent_spec.device_array import DeviceArray
from tests.crossent_spec.linear_calls import Call

generator = np.random.default_rng(3)
X = generator.normal(size=(6, 3)).astype(np.float32)
W = generator.normal(size=(5, 3)).astype(np.float32)
B = generator.normal(size=5).astype(np.float32)
Y = np.array([0, 4, -100, 2, 1, -100])
ALL = ("input", "linear_weight", "linear_bias", "weight")


def gradients(rows=None, x=X, **arguments):
    options = crossent_spec.LinearCrossEntropyOptions(batch_chunk_size=rows) if rows else None
    found = crossent_spec.linear_cross_entropy_value_and_grad(
        x, W, Y, linear_bias=B, weight=np.arange(1, 6, dtype=np.float32), options=options,
        wrt=ALL, backend="cuda", **arguments,
    )  # fmt: skip
    return found[0], {name: getattr(found[1], name) for name in ALL}


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_chunks_agree_with_the_whole(rows, reduction):
    # Chunks add up in another order: each of at most six addends may round once more.
    loss, found = gradients(rows, reduction=reduction)
    whole, expected = gradients(reduction=reduction)
    np.testing.assert_allclose(loss, whole, rtol=6 * 2**-24)
    for name in ALL:
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(found[name], expected[name], atol=12 * 2**-24 * scale, rtol=0)
    np.testing.assert_array_equal(found["input"][Y == -100], 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("accumulated", [None, "float32", "same"])
@pytest.mark.parametrize("widened", [linear.WIDENED, 100])
def test_chunks_add_up_in_the_dtype_that_is_asked_for(monkeypatch, dtype, accumulated, widened):
    monkeypatch.setattr(linear, "WIDENED", widened)
    call = Call("plain", dtype)
    kinds = []
    sums = linear.LinearCall._add_weight_gradient

    def noted(self, logits, features, gradient):
        kinds.append(gradient.dtype)
        sums(self, logits, features, gradient)

    monkeypatch.setattr(linear.LinearCall, "_add_weight_gradient", noted)
    asked = dtype if accumulated == "same" else accumulated
    options = crossent_spec.LinearCrossEntropyOptions(batch_chunk_size=4, acc_dtype=asked)
    _, found = call.value_and_grad(options=options, backend="cuda")
    assert [kind.name for kind in kinds] == 4 * [dtype if accumulated == "same" else "float32"]
    value, allowed = call.exact(chunks=4 * (accumulated == "same"))["linear_weight"]
    off = np.abs(found.linear_weight.astype(float).reshape(value.shape) - value)
    assert found.linear_weight.dtype == call.weight.dtype
    assert (off <= allowed + 2.0**-24).all()


def test_an_ignored_sample_may_hold_anything():
    spoilt = np.where((Y == -100)[:, None], np.float32("nan"), X)
    for one, other in zip(gradients(2, spoilt), gradients(2), strict=True):
        np.testing.assert_equal(one, other)


def test_a_vjp_with_options_is_consumed_and_retained():
    options = crossent_spec.LinearCrossEntropyOptions
    arrays = [memory.to_device(array) for array in (X, W, Y)]
    _, vjp = crossent_spec.linear_cross_entropy_vjp(*arrays, options=options())
    first = vjp(2.0).linear_weight
    assert isinstance(first, DeviceArray)
    with pytest.raises(RuntimeError, match="consumed by an earlier call"):
        vjp()
    _, vjp = crossent_spec.linear_cross_entropy_vjp(
        *arrays, options=options(allow_retain_graph=True)
    )
    for _ in range(2):
        np.testing.assert_array_equal(vjp(2.0).linear_weight.copy_to_host(), first.copy_to_host())


def test_a_class_that_is_none_is_refused():
    with pytest.raises(IndexError, match=r"target: got class 5 at position \(1,\)"):
        crossent_spec.linear_cross_entropy(X[:2], W, np.array([0, 5]), backend="cuda")


def test_without_cupy_one_error_says_what_is_missing(monkeypatch):
    from crossent_spec.cuda import products

    monkeypatch.setattr(products, "SIMULATED", False)
    with pytest.raises(RuntimeError, match=r"from CuPy, which could not be\s+imported"):
        crossent_spec.linear_cross_entropy(X, W, Y, backend="cuda")
