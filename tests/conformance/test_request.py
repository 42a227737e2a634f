"""What is sent for a case: arguments, layouts, and what is asked for."""

import numpy as np
import pytest

from conformance.case import Case
from conformance.request import assemble, build


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("ce/index/4x10/f32/default", {}),
        ("ce/index/4x10/f32/mean,bad=reduction-name", {"reduction": "average"}),
        ("ce/index/4x10/f32/default,reduce=true,size_average=false",
         {"reduce": True, "size_average": False}),
        ("linear/index/4x3-5/f32/default,retain=yes", {"options": {"allow_retain_graph": True}}),
        ("linear/index/4x3-5/f32/default,options=auto", {"options": {}}),
        ("linear/index/4x3-5/f32/default,options=chunk7",
         {"options": {"batch_chunk_size": 7, "chunking_method": None}}),
        ("linear/index/4x3-5/f32/default,options=whole",
         {"options": {"batch_chunk_size": 4096, "chunking_method": None}}),
        ("linear/index/4x3-5/f32/default,options=aspect9",
         {"options": {"chunking_method": "aspect_ratio:9"}}),
        ("linear/index/4x3-5/f32/default,options=compact", {"options": {"acc_policy": "compact"}}),
        ("linear/index/4x3-5/f16/default,options=compact",
         {"options": {"acc_policy": "compact", "acc_dtype": "float32"}}),
        ("linear/index/4x3-5/bf16/default,options=accurate",
         {"options": {"acc_policy": "accurate", "acc_dtype": "float32"}}),
        ("linear/index/4x3-5/bf16/default,options=auto", {"options": {}}),
    ],
)  # fmt: skip
def test_the_arguments_are_those_of_the_id(text, arguments):
    assert build(Case.parse(text)).arguments == arguments


def test_other_numbers_are_asked_with_the_arguments_of_the_case():
    case = Case(reduction="sum")
    plain = {"input": np.zeros((4, 10)), "target": np.zeros(4, np.int64)}
    assert assemble(case, plain).arguments == {"reduction": "sum"}
    assert assemble(case, plain, {}).arguments == {}


def test_a_call_has_the_arrays_of_its_step():
    request = build(Case.parse("ce/index/4x10/bf16/sum,script=stale,form=module"))
    first, second = (request.call(step) for step in request.steps[:2])
    assert (first.system, first.form) == ("torch.nn.CrossEntropyLoss", "module")
    assert (first.arguments, first.wrt) == ({"reduction": "sum"}, ["input"])
    assert first.arrays.keys() == second.arrays.keys() == {"input", "target"}
    assert first.arrays["input"].data is request.arrays["input"].view
    assert second.arrays["input"].data is request.arrays["input.2"].view
    assert (first.arrays["input"].dtype, first.arrays["target"].dtype) == ("bfloat16", "int64")


def contiguous(text):
    arrays = build(Case.parse(text)).arrays
    return {name: array.view.flags.c_contiguous for name, array in arrays.items()}


@pytest.mark.parametrize(
    ("text", "strided"),
    [
        ("ce/index/4x10/f32/sum,weight=mixed,layout=strided", {"input"}),
        ("ce/index/4x10/f32/sum,weight=mixed,weight_layout=strided", {"weight"}),
        ("ce/index/4x10/f32/sum,weight=mixed,target_layout=strided", {"target"}),
        ("ce/index/4x10/f32/none,grad=mixed,grad_layout=strided", {"grad_output"}),
        ("ce/index/4x10/f32/sum,weight=mixed,weight_layout=strided,bad=weight-2d", set()),
        ("linear/index/4x3-5/f32/sum,bias=yes,layout=strided", {"input", "linear_weight"}),
        ("linear/index/4x3-5/f32/sum,bias=yes,layout=broadcast", {"input"}),
    ],
)
def test_every_array_lies_as_its_layout_says(text, strided):
    assert {name for name, whole in contiguous(text).items() if not whole} == strided


def test_what_one_ignored_target_repeats_is_ignored_everywhere():
    text = "ce/index/4x10/f32/mean,ignored=first,logits=nan-ignored,target_layout=broadcast"
    arrays = build(Case.parse(text)).arrays
    assert arrays["target"].values.tolist() == [-100] * 4
    assert np.isnan(arrays["input"].values).any(axis=1).all()


