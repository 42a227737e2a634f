"""Vectors as a type of kernels: lanes that are written down, not left to be found.

Where float32 meets float64 the compiler's own vectorisation takes half as many lanes.  A vector is
several registers, whose instructions come one after the other: while one waits for its result the
others go on.  Arithmetic on a vector is that of its lanes; a number beside one stands for as many.
"""

# What an intrinsic is called with has names in its signature, and only places in its code.
# ruff: noqa: ARG001

from __future__ import annotations

import operator
from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel import register_default
from numba.core.datamodel.models import PrimitiveModel
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin
from numba.np.arrayobj import make_array

from .halves import FEATURES, as_read, as_stored, number_of
from .numbers import BFLOAT16, FLOAT16

LANES = 64
#: Elements of a cache line.
LINE = 16
#: Whether the processor that is compiled for has AVX-512.
AVX512 = "+avx512f" in FEATURES
#: Numbers in float64 of the widest register, and lanes in float64.
REGISTER = 8 if AVX512 else 4
WIDE = 4 * REGISTER

INDEX, SMALL, TINY = ir.IntType(64), ir.IntType(32), ir.IntType(8)
LLVM = {
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.uint32: SMALL,
    FLOAT16: ir.IntType(16),
    BFLOAT16: ir.IntType(16),
}


class Vector(types.Type):  # type: ignore[misc]
    """Numbers of one type."""

    def __init__(self, number: Any, lanes: int = LANES) -> None:
        self.number = number
        self.lanes = lanes
        super().__init__(name=f"Vector({number}, {lanes})")


@register_default(Vector)
class _VectorModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(LLVM[kind.number], kind.lanes))


SINGLE, DOUBLE = Vector(types.float32), Vector(types.float64)
#: Of numbers that are read from memory in float64, in which fewer fill as much room.
WIDER = Vector(types.float64, WIDE)


_NAMES = {"float": "f32", "double": "f64"}


