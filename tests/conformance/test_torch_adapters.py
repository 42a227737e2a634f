"""The adapters of PyTorch, driven directly, against PyTorch."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from conformance.protocol import Array, Unsupported
from tests.conformance.adapter_calls import (
    adapter,
    array,
    ce_call,
    linear_call,
    load,
    logits,
    probabilities,
    values,
)

# torch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["function", "module"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_torch_gives_what_torch_gives(form, dtype, reduction):
    call = ce_call(
        form,
        {"reduction": reduction, "ignore_index": 2, "label_smoothing": 0.25},
        input=logits(4, 5, dtype=dtype),
        weight=array([0.5, 1, 2, 4, 0.25], dtype),
    )
    subject = adapter("torch")
    loss, state = subject.forward(call)
    shape = (4,) if reduction == "none" else ()
    given = logits(*shape, dtype=dtype, seed=3)
    grads = subject.backward(state, given, retain=False)

    kind = getattr(torch, dtype)
    x = torch.tensor(values(call.arrays["input"]), dtype=kind, requires_grad=True)
    w = torch.tensor([0.5, 1, 2, 4, 0.25], dtype=kind)
    expected = F.cross_entropy(
        x, torch.tensor([0, 4, 2, 1]), w, ignore_index=2, reduction=reduction, label_smoothing=0.25
    )
    expected.backward(torch.tensor(values(given), dtype=kind))
    assert loss.dtype == grads["input"].dtype == dtype
    assert loss.data.shape == shape
    np.testing.assert_array_equal(values(loss), expected.detach().double().numpy())
    np.testing.assert_array_equal(values(grads["input"]), x.grad.double().numpy())


def test_torch_leaves_to_torch_what_the_caller_left_out():
    subject = adapter("torch")
    loss, state = subject.forward(ce_call())
    grads = subject.backward(state, None, retain=False)
    x = torch.tensor(ce_call().arrays["input"].data, requires_grad=True)
    expected = F.cross_entropy(x, torch.tensor([0, 4, 2, 1]))
    expected.backward()
    assert loss.data == expected.item()
    np.testing.assert_array_equal(grads["input"].data, x.grad.numpy())


@pytest.mark.parametrize("form", ["function", "module"])
def test_torch_differentiates_every_array_that_it_is_asked_for(form):
    call = ce_call(
        form,
        target=probabilities(4, 5),
        weight=array([0.5, 1, 2, 4, 0.25], "float32"),
        wrt=["input", "target", "weight"],
    )
    subject = adapter("torch")
    grads = subject.backward(subject.forward(call)[1], None, retain=False)
    assert {name: grad.data.shape for name, grad in grads.items()} == {
        "input": (4, 5),
        "target": (4, 5),
        "weight": (5,),
    }
    leaves = [torch.tensor(call.arrays[name].data, requires_grad=True) for name in grads]
    F.cross_entropy(leaves[0], leaves[1], leaves[2]).backward()
    for leaf, grad in zip(leaves, grads.values(), strict=True):
        np.testing.assert_array_equal(grad.data, leaf.grad.numpy())


@pytest.mark.parametrize("form", ["function", "module"])
def test_torch_passes_the_deprecated_pair_and_stays_quiet(form):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loss, _ = adapter("torch").forward(ce_call(form, {"size_average": False, "reduce": True}))
    assert not caught
    assert loss.data == pytest.approx(4 * adapter("torch").forward(ce_call())[0].data, rel=1e-6)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"target": array([0, 4, 2, 1], "uint8")}, "no target in uint8"),
        ({"target": array([0, 4, 2, 1], "int32")}, "no target in int32"),
        ({"weight": array([1, 1, 1, 1, 1], "int64")}, "no weight in int64"),
    ],
)
def test_torch_1_is_not_judged_by_what_only_the_page_of_torch_2_says(monkeypatch, arrays, told):
    monkeypatch.setattr(torch, "__version__", "1.13.1")
    with pytest.raises(Unsupported, match=told):
        adapter("torch").forward(ce_call(**arrays))


def test_torch_1_is_judged_by_its_own_page(monkeypatch):
    weight = array([1, 2, 1, 2, 1], "float32")
    for target in (array([0, 4, 2, 1]), probabilities(4, 5)):
        call = ce_call(target=target, weight=weight)
        expected = adapter("torch").forward(call)[0].data
        with monkeypatch.context() as older:
            older.setattr(torch, "__version__", "1.13.1")
            assert adapter("torch").forward(call)[0].data == expected


@pytest.mark.parametrize(
    ("kind", "error"), [("Half", Unsupported), ("Byte", RuntimeError), ("Float", RuntimeError)]
)
def test_a_float16_that_torch_does_not_have_is_unsupported(monkeypatch, kind, error):
    def refuse(*_, **__):
        raise RuntimeError(f"\"log_softmax_lastdim_kernel_impl\" not implemented for '{kind}'")

    monkeypatch.setattr(F, "cross_entropy", refuse)
    with pytest.raises(error, match="not implemented for"):
        adapter("torch").forward(ce_call(input=logits(4, 5, dtype="float16")))


def layouts(dtype):
    """Return views with shape (4, 5), by the name of their layout."""
    storage = "uint16" if dtype == "bfloat16" else dtype
    base = np.arange(100).astype(storage)
    readonly = base[:20].reshape(4, 5)
    readonly.flags.writeable = False
    return {
        "c": base[:20].reshape(4, 5),
        "transposed": base[:20].reshape(5, 4).T,
        "strided": base[:80].reshape(8, 10)[::2, ::2],
        "offset": base[7:27].reshape(4, 5),
        "broadcast": np.lib.stride_tricks.as_strided(base, (4, 5), (0, base.itemsize)),
        "readonly": readonly,
        "scalar": base[3:4].reshape(()),
        "empty": base[:0].reshape(0, 5),
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64"])
@pytest.mark.parametrize("layout", layouts("float32"))
def test_a_tensor_shares_the_callers_memory(dtype, layout):
    view = layouts(dtype)[layout]
    with warnings.catch_warnings():
        # torch warns of a read-only array.
        warnings.simplefilter("ignore", UserWarning)
        tensor = load("_torch").to_tensor(Array(view, dtype))
    assert tensor.dtype == getattr(torch, dtype)
    assert tuple(tensor.shape) == view.shape
    if view.size:
        assert tensor.data_ptr() == view.__array_interface__["data"][0]
        assert [step * view.itemsize for step in tensor.stride()] == list(view.strides)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_only_negative_strides_are_copied(dtype):
    view = layouts(dtype)["c"][::-1, ::-1]
    tensor = load("_torch").to_tensor(Array(view, dtype))
    back = load("_torch").to_array(tensor)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.data, view)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "int32", "uint8", "uint64"])
def test_other_target_dtypes_reach_torch_as_they_are(dtype):
    assert load("_torch").to_tensor(array([0, 1], dtype)).dtype == getattr(torch, dtype)


@pytest.mark.parametrize("layout", ["transposed", "strided", "offset", "broadcast", "readonly"])
def test_leaves_of_any_layout_get_their_gradient(layout):
    view = (layouts("float32")[layout] / np.float32(64)).copy()
    strided = layouts("float32")[layout]
    subject = adapter("torch")
    plain = subject.backward(
        subject.forward(ce_call(input=Array(view * 64, "float32")))[1], None, False
    )
    _, state = subject.forward(ce_call(input=Array(strided, "float32")))
    assert state.leaves["input"].data_ptr() == strided.__array_interface__["data"][0]
    np.testing.assert_allclose(
        subject.backward(state, None, False)["input"].data, plain["input"].data, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "arrays", "error"),
    [
        ({"reduction": "median"}, {}, ValueError),
        ({"label_smoothing": 1.5}, {}, RuntimeError),
        ({}, {"target": array([0, 5, 0, 0])}, IndexError),
        ({}, {"weight": array([1.0, 2.0], "float32")}, RuntimeError),
    ],
)
@pytest.mark.parametrize("form", ["function", "module"])
def test_what_torch_raises_comes_through(form, arguments, arrays, error):
    with pytest.raises(error):
        adapter("torch").forward(ce_call(form, arguments, **arrays))


def test_nan_is_written_as_text():
    assert math.isnan(load("_torch").to_arguments({"label_smoothing": "nan"})["label_smoothing"])


def test_torch_second_backward_needs_retain():
    subject = adapter("torch")
    call = ce_call(arguments={"reduction": "none"})
    given = array([1, -2, 3, -4], "float32")
    _, state = subject.forward(call)
    first = subject.backward(state, given, retain=True)["input"].data.copy()
    np.testing.assert_array_equal(subject.backward(state, given, retain=False)["input"].data, first)
    with pytest.raises(RuntimeError, match="second time"):
        subject.backward(state, given, retain=False)


def test_two_forward_calls_have_graphs_of_their_own():
    subject = adapter("torch")
    other = ce_call(input=logits(4, 5, seed=9))
    _, first = subject.forward(ce_call())
    subject.forward(other)
    _, again = subject.forward(ce_call())
    np.testing.assert_array_equal(
        subject.backward(first, None, False)["input"].data,
        subject.backward(again, None, False)["input"].data,
    )


def test_a_missing_gradient_is_said():
    torch_state = load("_torch").State
    leaf = torch.zeros(2, requires_grad=True)
    unused = torch.zeros(3, requires_grad=True)
    state = torch_state(
        leaf.sum(), {"input": leaf, "weight": unused}, {"input": (2,), "weight": (3,)}
    )
    with pytest.raises(RuntimeError, match=r"no gradient.*weight"):
        adapter("torch").backward(state, None, False)


# torch-linear --------------------------------------------------------------------------------


@pytest.mark.parametrize("out", [(), (2,), (4, 3)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", ["function", "module"])
def test_linear_gives_what_torch_gives(form, bias, out):
    arrays = {"linear_bias": logits(5, *out, seed=3)} if bias else {}
    wrt = ["input", "linear_weight", *arrays]
    call = linear_call(form, out, {"reduction": "sum"}, wrt, **arrays)
    subject = adapter("torch_linear")
    loss, state = subject.forward(call)
    grads = subject.backward(state, None, retain=False)

    leaves = {name: torch.tensor(call.arrays[name].data, requires_grad=True) for name in wrt}
    expected = F.linear_cross_entropy(
        leaves["input"],
        leaves["linear_weight"],
        torch.tensor(call.arrays["target"].data),
        linear_bias=leaves.get("linear_bias"),
        reduction="sum",
    )
    expected.backward()
    assert loss.data == expected.item()
    for name, leaf in leaves.items():
        assert grads[name].data.shape == call.arrays[name].data.shape
        np.testing.assert_array_equal(grads[name].data, leaf.grad.numpy())


def test_module_parameters_share_the_callers_memory():
    call = linear_call(
        "module", (2,), wrt=["linear_weight", "linear_bias"], linear_bias=logits(5, 2)
    )
    _, state = adapter("torch_linear").forward(call)
    for name, leaf in state.leaves.items():
        assert leaf.data_ptr() == call.arrays[name].data.__array_interface__["data"][0]
    assert tuple(state.leaves["linear_weight"].shape) == (10, 3)
    assert tuple(state.leaves["linear_bias"].shape) == (10,)


@pytest.mark.parametrize("form", ["function", "module"])
@pytest.mark.parametrize("options", [{}, {"batch_chunk_size": 2, "chunking_method": None}])
def test_chunked_backward_consumes_its_gradients(form, options):
    subject = adapter("torch_linear")
    _, state = subject.forward(linear_call(form, arguments={"options": options}))
    subject.backward(state, None, retain=True)
    with pytest.raises(RuntimeError):
        subject.backward(state, None, retain=False)


@pytest.mark.parametrize("form", ["function", "module"])
def test_chunked_backward_twice_with_allow_retain_graph(form):
    subject = adapter("torch_linear")
    options = {"batch_chunk_size": 4, "acc_policy": "balanced", "allow_retain_graph": True}
    _, state = subject.forward(linear_call(form, arguments={"options": options}))
    first = subject.backward(state, None, retain=True)["linear_weight"].data.copy()
    second = subject.backward(state, None, retain=False)["linear_weight"].data
    np.testing.assert_array_equal(first, second)


def test_acc_dtype_becomes_a_torch_dtype():
    options = load("_torch").to_arguments({"options": {"acc_dtype": "float32"}})["options"]
    assert options == torch.nn.LinearCrossEntropyOptions(acc_dtype=torch.float32)
    with pytest.raises(ValueError, match="acc_dtype"):
        load("_torch").to_arguments({"options": {"acc_dtype": "int32"}})


@pytest.mark.parametrize("form", ["function", "module"])
@pytest.mark.parametrize("shape", [(6,), (1,), (4,), (5, 1, 2)])
def test_a_bias_that_does_not_fit_is_refused_by_torch(form, shape):
    with pytest.raises(RuntimeError):
        adapter("torch_linear").forward(linear_call(form, linear_bias=logits(*shape)))


@pytest.mark.parametrize("options", [None, {}])
def test_an_older_torch_is_unsupported(monkeypatch, options):
    monkeypatch.delattr(F, "linear_cross_entropy")
    monkeypatch.delattr(torch.nn, "LinearCrossEntropyOptions")
    arguments = {} if options is None else {"options": options}
    with pytest.raises(Unsupported, match="no linear cross-entropy"):
        adapter("torch_linear").forward(linear_call(arguments=arguments))


def test_invalid_options_raise_from_torch():
    call = linear_call(arguments={"options": {"acc_policy": "fast"}})
    with pytest.raises(ValueError, match="acc_policy"):
        adapter("torch_linear").forward(call)
