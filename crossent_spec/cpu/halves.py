"""Vectors of the 16-bit types: read into float32, and rounded from it, as they lie in memory.

Kernels see float16 as int16 and bfloat16 as uint16; see :mod:`.numbers`.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.core.registry import cpu_target

from .numbers import BFLOAT16, FLOAT16

FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
#: The 16-bit types that vectors can be read of; without instructions for float16 that is dear.
HALVES = tuple(map(np.dtype, ["uint16", "int16"] if "+f16c" in FEATURES else ["uint16"]))

_FLOAT, _PATTERN, _BITS = ir.FloatType(), ir.IntType(16), ir.IntType(32)


def number_of(stored: Any) -> Any:
    """Return the type that vectors have of memory that holds a type: float32 for 16 bits."""
    return types.float32 if stored in (FLOAT16, BFLOAT16) else stored


def _all(kind: Any, number: int) -> Any:
    return ir.Constant(kind, [number] * kind.count)


def as_read(builder: Any, value: Any, stored: Any) -> Any:
    """Return code for the numbers of a vector that was read from memory."""
    if stored == FLOAT16:
        half = builder.bitcast(value, ir.VectorType(ir.HalfType(), value.type.count))
        return builder.fpext(half, ir.VectorType(_FLOAT, value.type.count))
    if stored == BFLOAT16:
        bits = builder.zext(value, ir.VectorType(_BITS, value.type.count))
        bits = builder.shl(bits, _all(bits.type, 16))
        return builder.bitcast(bits, ir.VectorType(_FLOAT, value.type.count))
    return value


def as_stored(builder: Any, value: Any, stored: Any) -> Any:
    """Return code for what memory holds of a vector in float32: rounded to nearest, ties to even.

    To bfloat16 in integers: the processors' own instructions take subnormal numbers for zeros.
    """
    patterns = ir.VectorType(_PATTERN, value.type.count)
    if stored == FLOAT16:
        half = builder.fptrunc(value, ir.VectorType(ir.HalfType(), value.type.count))
        return builder.bitcast(half, patterns)
    if stored == BFLOAT16:
        bits = builder.bitcast(value, ir.VectorType(_BITS, value.type.count))
        last = builder.and_(builder.lshr(bits, _all(bits.type, 16)), _all(bits.type, 1))
        rounded = builder.add(builder.add(bits, last), _all(bits.type, 0x7FFF))
        rounded = builder.lshr(rounded, _all(bits.type, 16))
        is_number = builder.fcmp_ordered("ord", value, value)
        rounded = builder.select(is_number, rounded, _all(bits.type, 0x7FC0))
        return builder.trunc(rounded, patterns)
    return value
