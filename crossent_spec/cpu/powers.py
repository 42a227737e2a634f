"""Exponentials of vectors in float32 from a table of powers that one register holds.

exp(x) = 2^n·2^(j/16)·exp(r), where 16n + j = round(16·x/log 2) and |r| ≤ log(2)/32, so that three
terms after the 1 are enough.  With t_j the float32 next to 2^(j/16) and d_j = 2^(j/16)/t_j − 1,

    2^(j/16)·exp(r) = t_j + t_j·(d_j + (exp(r) − 1)) but for less than 2^-29 of it,

and only this last sum is rounded at the result's own size.  What looks numbers up in a register is
an instruction of AVX-512; without it, :func:`.exponential.exp_single` serves.

As there, a row shares a power of two.  :func:`shared_powers` gives what :func:`powers` needs for
a row: the least x whose exponential is not zero, and the table with the row's exponents.  Where
lanes are of several rows, each has its own two numbers, which :func:`shared_bias` gives.
"""

# What an intrinsic is called with has names in its signature, and only places in its code.
# ruff: noqa: ARG001

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from .compiling import kernel
from .exponential import HIGH32, INVERSE32, LOG2_HIGH, LOG2_LOW, ROUNDER32, exp_single, shared
from .numbers import bits32
from .vectors import AVX512, LANES, LINE, SMALL, Vector, call_llvm, joined, name_of, splat

# exp(r) ≈ 1 + r·(1 + r·(c2 + r·c3)), relative error at most 2^-29.09
SECOND, THIRD = np.float32(0.5000169277191162), np.float32(0.1666679084300995)
#: t_j and d_j.
POWERS = (
    1.0,
    1.0442737340927124,
    1.0905077457427979,
    1.1387885808944702,
    1.1892070770263672,
    1.2418577671051025,
    1.2968395948410034,
    1.3542555570602417,
    1.4142135381698608,
    1.4768261909484863,
    1.5422108173370361,
    1.610490322113037,
    1.6817928552627563,
    1.7562521696090698,
    1.8340080976486206,
    1.9152065515518188,
)
LOST = (
    0.0,
    4.6285471455576044e-08,
    -1.199215748926008e-08,
    4.7297824323777604e-08,
    3.1934181521364735e-08,
    3.621057231839586e-08,
    -3.0990719324108795e-08,
    -7.475213337215791e-09,
    1.7114270889351246e-08,
    -3.047683350132502e-08,
    5.233334210430485e-09,
    6.10759176566944e-09,
    -1.4719605090363075e-08,
    -5.258795177098818e-09,
    -6.128259677495862e-09,
    5.140609271592211e-09,
)

#: The t_j whose bits are without the j that :func:`power` adds along with n.
_WITHOUT_J = (
    np.array(POWERS, np.float32).view(np.uint32) - (np.arange(LINE, dtype=np.uint32) << 19)
).view(np.float32)

STEPS = np.float32(16 / (LOG2_HIGH + LOG2_LOW))
HIGH = np.float32((LOG2_HIGH + LOG2_LOW) / 16)
LOW = np.float32(LOG2_HIGH / 16 - float(HIGH) + LOG2_LOW / 16)

#: The type of sixteen numbers in one register.
TABLE = Vector(types.float32, LINE)
_FLOATS, _BITS = ir.VectorType(ir.FloatType(), LINE), ir.VectorType(SMALL, LINE)


def _constant(table: Iterable[float]) -> Any:
    return ir.Constant(_FLOATS, [float(value) for value in table])


@intrinsic
def times_power(_context: Any, bias: Any) -> Any:
    """The table for :func:`power`, whose exponents begin with ``bias`` instead of 0."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(_constant(_WITHOUT_J), _BITS)
        return builder.bitcast(builder.add(bits, splat(builder, arguments[0], LINE)), _FLOATS)

    return TABLE(types.uint32), code


def _looked_up(builder: Any, table: Any, places: Any) -> Any:
    """Return code for the numbers of a table at places' last four bits."""
    found = []
    for first in range(0, LANES, LINE):
        part = ir.Constant(_BITS, list(range(first, first + LINE)))
        part = builder.shuffle_vector(places, places, part)
        found.append(call_llvm(builder, "llvm.x86.avx512.permvar.sf.512", _FLOATS, [table, part]))
    return joined(builder, found)


