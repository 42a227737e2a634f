"""Patterns of numbers that small vectors do not show."""

import numpy as np
import pytest

from conformance.case import Case
from conformance.values import EDGES, Values


def test_edges_are_beside_powers_of_two_and_multiples_of_vector_lengths():
    middles = {2**power for power in range(2, 17)} | {96, 1000}
    assert sorted({middle + step for middle in middles for step in (-1, 0, 1)}) == EDGES


@pytest.mark.parametrize(
    ("ignored", "marks"),
    [
        ("nowhere", "....."), ("some", ".i..i"), ("first", "i...."), ("last", "....i"),
        ("most", "ii.ii"), ("all", "iiiii"),
    ],
)  # fmt: skip
def test_which_samples_are_ignored(ignored, marks):
    case = Case.parse("ce/index/5x4/f32/mean,ignored=some,ignore_index=-7")
    case = case if ignored == "some" else Case(**{**vars(case), "ignored": ignored})
    indices = np.arange(5) % 4
    found = Values(case).with_ignored(indices)
    assert "".join("i" if value == -7 else "." for value in found) == marks
    np.testing.assert_array_equal(found[found != -7], indices[found != -7])


@pytest.mark.parametrize(
    ("pattern", "factors"),
    [
        ("normal", [1, 1, 1, 1, 1]),
        ("wide", [64, 64, 64, 64, 64]),
        ("zeros", [0, 0, 0, 0, 0]),
        ("tail", [1, 1, 1, 1, 64]),
        ("nan", [1, 1, np.nan, 1, 1]),
        ("nan-ignored", [np.nan, 1, 1, np.nan, 1]),
    ],
)
def test_patterns_of_the_linear_input(pattern, factors):
    text = "linear/index/5x3-4x2/f32/mean,ignored=some,bias=yes"
    ignored = np.array([[True, True], [True, False], [False, False], [True, True], [False, True]])
    plain = Values(Case.parse(text)).features(ignored)
    found = Values(Case.parse(f"{text},logits={pattern}")).features(ignored)
    np.testing.assert_array_equal(found[0], plain[0] * np.array(factors, dtype=float)[:, None])
    np.testing.assert_array_equal(found[1], plain[1])
    np.testing.assert_array_equal(found[2], plain[2])
    assert np.isfinite(plain[0]).all()
    assert (found[1].shape, found[2].shape) == ((4, 2, 3), (4, 2))


def logits(text):
    values = Values(Case.parse(text))
    hot = np.arange(4) % 9
    spared = np.arange(9) == hot[:, None]
    found = values.logits(hot, spared, np.zeros(4, dtype=bool))
    return found, np.asarray(values.rounded(found), dtype=np.float64)


@pytest.mark.parametrize(("dtype", "type_"), [("f32", "f4"), ("f64", "f8"), ("f16", "f4")])
def test_on_the_brink_only_the_sum_of_exponentials_overflows(dtype, type_):
    _, found = logits(f"ce/index/4x9/{dtype}/sum,logits=brink")
    with np.errstate(over="ignore"):
        each = np.exp(found.astype(type_))
        assert np.isfinite(each).all()
        assert np.isposinf(each[::2].sum(axis=1, dtype=type_)).all()
    assert (each[1::2] == 0).all()
    # The share of the other classes is tiny, yet a normal number.
    assert (found[::2, 1] - found[::2, 0] < -78).all()


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16"])
def test_masked_classes_lie_far_below_whatever_a_maximum_may_start_from(dtype):
    exact, found = logits(f"ce/index/4x9/{dtype}/sum,logits=masked")
    lowest = found.min()
    assert np.isfinite(found).all()
    assert lowest == exact.min() < -8000
    assert (found[0] == lowest).all()
    masked = found[1:] == lowest
    assert 0 < masked.sum() < masked.size / 2
    assert not masked[np.arange(3), np.arange(1, 4)].any()
    assert (np.abs(found[1:][~masked]) < 100).all()


def test_a_window_is_open_at_the_target_and_beside_it():
    found, _ = logits("ce/index/4x9/f32/sum,logits=window")
    for row, open_ in enumerate(([0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4])):
        assert np.flatnonzero(np.isfinite(found[row])).tolist() == open_
        assert np.isneginf(np.delete(found[row], open_)).all()


def test_weights_of_both_signs_have_the_sizes_of_mixed_ones():
    mixed = Values(Case.parse("ce/index/4x7/f32/sum,weight=mixed")).weight()
    signed = Values(Case.parse("ce/index/4x7/f32/sum,weight=signed")).weight()
    np.testing.assert_array_equal(signed, mixed * np.array([1, -1, 1, 1, -1, 1, 1]))


def test_one_weight_is_infinite():
    mixed = Values(Case.parse("ce/index/4x7/f32/sum,weight=mixed")).weight()
    mixed[1] = np.inf
    infinite = Values(Case.parse("ce/index/4x7/f32/sum,weight=infinite")).weight()
    np.testing.assert_array_equal(infinite, mixed)


def test_one_probability_is_nan():
    found = Values(Case.parse("ce/prob/5x4/f32/sum,probs=nan")).probabilities(np.arange(5) % 4)
    assert np.argwhere(np.isnan(found)).tolist() == [[2, 3]]
    assert ((found > 0) & (found < 1)).sum() == 19
