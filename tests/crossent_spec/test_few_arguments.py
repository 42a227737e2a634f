"""Calls that leave arguments out, or ask for little, and how a wrong tangent is told."""

import numpy as np
import pytest

import crossent_spec as cs

RNG = np.random.default_rng(4)
X, ALONG, W = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), np.array([0.5, 2.0, 1.0, 3.0])
Y = np.array([3, -100, 1])


def test_derivatives_ignore_what_losses_ignore_by_default():
    kept = [0, 2]
    for found, alone in zip(
        cs.cross_entropy_jvp(X, Y, ALONG),
        cs.cross_entropy_jvp(X[kept], Y[kept], ALONG[kept]),
        strict=True,
    ):
        assert found == alone
    product = cs.cross_entropy_hvp(X, Y, ALONG)
    np.testing.assert_array_equal(product[1], 0.0)
    np.testing.assert_array_equal(
        product[kept], cs.cross_entropy_hvp(X[kept], Y[kept], ALONG[kept])
    )


def test_with_nothing_to_differentiate_by_there_is_the_loss():
    loss, gradients = cs.cross_entropy_value_and_grad(X, Y, W, wrt=())
    assert loss == cs.cross_entropy(X, Y, W)
    assert gradients == cs.Gradients()


def test_a_mean_is_differentiated_by_float32_weights_beside_float32_logits():
    x, w = X.astype("f4"), W.astype("f4")
    _, found = cs.cross_entropy_value_and_grad(x, Y, w, wrt="weight")
    _, exact = cs.cross_entropy_value_and_grad(x.astype("f8"), Y, W, wrt="weight")
    assert found.weight.dtype == np.float32
    np.testing.assert_allclose(found.weight, exact.weight, rtol=1e-5, atol=1e-7)
    assert np.abs(exact.weight).max() > 0.01
    # Weights of float64 have a gradient as exact as they are.
    _, found = cs.cross_entropy_value_and_grad(x, Y, W, wrt="weight")
    _, exact = cs.cross_entropy_value_and_grad(x.astype("f8"), Y, W, wrt="weight")
    np.testing.assert_allclose(found.weight, exact.weight, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("call", [cs.cross_entropy_jvp, cs.cross_entropy_hvp])
def test_a_wrong_tangent_is_told_by_its_name(call):
    with pytest.raises(ValueError, match=r"^tangent: got shape \(2, 4\), expected that of its"):
        call(X, Y, ALONG[:2])
    with pytest.raises(TypeError, match="^tangent: got dtype int64"):
        call(X, Y, np.zeros(X.shape, np.int64))
