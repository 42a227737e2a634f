"""The library's GPU calls with kernels as they are compiled, on the machine that runs PTX."""

import os

import numpy as np
import pytest

import crossent_spec
from conformance import worker
from conformance.case import Case
from conformance.strength.measure import prepared
from conformance.verdict import judge
from tests.crossent_spec.extremes import both, nearly_certain, with_a_weight

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    pytest.skip("there is nothing compiled in the simulator", allow_module_level=True)

from conformance.gpu.arena import FaultError
from conformance.gpu.emulated import on_the_machine
from crossent_spec.cuda import directions, engine, memory, moving, rows
from crossent_spec.cuda.geometry import Shape


@pytest.fixture
def launched():
    """Names of the kernels that the machine has run."""
    names = []
    with on_the_machine(names.append):
        yield names


@pytest.mark.parametrize(
    "case",
    [
        "ce/index/3x37/f16/none,logits=target,grad=mixed",
        "ce/index/3x300/bf16/default,ignored=some",
        "ce/index/3x37/f64/default,weight=mixed,smoothing=0.1",
        "ce/index/2x5x3x2/f32/default,ignored=some,weight=mixed",
        "ce/prob/3x36/f32/default,weight=mixed,smoothing=0.3",
        "ce/prob/2x40x3/bf16/default",
        "ce/index/2x1100/f32/default,smoothing=0.1",
        # A block, and read twice: more than the simulator does.
        "ce/index/2x8193/f32/sum,logits=edge",
        "ce/index/2x40000/f32/mean,logits=edge",
        "ce/prob/1x4099/f64/mean",
        "unit/index/3x37/f32/default,mult=0.5",
        "linear/index/5x3-4/f32/default,bias=yes,weight=mixed,ignored=some",
        "linear/index/6x5-4/f16/none,grad=mixed,options=chunk2",
    ],
)
def test_cases_of_every_kind(launched, case):
    from conformance.adapters.embedded_cuda import Adapter

    request, message, expected = prepared(Case.parse(case))
    result = judge(request, expected, worker.answer(Adapter(), message))
    assert (result.verdict, result.message) == ("pass", "")
    assert "sample_rows" in launched


@pytest.mark.parametrize(
    "shape",
    [Shape(1, 1, 1, 8, False, True), Shape(16, 4, 4, 1, True, True), Shape(64, 1, 1, 1, True, True),
     Shape(8, 1, 1, 2, False, True)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("probabilities", [False, True])
def test_the_gradient_may_take_the_logits_place(monkeypatch, launched, shape, probabilities):
    monkeypatch.setattr(engine, "choose", lambda layout: shape)  # noqa: ARG005
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5, 60)).astype(np.float32)
    y = rng.integers(0, 60, 5)
    target = np.eye(60, dtype=np.float32)[y] if probabilities else y
    placed, targets = memory.to_device(x), memory.to_device(target)
    crossent_spec.cross_entropy_value_and_grad(placed, targets, out=placed)
    wanted = crossent_spec.cross_entropy_value_and_grad(x, target)[1].input
    np.testing.assert_allclose(placed.copy_to_host(), wanted, rtol=1e-5, atol=1e-8)
    assert "sample_rows" in launched


def in_place(x, y):
    crossent_spec.cross_entropy_value_and_grad(x, y, out=x)


def of_the_linear_loss(x, y):
    weight = memory.to_device(np.eye(20, dtype=np.float32))
    crossent_spec.linear_cross_entropy_hvp(x, weight, y, crossent_spec.Gradients(input=x))


@pytest.mark.parametrize(
    ("kernels", "caller", "name", "call"),
    [(rows, engine, "rows", in_place), (directions, moving, "along", of_the_linear_loss)],
)
def test_without_a_barrier_of_lanes_it_might_not(
    monkeypatch, launched, kernels, caller, name, call
):
    # Compiled anew, as of a warp of one lane, which waits for nobody.
    monkeypatch.setattr(kernels, "WARP", 1)
    monkeypatch.setattr(caller, name, getattr(kernels, name).__wrapped__)
    x = np.random.default_rng(2).normal(size=(3, 20)).astype(np.float32)
    placed, y = memory.to_device(x), memory.to_device(np.array([3, 4, 5]))
    with pytest.raises(FaultError, match="stores where another thread reads"):
        call(placed, y)
    assert launched


@pytest.mark.parametrize(("name", "layout", "classes"), [("f4", "C", 40), ("f2", "F", 40)])
@pytest.mark.parametrize("mode", ["plain", "probabilities"])
def test_infinite_gradients_of_the_loss(launched, name, layout, classes, mode):
    arrays, arguments = nearly_certain((8, classes), name, 200.0, layout, mode)
    g = np.where(np.arange(8) % 2, -np.inf, np.inf)
    found, wanted = both(arrays, reduction="none", grad_output=g, **arguments)
    np.testing.assert_array_equal(found[1].input, wanted[1].input)
    assert launched[-1] == "steep_rows"


def test_an_infinite_weight(launched):
    found, wanted = both(with_a_weight(40, "f4", "C", 2.0, np.inf), reduction="none")
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
    np.testing.assert_allclose(found[1].input, wanted[1].input, rtol=1e-4, atol=1e-6)
    assert launched[-1] == "steep_rows"


def test_derivatives_along_a_direction(launched):
    rng = np.random.default_rng(8)
    x, v = rng.normal(size=(2, 3, 70)).astype(np.float32)
    y = rng.integers(0, 70, 3)
    for function in (crossent_spec.cross_entropy_jvp, crossent_spec.cross_entropy_hvp):
        found, wanted = (function(x, y, v, backend=backend) for backend in ("cuda", "cpu"))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
    assert "samples_along" in launched


def test_memory_is_given_back():
    x, y = np.zeros((3, 20), np.float32), np.zeros(3, int)
    with on_the_machine() as machine:
        crossent_spec.cross_entropy_value_and_grad(x, y, backend="cuda")
        assert machine.used == 0
        kept = memory.to_device(x)
        assert machine.used == kept.size * 4
