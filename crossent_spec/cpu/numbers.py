"""Stored and working numbers: float16 and bfloat16 as bit patterns, bit casts, the maximum.

Numba has neither 16-bit type on a CPU.  Kernels see float16 as int16 and bfloat16 as uint16, so
that an array's element type alone tells how to read it; the working type is float32 for both.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

from .compiling import kernel

FLOAT16, BFLOAT16 = types.int16, types.uint16


def _cast(source: Any, result: Any, llvm_type: Any) -> Any:
    """Return an intrinsic that reads the bits of one number as another of the same size."""

    @intrinsic
    def cast(_context: Any, value: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], llvm_type)

        return (result(source), code) if value == source else None

    return cast


bits64 = _cast(types.float64, types.int64, ir.IntType(64))
from_bits64 = _cast(types.int64, types.float64, ir.DoubleType())
bits32 = _cast(types.float32, types.uint32, ir.IntType(32))
from_bits32 = _cast(types.uint32, types.float32, ir.FloatType())


@intrinsic
def larger(_context: Any, a: Any, b: Any) -> Any:
    """The larger of two numbers; either or neither where one is NaN.  Vectorises in a loop."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        number = arguments[0].type
        function = builder.module.declare_intrinsic(
            "llvm.maxnum", [number], ir.FunctionType(number, [number, number])
        )
        return builder.call(function, arguments, fastmath=("nnan", "nsz"))

    return (a(a, b), code) if a == b else None


@intrinsic
def plus(_context: Any, a: Any, b: Any) -> Any:
    """A + b that may be taken in another order with others: a sum, in lanes."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments, flags=("reassoc", "nsz", "contract"))

    return (a(a, b), code) if a == b == types.float64 else None


@intrinsic(prefer_literal=True)
def prefetch(_context: Any, array: Any, index: Any, write: Any) -> Any:  # noqa: ARG001
    """Ask for the cache line of an element soon read, or written; there need not be one."""
    # A literal, as the instruction wants it.
    kind = int(isinstance(write, types.BooleanLiteral) and write.literal_value)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [address.type],
            ir.FunctionType(ir.VoidType(), [address.type, number, number, number]),
        )
        # Into the second level, as data.
        builder.call(function, [address, number(kind), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp, write), code


@kernel(inline="always")
def line_of(array: Any) -> Any:
    """How many elements of an array fill a cache line."""
    return 64 // array.itemsize


def beyond(m: Any) -> Any:
    """Tell whether a finite largest logit is too large for the working type's reduction."""
    raise NotImplementedError("compiled only")


@overload(beyond, inline="always", strict=False)
def _beyond(m: Any) -> Any:
    if m == types.float64:
        return lambda m: False  # noqa: ARG005
    return lambda m: np.float32(2.0**20) < abs(m) < np.float32(np.inf)


@kernel()
def from_bfloat16(pattern: Any) -> Any:
    """Read a bfloat16: the upper half of a float32."""
    return from_bits32(np.uint32(np.uint32(pattern) << np.uint32(16)))


@kernel()
def from_float16(pattern: Any) -> Any:
    """Read a float16: its exponent moved by a multiplication, which is exact for subnormals too."""
    pattern = np.uint32(np.uint16(pattern))
    magnitude = np.uint32(pattern & np.uint32(0x7FFF))
    sign = np.uint32(np.uint32(pattern & np.uint32(0x8000)) << np.uint32(16))
    finite = from_bits32(np.uint32(magnitude << np.uint32(13))) * np.float32(2.0**112)
    special = np.uint32(np.uint32(magnitude << np.uint32(13)) | np.uint32(0x7F800000))
    bits = special if magnitude >= np.uint32(0x7C00) else bits32(finite)
    return from_bits32(np.uint32(bits | sign))


@kernel()
def _odd(value: Any) -> Any:
    """Round float64 to float32 bits so that another rounding is as if there were only one.

    To odd: toward zero, with the last bit set if anything was lost (Boldo and Melquiond, 2005).
    """
    nearest = np.float32(value)
    bits = bits32(nearest)
    wide = np.float64(nearest)
    away = np.uint32(1) if abs(wide) > abs(value) else np.uint32(0)
    lost = np.uint32(1) if wide != value else np.uint32(0)
    return np.uint32(np.uint32(bits - away) | lost)


@kernel()
def to_bfloat16(value: Any) -> Any:
    """Round float64 to the nearest bfloat16, ties to even."""
    bits = _odd(value)
    even = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    rounded = np.uint32(np.uint32(bits + np.uint32(0x7FFF)) + even) >> np.uint32(16)
    return np.uint16(rounded if value == value else np.uint32(0x7FC0))


@kernel()
def to_float16(value: Any) -> Any:
    """Round float64 to the nearest float16, ties to even."""
    bits = _odd(value)
    sign = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(0x8000))
    bits = np.uint32(bits & np.uint32(0x7FFFFFFF))
    even = np.uint32(np.uint32(bits >> np.uint32(13)) & np.uint32(1))
    rebiased = np.uint32(bits - np.uint32(112 << 23))
    normal = np.uint32(np.uint32(rebiased + np.uint32(0xFFF)) + even) >> np.uint32(13)
    # Adding 1/2 leaves a subnormal's units in the last bits of the sum, rounded.
    small = np.uint32(bits32(from_bits32(bits) + np.float32(0.5)) - np.uint32(0x3F000000))
    rounded = small if bits < np.uint32(0x38800000) else normal
    rounded = np.uint32(0x7C00) if bits >= np.uint32(0x477FF000) else rounded
    rounded = np.uint32(0x7E00) if bits > np.uint32(0x7F800000) else rounded
    return np.int16(np.uint16(np.uint32(rounded | sign)))


def widen(stored: Any) -> Any:
    """Return a stored number in the working type."""
    raise NotImplementedError("compiled only")


@overload(widen, inline="always", strict=False)
def _widen(stored: Any) -> Any:
    if stored == BFLOAT16:
        return lambda stored: from_bfloat16(stored)
    if stored == FLOAT16:
        return lambda stored: from_float16(stored)
    return lambda stored: stored


def narrow(value: Any, like: Any) -> Any:
    """Round a float64 once, to the stored type of ``like``."""
    raise NotImplementedError("compiled only")


@overload(narrow, inline="always", strict=False)
def _narrow(value: Any, like: Any) -> Any:  # noqa: ARG001
    if like == BFLOAT16:
        return lambda value, like: to_bfloat16(value)  # noqa: ARG005
    if like == FLOAT16:
        return lambda value, like: to_float16(value)  # noqa: ARG005
    if like == types.float32:
        return lambda value, like: np.float32(value)  # noqa: ARG005
    return lambda value, like: value  # noqa: ARG005
