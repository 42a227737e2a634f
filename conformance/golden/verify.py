"""Proving the files again: nothing in them is taken for granted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..request import Request, View, build
from .diff import differences
from .make import make_request, make_vector
from .read import read_folder
from .vector import Vector
from .write import INDEX, VECTORS, in_processes, render_all


@dataclass(frozen=True)
class Findings:
    """What :func:`verify` found: how many vectors it proved, and what is wrong, by id or file."""

    vectors: int
    problems: dict[str, tuple[str, ...]]


def verify(
    folder: Path,
    jobs: int | None = None,
    on_start: Callable[[int], None] | None = None,
    on_vector: Callable[[], None] | None = None,
) -> Findings:
    """Read the files strictly, then prove every vector and the form of every file.

    Raises
    ------
    GoldenFileError
        A file cannot be read as what it must be.
    """
    vectors = read_folder(folder)
    if on_start:
        on_start(len(vectors))
    problems: dict[str, tuple[str, ...]] = {}
    for name, content in render_all(vectors).items():
        if (folder / VECTORS / name).read_bytes() != content:
            said = "index" if name == INDEX else "notes or the spelling of its numbers"
            problems[name] = (f"its bytes are not those that regeneration writes: the {said}",)
    for vector, found in zip(vectors, in_processes(check, vectors, jobs), strict=True):
        if found:
            problems[vector.id] = found
        if on_vector:
            on_vector()
    return Findings(len(vectors), problems)


def check(vector: Vector) -> tuple[str, ...]:
    """Return what is wrong with a vector.

    Its results are proved from the inputs that it holds; those are the inputs of its case, too.
    """
    request = make_request(vector)
    found = [f"{name}: not what the case holds" for name in _strange(request, build(vector.case))]
    try:
        found += differences(vector, make_vector(vector.case, request))
    except (ArithmeticError, ValueError, IndexError, KeyError) as error:
        found.append(f"cannot be proved: {type(error).__name__}: {error}")
    return tuple(found)


def _strange(stored: Request, own: Request) -> list[str]:
    names = [*own.arrays, *(name for name in stored.arrays if name not in own.arrays)]
    wrong = []
    for name in names:
        a, b = stored.arrays.get(name), own.arrays.get(name)
        if a is None or b is None or not _same(a, b):
            wrong.append(name)
    if stored.arguments != own.arguments:
        wrong.append("arguments")
    if stored.wrt != own.wrt and own.case.bad == "no":
        wrong.append("gradients")
    return wrong


def _same(a: View, b: View) -> bool:
    if a.dtype != b.dtype or a.view.shape != b.view.shape:
        return False
    return bool(np.array_equal(a.values, b.values, equal_nan="float" in a.dtype))
