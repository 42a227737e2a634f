"""Numbers of the element types: rounding, writing and reading them."""

import json
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.golden.exact import Exact, to_exact
from conformance.golden.numbers import (
    FORMATS,
    INTEGERS,
    is_number_of,
    read_float,
    read_integer,
    round_dyadic,
    round_fraction,
    round_up,
    write_float,
    write_integer,
)
from conformance.values import numpy_dtype


def numbers_of(dtype):
    """Every number of a 16-bit type, many of the others, all signs and special ones."""
    kind = numpy_dtype(dtype)
    width = 8 * kind.itemsize
    count = min(2**width, 20001)
    step = 1 if width == 16 else 2**width // count
    patterns = np.arange(2**16 if width == 16 else count, dtype=np.uint64) * np.uint64(step)
    with np.errstate(invalid="ignore"):  # signalling NaN among the patterns
        return patterns.astype(f"u{kind.itemsize}").view(kind).astype(np.float64)


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_number_survives_writing_and_reading(dtype):
    numbers = numbers_of(dtype)
    text = json.dumps([write_float(value) for value in numbers.tolist()], allow_nan=False)
    read = np.array([read_float(value) for value in json.loads(text)])
    assert np.array_equal(read, numbers, equal_nan=True)
    assert np.array_equal(np.signbit(read), np.signbit(numbers) & ~np.isnan(numbers))
    assert all(is_number_of(value, dtype) for value in read.tolist())


@pytest.mark.parametrize("dtype", FORMATS)
def test_rounding_agrees_with_the_type_itself(dtype):
    finite = numbers_of(dtype)
    finite = np.unique(finite[np.isfinite(finite)])
    # Both neighbours of a middle, of which the type's are consecutive only for the 16-bit ones.
    pairs = list(zip(finite[:-1].tolist(), finite[1:].tolist(), strict=True))[::29]
    for low, high in pairs:
        middle = (Fraction(low) + Fraction(high)) / 2
        exponent = middle.denominator.bit_length() - 1
        for step in (-1, 0, 1):  # just below, on and just above; a float64 cannot say these
            integer, power = (middle.numerator << 80) + step, -exponent - 80
            got = round_dyadic(integer, power, FORMATS[dtype])
            assert got == round_fraction(Fraction(integer) * Fraction(2) ** power, FORMATS[dtype])
            assert is_number_of(got, dtype)
            if dtype in ("float16", "bfloat16"):
                even = low if as_pattern(low, dtype) % 2 == 0 else high
                assert got == {-1: low, 0: even, 1: high}[step]


def as_pattern(value, dtype):
    return int(np.array(value).astype(numpy_dtype(dtype)).view(np.uint16))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_of_float64_to_shorter_types_is_numpys(value):
    integer, denominator = value.as_integer_ratio()
    exponent = 1 - denominator.bit_length()
    with np.errstate(over="ignore"):
        for dtype in ("float16", "float32"):
            expected = float(np.float64(value).astype(dtype))
            assert round_dyadic(integer, exponent, FORMATS[dtype]) == expected
    assert round_dyadic(integer, exponent, FORMATS["float64"]) == value
    assert round_fraction(Fraction(value), FORMATS["float64"]) == value


@given(st.fractions())
def test_rounding_of_rationals_is_pythons(value):
    try:
        expected = value.numerator / value.denominator
    except OverflowError:
        expected = math.copysign(math.inf, value)
    assert round_fraction(value, FORMATS["float64"]) == expected


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float16", Fraction(65519), 65504.0),
        ("float16", Fraction(65520), math.inf),
        ("float16", Fraction(1, 2**25), 0.0),  # a tie goes to even: zero
        ("float16", Fraction(3, 2**25), 2.0**-23),
        ("bfloat16", Fraction(257), 256.0),
        ("bfloat16", Fraction(259), 260.0),
        # Just above a tie: a second rounding, through float64, would go down.
        ("float32", 1 + Fraction(1, 2**24) + Fraction(1, 2**60), 1.0 + 2.0**-23),
        ("float64", Fraction(1, 2**1075), 0.0),
        ("float64", Fraction(-1, 3), -1 / 3),
    ],
)
def test_known_roundings(dtype, value, expected):
    assert round_fraction(value, FORMATS[dtype]) == expected


def test_integers_beyond_float64_are_strings():
    for value in (0, -(2**53), 2**53, 2**53 + 1, -(2**63), 2**63 - 1):
        assert read_integer(write_integer(value)) == value
    assert write_integer(2**53) == 2**53
    assert write_integer(2**53 + 1) == str(2**53 + 1)


@pytest.mark.parametrize("value", ["nan", "inf", "+Infinity", "1.0", 1, True, None, [], -0.0])
def test_floats_spelled_otherwise_are_refused(value):
    with pytest.raises(ValueError, match="expected a number|-0"):
        read_float(value)


@pytest.mark.parametrize("value", [1.0, True, "7", "-0", "9" * 21, "1e5", "٣", None])
def test_integers_spelled_otherwise_are_refused(value):
    with pytest.raises(ValueError, match="expected an integer"):
        read_integer(value)