def splat(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """Return code for a vector of one number."""
    nothing = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    one = builder.insert_element(nothing, number, SMALL(0))
    zeros = ir.Constant(ir.VectorType(SMALL, lanes), [0] * lanes)
    return builder.shuffle_vector(one, one, zeros)


def call_llvm(builder: Any, name: str, result: Any, arguments: Any, **flags: Any) -> Any:
    """Call a function of LLVM, named with the type of its vectors."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(get_or_insert_function(builder.module, kind, name), arguments, **flags)


def name_of(vector: Any) -> str:
    """Return what LLVM calls a type of vectors."""
    element = str(vector.element)
    return f"v{vector.count}{_NAMES.get(element, element)}"


def _arithmetic(operation: Any, name: str) -> None:
    """Make a Python operation one of vectors, and of vectors with numbers."""

    def typed(self: Any, arguments: Any, keywords: Any) -> Any:
        a, b = arguments
        if isinstance(a, Vector) and b in (a, a.number):
            return signature(a, a, b)
        if isinstance(b, Vector) and a == b.number:
            return signature(b, a, b)
        return None

    infer_global(operation)(type(f"Vector_{name}", (AbstractTemplate,), {"generic": typed}))

    def code(_context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = [
            value
            if isinstance(kind, Vector)
            else splat(builder, value, signature.return_type.lanes)
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        return getattr(builder, name)(*vectors, flags=("contract",))

    for kind in (SINGLE, DOUBLE, WIDER):
        for pair in ((kind, kind), (kind, kind.number), (kind.number, kind)):
            lower_builtin(operation, *pair)(code)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


@intrinsic
def first_lane(_context: Any, vector: Any) -> Any:
    """The first number of a vector."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.extract_element(arguments[0], SMALL(0))

    return vector.number(vector), code


@intrinsic
def repeated(_context: Any, number: Any) -> Any:
    """A vector of one number."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return splat(builder, arguments[0])

    return Vector(number)(number), code


@intrinsic
def wide(_context: Any, vector: Any) -> Any:
    """The same numbers in float64."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fpext(arguments[0], ir.VectorType(ir.DoubleType(), LANES))

    return (DOUBLE(vector), code) if vector == SINGLE else None


def address_of(
    context: Any, builder: Any, kind: Any, array: Any, index: Any, lanes: int = LANES
) -> Any:
    """Return code for the address of so many elements of flat memory."""
    data = make_array(kind)(context, builder, array).data
    vector = ir.VectorType(LLVM[kind.dtype], lanes)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def joined(builder: Any, parts: Any) -> Any:
    """Return code for one vector of several."""
    while len(parts) > 1:
        count = 2 * parts[0].type.count
        places = ir.Constant(ir.VectorType(SMALL, count), list(range(count)))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [builder.shuffle_vector(a, b, places) for a, b in pairs]
    return parts[0]


def first_lanes(builder: Any, count: Any, lanes: int = LANES) -> Any:
    """Return code for a mask of the first lanes, of which there are fewer than 256."""
    # As bytes they are compared at once.
    numbers = ir.Constant(ir.VectorType(TINY, lanes), list(range(lanes)))
    return builder.icmp_unsigned("<", numbers, splat(builder, builder.trunc(count, TINY), lanes))


@intrinsic
def load(_context: Any, array: Any, index: Any) -> Any:
    """A vector of flat memory, from an index on."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, array, *arguments)
        value = builder.load(address, align=array.dtype.bitwidth // 8)
        return as_read(builder, value, array.dtype)

    return Vector(number_of(array.dtype))(array, types.uint64), code


def masked_load(builder: Any, stored: Any, address: Any, count: Any, other: Any) -> Any:
    """Return code for a vector's first lanes, as they are read, and else a number."""
    kind = address.type.pointee
    mask, rest = first_lanes(builder, count, kind.count), splat(builder, other, kind.count)
    size, name = SMALL(stored.bitwidth // 8), f"llvm.masked.load.{name_of(kind)}.p0"
    if stored == number_of(stored):
        return call_llvm(builder, name, kind, [address, size, mask, rest])
    zeros = ir.Constant(kind, [0] * kind.count)
    value = call_llvm(builder, name, kind, [address, size, mask, zeros])
    return builder.select(mask, as_read(builder, value, stored), rest)


@intrinsic
def load_first(_context: Any, array: Any, index: Any, count: Any, other: Any) -> Any:
    """A vector's first lanes from flat memory; the rest of it is a number."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, array, *arguments[:2])
        return masked_load(builder, array.dtype, address, arguments[2], arguments[3])

    number = number_of(array.dtype)
    return Vector(number)(array, types.uint64, types.uint64, number), code


@intrinsic
def store(_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector to flat memory, from an index on."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, array, *arguments[:2])
        value = as_stored(builder, arguments[2], array.dtype)
        builder.store(value, address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, vector), code


def masked_store(builder: Any, stored: Any, address: Any, count: Any, value: Any) -> None:
    """Write a vector's first lanes, as they are stored."""
    value = as_stored(builder, value, stored)
    mask, size = first_lanes(builder, count, value.type.count), SMALL(stored.bitwidth // 8)
    name = f"llvm.masked.store.{name_of(value.type)}.p0"
    call_llvm(builder, name, ir.VoidType(), [value, address, size, mask])


@intrinsic
def store_first(_context: Any, array: Any, index: Any, count: Any, vector: Any) -> Any:
    """Write a vector's first lanes to flat memory, from an index on."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, array, *arguments[:2])
        masked_store(builder, array.dtype, address, arguments[2], arguments[3])
        return context.get_dummy_value()

    return types.void(array, types.uint64, types.uint64, vector), code


@intrinsic
def store_past(_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector to whole cache lines of flat memory, past the cache.

    Nothing is read for it, as it is for a line of which the processor does not know that all of it
    will be written.  See :func:`settle`.
    """

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, array, *arguments[:2])
        written = builder.store(as_stored(builder, arguments[2], array.dtype), address, align=64)
        written.set_metadata("nontemporal", builder.module.add_metadata([SMALL(1)]))
        return context.get_dummy_value()

    return types.void(array, types.uint64, vector), code


@intrinsic
def settle(_context: Any) -> Any:
    """Make what went past the cache visible to other threads before anything written later."""

    def code(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def to_line(_context: Any, array: Any, index: Any) -> Any:
    """How many elements lie between an index and the next start of a cache line."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        data = make_array(array)(context, builder, arguments[0]).data
        address = builder.ptrtoint(builder.gep(data, [arguments[1]]), INDEX)
        size = array.dtype.bitwidth // 8
        return builder.udiv(builder.and_(builder.neg(address), INDEX(63)), INDEX(size))

    return types.uint64(array, types.uint64), code


@intrinsic
def at_least(_context: Any, x: Any, low: Any) -> Any:
    """``low if x < low else x``, of a number or of a vector's lanes."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, least = arguments
        if isinstance(x, Vector) and not isinstance(low, Vector):
            least = splat(builder, least)
        return builder.select(builder.fcmp_ordered("<", value, least), least, value)

    return x(x, low), code


@intrinsic
def nothing_where_equal(_context: Any, vector: Any, other: Any) -> Any:
    """The lanes of a vector, zero where they equal the other's."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, top = arguments
        nothing = splat(builder, ir.Constant(value.type.element, 0.0))
        return builder.select(builder.fcmp_ordered("==", value, top), nothing, value)

    return vector(vector, other), code


@intrinsic
def power_of_two(_context: Any, shifted: Any, bias: Any) -> Any:
    """The float32 whose exponent field is the last bits of ``shifted`` as an integer, plus bias.

    Of a number or of a vector's lanes.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, added = arguments
        bits = SMALL
        if isinstance(shifted, Vector):
            bits = ir.VectorType(SMALL, LANES)
            added = added if isinstance(bias, Vector) else splat(builder, added)
        exponent = builder.add(builder.bitcast(value, bits), added)
        place = ir.Constant(bits, [23] * LANES if isinstance(shifted, Vector) else 23)
        return builder.bitcast(builder.shl(exponent, place), value.type)

    return shifted(shifted, bias), code


@intrinsic
def larger_of(_context: Any, a: Any, b: Any) -> Any:
    """The larger lanes of two vectors; either or neither where one is NaN."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        return call_llvm(
            builder, f"llvm.maxnum.{name_of(kind)}", kind, arguments, fastmath=("nnan", "nsz")
        )

    return a(a, b), code


@intrinsic
def largest(_context: Any, vector: Any) -> Any:
    """The largest lane; any where one is NaN."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        return call_llvm(
            builder, f"llvm.vector.reduce.fmax.{name_of(kind)}", kind.element, arguments,
            fastmath=("nnan", "nsz"),
        )  # fmt: skip

    return vector.number(vector), code


@intrinsic
def total(_context: Any, vector: Any) -> Any:
    """Sum of the lanes, half added to half: in the same order on every machine."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        while value.type.count > 1:
            half = value.type.count // 2
            places = [list(range(half)), list(range(half, 2 * half))]
            value = builder.fadd(
                *(
                    builder.shuffle_vector(
                        value, value, ir.Constant(ir.VectorType(SMALL, half), place)
                    )
                    for place in places
                )
            )
        return builder.extract_element(value, SMALL(0))

    return vector.number(vector), code
