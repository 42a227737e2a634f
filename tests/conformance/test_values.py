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
