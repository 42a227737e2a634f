"""Gradients that are infinite or huge, and infinite weights: what the CPU gives."""

import numpy as np
import pytest

import crossent_spec
from crossent_spec.cuda import engine, steep
from crossent_spec.cuda.rows import Plan
from tests.crossent_spec.extremes import MODES, both, nearly_certain, with_a_weight

#: As the CPU's tests have them: what is beside the target is nothing in the arithmetic.
FAR = [("f4", 200.0), ("f8", 900.0)]


@pytest.mark.parametrize(("name", "gap"), FAR)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("classes", "layout"), [(2, "C"), (20, "F")])
def test_infinity_times_a_probability_is_infinite_however_little_that_is(
    name, gap, layout, classes, mode
):
    arrays, arguments = nearly_certain((8, classes), name, gap, layout, mode)
    g = np.where(np.arange(8) % 2, -np.inf, np.inf)
    found, wanted = both(arrays, reduction="none", grad_output=g, **arguments)
    assert np.isinf(wanted[1].input.astype(float)).any()
    np.testing.assert_array_equal(found[1].input, wanted[1].input)
    # A number is one for all, and known before anything runs.
    found, wanted = both(arrays, reduction="sum", grad_output=np.inf, **arguments)
    np.testing.assert_array_equal(found[1].input, wanted[1].input)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("classes", "layout"), [(4, "F"), (40, "C")])
def test_a_probability_too_little_for_float32_counts_beside_a_huge_gradient(layout, classes, mode):
    arrays, arguments = nearly_certain((4, classes), "f4", 110.0, layout, mode)
    found, wanted = both(arrays, reduction="sum", grad_output=3e38, **arguments)
    assert np.count_nonzero(wanted[1].input) > wanted[1].input.size // 4
    np.testing.assert_allclose(found[1].input, wanted[1].input, rtol=3e-7)


@pytest.mark.parametrize(("name", "layout"), [("f4", "C"), ("f8", "F")])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("peak", [0.0, 20.0])
def test_an_infinite_weight(name, layout, smoothing, peak):
    arrays = with_a_weight(40, name, layout, peak, np.inf)
    for reduction in ("none", "mean"):
        found, wanted = both(arrays, reduction=reduction, label_smoothing=smoothing)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
        np.testing.assert_allclose(found[1].input, wanted[1].input, rtol=1e-4, atol=1e-6)


def test_beside_the_gradient_of_probabilities_and_in_place():
    (x, target, _), _ = nearly_certain((8, 40), "f4", 200.0, "C", "probabilities")
    asked = {"reduction": "sum", "grad_output": np.float32(np.inf), "wrt": ("input", "target")}
    wanted = crossent_spec.cross_entropy_value_and_grad(x, target, **asked)[1]
    found = crossent_spec.cross_entropy_value_and_grad(x, target, **asked, out=x, backend="cuda")[1]
    assert found.input is x
    np.testing.assert_array_equal(x, wanted.input)
    np.testing.assert_array_equal(found.target, wanted.target)


@pytest.mark.parametrize(
    ("arguments", "watched"),
    [
        ({}, False),
        ({"grad_output": 2.0**31}, False),
        ({"grad_output": -(2.0**32)}, True),
        ({"grad_output": np.nan}, True),
        ({"reduction": "none"}, False),
        ({"reduction": "none", "grad_output": np.ones(3)}, True),
        ({"weight": np.ones(5)}, True),
        ({"label_smoothing": 0.1}, False),
        ({"wrt": "weight", "weight": np.ones(5)}, False),
    ],
)
def test_who_knows_that_nothing_is_steep_runs_nothing_for_it(monkeypatch, arguments, watched):
    plans, launched = [], []
    rows = engine.rows
    monkeypatch.setattr(engine, "rows", lambda plan: plans.append(plan) or rows(plan))
    of_steep = steep.steep
    monkeypatch.setattr(steep, "steep", lambda plan: launched.append(plan) or of_steep(plan))
    crossent_spec.cross_entropy_value_and_grad(
        np.zeros((3, 5)), np.arange(3), **arguments, backend="cuda"
    )
    (plan,) = plans
    assert isinstance(plan, Plan)
    assert plan.watch is watched
    assert len(launched) == watched