@pytest.mark.parametrize(
    ("text", "wrt"),
    [
        ("ce/index/4x10/f32/sum,weight=mixed", ("input",)),
        ("ce/prob/4x10/f32/sum", ("input", "target")),
        ("ce/prob/4x10/f32/sum,weight=mixed", ("input", "target", "weight")),
        ("ce/prob/4x10/f32/sum,weight=mixed,bad=weight-short", ("input",)),
        ("ce/prob/4x10/f32/sum,grad=skip", ()),
        ("oneflow/prob/4x10/f32/sum,weight=mixed", ("input",)),
        ("linear/index/4x3-5/f32/sum", ("input", "linear_weight")),
        ("linear/index/4x3-5/f32/sum,bias=yes", ("input", "linear_weight", "linear_bias")),
    ],
)
def test_gradients_are_asked_of_what_the_pages_differentiate(text, wrt):
    assert build(Case.parse(text)).wrt == wrt


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("once", ["a", "of a"]),
        ("again", ["a", "b", "of a", "of b"]),
        ("stale", ["a", "b", "of a", "of b"]),
        ("twice", ["a", "of a, kept", "of a"]),
        ("once,bad=target-negative", ["a"]),
        ("again,grad=skip", ["a"]),
    ],
)
def test_the_steps_are_those_of_the_script(text, steps):
    found = build(Case.parse(f"ce/index/4x10/f32/sum,script={text}")).steps
    assert [
        step["as"] if step["do"] == "forward" else f"of {step['of']}" + ", kept" * step["retain"]
        for step in found
    ] == steps


@pytest.mark.parametrize(
    ("text", "name", "shape"),
    [
        ("ce/index/2x3x4/f32/sum,bad=input-scalar", "target", ()),
        ("ce/index/2x3x4/f32/sum,bad=input-scalar", "input", ()),
        ("ce/prob/5/f32/sum,bad=prob-shape", "target", (6,)),
        ("ce/prob/4x5/f32/sum,bad=prob-shape", "target", (4, 6)),
        ("ce/prob/4x5x2/f32/sum,bad=prob-shape", "target", (4, 6, 2)),
        ("ce/index/4x1/f32/sum,bad=weight-scalar", "weight", ()),
    ],
)
def test_a_call_is_spoiled_in_any_shape(text, name, shape):
    assert build(Case.parse(text)).arrays[name].view.shape == shape


def targets(text):
    return build(Case.parse(text)).arrays["target"].values


def test_below_the_classes_lies_an_index_that_is_not_ignored():
    text = "ce/index/4x10/f32/mean,bad=target-negative"
    assert targets(text)[2] == -1
    assert targets(f"{text},ignore_index=-100")[2] == -1
    # −100 is the default, which another index takes the place of.
    assert targets(f"{text},ignore_index=3")[2] == -100


def test_an_index_wraps_onto_a_class():
    plain = targets("ce/index/4x10/f32/mean")
    found = targets("ce/index/4x10/f32/mean,bad=target-wraps")
    assert (found - plain).tolist() == [0, 0, 2**32, 0]


def test_one_samples_probabilities_would_broadcast():
    plain = targets("ce/prob/4x10/f32/mean")
    np.testing.assert_array_equal(targets("ce/prob/4x10/f32/mean,bad=prob-broadcast"), plain[:1])


def test_a_name_in_another_case_is_another_name():
    request = build(Case.parse("ce/index/4x10/f32/default,bad=reduction-case"))
    assert request.arguments == {"reduction": "Mean"}


@pytest.mark.parametrize(("layout", "step"), [("strided", 2), ("reversed", -1), ("c", 1)])
def test_the_bias_has_the_layout_of_the_weights(layout, step):
    text = f"linear/index/6x5-4/f32/mean,bias=yes,weight=mixed,weight_layout={layout}"
    arrays = build(Case.parse(text)).arrays
    for name in ("linear_bias", "weight"):
        assert arrays[name].view.strides == (4 * step,), name