@intrinsic
def power(_context: Any, exponents: Any, shifted: Any) -> Any:
    """2^n·t_j, where the last bits of ``shifted`` are 16n + j.

    With the exponents of a table, or to which every lane adds its own.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = ir.VectorType(SMALL, LANES)
        places = builder.bitcast(arguments[1], bits)
        # n into the place of the exponent, and j below it.
        n = builder.shl(places, ir.Constant(bits, [19] * LANES))
        table = arguments[0]
        if exponents != TABLE:
            n, table = builder.add(n, table), _constant(_WITHOUT_J)
        found = builder.bitcast(_looked_up(builder, table, places), bits)
        return builder.bitcast(builder.add(found, n), arguments[1].type)

    return shifted(exponents, shifted), code


@intrinsic
def lost_of_power(_context: Any, shifted: Any) -> Any:
    """d_j, where the last bits of ``shifted`` are 16n + j."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        places = builder.bitcast(arguments[0], ir.VectorType(SMALL, LANES))
        return _looked_up(builder, _constant(LOST), places)

    return shifted(shifted), code


@intrinsic
def zero_below(_context: Any, vector: Any, x: Any, least: Any) -> Any:
    """The lanes of a vector, zero where x is less than a number, or than the lane of another."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, compared, limit = arguments
        zeros = splat(builder, ir.Constant(ir.FloatType(), 0.0))
        limits = limit if isinstance(least, Vector) else splat(builder, limit)
        return builder.select(builder.fcmp_ordered("<", compared, limits), zeros, value)

    return vector(vector, x, least), code


@intrinsic
def fused(_context: Any, a: Any, b: Any, c: Any) -> Any:
    """A·b + c of vectors, or of vectors and numbers, rounded once.

    Not left to the compiler: where it takes one lane alone it may round the product too.
    """

    def code(_context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = [
            value if isinstance(kind, Vector) else splat(builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        kind = vectors[0].type
        return call_llvm(builder, f"llvm.fma.{name_of(kind)}", kind, vectors)

    return a(a, b, c), code


@kernel()
def _shared_bias(m: Any) -> Any:
    shifted = m * INVERSE32 + ROUNDER32
    k = shifted - ROUNDER32
    bias = np.uint32(0) - np.uint32(bits32(shifted) << np.uint32(23))
    return (k - np.float32(126.0)) * HIGH32, np.uint32(bias)


@kernel()
def _shared_powers(m: Any) -> Any:
    least, bias = _shared_bias(m)
    return least, times_power(bias)


@kernel()
def _powers(x: Any, least: Any, exponents: Any) -> Any:
    """exp(x)·2^−K to 0.56 ulps; NaN for NaN and for +inf.

    Zero where it would be less than the smallest normal float32.
    """
    shifted = fused(x, STEPS, ROUNDER32)
    n = shifted - ROUNDER32
    r = fused(n, -LOW, fused(n, -HIGH, x))
    t = power(exponents, shifted)
    s = fused(r, fused(r, fused(r, THIRD, SECOND), np.float32(1.0)), lost_of_power(shifted))
    # As products and sums NaN stays NaN, and so where the comparison says nothing.
    return zero_below(fused(t, s, t), x, least)


#: Beyond it 16·m/log 2 has no place in the last bits of a float32.
FARTHEST = np.float32(2.0**17 if AVX512 else 2.0**20)

shared_powers = _shared_powers if AVX512 else shared
shared_bias = _shared_bias if AVX512 else shared
powers = _powers if AVX512 else exp_single
