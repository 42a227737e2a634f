"""Validation: every documented requirement, and what is accepted."""

import warnings

import ml_dtypes
import numpy as np
import pytest

import crossent_spec as cs
from crossent_spec.problem import check_target

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5]])
Y = np.array([2, 0])
P = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("error", "argument", "call"),
    [
        (ValueError, "input", lambda: cs.cross_entropy(np.float64(1), np.int64(0))),
        (ValueError, "input", lambda: cs.cross_entropy(np.zeros((2, 0)), Y)),
        (TypeError, "input", lambda: cs.cross_entropy(np.zeros((2, 3), dtype=int), Y)),
        (TypeError, "input", lambda: cs.cross_entropy(X.astype(complex), Y)),
        (TypeError, "input", lambda: cs.cross_entropy(X.astype(np.longdouble), Y)),
        (ValueError, "target", lambda: cs.cross_entropy(X, np.array([0, 1, 2]))),
        (ValueError, "target", lambda: cs.cross_entropy(X, Y[:, None])),
        (ValueError, "target", lambda: cs.cross_entropy(X[0], Y[:1])),
        (ValueError, "target", lambda: cs.cross_entropy(X, np.zeros((2, 3), dtype=int))),
        (ValueError, "target", lambda: cs.cross_entropy(X, np.zeros(2))),
        (ValueError, "target", lambda: cs.cross_entropy(X, P[:, :2])),
        (
            ValueError,
            "target",
            lambda: cs.cross_entropy(np.zeros((2, 3, 4)), np.zeros((2, 5), int)),
        ),
        (TypeError, "target", lambda: cs.cross_entropy(X, np.array([True, False]))),
        (TypeError, "target", lambda: cs.cross_entropy(X, np.array(["a", "b"]))),
        (IndexError, "target", lambda: cs.cross_entropy(X, np.array([0, 3]))),
        (IndexError, "target", lambda: cs.cross_entropy(X, np.array([0, -1]))),
        (IndexError, "target", lambda: cs.cross_entropy(X, np.array([0, -100]), ignore_index=1)),
        (IndexError, "target", lambda: cs.cross_entropy(X, np.array([0, 2**63], dtype="u8"))),
        (ValueError, "weight", lambda: cs.cross_entropy(X, Y, np.ones(2))),
        (ValueError, "weight", lambda: cs.cross_entropy(X, Y, np.ones((1, 3)))),
        (ValueError, "weight", lambda: cs.cross_entropy(X, Y, np.float64(1))),
        (TypeError, "weight", lambda: cs.cross_entropy(X, Y, np.ones(3, dtype=int))),
        (ValueError, "reduction", lambda: cs.cross_entropy(X, Y, reduction="average")),
        (TypeError, "reduction", lambda: cs.cross_entropy(X, Y, reduction=None)),
        (ValueError, "label_smoothing", lambda: cs.cross_entropy(X, Y, label_smoothing=-0.1)),
        (ValueError, "label_smoothing", lambda: cs.cross_entropy(X, Y, label_smoothing=1.1)),
        (ValueError, "label_smoothing", lambda: cs.cross_entropy(X, Y, label_smoothing=np.nan)),
        (TypeError, "label_smoothing", lambda: cs.cross_entropy(X, Y, label_smoothing="0.1")),
        (TypeError, "label_smoothing", lambda: cs.cross_entropy(X, Y, label_smoothing=True)),
        (TypeError, "ignore_index", lambda: cs.cross_entropy(X, Y, ignore_index=1.0)),
        (TypeError, "ignore_index", lambda: cs.cross_entropy(X, Y, ignore_index=None)),
        (ValueError, "ignore_index", lambda: cs.cross_entropy(X, P, ignore_index=0)),
        (TypeError, "size_average", lambda: cs.cross_entropy(X, Y, size_average="no")),
        (TypeError, "reduce", lambda: cs.cross_entropy(X, Y, reduce=1.5)),
        (ValueError, "wrt", lambda: cs.cross_entropy_vjp(X, Y, wrt=("target",))),
        (ValueError, "wrt", lambda: cs.cross_entropy_vjp(X, Y, wrt="weight")),
        (ValueError, "wrt", lambda: cs.cross_entropy_vjp(X, Y, wrt="logits")),
        (
            ValueError,
            "grad_output",
            lambda: cs.cross_entropy_value_and_grad(X, Y, grad_output=np.ones(2)),
        ),
        (
            ValueError,
            "grad_output",
            lambda: cs.cross_entropy_value_and_grad(X, Y, reduction="none", grad_output=1.0),
        ),
        (TypeError, "grad_output", lambda: cs.cross_entropy_value_and_grad(X, Y, grad_output=1j)),
    ],
)
def test_a_broken_requirement_names_its_argument(error, argument, call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(error, match=f"^{argument}: .*got|^{argument}: "):
            call()


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">i8"])
def test_any_integer_dtype_holds_class_indices(dtype):
    assert cs.cross_entropy(X, Y.astype(dtype)) == cs.cross_entropy(X, Y)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u4", "u8"])
