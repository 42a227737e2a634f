"""The adapter of OneFlow, which is not installed here, on a stand-in with its API: torch."""

import importlib.util
import sys
import types
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

import conformance
from conformance import repro
from conformance.case import Case
from conformance.expect import expect
from conformance.protocol import Array, Call, Unsupported
from conformance.request import build

PATH = Path(conformance.__file__).parent / "adapters" / "oneflow.py"
SYSTEM = "oneflow.nn.CrossEntropyLoss"


class WithoutHalf(torch.nn.CrossEntropyLoss):
    """Refuses 16-bit input as OneFlow's CPU build does."""

    def forward(self, input, target):
        if input.dtype in (torch.float16, torch.bfloat16):
            raise RuntimeError("Cannot find the kernel matching Current OperatorConf.")
        return super().forward(input, target)


def stand_in(loss):
    flow = types.ModuleType("oneflow")
    flow.__version__ = "0"
    flow.from_numpy, flow.float32, flow.bfloat16 = torch.from_numpy, torch.float32, torch.bfloat16
    flow.nn = types.SimpleNamespace(CrossEntropyLoss=loss)
    return flow


@pytest.fixture
def load(monkeypatch):
    def load(loss=torch.nn.CrossEntropyLoss):
        monkeypatch.setitem(sys.modules, "oneflow", stand_in(loss))
        spec = importlib.util.spec_from_file_location("oneflow_adapter_under_test", PATH)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.Adapter()

    return load


def call(text):
    request = build(Case.parse(text))
    return request.call(request.steps[0])


def script(adapter, text):
    case = Case.parse(text)
    request = build(case)
    return repro.compose(case, request, expect(case, request), adapter, "oneflow")


def float64(array):
    data = array.data.view(ml_dtypes.bfloat16) if array.dtype == "bfloat16" else array.data
    return data.astype(np.float64)


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
@pytest.mark.parametrize("layout", ["c", "transposed", "reversed", "strided"])
def test_it_gives_what_the_class_gives(load, dtype, layout):
    given = call(f"oneflow/index/3x4/{dtype}/mean,weight=mixed,smoothing=0.25,layout={layout}")
    loss, state = load().forward(given)
    gradient = load().backward(state, None, retain=False)["input"]
    assert loss.dtype == gradient.dtype == given.arrays["input"].dtype
    input = torch.tensor(float64(given.arrays["input"]), requires_grad=True)
    weight = torch.tensor(float64(given.arrays["weight"]))
    module = torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=0.25)
    expected = module(input, torch.tensor(given.arrays["target"].data))
    expected.backward()
    tolerance = {"f16": 4e-3, "bf16": 3e-2, "f32": 1e-5, "f64": 1e-12}[dtype]
    np.testing.assert_allclose(float64(loss), expected.item(), rtol=tolerance)
    np.testing.assert_allclose(float64(gradient), input.grad, rtol=tolerance, atol=tolerance)


def test_a_second_backward_pass_starts_anew(load):
    subject = load()
    _, state = subject.forward(call("oneflow/index/3x4/f32/none,grad=ones"))
    given = Array(np.array([1, -2, 3], np.float32), "float32")
    first = subject.backward(state, given, retain=True)["input"].data.copy()
    np.testing.assert_array_equal(subject.backward(state, given, retain=False)["input"].data, first)
    with pytest.raises(RuntimeError, match="second time"):
        subject.backward(state, given, retain=False)


def test_the_callers_memory_is_used(load):
    given = call("oneflow/index/3x4/f32/mean,layout=strided")
    _, state = load().forward(given)
    address = given.arrays["input"].data.__array_interface__["data"][0]
    assert state.leaves["input"].data_ptr() == address


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_what_has_no_kernel_in_16_bits_is_unsupported(load, dtype):
    with pytest.raises(Unsupported, match=r"float16"):
        load(WithoutHalf).forward(call(f"oneflow/index/3x4/{dtype}/mean"))
    load(WithoutHalf).forward(call("oneflow/index/3x4/f32/mean"))


def test_what_it_refuses_otherwise_comes_through(load):
    with pytest.raises(ValueError, match="median"):
        load().forward(
            call("oneflow/index/3x4/f16/mean")._replace(arguments={"reduction": "median"})
        )
    with pytest.raises(IndexError):
        load().forward(call("oneflow/index/3x4/f32/mean,bad=target-too-large"))
    with pytest.raises(Unsupported, match="does not drive"):
        load().forward(Call("somebody.CrossEntropyLoss", "function", {}, {}, []))


@pytest.mark.parametrize(
    "text",
    [
        "oneflow/index/3x4/f32/mean,weight=mixed,ignored=some,layout=reversed",
        "oneflow/prob/3x4x2/f64/none,grad=mixed,script=twice,smoothing=0.5",
        "oneflow/index/3x4/f32/sum,script=stale",
    ],
)
def test_its_scripts_show_what_it_shows(load, capsys, text):
    exec(compile(script(load(), text), text, "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("loss")
    errors = [float(line.split(", ")[1].split()[0]) for line in lines if "allowed error" in line]
    assert len(errors) == len([line for line in lines if ": got" in line]) > 1
    assert max(errors) < 1


def test_a_smoothing_of_nan_is_a_number_in_a_script(load):
    text = "oneflow/index/3x4/f32/mean,bad=smoothing-nan"
    assert "label_smoothing=float('nan')" in script(load(), text)
