"""The other adapters, driven directly, against what they drive."""

import numpy as np
import pytest
import torch
import unit_scaling.functional as U  # noqa: N812

from conformance.protocol import Unsupported
from tests.conformance.adapter_calls import (
    CE,
    LINEAR,
    ONEFLOW,
    UNIT,
    adapter,
    array,
    ce_call,
    linear_call,
    logits,
    values,
)

# unit-scaling --------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_unit_scaling_gives_what_it_gives(reduction):
    call = ce_call(arguments={"reduction": reduction, "mult": 2.0}, system=UNIT)
    subject = adapter("unit_scaling")
    loss, state = subject.forward(call)
    grads = subject.backward(state, None, retain=False)
    x = torch.tensor(call.arrays["input"].data, requires_grad=True)
    expected = U.cross_entropy(x, torch.tensor([0, 4, 2, 1]), reduction=reduction, mult=2.0)
    expected.backward()
    assert loss.data == expected.item()
    np.testing.assert_array_equal(grads["input"].data, x.grad.numpy())


# embedded ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["function", "module"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_embedded_agrees_with_torch(form, dtype):
    call = ce_call(
        form,
        {"label_smoothing": 0.25},
        input=logits(4, 5, dtype=dtype),
        weight=array([0.5, 1, 2, 4, 0.25], dtype),
    )
    results = []
    for name in ("embedded", "torch"):
        subject = adapter(name)
        loss, state = subject.forward(call)
        grads = subject.backward(state, None, retain=False)
        assert loss.dtype == grads["input"].dtype == dtype
        results.append((values(loss), values(grads["input"])))
    rtol = 2e-2 if dtype == "bfloat16" else 1e-5
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("out", [(), (4, 3)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", ["function", "module"])
def test_embedded_linear_agrees_with_torch(form, bias, out):
    arrays = {"linear_bias": logits(5, *out, seed=3)} if bias else {}
    wrt = ["input", "linear_weight", *arrays]
    call = linear_call(form, out, {}, wrt, **arrays)
    ours, theirs = adapter("embedded"), adapter("torch_linear")
    loss, state = ours.forward(call)
    expected, expected_state = theirs.forward(call)
    np.testing.assert_allclose(loss.data, expected.data, rtol=1e-5)
    grads = ours.backward(state, None, False)
    for name, grad in theirs.backward(expected_state, None, False).items():
        np.testing.assert_allclose(grads[name].data, grad.data, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", ["function", "module"])
def test_embedded_follows_the_rule_of_chunked_options(form):
    subject = adapter("embedded")
    options = {"batch_chunk_size": 2, "acc_dtype": "float32"}
    _, state = subject.forward(linear_call(form, arguments={"options": options}))
    subject.backward(state, None, retain=True)
    with pytest.raises(RuntimeError):
        subject.backward(state, None, retain=False)


@pytest.mark.parametrize("form", ["function", "module"])
def test_embedded_drives_the_unit_scaled_loss(form):
    call = ce_call(form, {"mult": 0.5}, system=UNIT)
    loss, state = adapter("embedded").forward(call)
    expected, expected_state = adapter("unit_scaling").forward(call)
    np.testing.assert_allclose(loss.data, expected.data, rtol=1e-6)
    np.testing.assert_allclose(
        adapter("embedded").backward(state, None, False)["input"].data,
        adapter("unit_scaling").backward(expected_state, None, False)["input"].data,
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("form", ["function", "module"])
def test_embedded_drives_oneflow_s_class(form):
    call = ce_call(form, {"ignore_index": 4}, system=ONEFLOW, target=array([0, 4, 2, 1], "int32"))
    loss, _ = adapter("embedded").forward(call)
    expected, _ = adapter("torch").forward(ce_call(arguments={"ignore_index": 4}))
    np.testing.assert_allclose(loss.data, expected.data, rtol=1e-6)


def test_embedded_says_that_it_takes_any_integer_dtype():
    indices = array([0, 4, 2, 1], "int32")
    with pytest.raises(Unsupported, match="int32"):
        adapter("embedded").forward(ce_call(target=indices))
    with pytest.raises(Unsupported, match="uint8"):
        adapter("embedded").forward(linear_call(target=array([0] * 6, "uint8")))
    # No page asks for long here.
    adapter("embedded").forward(ce_call(target=indices, system=UNIT))
    # Probabilities of an integer dtype are refused by the library itself.
    with pytest.raises((TypeError, ValueError)):
        adapter("embedded").forward(ce_call(target=array(np.eye(4, 5), "int32")))


# all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "systems"),
    [
        ("torch", [CE]),
        ("torch_linear", [LINEAR]),
        ("unit_scaling", [UNIT]),
        ("embedded", [CE, LINEAR, ONEFLOW, UNIT]),
    ],
)
def test_adapters_describe_themselves(name, systems):
    told = adapter(name).describe()
    assert told["name"] == name.replace("_", "-")
    assert told["systems"] == systems
    assert told["versions"]["numpy"] == np.__version__
    assert all(isinstance(version, str) for version in told["versions"].values())


@pytest.mark.parametrize("name", ["torch", "torch_linear", "unit_scaling", "embedded"])
def test_adapters_refuse_what_they_do_not_drive(name):
    with pytest.raises(Unsupported):
        adapter(name).forward(ce_call(system="somebody.CrossEntropyLoss"))