def test_more_classes_than_the_index_dtype_can_count(dtype):
    x = np.zeros((2, 70000), dtype=np.float32)
    y = np.array([0, 100], dtype=dtype)
    assert cs.cross_entropy(x, y) == pytest.approx(np.log(70000), rel=1e-6)


@pytest.mark.parametrize("dtype", ["i1", "u1", "u8", "i8"])
@pytest.mark.parametrize("ignore_index", [-100, -1, 255, 2**40, -(2**63)])
def test_ignore_index_outside_the_target_dtype_ignores_nothing(dtype, ignore_index):
    got = cs.cross_entropy(X, Y.astype(dtype), ignore_index=ignore_index)
    assert got == cs.cross_entropy(X, Y)


@pytest.mark.parametrize("ignore_index", [-128, 127])
def test_the_ends_of_the_target_dtype_can_be_ignored(ignore_index):
    y = np.array([ignore_index, 0], dtype="i1")
    got = cs.cross_entropy(X, y, ignore_index=ignore_index)
    assert got == cs.cross_entropy(X[1:], Y[1:])


def test_as_many_classes_as_the_largest_index():
    x = np.zeros((2, 127))
    assert cs.cross_entropy(x, np.array([126, 0], dtype="i1")) == pytest.approx(np.log(127))
    with pytest.raises(IndexError, match="got class 127"):
        cs.cross_entropy(x, np.array([127, 0], dtype="i1"))


def test_an_index_out_of_range_is_told_with_its_place():
    y = np.array([[-100, 1], [2, 4], [3, 0]])
    with pytest.raises(IndexError) as caught:
        cs.cross_entropy(np.zeros((3, 3, 2)), y)
    assert str(caught.value) == (
        "target: got class 4 at position (1, 1), expected values in [0, 3) or ignore_index (-100)"
    )


def test_canonical_targets():
    shape = (2, 3, 2)
    y = np.array([[-100, 1], [2, 0]], dtype="i2")
    found = check_target(y, shape, 3, -100)
    np.testing.assert_array_equal(found.indices, np.array([[0, 1], [2, 0]]), strict=True)
    np.testing.assert_array_equal(found.keep, np.array([[False, True], [True, True]]), strict=True)
    assert found.probabilities is None
    assert found.original is y
    q = np.full(shape, 0.5, dtype=np.float32)
    found = check_target(q, shape, 3, -100)
    assert found.indices is None
    np.testing.assert_array_equal(found.keep, np.ones((2, 2), dtype=bool), strict=True)
    np.testing.assert_array_equal(found.probabilities, q, strict=True)
    assert found.original is q
    y = np.array([[0, 1], [2, 0]])
    assert np.shares_memory(check_target(y, shape, 3, -100).indices, y), "a copy costs memory"


@pytest.mark.parametrize(
    ("size_average", "reduce", "reduction"),
    [
        (True, None, "mean"),
        (False, None, "sum"),
        (None, True, "mean"),
        (None, False, "none"),
        (True, True, "mean"),
        (False, True, "sum"),
        (True, False, "none"),
        (False, False, "none"),
    ],
)
@pytest.mark.parametrize("given", ["none", "mean", "sum", "overridden"])
def test_the_deprecated_pair_overrides_reduction(size_average, reduce, reduction, given):
    with pytest.warns(DeprecationWarning, match=f"reduction='{reduction}'") as caught:
        got = cs.cross_entropy(X, Y, size_average=size_average, reduce=reduce, reduction=given)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(got, cs.cross_entropy(X, Y, reduction=reduction))
    with pytest.warns(DeprecationWarning, match=reduction):
        module = cs.CrossEntropyLoss(size_average=size_average, reduce=reduce)
    assert module.reduction == reduction


