"""Derivatives of the linear loss along a direction: the formulas' values, dtypes, memory."""

from dataclasses import replace

import numpy as np
import pytest

import crossent_spec as cs
from crossent_spec import chunks, formulas
from crossent_spec.chunks import BUDGET
from tests.crossent_spec.linear_calls import (
    DTYPES,
    KERNEL,
    MODES,
    SMALL,
    C,
    Call,
    F,
    N,
    layouts,
    peak,
)

OPERANDS = {"input": "input", "linear_weight": "weight", "linear_bias": "bias"}


def tangents(call, kind="all", dtype=None):
    rng = np.random.default_rng(5)
    found = {}
    for name, own in OPERANDS.items():
        argument = getattr(call, own)
        if argument is not None and kind in (name, "all"):
            drawn = rng.standard_normal(argument.shape)
            found[name] = drawn.astype(argument.dtype if dtype is None else dtype)
    return cs.Gradients(**found)


def jvp(call, along, **more):
    return cs.linear_cross_entropy_jvp(
        call.input, call.weight, call.target, along, **call.arguments, **more
    )


def hvp(call, along, **more):
    return cs.linear_cross_entropy_hvp(
        call.input, call.weight, call.target, along, **call.arguments, **more
    )


def exact(call, along, g=1.0):
    """Return the derivatives, each with its allowed error, as ``Call.exact`` has them.

    First-order analysis: an error δx of a logit makes a softmax wrong by p·2·max|δx|, and one of
    how logits move counts as that motion does.
    """
    u, v = call.product, call.store
    s, features, matrix, bias = call.symbols()
    batch, width, (classes, positions) = len(features), features.shape[1], matrix.shape[:2]

    def wide(name, shape):
        tangent = getattr(along, name)
        return np.zeros(shape) if tangent is None else tangent.astype(float).reshape(shape)

    of_f, of_w = wide("input", features.shape), wide("linear_weight", matrix.shape)
    of_b = wide("linear_bias", (classes, positions))
    linear = formulas.linear_logits
    moved = linear(of_f, matrix, of_b) + linear(features, of_w, None)
    f, w, df, dw = (np.abs(part) for part in (features, matrix, of_f, of_w))
    off = (width + 1) * u * linear(f, w, None if bias is None else np.abs(bias))
    moved_off = (2 * width + 2) * u * (linear(df, w, np.abs(of_b)) + linear(f, dw, None))
    wrong = 2 * off.max(axis=1, keepdims=True) + KERNEL * u * (1 + np.abs(s.x))

    divisor = formulas.denominator(s)
    scale = formulas.sample_scale(g, divisor, s)
    strength = np.abs(np.where(s.keep, scale, 0))[:, None, :]
    p = np.exp(formulas.log_softmax(s.x))
    a = np.abs(formulas.coefficients(s))
    total = a.sum(axis=1, keepdims=True)
    speed, kept = np.abs(moved), s.keep[:, None, :]
    of_loss = kept * (
        total * p * wrong * speed + (total * p + a) * (moved_off + KERNEL * u * speed)
    )
    value = formulas.reduced(formulas.unreduced_jvp(s, moved), divisor, s.reduction)
    bound = formulas.reduced(of_loss.sum(axis=1), divisor, s.reduction)
    found = {"jvp": (value, bound + v * np.abs(value))}

    gradient, change = formulas.logit_gradient(s, scale), formulas.logit_hvp(s, scale, moved)
    gradient_off = strength * (total * p * wrong + KERNEL * u * (total * p + a))
    mean, mean_off = ((p * part).sum(axis=1, keepdims=True) for part in (speed, moved_off))
    relative = (wrong + KERNEL * u) * (speed + mean) + (p * wrong * speed).sum(1, keepdims=True)
    change_off = strength * total * p * (relative + moved_off + mean_off)
    flat = (batch, -1)
    G, E, dG, dE = (
        np.abs(part).reshape(flat) for part in (gradient, gradient_off, change, change_off)
    )
    w, dw = w.reshape(-1, width), dw.reshape(-1, width)
    products = formulas.linear_gradients
    through, beside = products(change, features, matrix), products(gradient, of_f, of_w)
    many = (2 * len(w) + 2) * u, (2 * batch + 2) * u
    sums = {
        "input": (through[0] + beside[0], dE @ w + E @ dw + many[0] * (dG @ w + G @ dw)),
        "linear_weight": (
            through[1] + beside[1],
            dE.T @ f + E.T @ df + many[1] * (dG.T @ f + G.T @ df),
        ),
        "linear_bias": (through[2], (dE + many[1] * dG).sum(axis=0)),
    }
    for name, (value, bound) in sums.items():
        found[name] = value, bound.reshape(value.shape) + 2 * v * np.abs(value)
    return found


def near(call, got, exact):
    value, allowed = (np.asarray(part) for part in exact)
    # Results of a 16-bit type may be subnormal there.
    allowed = allowed + (2.0**-24 if call.store > 2.0**-24 else 0.0)
    got = np.asarray(got).astype(np.float64).reshape(value.shape)
    assert (np.abs(got - value) <= allowed).all(), np.abs(got - value).max()


def check(call, along):
    loss, derivative = jvp(call, along)
    plain = cs.linear_cross_entropy(call.input, call.weight, call.target, **call.arguments)
    near(call, loss, call.exact()["loss"])
    assert loss.dtype == derivative.dtype == call.input.dtype
    assert np.shape(loss) == np.shape(derivative) == np.shape(plain)
    wanted = exact(call, along)
    near(call, derivative, wanted["jvp"])
    product = hvp(call, along)
    for name, own in OPERANDS.items():
        argument = getattr(call, own)
        if argument is None:
            assert getattr(product, name) is None
            continue
        assert getattr(product, name).dtype == argument.dtype
        assert getattr(product, name).shape == argument.shape
        near(call, getattr(product, name), wanted[name])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rows", [None, 1, 5])
