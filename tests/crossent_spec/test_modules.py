"""A module gives what its function gives, in every form and with every argument."""

import numpy as np
import pytest

import crossent_spec as cs

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5], [0.25, 3.0, 1.0]])
Y = np.array([2, 0, 1])
P = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.8, 0.1]])
W = np.array([0.5, 1.0, 2.0])
G = np.array([1.0, -2.0, 0.5])
GIVEN = [
    {},
    {"weight": W, "ignore_index": 0, "reduction": "sum", "label_smoothing": 0.25},
    {"reduction": "none", "ignore_index": 1},
]


def same(one, other):
    assert [name for name in vars(one) if getattr(one, name) is not None] == [
        name for name in vars(other) if getattr(other, name) is not None
    ]
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, getattr(other, name))


def agree(module, function, arguments, target, wrts, grads):
    """Compare the forms of a module with those of its function."""
    assert np.array_equal(module(X, target), function(X, target, **arguments))
    name = function.__name__
    vjp, both = getattr(cs, f"{name}_vjp"), getattr(cs, f"{name}_value_and_grad")
    for wrt in wrts:
        more = {} if wrt is None else {"wrt": wrt}
        for grad in grads:
            loss, found = module.value_and_grad(X, target, grad, **more)
            exact, expected = both(X, target, grad_output=grad, **more, **arguments)
            np.testing.assert_array_equal(loss, exact)
            same(found, expected)
            loss, pull = module.vjp(X, target, **more)
            np.testing.assert_array_equal(loss, exact)
            same(pull(grad), vjp(X, target, **more, **arguments)[1](grad))


def grads_of(arguments):
    return (None, G) if arguments.get("reduction") == "none" else (None, -2.0)


@pytest.mark.parametrize("arguments", GIVEN, ids=str)
@pytest.mark.parametrize("kind", [cs.CrossEntropyLoss, cs.OneFlowCrossEntropyLoss])
def test_cross_entropy(kind, arguments):
    wrts = [None, "input", *([("weight",), ("input", "weight")] if "weight" in arguments else [])]
    agree(kind(**arguments), cs.cross_entropy, arguments, Y, wrts, grads_of(arguments))


@pytest.mark.parametrize("kind", [cs.CrossEntropyLoss, cs.OneFlowCrossEntropyLoss])
def test_cross_entropy_of_probabilities(kind):
    arguments = {"weight": W, "label_smoothing": 0.25}
    wrts = [None, ("target",), ("weight", "target", "input")]
    agree(kind(**arguments), cs.cross_entropy, arguments, P, wrts, (None, -2.0))


def test_oneflow_documents_batched_input_in_every_form():
    module = cs.OneFlowCrossEntropyLoss()
    for form in (module, module.vjp, module.value_and_grad):
        with pytest.raises(TypeError, match="^input: got dtype int64"):
            form(X.astype(int), Y)
        with pytest.raises(ValueError, match=r"^input: got shape \(3,\), expected \(N, C\) or"):
            form(X[0], Y[0])


@pytest.mark.parametrize(
    "arguments",
    [{}, {"mult": 0.5, "ignore_index": 0, "reduction": "sum"}, {"reduction": "none"}],
    ids=str,
)
def test_unit_scaled(arguments):
    module = cs.UnitScaledCrossEntropyLoss(**arguments)
    agree(module, cs.unit_scaled_cross_entropy, arguments, Y, [None, "input"], grads_of(arguments))
    wrts = [None, ("target",), ("input", "target")]
    given = {name: arguments[name] for name in arguments if name != "ignore_index"}
    module = cs.UnitScaledCrossEntropyLoss(**given)
    agree(module, cs.unit_scaled_cross_entropy, given, P, wrts, grads_of(given))


@pytest.mark.parametrize(
    "arguments", [{"weight": W}, {"size_average": True}, {"reduce": True}, {"label_smoothing": 0.1}]
)
def test_unit_scaled_refuses_when_called(arguments):
    module = cs.UnitScaledCrossEntropyLoss(**arguments)
    with pytest.raises(ValueError, match="^(weight|size_average|reduce|label_smoothing): "):
        module(X, Y)


