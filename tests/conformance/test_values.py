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
