"""Vectors that hold a line of 16 numbers of each of four rows; see :mod:`.vectors`.

A row of few classes does not fill a vector, and what is to be found of a row costs as much for one
as for four.
"""

# What an intrinsic is called with has names in its signature, and only places in its code.
# ruff: noqa: ARG001

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.extending import intrinsic

from .vectors import (
    DOUBLE,
    LANES,
    LINE,
    SINGLE,
    SMALL,
    Vector,
    address_of,
    call_llvm,
    first_lanes,
    name_of,
)

ROWS = LANES // LINE


def _shuffled(builder: Any, a: Any, b: Any, places: Iterable[int]) -> Any:
    places = list(places)
    mask = ir.Constant(ir.VectorType(SMALL, len(places)), places)
    return builder.shuffle_vector(a, b, mask)


def _addresses(context: Any, builder: Any, array: Any, arguments: Any) -> list[Any]:
    """Return code for the addresses of four lines: flat memory, index of the first, distance."""
    value, index, step = arguments
    found = []
    for _ in range(ROWS):
        found.append(address_of(context, builder, array, value, index, LINE))
        index = builder.add(index, step)
    return found


@intrinsic
def load_rows(_context: Any, array: Any, index: Any, step: Any) -> Any:
    """Four lines of flat memory."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        lines = [
            builder.load(address, align=4)
            for address in _addresses(context, builder, array, arguments)
        ]
        return _joined(builder, lines)

    return SINGLE(array, types.uint64, types.uint64), code


@intrinsic
def load_rows_first(_context: Any, array: Any, index: Any, step: Any, count: Any) -> Any:
    """Only so many numbers of each line, and else −∞."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(ir.FloatType(), LINE)
        mask = first_lanes(builder, arguments[3], LINE)
        nothing = ir.Constant(kind, [float("-inf")] * LINE)
        lines = [
            call_llvm(
                builder, f"llvm.masked.load.{name_of(kind)}.p0", kind,
                [address, SMALL(4), mask, nothing],
            )
            for address in _addresses(context, builder, array, arguments[:3])
        ]  # fmt: skip
        return _joined(builder, lines)

    return SINGLE(array, types.uint64, types.uint64, types.uint64), code


@intrinsic
def store_rows(_context: Any, array: Any, index: Any, step: Any, vector: Any) -> Any:
    """Write four lines to flat memory."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        addresses = _addresses(context, builder, array, arguments[:3])
        for row, address in enumerate(addresses):
            builder.store(_row(builder, arguments[3], row), address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.uint64, types.uint64, SINGLE), code


@intrinsic
def store_rows_first(
    _context: Any, array: Any, index: Any, step: Any, count: Any, vector: Any
) -> Any:
    """Only so many numbers of each line."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        mask = first_lanes(builder, arguments[3], LINE)
        name = f"llvm.masked.store.{name_of(ir.VectorType(ir.FloatType(), LINE))}.p0"
        for row, address in enumerate(_addresses(context, builder, array, arguments[:3])):
            line = _row(builder, arguments[4], row)
            call_llvm(builder, name, ir.VoidType(), [line, address, SMALL(4), mask])
        return context.get_dummy_value()

    return types.void(array, types.uint64, types.uint64, types.uint64, SINGLE), code


@intrinsic
def one_each(_context: Any, array: Any, index: Any) -> Any:
    """Four consecutive float32 numbers, one for each row."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        four = builder.load(
            address_of(context, builder, array, arguments[0], arguments[1], ROWS), align=4
        )
        return _shuffled(builder, four, four, [lane // LINE for lane in range(LANES)])

    return Vector(array.dtype)(array, types.uint64), code


def _row(builder: Any, vector: Any, row: int) -> Any:
    return _shuffled(builder, vector, vector, range(row * LINE, (row + 1) * LINE))


def _joined(builder: Any, vectors: list[Any]) -> Any:
    while len(vectors) > 1:
        size = 2 * vectors[0].type.count
        vectors = [
            _shuffled(builder, a, b, range(size))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    return vectors[0]


def _folded(builder: Any, vector: Any, fold: Callable[[Any, Any], Any]) -> Any:
    """Return code for a vector of one number for each row."""
    rows = []
    for row in range(ROWS):
        line = _row(builder, vector, row)
        half = LINE // 2
        rows.append(
            fold(
                _shuffled(builder, line, line, range(half)),
                _shuffled(builder, line, line, range(half, LINE)),
            )
        )
    # Of k rows p numbers each: number i of row j is in lane i·k + j.
    k, p = 1, LINE // 2
    while len(rows) > 1:
        size = k * p
        even, odd = (
            [
                (2 * i + which) * k + j % k + (size if j >= k else 0)
                for i in range(p // 2)
                for j in range(2 * k)
            ]
            for which in (0, 1)
        )
        rows = [
            fold(_shuffled(builder, a, b, even), _shuffled(builder, a, b, odd))
            for a, b in zip(rows[::2], rows[1::2], strict=True)
        ]
        k, p = 2 * k, p // 2
    last = rows[0]
    while p > 1:
        size = k * p // 2
        last = fold(
            _shuffled(builder, last, last, range(size)),
            _shuffled(builder, last, last, range(size, 2 * size)),
        )
        p //= 2
    return last


@intrinsic
def store_sums(_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write the sum of each line: four consecutive numbers."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        sums = _folded(builder, arguments[2], builder.fadd)
        address = address_of(context, builder, array, arguments[0], arguments[1], ROWS)
        builder.store(sums, address, align=8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, DOUBLE), code


@intrinsic
def store_peaks(_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write the largest number of each line, as :func:`.vectors.largest` has it."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def larger(a: Any, b: Any) -> Any:
            name = f"llvm.maxnum.{name_of(a.type)}"
            return call_llvm(builder, name, a.type, [a, b], fastmath=("nnan", "nsz"))

        peaks = _folded(builder, arguments[2], larger)
        address = address_of(context, builder, array, arguments[0], arguments[1], ROWS)
        builder.store(peaks, address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.uint64, SINGLE), code
