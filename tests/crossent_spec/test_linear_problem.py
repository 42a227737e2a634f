"""What calls of the linear loss are refused for, in its own words, and what they bring to it."""

import ml_dtypes
import numpy as np
import pytest

import crossent_spec as cs
from crossent_spec.linear_problem import linear_problem

F = np.array([[0.5, 1.0], [-1.0, 0.25], [2.0, -0.5]])
W = np.array([[1.0, 0.5], [-0.5, 2.0], [0.25, -1.0], [0.0, 1.0]])
Y = np.array([2, 0, 3])
P = np.full((3, 4), 0.25)
WIDE = np.ones((4, 5, 2))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"input": F.astype(int)}, TypeError,
         "input: got dtype int64, allowed are float16, bfloat16, float32, float64"),
        ({"linear_weight": W.astype(int)}, TypeError,
         "linear_weight: got dtype int64, allowed are float16, bfloat16, float32, float64"),
        ({"linear_bias": np.ones(4, int)}, TypeError,
         "linear_bias: got dtype int64, allowed are float16, bfloat16, float32, float64"),
        ({"input": np.float64(1)}, ValueError,
         "input: got shape (), expected (in_features) or (N, in_features)"),
        ({"input": np.ones((3, 1, 2))}, ValueError,
         "input: got shape (3, 1, 2), expected (in_features) or (N, in_features)"),
        ({"linear_weight": W[0]}, ValueError,
         "linear_weight: got shape (2,), expected (C, in_features) or "
         "(C, d1, ..., dK, in_features)"),
        ({"linear_weight": W[:0]}, ValueError,
         "linear_weight: got shape (0, 2) with no classes, expected at least one"),
        ({"input": np.ones((3, 5))}, ValueError,
         "input: got 5 features (shape (3, 5)), linear_weight of shape (4, 2) has in_features = 2"),
        ({"input": np.ones(5), "target": np.array(1)}, ValueError,
         "input: got 5 features (shape (5,)), linear_weight of shape (4, 2) has in_features = 2"),
        ({"input": np.ones((3, 5)), "linear_weight": WIDE}, ValueError,
         "input: got 5 features (shape (3, 5)), linear_weight of shape (4, 5, 2) has "
         "in_features = 2"),
        ({"input": F[0], "linear_weight": WIDE, "target": np.array([1] * 5)}, ValueError,
         "input: got shape (2,); linear_weight of shape (4, 5, 2) defines a K-dimensional loss, "
         "which needs batched input (N, 2)"),
        ({"linear_bias": np.ones(3)}, ValueError, "linear_bias: got shape (3,), expected (4,)"),
        ({"linear_weight": WIDE, "linear_bias": np.ones(4), "target": np.zeros((3, 5), int)},
         ValueError, "linear_bias: got shape (4,), expected (4, 5)"),
        ({"ignore_index": 1.5}, TypeError, "ignore_index: got 1.5, expected an integer"),
        ({"target": P, "ignore_index": 2}, ValueError,
         "ignore_index: got 2, which is only applicable when target contains class indices; "
         "this target contains class probabilities"),
        ({"target": np.array([2, 0, 4])}, IndexError,
         "target: got class 4 at position (2,), expected values in [0, 4) or ignore_index (-100)"),
        ({"target": np.array([2, 0, -100]), "ignore_index": -1}, IndexError,
         "target: got class -100 at position (2,), expected values in [0, 4) or ignore_index (-1)"),
        ({"weight": np.ones(3)}, ValueError,
         "weight: got shape (3,), expected a 1D array of size C, (4,)"),
        ({"reduction": "avg"}, ValueError,
         "reduction: got 'avg', allowed are ('none', 'mean', 'sum')"),
        ({"label_smoothing": 2.0}, ValueError,
         "label_smoothing: got 2.0, expected a float in [0.0, 1.0]"),
        ({"backend": "tpu"}, ValueError, "backend: got 'tpu', allowed are cpu, cuda and None"),
        ({"stream": 3}, ValueError, "stream: only arrays on a GPU, or backend='cuda', have one"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)  # fmt: skip
def test_every_refusal_says_what_it_got_and_what_it_takes(given, error, words):
    call = {"input": F, "linear_weight": W, "target": Y, **given}
    with pytest.raises(error) as caught:
        cs.linear_cross_entropy(**call)
    assert str(caught.value) == words


@pytest.mark.parametrize("name", ["linear_weight", "target", "linear_bias", "weight"])
def test_an_argument_of_another_place_is_refused_by_its_name(name):
    class OnDevice:
        __cuda_array_interface__ = {  # noqa: RUF012
            "shape": (2,), "typestr": "<f8", "data": (4096, False), "version": 3,
        }  # fmt: skip

    call = {"input": F, "linear_weight": W, "target": Y, name: OnDevice()}
    with pytest.raises(TypeError, match=f"^input: is on the host, but {name} is on a GPU"):
        cs.linear_cross_entropy(**call)


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float32", "float64"])
def test_the_loss_has_the_dtype_of_the_input_whatever_the_weight_has(dtype):
    loss = cs.linear_cross_entropy(F.astype(dtype), W, Y, linear_bias=np.ones(4, np.float32))
    assert loss.dtype == dtype


def test_one_class_and_one_sample_are_enough():
    assert cs.linear_cross_entropy(F[0], W[:1], np.array(0)) == 0
    none = cs.linear_cross_entropy(F[:0], W, Y[:0], reduction="none")
    assert none.shape == (0,)


def test_what_is_left_out_is_what_the_page_says():
    with_default = cs.linear_cross_entropy(F, W, np.array([2, -100, 3]))
    assert with_default == cs.linear_cross_entropy(F[[0, 2]], W, Y[[0, 2]])
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    problem, projection = linear_problem(F, W, Y, None, weight, "mean", None, 0.0)
    assert projection.bias is None
    assert problem.placement is None
    assert (problem.dtype, problem.logits_shape[:2]) == (np.float64, (3, 4))
    wanted = cs.cross_entropy(F @ W.T, Y, weight=weight, label_smoothing=0.25)
    got = cs.linear_cross_entropy(F, W, Y, weight=weight, label_smoothing=0.25)
    np.testing.assert_allclose(got, wanted, rtol=1e-14)


def test_every_argument_counts():
    bias, target = np.array([0.5, -1.0, 2.0, 0.0]), np.array([2, 1, 3])
    got = cs.linear_cross_entropy(F, W, target, linear_bias=bias, ignore_index=1)
    wanted = cs.cross_entropy(F @ W.T + bias, target, ignore_index=1)
    np.testing.assert_allclose(got, wanted, rtol=1e-14)
    wide = np.stack([W, 2 * W], axis=1)
    losses = cs.linear_cross_entropy(F, wide, np.stack([Y, target], axis=1), reduction="none")
    columns = [
        cs.cross_entropy(F @ W.T, Y, reduction="none"),
        cs.cross_entropy(2 * F @ W.T, target, reduction="none"),
    ]
    np.testing.assert_allclose(losses, np.stack(columns, axis=1), rtol=1e-14)
