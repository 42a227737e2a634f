"""What PTX's instructions compute, of all threads' numbers at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Element types of NumPy.
TYPES: dict[str, Any] = {
    "pred": np.bool_,
    "b8": np.uint8, "u8": np.uint8, "s8": np.int8,
    "b16": np.uint16, "u16": np.uint16, "s16": np.int16, "f16": np.float16,
    "b32": np.uint32, "u32": np.uint32, "s32": np.int32, "f32": np.float32,
    "b64": np.uint64, "u64": np.uint64, "s64": np.int64, "f64": np.float64,
}  # fmt: skip
#: Of a float32 whose smaller numbers ``.ftz`` takes for zero.
_LEAST = np.float32(2.0**-126)
_COMPARE: dict[str, Any] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "lo": np.less, "ls": np.less_equal, "hi": np.greater,
    "hs": np.greater_equal,
}  # fmt: skip
_SIMPLE: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}  # fmt: skip


@cache
def operation(name: tuple[str, ...]) -> tuple[tuple[str, ...], Callable[..., Array]]:
    """Return the types of result and operands, and the function.

    Raises
    ------
    NotImplementedError
        The machine has no such instruction.
    """
    verb, kind = name[0], name[-1]
    found = _made(verb, name[1:-1], kind)
    if found is None:
        raise NotImplementedError(".".join(name))
    return found


def _made(
    verb: str, rest: tuple[str, ...], kind: str
) -> tuple[tuple[str, ...], Callable[..., Array]] | None:
    floating = kind[0] == "f"
    same = (kind, kind, kind)
    if verb == "setp":
        return ("pred", kind, kind), _comparison(rest[0], floating)
    if verb == "selp":
        return (kind, kind, kind, "pred"), _selected
    if verb in ("mov", "neg", "abs", "not"):
        return (kind, kind), _unary(verb, kind)
    if verb == "cvt":
        return _conversion(rest, kind)
    if verb == "fma":
        return (kind, kind, kind, kind), _rounding(rest, kind, _fused)
    if verb in ("mul", "div") and floating:
        return same, {"mul": np.multiply, "div": np.divide}[verb]
    if verb in ("add", "sub") and floating and "rz" in rest:
        return same, _rounding(rest, kind, lambda a, b: a.astype(np.float64) + b)
    if verb in _SIMPLE:
        return same, _SIMPLE[verb]
    if verb in ("min", "max"):
        # The number of the two, where one is NaN.
        work = {"min": (np.fmin, np.minimum), "max": (np.fmax, np.maximum)}[verb]
        return same, work[0] if floating else work[1]
    if verb == "copysign":
        return same, lambda a, b: np.copysign(b, a)
    if verb in ("shl", "shr"):
        return (kind, kind, "u32"), _shift(verb, kind)
    if verb in ("mul", "mad"):
        return _product(verb, rest, kind)
    if verb in ("div", "rem"):
        return same, _division(verb)
    if verb == "bfi":
        return (kind, kind, kind, "u32", "u32"), _insertion(kind)
    if verb == "ex2" and rest == ("approx", "ftz"):
        return (kind, kind), lambda a: _flushed(np.exp2(_flushed(a).astype(np.float64)))
    if verb == "rcp" and rest == ("approx", "ftz") and kind == "f64":
        return (kind, kind), _rough_reciprocal
    return None


def _selected(a: Array, b: Array, which: Array) -> Array:
    found: Array = np.where(which, a, b)
    return found


def _comparison(how: str, floating: bool) -> Callable[..., Array]:
    if how in ("num", "nan"):
        return lambda a, b: (np.isnan(a) | np.isnan(b)) == (how == "nan")
    if floating and how.endswith("u") and len(how) == 3:
        # True where one is NaN.
        ordered = _COMPARE[how[:2]]
        return lambda a, b: ordered(a, b) | np.isnan(a) | np.isnan(b)
    if floating and how == "ne":
        return lambda a, b: (a != b) & ~np.isnan(a) & ~np.isnan(b)
    work: Callable[..., Array] = _COMPARE[how]
    return work


def _unary(verb: str, kind: str) -> Callable[..., Array]:
    if verb == "not" and kind == "pred":
        return np.logical_not
    works: dict[str, Any] = {
        "mov": np.positive, "neg": np.negative, "abs": np.abs, "not": np.invert,
    }  # fmt: skip
    if kind == "pred":
        works["mov"] = np.copy
    work: Callable[..., Array] = works[verb]
    return work


def _flushed(value: Array) -> Array:
    single = value.astype(np.float32)
    return np.where(np.abs(single) < _LEAST, np.copysign(np.float32(0), single), single)


def _rounding(rest: tuple[str, ...], kind: str, work: Callable[..., Array]) -> Callable[..., Array]:
    """Round what ``work`` gives, of float32 in float64, as the modifiers say."""
    if kind == "f64":
        if rest != ("rn",):
            raise NotImplementedError(f"{rest} of {kind}")
        return work

    def rounded(*values: Array) -> Array:
        wide = work(*values)
        near = wide.astype(np.float32)
        if "rz" in rest:
            beyond = np.abs(near.astype(np.float64)) > np.abs(wide)
            return np.where(beyond, np.nextafter(near, np.float32(0)), near)
        if "rm" in rest:
            beyond = near.astype(np.float64) > wide
            return np.where(beyond, np.nextafter(near, np.float32(-np.inf)), near)
        return near

    return rounded


def _fused(a: Array, b: Array, c: Array) -> Array:
    """a·b + c; of float32 in float64, where the product is exact."""
    if a.dtype == np.float32:
        return a.astype(np.float64) * b.astype(np.float64) + c
    product = a * b
    total = product + c
    # What product and sum have lost (Dekker, Knuth), where that is finite.
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    lost = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    part = total - product
    lost = lost + ((product - (total - part)) + (c - part))
    better = total + lost
    return np.where(np.isfinite(better), better, total)


def _halves(a: Array) -> tuple[Array, Array]:
    large = 134217729.0 * a
    high = large - (large - a)
    return high, a - high


def _shift(verb: str, kind: str) -> Callable[..., Array]:
    bits = 8 * np.dtype(TYPES[kind]).itemsize

    def shifted(a: Array, by: Array) -> Array:
        amount = np.minimum(by, bits - 1).astype(a.dtype)
        found = np.left_shift(a, amount) if verb == "shl" else np.right_shift(a, amount)
        if kind[0] == "s" and verb == "shr":
            return found
        return np.where(by >= bits, np.zeros_like(found), found)

    return shifted


def _product(
    verb: str, rest: tuple[str, ...], kind: str
) -> tuple[tuple[str, ...], Callable[..., Array]] | None:
    wide = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}.get(kind, "")
    to = {"wide": wide, "lo": kind}.get(".".join(rest), "")
    if not to:
        return None
    dtype = TYPES[to]

    def product(a: Array, b: Array) -> Array:
        return a.astype(dtype) * b.astype(dtype)

    if verb == "mul":
        return (to, kind, kind), product
    return (to, kind, kind, to), lambda a, b, c: product(a, b) + c


def _division(verb: str) -> Callable[..., Array]:
    def divided(a: Array, b: Array) -> Array:
        # Of threads that do not take part the divisor may be 0.
        by = np.where(b == 0, np.ones_like(b), b)
        if a.dtype.kind == "i":
            # Toward zero, not down.
            remainder = np.fmod(a, by)
            return remainder if verb == "rem" else (a - remainder) // by
        return a % by if verb == "rem" else a // by

    return divided


def _insertion(kind: str) -> Callable[..., Array]:
    dtype = TYPES[kind]
    bits = 8 * np.dtype(dtype).itemsize

    def inserted(a: Array, b: Array, begin: Array, length: Array) -> Array:
        # They are the same in all threads.
        start, count = int(begin[0]), int(length[0])
        ones = ((1 << count) - 1) << start & ((1 << bits) - 1)
        keep = dtype(((1 << bits) - 1) ^ ones)
        return (b & keep) | (np.left_shift(a, dtype(start)) & dtype(ones))

    return inserted


def _rough_reciprocal(a: Array) -> Array:
    # Of the upper 20 bits of its fraction.
    found = (1.0 / a).view(np.uint64) & np.uint64(0xFFFFFFFF00000000)
    return found.view(np.float64)


def _conversion(
    rest: tuple[str, ...], source: str
) -> tuple[tuple[str, ...], Callable[..., Array]] | None:
    *how, to = rest
    dtype = TYPES[to]
    if how == ["sat"] and to[0] == "f":
        return (to, source), lambda a: np.where(np.isnan(a), 0, np.clip(a, 0, 1)).astype(dtype)
    if to[0] == "f" and how in ([], ["rn"]):
        return (to, source), lambda a: a.astype(dtype)
    if to[0] in "us" and source[0] in "usb" and not how:
        return (to, source), lambda a: a.astype(dtype)
    ways: dict[str, Any] = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}
    if len(how) == 1 and how[0] in ways and source[0] == "f":
        work = ways[how[0]]
        if to[0] == "f":
            return (to, source), lambda a: work(a).astype(dtype)
        limits = np.iinfo(dtype)
        # Clamped, and 0 of NaN.
        return (to, source), lambda a: np.where(
            np.isnan(a), 0, np.clip(work(a.astype(np.float64)), limits.min, limits.max)
        ).astype(dtype)
    return None
