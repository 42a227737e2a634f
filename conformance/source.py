"""Python source text for arrays and calls, as reproduction scripts write them."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

WIDTH = 96


def literal(data: np.ndarray) -> str:
    """Write an array as a call of ``np.array`` that gives back every element exactly.

    >>> literal(np.array([0.1, np.nan, -np.inf], np.float32))
    "np.array([0.1, np.nan, -np.inf], 'float32')"
    >>> print(literal(np.array([[1, 2], [3, 4]])))
    np.array(
        [[1, 2],
         [3, 4]],
        'int64',
    )
    """
    if data.dtype.kind == "f":
        shortest = [number(x) for x in data.flat]
        again = np.array([float(text.replace("np.", "")) for text in shortest]).astype(data.dtype)
        # The shortest text of a float32, read as a float64 and rounded, is nearly always it.
        if not np.array_equal(again, data.ravel(), equal_nan=True):
            shortest = [number(np.float64(x)) for x in data.flat]
    else:
        shortest = [str(x) for x in data.flat]
    texts = np.empty(data.size, object)
    texts[:] = shortest
    text = np.array2string(
        texts.reshape(data.shape),
        separator=", ",
        threshold=data.size + 1,
        max_line_width=WIDTH,
        prefix="    ",
        formatter={"all": str},
    )
    if "\n" not in text and len(text) < WIDTH - 40:
        return f"np.array({text}, {data.dtype.name!r})"
    return f"np.array(\n    {text},\n    {data.dtype.name!r},\n)"


def break_line(line: str) -> list[str]:
    """Break a call that is too long for a line after its top-level commas.

    >>> print("\\n".join(break_line("x = f(" + "a" * 50 + ", g(1, 2), b=" + "c" * 50 + ")")))
    x = f(
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,
        g(1, 2),
        b=cccccccccccccccccccccccccccccccccccccccccccccccccc,
    )
    """
    comma = "," if line.endswith("),") else ""
    line = line[: len(line) - len(comma)]
    if len(line) < WIDTH or not line.endswith(")"):
        return [line + comma]
    depth, start = 0, 0
    cuts: list[int] = []
    # Blanks for what stands between quotes, which is no structure.
    bare = re.sub(r"'[^']*'", lambda text: " " * len(text.group()), line)
    for position, character in enumerate(bare):
        if character in "([{":
            depth += 1
            if depth == 1:
                # The last call that opens at the top level is the one to break.
                start, cuts = position, []
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 1:
            cuts.append(position)
    ends = [start, *cuts, len(line) - 1]
    items = [line[a + 1 : b].strip() for a, b in itertools.pairwise(ends)]
    margin = " " * (len(line) - len(line.lstrip()))
    broken = (break_line(f"{margin}    {item},") for item in items if item)
    return [line[: start + 1], *itertools.chain.from_iterable(broken), f"{margin}){comma}"]


def number(value: Any) -> str:
    """Write one number as Python source."""
    if np.isnan(value):
        return "np.nan"
    if np.isinf(value):
        return "np.inf" if value > 0 else "-np.inf"
    return str(value)


def two_digits(allowed: np.ndarray) -> np.ndarray:
    """Round allowed errors so that they write short; one number where they are all alike."""
    rounded = np.array([float(f"{error:.1e}") for error in allowed.flat]).reshape(allowed.shape)
    return rounded if len(np.unique(rounded)) != 1 else rounded.reshape(-1)[0].reshape(())


def offset(view: np.ndarray, base: np.ndarray) -> int:
    """Return how many elements into its buffer a view begins."""
    if not view.size:
        return 0
    start: int = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return start // view.itemsize


def axes_of(view: np.ndarray, base: np.ndarray) -> list[int] | None:
    """Return the order of axes in which the view fills its whole buffer, if it does."""
    if view.size != base.size or offset(view, base) != 0 or (view.size and 0 in view.strides):
        return None
    axes = [int(axis) for axis in np.argsort([-stride for stride in view.strides], kind="stable")]
    # The strides of an axis of one element tell nothing.
    if view.flags.c_contiguous:
        return sorted(axes)
    return axes if view.transpose(axes).flags.c_contiguous else None


def sorted_imports(lines: Iterable[str]) -> list[str]:
    """Sort import lines as a linter would: the standard library, a gap, the rest."""
    ours = sorted(lines)
    standard = [line for line in ours if line.split()[1].split(".")[0] in sys.stdlib_module_names]
    others = [line for line in ours if line not in standard]
    return [*standard, "", *others] if standard else others