LINEAR = [
    {},
    {"weight": W, "ignore_index": 0, "reduction": "sum", "label_smoothing": 0.25},
    {"reduction": "none", "options": cs.LinearCrossEntropyOptions(batch_chunk_size=2)},
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("arguments", LINEAR, ids=str)
def test_linear(arguments, bias):
    features = np.array([[0.5, 1.0], [-1.0, 0.25], [2.0, -0.5]])
    module = cs.LinearCrossEntropyLoss(2, 3, bias=bias, dtype="float64", rng=1, **arguments)
    call = {"linear_bias": module.linear_bias, **arguments}
    matrix = module.linear_weight
    assert (module.linear_bias is None) is not bias
    exact = cs.linear_cross_entropy(features, matrix, Y, **call)
    np.testing.assert_array_equal(module(features, Y), exact)
    for wrt in (None, ("linear_weight",), ("input", "linear_weight")):
        for grad in grads_of(arguments):
            expected, grads = cs.linear_cross_entropy_value_and_grad(
                features, matrix, Y, grad_output=grad, wrt=wrt, **call
            )
            loss, found = module.value_and_grad(features, Y, grad, wrt)
            np.testing.assert_array_equal(loss, expected)
            same(found, grads)
            loss, pull = module.vjp(features, Y, wrt)
            np.testing.assert_array_equal(loss, expected)
            same(pull(grad), grads)


def test_the_linear_module_starts_as_torch_does():
    module = cs.LinearCrossEntropyLoss(4, 3, out_features=(5,), bias=True, rng=7)
    assert (module.linear_weight.shape, module.linear_bias.shape) == ((3, 5, 4), (3, 5))
    assert module.linear.weight.dtype == module.linear.bias.dtype == np.float32
    for array in (module.linear.weight, module.linear.bias):
        assert array.min() < -0.25
        assert array.max() > 0.25
        assert np.abs(array).max() <= 0.5
    again = cs.LinearCrossEntropyLoss(4, 3, out_features=[5], bias=True, rng=7, device="cpu")
    np.testing.assert_array_equal(again.linear_weight, module.linear_weight)
    np.testing.assert_array_equal(again.linear_bias, module.linear_bias)


@pytest.mark.parametrize(
    ("error", "given", "message"),
    [
        (TypeError, {"out_features": "5"}, "out_features: got '5', expected a tuple of integers"),
        (TypeError, {"out_features": 5}, "out_features: got 5, expected a tuple of integers"),
        (ValueError, {"out_features": (2, 0)}, "out_features: got 0, expected a positive integer"),
        (TypeError, {"out_features": (2.0,)}, "out_features: got 2.0, expected an integer"),
        (ValueError, {"device": "cuda"}, "device: got 'cuda', allowed are None and 'cpu'"),
        (ValueError, {"weight": W[:2]},
         "weight: got shape (2,), expected a 1D array of size C, (3,)"),
        (TypeError, {"options": {}}, "options: got {}, expected LinearCrossEntropyOptions or None"),
        (TypeError, {"ignore_index": 1.5}, "ignore_index: got 1.5, expected an integer"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_linear_module_refuses(error, given, message):
    with pytest.raises(error) as caught:
        cs.LinearCrossEntropyLoss(2, 3, **given)
    assert str(caught.value) == message


def test_parameters_are_set_in_their_logical_shape():
    module = cs.LinearCrossEntropyLoss(2, 3, out_features=(4,), bias=True)
    weight, bias = np.arange(24.0).reshape(3, 4, 2), np.arange(12.0).reshape(3, 4)
    module.linear_weight, module.linear_bias = weight, bias
    np.testing.assert_array_equal(module.linear_weight, weight)
    np.testing.assert_array_equal(module.linear_bias, bias)
    assert (module.linear.weight.shape, module.linear.bias.shape) == ((12, 2), (12,))
    with pytest.raises(
        ValueError, match=r"^linear_weight: got shape \(12, 2\), expected \(3, 4, 2\)"
    ):
        module.linear_weight = weight.reshape(12, 2)
    with pytest.raises(ValueError, match=r"^linear_bias: got shape \(12,\), expected \(3, 4\)"):
        module.linear_bias = bias.reshape(12)
    with pytest.raises(TypeError, match="^linear_weight: got dtype int64"):
        module.linear_weight = weight.astype(int)
    with pytest.raises(TypeError, match="^linear_bias: got dtype int64"):
        module.linear_bias = bias.astype(int)
    module.linear_bias = None
    assert module.linear_bias is None


def test_the_weight_of_a_module_is_checked_when_it_is_made():
    with pytest.raises(TypeError, match="^weight: got dtype int64"):
        cs.CrossEntropyLoss(weight=[1, 2, 3])
    assert cs.CrossEntropyLoss(weight=W).weight is W
