"""The linear loss along a direction on the GPU: the bounds of the CPU's, in chunks and at once."""

import numpy as np
import pytest

import crossent_spec
from crossent_spec.cuda import linear, memory
from crossent_spec.device_array import DeviceArray
from tests.crossent_spec.linear_calls import MODES, Call
from tests.crossent_spec.test_linear_directions import check, hvp, jvp, tangents


def drawn(mode, dtype="float32"):
    call = Call(mode, dtype)
    call.arguments["backend"] = "cuda"
    return call


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_formulas_values(mode):
    call = drawn(mode)
    check(call, tangents(call))


@pytest.mark.parametrize("mode", ["ignored", "smoothing", "positions-probabilities"])
def test_so_do_chunks(mode, monkeypatch):
    # Five samples' logits and their motion, where these have no positions.
    monkeypatch.setattr(linear, "BUDGET", 5 * 2 * 11 * 4)
    call = drawn(mode)
    check(call, tangents(call))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("mode", ["ignored", "smoothing"])
def test_dtypes(dtype, mode):
    call = drawn(mode, dtype)
    check(call, tangents(call))


@pytest.mark.parametrize("kind", ["input", "linear_weight", "linear_bias", "none"])
def test_a_tangent_left_out_is_zero(kind):
    call = drawn("bias", "float64")
    check(call, tangents(call, kind))


def test_wider_tangents_are_not_rounded():
    call = drawn("bias", "bfloat16")
    call.product = 2.0**-53
    check(call, tangents(call, dtype="float64"))


def test_an_ignored_sample_may_hold_anything():
    call = drawn("ignored")
    along = tangents(call)
    before = jvp(call, along), hvp(call, along)
    ignored = ~call.keep.any(axis=-1) if call.keep.ndim > 1 else ~call.keep
    call.input = np.where(ignored[:, None], np.float32("nan"), call.input)
    moved = np.where(ignored[:, None], np.float32("inf"), along.input)
    along = crossent_spec.Gradients(input=moved, linear_weight=along.linear_weight)
    np.testing.assert_array_equal(jvp(call, along), before[0])
    found = hvp(call, along)
    np.testing.assert_array_equal(found.input, before[1].input)
    np.testing.assert_array_equal(found.linear_weight, before[1].linear_weight)
    assert not found.input[ignored].any()


def test_arrays_of_the_gpu_give_arrays_of_the_gpu():
    call = drawn("bias")
    along = tangents(call)
    expected = hvp(call, along)
    placed = [memory.to_device(array) for array in (call.input, call.weight, call.target)]
    moving = crossent_spec.Gradients(
        **{
            name: memory.to_device(getattr(along, name))
            for name in ("input", "linear_weight", "linear_bias")
        },
    )
    bias = memory.to_device(call.bias)
    found = crossent_spec.linear_cross_entropy_hvp(*placed, moving, linear_bias=bias)
    for name in ("input", "linear_weight", "linear_bias"):
        gradient = getattr(found, name)
        assert isinstance(gradient, DeviceArray)
        np.testing.assert_array_equal(gradient.copy_to_host(), getattr(expected, name))
    with pytest.raises(TypeError, match=r"tangents\.input: is on the host, but input is on a GPU"):
        crossent_spec.linear_cross_entropy_jvp(*placed, along, linear_bias=bias)
