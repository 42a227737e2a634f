"""What changed between two sets of golden vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .numbers import SPECIAL
from .vector import Vector


@dataclass(frozen=True)
class Change:
    """One vector that is new, gone or different."""

    id: str
    kind: Literal["added", "removed", "changed"]
    details: tuple[str, ...] = ()


def compare(old: Iterable[Vector], new: Iterable[Vector]) -> list[Change]:
    """Return what changed, in the order of the ids."""
    before = {vector.id: vector for vector in old}
    after = {vector.id: vector for vector in new}
    changes = []
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            changes.append(Change(key, "removed"))
        elif key not in before:
            changes.append(Change(key, "added"))
        else:
            details = tuple(differences(before[key], after[key]))
            if details:
                changes.append(Change(key, "changed", details))
    return changes


def differences(old: Vector, new: Vector) -> Iterator[str]:
    """Yield a line for everything in which two vectors of one id differ."""
    yield from _walk("", old.to_json(), new.to_json())


def _walk(path: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            here = f"{path}.{name}" if path else name
            if name not in new:
                yield f"{here}: gone"
            elif name not in old:
                yield f"{here}: new, {new[name]!r:.60}"
            else:
                yield from _walk(here, old[name], new[name])
    elif _is_row(old) and _is_row(new) and len(old) == len(new):
        pairs = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        sizes = [abs(_value(a) - _value(b)) for a, b in pairs]
        finite = [size for size in sizes if math.isfinite(size)]
        largest = f", by at most {max(finite):.3g}" if finite else ""
        first = f", first {pairs[0][0]!r} → {pairs[0][1]!r}"
        yield f"{path}: {len(pairs)} of {len(old)} numbers{largest}{first}"
    else:
        yield f"{path}: {old!r:.60} → {new!r:.60}"


def _is_row(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(x, float | int) or x in SPECIAL for x in value)
    )


def _value(number: Any) -> float:
    return SPECIAL[number] if isinstance(number, str) else float(number)