def test_every_type_has_its_own_limits():
    for name, limits in INTEGERS.items():
        kind = np.iinfo(name) if name != "bool" else None
        assert limits == ((int(kind.min), int(kind.max)) if kind else (0, 1)), name
    assert INTEGERS.keys() == {"bool", "int8", "int16", "int32", "int64", "uint8"}
    for name, to in FORMATS.items():
        kind = ml_dtypes.finfo(numpy_dtype(name))
        assert to.precision == kind.nmant + 1
        assert float(kind.smallest_subnormal) == math.ldexp(1, to.lowest)
        assert Fraction(float(kind.max)) == 2**to.highest - Fraction(2) ** (
            to.highest - to.precision
        )


def test_a_bound_has_as_many_digits_as_are_asked_for():
    assert round_up(0.21, 1) == 0.3
    assert round_up(0.123456, 5) == 0.12346


@given(st.floats(min_value=1e-320, max_value=1e300))
def test_bounds_are_rounded_up_a_little(value):
    rounded = round_up(value)
    assert value <= rounded
    assert rounded <= value * 1.011 + 1e-320
    # The last bits of the bound do not show, so that machines agree.
    if value > 1e-300:
        assert len(repr(rounded).split("e")[0].replace(".", "").strip("0")) <= 3


def test_a_bound_on_the_edge_of_two_decimals_goes_the_same_way_on_all_machines():
    assert round_up(0.125) == round_up(math.nextafter(0.125, 0)) == round_up(0.125 + 1e-16)
    assert round_up(0.125 * (1 - 2**-31)) == round_up(0.125)


def test_exact_arithmetic_knows_what_it_knows():
    third = (-Exact(3).log()).exp()
    assert third.fraction == Fraction(1, 3)
    assert (third * 3 - 1).fraction == 0
    assert Exact(2).exp().fraction is None
    assert (Exact(2).log() + 1).fraction is None
    assert float(Exact(2).log() + 1) == pytest.approx(1 + math.log(2))
    assert Exact(Fraction(9, 4)).sqrt().fraction == Fraction(3, 2)
    assert Exact(2).sqrt().fraction is None
    below = Exact(-math.inf) - 5
    assert below.exp().fraction == 0
    assert (below * 0).fraction is None
    assert (below + -below).exp().fraction is None
    assert (below + below).exp().fraction is None
    assert (Exact(1) / 0).fraction is None
    array = to_exact(np.array([1.5, math.nan, math.inf, -math.inf]))
    assert [number.fraction for number in array] == [Fraction(3, 2), None, None, None]
    assert ml_dtypes.finfo(ml_dtypes.bfloat16).nmant + 1 == FORMATS["bfloat16"].precision


def test_exact_arithmetic_calculates():
    three, half = Exact(3), Exact(Fraction(1, 2))
    assert [x.fraction for x in (three + half, three - half, half - three, 1 - half)] == [
        Fraction(7, 2), Fraction(5, 2), Fraction(-5, 2), Fraction(1, 2),
    ]  # fmt: skip
    assert [x.fraction for x in (three * half, 4 * half, three / 2, 2 / three, half / three)] == [
        Fraction(3, 2), 2, Fraction(3, 2), Fraction(2, 3), Fraction(1, 6),
    ]  # fmt: skip
    assert Exact(Fraction(1, 4)).sqrt().fraction == Fraction(1, 2)
    assert (Exact(3).log() * 2 - Exact(5).log()).exp().fraction == Fraction(9, 5)
    assert (2 * Exact(3).log() + Exact(5).log()).exp().fraction == 45
    below = Exact(-math.inf)
    assert (below * 2).exp().fraction == 0
    assert (below / -2).rational == math.inf
    assert (7 + below).rational == -math.inf


def test_what_exact_arithmetic_does_not_know_stays_unknown():
    for unknown in (
        Exact(None),
        Exact(None) + 1,
        Exact(None) * 0,
        1 / Exact(None),
        Exact(3).log() * Fraction(1, 2),
        Exact(3).log() * 5000,
        Exact(3).log() * Exact(3).log(),
        Exact(0).log(),
        Exact(-1).log(),
        Exact(3).log().log(),
        Exact(-4).sqrt(),
        Exact(4).log().sqrt(),
        Exact(Fraction(1, 2)).sqrt(),
        Exact(1).exp(),
    ):
        assert unknown.fraction is None
        assert not unknown.is_finite
        assert unknown.exp().fraction is None
        assert math.isnan(float(unknown))
        assert not unknown == 1  # noqa: SIM201 - what is compared is the operator
        assert unknown != 1
        assert not unknown < 1
        assert not unknown <= 1


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf])
def test_what_is_no_bound_is_refused(value):
    with pytest.raises(ValueError, match=f"got {value!r}, expected a finite error bound"):
        round_up(value)


def test_exact_numbers_compare():
    order = [-math.inf, -1, Fraction(1, 3), 2, math.inf]
    for a in order:
        for b in order:
            for other in (b, Exact(b)):
                one = Exact(a)
                found = (one == other, one != other, one < other, one > other,
                         one <= other, one >= other)  # fmt: skip
                assert found == (a == b, a != b, a < b, a > b, a <= b, a >= b)
    assert Exact(0) != Exact(2).log() * 1 + 1
    assert not Exact(2).log() <= 0
