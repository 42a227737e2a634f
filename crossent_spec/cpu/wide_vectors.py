"""Vectors in float64 of memory in either type; see :mod:`.vectors`.

Each register is converted by itself where it is read, or before it is written, so that none is cut
in two.
"""

# What an intrinsic is called with has names in its signature, and only places in its code.
# ruff: noqa: ARG001

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from .compiling import kernel
from .halves import as_read, as_stored, number_of
from .vectors import (
    INDEX,
    REGISTER,
    SMALL,
    WIDE,
    WIDER,
    address_of,
    call_llvm,
    first_lanes,
    joined,
    masked_load,
    masked_store,
    name_of,
    splat,
)


@kernel(inline="always")
def whole_wide(n: Any) -> Any:
    """How many of n elements fill vectors in float64."""
    return np.uint64(n) & ~np.uint64(WIDE - 1)


@intrinsic
def summed(_context: Any, total: Any, part: Any, one: Any) -> Any:
    """A sum of vectors, given the number one.

    As a product and a sum: of conversions to float64 the units that add have enough to do.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        so_far, value, factor = arguments
        factors = splat(builder, factor, total.lanes)
        name = f"llvm.fma.{name_of(value.type)}"
        return call_llvm(builder, name, value.type, [value, factors, so_far])

    return total(total, part, types.float64), code


@intrinsic
def nothing(_context: Any) -> Any:
    """Zeros in float64, to sum upon."""

    def code(_context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        return splat(builder, ir.Constant(ir.DoubleType(), 0.0), WIDE)

    return WIDER(), code


def _parts(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Yield the addresses of a wide vector's registers, each of which is converted by itself."""
    for first in range(0, WIDE, REGISTER):
        place = builder.add(index, INDEX(first))
        yield first, address_of(context, builder, kind, array, place, REGISTER)


@intrinsic
def load_wide(_context: Any, array: Any, index: Any) -> Any:
    """A vector in float64 of flat memory in either type, from an index on."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        size, wider = array.dtype.bitwidth // 8, ir.VectorType(ir.DoubleType(), REGISTER)
        parts = [
            as_read(builder, builder.load(address, align=size), array.dtype)
            for _, address in _parts(context, builder, array, *arguments)
        ]
        if array.dtype != types.float64:
            parts = [builder.fpext(part, wider) for part in parts]
        return joined(builder, parts)

    return WIDER(array, types.uint64), code


@intrinsic
def load_wide_first(_context: Any, array: Any, index: Any, count: Any, other: Any) -> Any:
    """A vector's first lanes in float64 from flat memory; the rest of it is a number."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, array, arguments[0], arguments[1], WIDE)
        value = masked_load(builder, array.dtype, address, arguments[2], arguments[3])
        if array.dtype != types.float64:
            value = builder.fpext(value, ir.VectorType(ir.DoubleType(), WIDE))
        return value

    return WIDER(array, types.uint64, types.uint64, number_of(array.dtype)), code


@intrinsic(prefer_literal=True)
def store_narrow(_context: Any, array: Any, index: Any, vector: Any, past: Any) -> Any:
    """Write a vector in float64 to flat memory; past the cache as :func:`store_past`.

    Rounded to float32, and for a 16-bit type once more, as all that is worked out in float32.
    """
    # A literal: the instruction is another.
    is_past = bool(isinstance(past, types.BooleanLiteral) and past.literal_value)

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        narrow = ir.VectorType(ir.FloatType(), REGISTER)
        for first, address in _parts(context, builder, array, *arguments[:2]):
            places = ir.Constant(
                ir.VectorType(SMALL, REGISTER), list(range(first, first + REGISTER))
            )
            value = builder.shuffle_vector(arguments[2], arguments[2], places)
            size = array.dtype.bitwidth // 8
            written = builder.store(
                as_stored(builder, builder.fptrunc(value, narrow), array.dtype),
                address,
                align=size * REGISTER if is_past else size,
            )
            if is_past:
                written.set_metadata("nontemporal", builder.module.add_metadata([SMALL(1)]))
        return context.get_dummy_value()

    return types.void(array, types.uint64, vector, past), code


@intrinsic
def store_narrow_first(_context: Any, array: Any, index: Any, count: Any, vector: Any) -> Any:
    """Write the first lanes of a vector in float64 to flat memory, as :func:`store_narrow`."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, array, arguments[0], arguments[1], WIDE)
        values = builder.fptrunc(arguments[3], ir.VectorType(ir.FloatType(), WIDE))
        masked_store(builder, array.dtype, address, arguments[2], values)
        return context.get_dummy_value()

    return types.void(array, types.uint64, types.uint64, vector), code


@intrinsic
def only_first(_context: Any, vector: Any, count: Any) -> Any:
    """A vector's first lanes, and zeros."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, number = arguments
        zeros = splat(builder, ir.Constant(value.type.element, 0.0), vector.lanes)
        return builder.select(first_lanes(builder, number, vector.lanes), value, zeros)

    return vector(vector, types.uint64), code
