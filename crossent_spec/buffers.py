"""Buffers of the caller's that the gradient of the input is written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dtypes import native
from .problem import Problem, to_classes_in_middle

Array = NDArray[Any]


def check_out(out: Array | None, problem: Problem, wanted: bool) -> None:
    """Refuse a buffer that cannot take the gradient of the input, or that is read while written."""
    if out is None:
        return
    check_host_buffer(out, problem, wanted)
    arguments = [problem.targets.original, problem.weight]
    logits = problem.logits
    assert logits is not None
    if np.may_share_memory(out, logits):
        in_place = to_classes_in_middle(out, out.shape)
        if in_place.ctypes.data != logits.ctypes.data or in_place.strides != logits.strides:
            arguments.append(logits)
    refuse_overlap(out, arguments, np.shares_memory)


def check_host_buffer(out: Any, problem: Problem, wanted: bool) -> None:
    """Refuse what is no buffer of NumPy's for the gradient of the input."""
    if wanted and not isinstance(out, np.ndarray):
        raise TypeError(f"out: got {type(out).__name__}, expected an array or None")
    check_buffer(out, problem, wanted, lambda: out.flags.writeable, lambda: out.flags.aligned)


def check_buffer(
    out: Any,
    problem: Problem,
    wanted: bool,
    writable: Callable[[], bool],
    aligned: Callable[[], bool] = lambda: True,
) -> None:
    """Refuse a buffer, NumPy's or on a GPU, that cannot take the gradient of the input."""
    if not wanted:
        raise ValueError("out: got an array, but the gradient of 'input' is not in wrt")
    if out.dtype != native(problem.dtype) or not aligned():
        raise TypeError(f"out: got dtype {out.dtype}, expected aligned {problem.dtype}")
    if out.shape != problem.logits_shape:
        raise ValueError(f"out: got shape {out.shape}, expected {problem.logits_shape}")
    if not writable():
        raise ValueError("out: got an array that is read-only")
    if out.size and not _has_its_own_places(out):
        raise ValueError(f"out: got strides {out.strides}, expected every element in its own place")


def refuse_overlap(out: Any, arguments: Sequence[Any], overlap: Callable[[Any, Any], bool]) -> None:
    """Refuse a buffer that shares memory with what is read while it is written."""
    for array in arguments:
        if array is not None and overlap(out, array):
            raise ValueError("out: overlaps an argument; only the input itself is allowed")


def _has_its_own_places(array: Any) -> bool:
    """Tell whether every element lies beyond all that the axes with shorter strides reach."""
    reach = array.dtype.itemsize
    for step, count in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if count > 1:
            if step < reach:
                return False
            reach += step * (count - 1)
    return True