def test_every_chunk_size_gives_the_formulas_values(dtype, mode, rows, monkeypatch):
    if rows is not None:
        monkeypatch.setattr(chunks, "ROWS", rows)
    call = Call(mode, dtype)
    check(call, tangents(call))


@pytest.mark.parametrize("mode", ["bias", "ignored", "positions", "probabilities"])
@pytest.mark.parametrize("kind", [*OPERANDS, "none"])
def test_a_tangent_left_out_is_zero(mode, kind):
    call = Call(mode, "float64")
    along = tangents(call, kind)
    check(call, along)
    zeros = {
        name: np.zeros(getattr(call, own).shape)
        for name, own in OPERANDS.items()
        if getattr(along, name) is None and getattr(call, own) is not None
    }
    spelled = replace(along, **zeros)
    np.testing.assert_array_equal(jvp(call, along), jvp(call, spelled))
    for name in OPERANDS:
        np.testing.assert_array_equal(
            getattr(hvp(call, along), name), getattr(hvp(call, spelled), name)
        )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_wider_tangents_are_not_rounded(dtype):
    call = Call("bias", dtype)
    call.product = 2.0**-53
    check(call, tangents(call, dtype="float64"))


def test_the_gradient_of_the_loss_multiplies_the_product():
    call = Call("positions-probabilities", "float64")
    g = np.linspace(-1, 2, call.keep.size).reshape(call.keep.shape)
    product, wanted = hvp(call, tangents(call), grad_output=g), exact(call, tangents(call), g)
    near(call, product.input, wanted["input"])
    near(call, product.linear_weight, wanted["linear_weight"])


def test_a_bias_of_positions():
    call = Call("positions", "float64")
    call.bias = np.random.default_rng(3).standard_normal(call.weight.shape[:-1])
    call.arguments["linear_bias"] = call.bias
    check(call, tangents(call))


def test_unbatched_input():
    call = Call("bias", batch=1)
    along = tangents(call)
    one, single = jvp(call, along), hvp(call, along)
    call.input, call.target = call.input[0], call.target[0]
    same = jvp(call, replace(along, input=along.input[0]))
    np.testing.assert_array_equal(one, same)
    product = hvp(call, replace(along, input=along.input[0]))
    np.testing.assert_array_equal(product.input, single.input[0])
    np.testing.assert_array_equal(product.linear_weight, single.linear_weight)


@pytest.mark.parametrize("mode", ["ignored", "weights", "positions"])
@pytest.mark.parametrize("rows", [2048, 2])
def test_ignored_samples_are_as_if_absent(mode, rows, monkeypatch):
    monkeypatch.setattr(chunks, "ROWS", rows)
    call = Call(mode)
    along = tangents(call)
    derivative, product = jvp(call, along), hvp(call, along)
    kept = call.keep.reshape(N, -1).any(axis=1)
    assert not kept.all()
    for array in (call.input, along.input):
        array[~kept] = [np.nan, np.inf, -np.inf, 3e38, 0, 1]
    np.testing.assert_array_equal(derivative, jvp(call, along))
    dirty = hvp(call, along)
    np.testing.assert_array_equal(product.input, dirty.input)
    np.testing.assert_array_equal(product.linear_weight, dirty.linear_weight)
    assert not dirty.input[~kept].any()


@pytest.mark.parametrize("layout", ["columns", "spaced", "wide", "backwards", "swapped"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_any_layout_of_the_tangents_gives_the_same(layout, dtype):
    call = Call("plain", dtype)
    along = tangents(call)
    check(
        call,
        cs.Gradients(
            layouts(along.input)[layout], None, None, layouts(along.linear_weight)[layout]
        ),
    )


def test_nothing_to_sum_over():
    none = np.ones((0, F))
    call = (none, np.ones((C, F)), np.ones(0, int), cs.Gradients(input=none))
    assert cs.linear_cross_entropy_jvp(*call, reduction="sum") == (0, 0)
    product = cs.linear_cross_entropy_hvp(*call, reduction="sum")
    assert product.input.shape == (0, F)
    assert not product.linear_weight.any()
    wide = (np.ones((3, F)), np.ones((C, 0, F)), np.ones((3, 0), int))
    along = cs.Gradients(linear_weight=np.ones((C, 0, F)))
    assert cs.linear_cross_entropy_jvp(*wide, along, reduction="none")[1].shape == (3, 0)
    assert not cs.linear_cross_entropy_hvp(*wide, along, reduction="none").input.any()
    all_ignored = (np.ones((3, F)), np.ones((C, F)), np.full(3, -100))
    along = cs.Gradients(input=np.ones((3, F)))
    assert np.isnan(cs.linear_cross_entropy_jvp(*all_ignored, along)).all()
    assert not cs.linear_cross_entropy_hvp(*all_ignored, along).linear_weight.any()


def test_two_matrices_of_a_chunk_are_all_the_memory():
    call = Call("plain", batch=4096, width=16, classes=8192)
    along = tangents(call)
    used, _ = peak(lambda: jvp(call, along))
    assert BUDGET / 4 < used < BUDGET + SMALL < 4096 * 8192 * 4
    used, product = peak(lambda: hvp(call, along))
    results = product.input.nbytes + product.linear_weight.nbytes
    assert BUDGET / 4 < used < BUDGET + results + SMALL
