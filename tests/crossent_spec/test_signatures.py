"""The documented defaults, of every form of each loss; and what unit scaling refuses."""

import inspect

import numpy as np
import pytest

import crossent_spec as cs

EMPTY = inspect.Parameter.empty
COMMON = {
    "weight": None,
    "size_average": None,
    "ignore_index": -100,
    "reduce": None,
    "reduction": "mean",
    "label_smoothing": 0.0,
}
LINEAR = {
    "linear_bias": None,
    "weight": None,
    "reduction": "mean",
    "ignore_index": None,
    "label_smoothing": 0.0,
    "options": None,
}
#: Arguments that no page speaks of.
OWN = {"grad_output": None, "out": None, "backend": None, "stream": None}
X, Y = np.array([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5]]), np.array([2, 0])


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not EMPTY}


@pytest.mark.parametrize("form", ["", "_vjp", "_jvp", "_hvp", "_value_and_grad"])
@pytest.mark.parametrize(
    ("family", "documented", "wrt"),
    [
        ("cross_entropy", COMMON, ("input",)),
        ("unit_scaled_cross_entropy", {**COMMON, "mult": 1.0}, ("input",)),
        ("linear_cross_entropy", LINEAR, None),
    ],
)
def test_functions(family, documented, wrt, form):
    function = getattr(cs, family + form, None)
    if function is None:
        assert (family, form[1:]) in {(family, "jvp"), (family, "hvp")}
        assert family == "unit_scaled_cross_entropy"
        return
    found = defaults(function)
    if form in ("_jvp", "_hvp"):  # the deprecated pair has no second-order form
        found |= {name: None for name in ("size_average", "reduce") if name in documented}
    own = {name: found.pop(name) for name in [*OWN, "wrt"] if name in found}
    assert found == documented
    assert own == {name: {**OWN, "wrt": wrt}[name] for name in own}


@pytest.mark.parametrize(
    ("module", "documented"),
    [
        (cs.CrossEntropyLoss, COMMON),
        (cs.UnitScaledCrossEntropyLoss, {**COMMON, "mult": 1.0}),
        (cs.OneFlowCrossEntropyLoss,
         {name: COMMON[name] for name in COMMON if name not in ("size_average", "reduce")}),
        (cs.LinearCrossEntropyLoss,
         {**{name: LINEAR[name] for name in LINEAR if name != "linear_bias"},
          "out_features": (), "bias": False, "device": None, "dtype": None, "rng": None}),
    ],
)  # fmt: skip
def test_modules(module, documented):
    assert defaults(module) == documented


@pytest.mark.parametrize(
    ("error", "given", "message"),
    [
        (ValueError, {"weight": np.ones(3)},
         "weight: not supported by unit-scaling, only None is allowed"),
        (ValueError, {"size_average": False},
         "size_average: not supported by unit-scaling, only None is allowed"),
        (ValueError, {"reduce": True},
         "reduce: not supported by unit-scaling, only None is allowed"),
        (ValueError, {"label_smoothing": 0.1},
         "label_smoothing: got 0.1, not supported by unit-scaling, only 0.0 is allowed"),
        (TypeError, {"mult": True}, "mult: got True, expected a finite real number"),
        (TypeError, {"mult": "2"}, "mult: got '2', expected a finite real number"),
        (TypeError, {"mult": None}, "mult: got None, expected a finite real number"),
        (ValueError, {"mult": np.inf}, "mult: got inf, expected a finite real number"),
    ],
    ids=str,
)  # fmt: skip
def test_what_unit_scaling_refuses(error, given, message):
    for form in (
        cs.unit_scaled_cross_entropy,
        cs.unit_scaled_cross_entropy_vjp,
        cs.unit_scaled_cross_entropy_value_and_grad,
    ):
        with pytest.raises(error) as caught:
            form(X, Y, **given)
        assert str(caught.value) == message


def test_the_gradient_of_the_unit_scaled_loss_is_that_of_the_gradient_given():
    for grad_output in (1.0, -2.5):
        _, grads = cs.unit_scaled_cross_entropy_value_and_grad(X, Y, grad_output=grad_output)
        _, vjp = cs.unit_scaled_cross_entropy_vjp(X, Y)
        np.testing.assert_array_equal(grads.input, vjp(grad_output).input)
    _, one = cs.unit_scaled_cross_entropy_value_and_grad(X, Y)
    np.testing.assert_allclose(grads.input, -2.5 * one.input, rtol=1e-14)
