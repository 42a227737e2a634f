import subprocess
import sys
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent_spec.dtypes import (
    FLOATING,
    floating_dtype,
    is_floating,
    is_integer,
    native,
    round_to,
)

BF16 = np.dtype(ml_dtypes.bfloat16)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_bfloat16_is_rounded_once_to_the_nearest_even(value):
    got = round_to(np.float64(value), BF16)
    # Neighbours of the result in bfloat16, as exact fractions.
    bits = got.view(np.uint16)
    if not np.isfinite(float(got)):
        assert abs(value) >= float(ml_dtypes.finfo(BF16).max) * (1 + 2.0**-9)
        return
    distance = abs(Fraction(float(got)) - Fraction(value))
    for step in (-1, 1):
        neighbour = float((bits + np.uint16(step % 65536)).view(BF16))
        if not np.isfinite(neighbour) or np.signbit(neighbour) != np.signbit(float(got)):
            continue
        other = abs(Fraction(neighbour) - Fraction(value))
        assert distance <= other
        if distance == other:
            assert int(bits) % 2 == 0


def test_double_rounding_would_go_wrong_here():
    # Just above the midpoint of two bfloat16 numbers, but the midpoint itself in float32.
    value = 1 + 2.0**-8 + 2.0**-40
    assert float(round_to(np.float64(value), BF16)) == 1 + 2.0**-7
    assert float(np.float32(value).astype(BF16)) == 1.0
    # Just below the midpoint, and at one, where the even number is the one above.
    assert float(round_to(np.float64(1 + 2.0**-8 - 2.0**-40), BF16)) == 1.0
    assert float(round_to(np.float64(1 + 2.0**-8), BF16)) == 1.0
    assert float(round_to(np.float64(1 + 3 * 2.0**-8), BF16)) == 1 + 2.0**-6
    assert float(round_to(np.float64(1 + 3 * 2.0**-8 - 2.0**-40), BF16)) == 1 + 2.0**-7


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", BF16])
def test_overflow_infinities_and_nan(dtype):
    dtype = np.dtype(dtype)
    got = round_to(np.array([1e309, -np.inf, np.nan, -0.0]), dtype).astype(float)
    assert got[0] == np.inf
    assert got[1] == -np.inf
    assert np.isnan(got[2])
    assert np.signbit(got[3])


def test_dtype_families():
    assert is_floating(np.dtype(">f4"))
    assert is_floating(BF16)
    assert not is_floating(np.dtype("longdouble"))
    assert not is_floating(np.dtype("complex64"))
    assert is_integer(np.dtype("uint64"))
    assert not is_integer(np.dtype(bool))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_a_floating_dtype_is_known_by_name_and_in_any_byte_order(name):
    dtype = BF16 if name == "bfloat16" else np.dtype(name)
    assert FLOATING.count(name) == 1
    assert is_floating(dtype)
    assert floating_dtype(name, "x", ValueError) == dtype
    assert floating_dtype(dtype, "x", ValueError) == dtype
    assert native(dtype) == dtype
    if name != "bfloat16":
        assert native(dtype.newbyteorder(">")) == dtype
        assert native(dtype.newbyteorder(">")).isnative
    assert round_to(np.float64(0.1), dtype).dtype == dtype


def test_bfloat16_is_found_by_name_where_nothing_has_imported_it():
    code = "from crossent_spec.dtypes import floating_dtype; "
    code += "print(floating_dtype('bfloat16', 'x', ValueError))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "bfloat16\n"


@pytest.mark.parametrize("kind", "?cmMOSUV")
def test_only_integers_are_integers(kind):
    assert not is_integer(np.dtype(kind))
    assert is_integer(np.dtype("i1"))


@pytest.mark.parametrize("value", ["int32", "nonsense", 3, "longdouble", object])
def test_what_is_no_floating_dtype_is_told(value):
    with pytest.raises(KeyError) as caught:
        floating_dtype(value, "acc", KeyError)
    allowed = "float16, bfloat16, float32, float64"
    assert caught.value.args == (f"acc: got {value!r}, allowed are {allowed}",)