def test_a_caller_without_a_module_is_warned_too():
    with pytest.warns(DeprecationWarning, match="reduction='mean'") as caught:
        exec("cs.cross_entropy(X, Y, size_average=True)", {"cs": cs, "X": X, "Y": Y})
    assert caught[0].filename == "<string>"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ([0.0] * 6, "out: got list, expected an array or None"),
        (
            np.lib.stride_tricks.as_strided(np.zeros(3), (2, 3), (0, 8)),
            "out: got strides (0, 8), expected every element in its own place",
        ),
    ],
    ids=["list", "broadcast"],
)
def test_a_buffer_that_cannot_hold_the_gradient_is_told(out, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        cs.cross_entropy_value_and_grad(X, Y, out=out)
    assert str(caught.value) == message


def test_the_stride_of_a_single_element_does_not_matter():
    out = np.lib.stride_tricks.as_strided(np.zeros(3), (1, 3), (0, 8))
    _, grads = cs.cross_entropy_value_and_grad(X[:1], Y[:1], out=out)
    assert grads.input is out


def layouts(array):
    wide = np.full(
        (*array.shape[:-1], 2 * array.shape[-1]), np.nan if array.dtype.kind == "f" else 9
    )
    wide = wide.astype(array.dtype)
    strided = wide[..., ::2]
    strided[...] = array
    readonly = array.copy()
    readonly.flags.writeable = False
    return {
        "fortran": np.asfortranarray(array),
        "strided": strided,
        "reversed": np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        "readonly": readonly,
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "list": array.tolist(),
    }


@pytest.mark.parametrize("kind", layouts(X))
@pytest.mark.parametrize("target", [Y, P], ids=["index", "prob"])
def test_memory_layout_and_byte_order_do_not_matter(kind, target):
    weight = np.array([0.5, 1.0, 2.0])
    x, y, w = layouts(X)[kind], layouts(target)[kind], layouts(weight)[kind]
    before = [np.array(a, copy=True) for a in (x, y, w)]
    loss, grads = cs.cross_entropy_value_and_grad(x, y, w, wrt=("input", "weight"))
    expected, exact = cs.cross_entropy_value_and_grad(X, target, weight, wrt=("input", "weight"))
    # Other layouts may run another kernel, which sums in another order.
    np.testing.assert_array_max_ulp(loss, expected, 1)
    np.testing.assert_array_max_ulp(grads.input, exact.input, 4)
    np.testing.assert_allclose(grads.weight, exact.weight, rtol=1e-14)
    assert grads.input.dtype == np.float64
    assert all(np.array_equal(a, b) for a, b in zip(before, (x, y, w), strict=True))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("target", [Y, P], ids=["index", "prob"])
def test_the_result_has_the_dtype_of_the_input(dtype, target):
    x = X.astype(dtype)
    y = target if target.dtype.kind == "i" else target.astype(dtype)
    for reduction in ("none", "mean", "sum"):
        loss, grads = cs.cross_entropy_value_and_grad(x, y, reduction=reduction)
        assert loss.dtype == grads.input.dtype == np.dtype(dtype)
        assert loss.shape == ((2,) if reduction == "none" else ())


@pytest.mark.parametrize(
    ("logits", "expected"),
    [((5,), ()), ((4, 5), (4,)), ((4, 5, 2), (4, 2)), ((4, 5, 2, 3), (4, 2, 3)), ((0, 5), (0,))],
)
def test_unreduced_losses_have_the_documented_shape(logits, expected):
    x = np.zeros(logits)
    for target in (np.zeros(expected, dtype=int), np.zeros(logits)):
        assert np.shape(cs.cross_entropy(x, target, reduction="none")) == expected


def test_k_dimensions_are_the_flattened_samples():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 4, 2, 5)), rng.integers(0, 4, (3, 2, 5))
    flat, flat_y = np.moveaxis(x, 1, -1).reshape(-1, 4), y.reshape(-1)
    got = cs.cross_entropy(x, y, reduction="none")
    np.testing.assert_array_max_ulp(
        got.reshape(-1), cs.cross_entropy(flat, flat_y, reduction="none"), 4
    )


def test_an_empty_mean_is_nan_and_an_empty_sum_zero():
    for target in (np.zeros(0, dtype=int), np.zeros((0, 3))):
        assert np.isnan(cs.cross_entropy(np.zeros((0, 3)), target))
        assert cs.cross_entropy(np.zeros((0, 3)), target, reduction="sum") == 0
    assert np.isnan(cs.cross_entropy(X, np.array([-100, -100])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cs.cross_entropy_value_and_grad(X, np.array([-100, -100]))


def test_ignored_samples_may_hold_anything():
    x = X.copy()
    x[0] = np.nan
    loss, grads = cs.cross_entropy_value_and_grad(x, np.array([-100, 0]), label_smoothing=0.1)
    assert loss == cs.cross_entropy(X[1:], Y[1:], label_smoothing=0.1)
    np.testing.assert_array_equal(grads.input[0], 0)
