"""Numbers of the documented element types: rounding to them, and writing them as JSON.

Every number of the four floating types is a float64, so a decimal that float64 reads back
exactly writes each of them exactly; what JSON cannot say is a string.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction

#: A number in a golden file.
Json = float | int | str

#: What JSON has no number for, or loses the sign of.
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}

#: Integers beyond this are not exact in a language whose only number is float64.
SAFE_INTEGER = 2**53

_UPWARD = {digits: Context(prec=digits, rounding=ROUND_CEILING) for digits in range(1, 18)}

INTEGERS = {
    "bool": (0, 1),
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
}


@dataclass(frozen=True)
class Format:
    """A binary floating-point type.

    Attributes
    ----------
    precision
        Bits of the significand.
    lowest
        Exponent of the smallest positive number, 2^lowest.
    highest
        Every finite number is below 2^highest.
    """

    precision: int
    lowest: int
    highest: int


FORMATS = {
    "float16": Format(11, -24, 16),
    "bfloat16": Format(8, -133, 128),
    "float32": Format(24, -149, 128),
    "float64": Format(53, -1074, 1024),
}


def round_dyadic(integer: int, exponent: int, to: Format) -> float:
    """Round integer·2^exponent to the nearest number of a type, ties to even.

    >>> round_dyadic(2**11 + 1, 0, FORMATS["float16"]), round_dyadic(65520, 0, FORMATS["float16"])
    (2048.0, inf)
    """
    if integer == 0:
        return 0.0
    quantum = max(abs(integer).bit_length() + exponent - to.precision, to.lowest)
    shift = quantum - exponent
    if shift <= 0:
        multiple = integer << -shift
    elif shift > integer.bit_length() + 1:
        multiple = 0  # below half of the smallest number
    else:
        multiple, rest = integer >> shift, integer & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        multiple += rest > half or (rest == half and multiple & 1)
    if multiple.bit_length() + quantum > to.highest:
        return math.copysign(math.inf, integer)
    return math.ldexp(multiple, quantum)


def round_fraction(value: Fraction, to: Format) -> float:
    """Round a rational number to the nearest number of a type, ties to even.

    >>> round_fraction(Fraction(1, 3), FORMATS["bfloat16"])
    0.333984375
    """
    top = abs(value.numerator).bit_length() - value.denominator.bit_length()
    # Two more bits than the type has, and a last one that stands for all the rest.
    exponent = max(top - to.precision, to.lowest) - 3
    scaled = value / Fraction(2) ** exponent
    whole = scaled.numerator // scaled.denominator
    sticky = int(scaled.denominator != 1)
    return round_dyadic(2 * whole + sticky, exponent - 1, to)


def is_number_of(value: float, dtype: str) -> bool:
    """Tell whether a type has a number exactly.

    >>> is_number_of(0.1, "float32"), is_number_of(0.5, "float16")
    (False, True)
    """
    if not math.isfinite(value):
        return True
    integer, denominator = value.as_integer_ratio()
    return round_dyadic(integer, 1 - denominator.bit_length(), FORMATS[dtype]) == value


def write_float(value: float) -> Json:
    """Write a floating-point number: the shortest decimal that float64 reads back exactly.

    >>> write_float(0.1), write_float(-0.0), write_float(math.inf)
    (0.1, '-0', 'Infinity')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 and math.copysign(1, value) < 0:
        return "-0"
    return float(value)


def write_integer(value: int) -> Json:
    """Write an integer.

    >>> write_integer(7), write_integer(2**63 - 1)
    (7, '9223372036854775807')
    """
    return int(value) if abs(value) <= SAFE_INTEGER else str(value)


def read_float(value: object) -> float:
    """Read what :func:`write_float` wrote, and nothing else.

    >>> read_float("nan")
    Traceback (most recent call last):
    ...
    ValueError: got 'nan', expected a number, "NaN", "Infinity", "-Infinity" or "-0"
    """
    if isinstance(value, str) and value in SPECIAL:
        return SPECIAL[value]
    if isinstance(value, float) and math.isfinite(value):
        if value == 0 and math.copysign(1, value) < 0:
            raise ValueError('got -0.0, which is written as the string "-0"')
        return value
    raise ValueError(
        f'got {value!r:.40}, expected a number, "NaN", "Infinity", "-Infinity" or "-0"'
    )


def read_integer(value: object) -> int:
    """Read what :func:`write_integer` wrote, and nothing else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"got {value!r:.40}, expected an integer")
    try:
        number = int(value) if len(str(value)) <= 20 else None
    except ValueError:
        number = None
    if number is None or write_integer(number) != value:
        raise ValueError(
            f"got {value!r:.40}, expected an integer, beyond 2^53 in size as a string of digits"
        )
    return number


def round_up(value: float, digits: int = 3) -> float:
    """Round a bound up to a few significant digits.

    Bounds come from float64 arithmetic whose last bits differ between machines.  A relative
    2^-30 is added first, so that a bound on the edge of two decimals goes the same way on all.

    >>> round_up(1.2345e-7), round_up(0.25), round_up(0.0)
    (1.24e-07, 0.251, 0.0)
    """
    if value == 0:
        return 0.0
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"got {value!r}, expected a finite error bound")
    rounded = _UPWARD[digits].multiply(Decimal(value), Decimal(1 + 2.0**-30))
    return max(float(rounded), value)
