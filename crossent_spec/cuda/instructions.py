"""What kernels need that Numba does not spell: 128-bit accesses, 16-bit types, lanes of a warp.

Arrays hold float64, float32, float16 or, as uint16, bfloat16; kernels compute in float64 for the
first and in float32 for the others.  The CUDA simulator, which runs kernels as Python, takes the
functions of the same names in :mod:`.simulated`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cuda, types
from numba.cuda.extending import intrinsic

#: Bytes of the widest access, and threads of a warp.
WIDE, WARP = 16, 32
EVERY_LANE = 0xFFFFFFFF

HALF, SINGLE = ir.HalfType(), ir.FloatType()
SHORT, WORD = ir.IntType(16), ir.IntType(32)


def kernel(threads: int, blocks: int = 0) -> Callable[[Any], Any]:
    """Decorate a kernel that runs in blocks of up to so many threads, which limits registers.

    ``blocks`` of them are to fit on a multiprocessor.  Left to itself, the assembler aims at more
    than leave enough registers, and spills.
    """
    return cuda.jit(launch_bounds=(threads, blocks) if blocks else threads)


def device_function(function: Any) -> Any:
    """Decorate what kernels call: a part of them, so that arrays stay in registers."""
    return cuda.jit(device=True, forceinline=True)(function)


def _element(dtype: Any) -> ir.Type:
    """Type as which a stored element is read and written."""
    return {16: SHORT, 32: SINGLE, 64: ir.DoubleType()}[dtype.bitwidth]


def _wide(dtype: Any) -> ir.VectorType:
    """Type of 16 bytes; of 16-bit elements in words, since more than four are no one access."""
    return (
        ir.VectorType(WORD, 4)
        if dtype.bitwidth == 16
        else (ir.VectorType(_element(dtype), WIDE * 8 // dtype.bitwidth))
    )


def _split(builder: Any, word: Any) -> list[Any]:
    high = builder.lshr(word, ir.Constant(WORD, 16))
    return [builder.trunc(word, SHORT), builder.trunc(high, SHORT)]


def _joined(builder: Any, low: Any, high: Any) -> Any:
    shifted = builder.shl(builder.zext(high, WORD), ir.Constant(WORD, 16))
    return builder.or_(builder.zext(low, WORD), shifted)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, to: Any) -> Any:
    # Not an index of the array: those that are negative would count from its end.
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


def _widened(builder: Any, dtype: Any, value: Any) -> Any:
    if dtype == types.uint16:
        shifted = builder.shl(builder.zext(value, WORD), ir.Constant(WORD, 16))
        return builder.bitcast(shifted, SINGLE)
    if dtype.bitwidth == 16:
        return builder.fpext(builder.bitcast(value, HALF), SINGLE)
    return value


def _narrowed(builder: Any, dtype: Any, value: Any) -> Any:
    """Round to the nearest, ties to even."""
    if dtype == types.uint16:
        bits = builder.bitcast(value, WORD)
        odd = builder.and_(builder.lshr(bits, ir.Constant(WORD, 16)), ir.Constant(WORD, 1))
        up = builder.add(bits, builder.add(odd, ir.Constant(WORD, 0x7FFF)))
        # Of a NaN, rounding up could leave an infinity.
        nan = builder.fcmp_unordered("uno", value, value)
        kept = builder.select(nan, ir.Constant(WORD, 0x7FC00000), up)
        return builder.trunc(builder.lshr(kept, ir.Constant(WORD, 16)), SHORT)
    if dtype.bitwidth == 16:
        return builder.bitcast(builder.fptrunc(value, HALF), SHORT)
    return value


def _real(dtype: Any) -> Any:
    return types.float64 if dtype.bitwidth == 64 else types.float32


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Element ``index`` of flat memory, as float32 or float64."""
    del typing, index

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        stored = _element(dtype)
        address = _address(context, builder, signature.args[0], args[0], args[1], stored)
        return _widened(builder, dtype, builder.load(address))

    return _real(array.dtype)(array, types.int64), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Round ``value``, float32 or float64, to element ``index`` of flat memory."""
    del typing, index, value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        stored = _element(dtype)
        address = _address(context, builder, signature.args[0], args[0], args[1], stored)
        builder.store(_narrowed(builder, dtype, args[2]), address)
        return context.get_dummy_value()

    return types.void(array, types.int64, _real(array.dtype)), generate


@intrinsic
def load_wide(typing: Any, array: Any, index: Any, held: Any, at: Any) -> Any:
    """Load 16 bytes from element ``index`` on, widened to ``held[at]`` and what follows.

    The address must be a multiple of 16 bytes.
    """
    del typing, index, at

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype, held_type = signature.args[0].dtype, signature.args[2]
        wide = _wide(dtype)
        address = _address(context, builder, signature.args[0], args[0], args[1], wide)
        loaded = builder.load(address)
        loaded.align = WIDE
        to = _address(context, builder, held_type, args[2], args[3], _element(held_type.dtype))
        lane = 0
        for number in range(wide.count):
            part = builder.extract_element(loaded, ir.Constant(WORD, number))
            for element in _split(builder, part) if dtype.bitwidth == 16 else [part]:
                place = builder.gep(to, [ir.Constant(WORD, lane)])
                builder.store(_widened(builder, dtype, element), place)
                lane += 1
        return context.get_dummy_value()

    return types.void(array, types.int64, held, types.int64), generate


@intrinsic
def store_wide(typing: Any, array: Any, index: Any, held: Any, at: Any) -> Any:
    """Round 16 bytes' worth of elements, ``held[at]`` and what follows, to ``index`` on."""
    del typing, index, at

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype, held_type = signature.args[0].dtype, signature.args[2]
        wide = _wide(dtype)
        source = _address(context, builder, held_type, args[2], args[3], _element(held_type.dtype))
        rounded = []
        for lane in range(WIDE * 8 // dtype.bitwidth):
            value = builder.load(builder.gep(source, [ir.Constant(WORD, lane)]))
            rounded.append(_narrowed(builder, dtype, value))
        if dtype.bitwidth == 16:
            pairs = zip(rounded[::2], rounded[1::2], strict=True)
            rounded = [_joined(builder, *pair) for pair in pairs]
        packed: Any = ir.Constant(wide, ir.Undefined)
        for number, part in enumerate(rounded):
            packed = builder.insert_element(packed, part, ir.Constant(WORD, number))
        address = _address(context, builder, signature.args[0], args[0], args[1], wide)
        builder.store(packed, address).align = WIDE
        return context.get_dummy_value()

    return types.void(array, types.int64, held, types.int64), generate


@device_function
def exp(value: Any) -> Any:
    """Exponential."""
    return math.exp(value)


@device_function
def log1p(value: Any) -> Any:
    """log(1 + value)."""
    return math.log1p(value)


def over_lanes(combine: Any, lanes: int) -> Any:
    """Return the reduction over groups of consecutive lanes of a warp, of which all take part.

    ``combine`` must be commutative, so that every lane has the same result.
    """

    @device_function
    def reduce_lanes(value: Any) -> Any:
        distance = lanes // 2
        while distance > 0:
            value = combine(value, cuda.shfl_xor_sync(EVERY_LANE, value, distance))
            distance //= 2
        return value

    return reduce_lanes


@device_function
def wait_for_lanes() -> None:
    """Wait until all lanes of a warp have come here, and see what they have done to memory."""
    cuda.syncwarp()


@intrinsic
def _bits(typing: Any, value: Any) -> Any:
    del typing
    other = types.float32 if value == types.uint32 else types.uint32

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return other(value), generate


@device_function
def single(value: Any) -> Any:
    """Round a float64 to float32 such that rounding it again to 16 bits is rounding once.

    To odd, that is: toward zero, and the last bit set if anything was lost.  (Boldo and Melquiond,
    *When double rounding is odd*, 2005.)
    """
    nearest = np.float32(value)
    if not (abs(nearest) < np.float32(np.inf)) or np.float64(nearest) == value:
        return nearest
    bits = _bits(nearest)
    if abs(np.float64(nearest)) > abs(value):
        bits = np.uint32(bits - np.uint32(1))
    return _bits(np.uint32(bits | np.uint32(1)))
