"""Matrix products in place: every layout that BLAS takes, and what is refused."""

import numpy as np
import pytest

from crossent_spec.cpu.products import fits, multiply
from crossent_spec.cpu.widening import blocks


def laid(matrix, layout):
    if layout == "inside":
        return np.pad(matrix, ((1, 2), (3, 1)))[1 : len(matrix) + 1, 3:-1]
    return np.require(matrix, requirements="F" if layout == "columns" else "C")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "sizes", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1), (40, 70, 33)]
)
@pytest.mark.parametrize("left_layout", ["rows", "columns", "inside"])
@pytest.mark.parametrize("right_layout", ["rows", "columns", "inside"])
@pytest.mark.parametrize("out_layout", ["rows", "inside"])
def test_products_of_every_layout(dtype, sizes, left_layout, right_layout, out_layout):
    rng = np.random.default_rng(0)
    m, k, n = sizes
    # Small integers, so that every order of summation gives the same.
    left, right, out = (
        laid(rng.integers(-9, 9, shape).astype(dtype), layout)
        for shape, layout in (
            ((m, k), left_layout), ((k, n), right_layout), ((m, n), out_layout)
        )
    )  # fmt: skip
    before = out.copy()
    multiply(left, right, out, add=True)
    np.testing.assert_array_equal(out, before + left @ right)
    multiply(left, right, out)
    np.testing.assert_array_equal(out, left @ right)


def test_an_empty_inner_dimension_sums_to_zero():
    out = np.ones((2, 3))
    multiply(np.ones((2, 0)), np.ones((0, 3)), out, add=True)
    assert (out == 1).all()
    multiply(np.ones((2, 0)), np.ones((0, 3)), out)
    assert not out.any()


def test_what_blas_cannot_take_is_refused_and_converted_in_blocks():
    spaced = np.arange(4096 * 2048, dtype=np.float32).reshape(4096, 2048)[:, ::2]
    assert not fits(spaced)
    assert not fits(spaced[:, :4].astype(">f4"))
    with pytest.raises(ValueError, match="adjacent"):
        multiply(spaced, np.ones((1024, 1), np.float32), np.ones((4096, 1), np.float32))
    with pytest.raises(ValueError, match="into"):
        multiply(np.ones((2, 3)), np.ones((4, 5)), np.ones((2, 5)))
    found = np.concatenate([block.copy() for _, block in blocks(spaced, spaced.dtype)])
    np.testing.assert_array_equal(found, spaced)
    assert len(list(blocks(spaced, spaced.dtype))) == 2
    ((place, same),) = blocks(found, found.dtype)
    assert same is found
    assert place == slice(0, 4096)
