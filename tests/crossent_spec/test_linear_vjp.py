"""Calling the ``vjp`` of the linear loss again, where that is allowed."""

import numpy as np
import pytest

import crossent_spec as cs

RNG = np.random.default_rng(8)
X, A, B = RNG.normal(size=(3, 2)), RNG.normal(size=(4, 2)), RNG.normal(size=4)
Y = np.array([1, 3, 0])
NAMES = ("input", "linear_weight", "linear_bias")
RETAIN = cs.LinearCrossEntropyOptions(batch_chunk_size=2, allow_retain_graph=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("options", [None, RETAIN])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_each_call_is_of_its_own_gradient_of_the_loss(reduction, options, dtype):
    arrays = [array.astype(dtype) for array in (X, A)]
    call = {"linear_bias": B.astype(dtype), "reduction": reduction, "options": options}
    loss, vjp = cs.linear_cross_entropy_vjp(*arrays, Y, **call)
    for factor in (2.0, None, 1.0, 0.5, np.inf):
        g = None if factor is None else np.full(np.shape(loss), factor)[()]
        with np.errstate(all="ignore"):
            _, expected = cs.linear_cross_entropy_value_and_grad(*arrays, Y, grad_output=g, **call)
            found = vjp(g)
        for name in NAMES:
            gradient = getattr(found, name)
            assert gradient.dtype == dtype
            np.testing.assert_array_equal(gradient, getattr(expected, name))
            # It is the caller's: what is written there shows in no later one.
            gradient[...] = 7


def test_options_that_a_bias_of_positions_turns_off_consume_nothing():
    matrix, bias = A.reshape(2, 2, 2), B.reshape(2, 2)
    target = np.array([[0, 1], [1, 1], [0, 0]])
    with pytest.warns(UserWarning, match="options are ignored"):
        _, vjp = cs.linear_cross_entropy_vjp(
            X, matrix, target, linear_bias=bias, options=cs.LinearCrossEntropyOptions()
        )
    first, second = vjp(), vjp()
    for name in NAMES:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_nobody_elses_target_is_read_later():
    target = Y.copy()
    _, vjp = cs.linear_cross_entropy_vjp(X, A, target, reduction="none")
    expected = cs.linear_cross_entropy_value_and_grad(X, A, Y, reduction="none")[1]
    target[...] = 0
    np.testing.assert_array_equal(vjp().input, expected.input)
