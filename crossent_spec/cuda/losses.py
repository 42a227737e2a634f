"""The public calls on a GPU: checks of what only they take, and results in the caller's arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..chunks import Projection
from ..device_array import DeviceArray, as_given, from_interface, is_on_device
from ..dtypes import is_floating, is_integer, native
from ..evaluate import Gradients, Vjp
from ..placement import Placement
from ..problem import Problem
from . import memory
from .engine import Asked, Call
from .linear import LinearCall


def loss(problem: Problem, mult: float, unit: bool) -> Any:
    """Return the loss."""
    where = _placement(problem)
    return _loss(where, Call(problem, where.stream, mult, unit).evaluate(Asked())[0])


def loss_and_vjp(
    problem: Problem, names: Sequence[str], mult: float, unit: bool
) -> tuple[Any, Vjp]:
    """Return the loss and its ``vjp``."""

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        return value_and_grad(problem, names, grad_output, None, mult, unit)[1]

    return loss(problem, mult, unit), vjp


def value_and_grad(
    problem: Problem,
    names: Sequence[str],
    grad_output: ArrayLike | None,
    out: Any,
    mult: float,
    unit: bool,
) -> tuple[Any, Gradients]:
    """Return the loss and the gradients, the input's in ``out`` if that is given."""
    where = _placement(problem)
    call = Call(problem, where.stream, mult, unit)
    gain = call.classes / math.sqrt(call.classes - 1) if unit else 1.0
    asked = Asked(
        names,
        _grad_output(problem, grad_output, where.stream),
        gain,
        _out(problem, out, "input" in names, grad_output, where.stream),
    )
    value, found = call.evaluate(asked)
    given = {name: where.give(gradient) for name, gradient in found.items()}
    if out is not None:
        if not is_on_device(out):
            assert asked.out is not None
            out[...] = memory.to_host(asked.out, where.stream)
        given["input"] = out
    return _loss(where, value), Gradients(**given)


def linear_loss(problem: Problem, projection: Projection, rows: int | None) -> Any:
    """Return the linear loss."""
    where = _placement(problem)
    call = LinearCall(problem, projection, where.stream, rows)
    return _loss(where, call.evaluate(Asked())[0])


def linear_loss_and_vjp(
    problem: Problem, projection: Projection, rows: int | None, names: Sequence[str]
) -> tuple[Any, Vjp]:
    """Return the linear loss and its ``vjp``."""

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        return linear_value_and_grad(problem, projection, rows, names, grad_output)[1]

    return linear_loss(problem, projection, rows), vjp


def linear_value_and_grad(
    problem: Problem,
    projection: Projection,
    rows: int | None,
    names: Sequence[str],
    grad_output: ArrayLike | None,
) -> tuple[Any, Gradients]:
    """Return the linear loss and the gradients."""
    where = _placement(problem)
    asked = Asked(names, _grad_output(problem, grad_output, where.stream))
    loss, found = LinearCall(problem, projection, where.stream, rows).evaluate(asked)
    given = {name: where.give(gradient) for name, gradient in found.items()}
    return _loss(where, loss), Gradients(**given)


def _loss(where: Placement, value: DeviceArray) -> Any:
    """Return a loss as the caller has arrays; a scalar of NumPy's is one."""
    found = where.give(value)
    return found[()] if where.give is memory.to_host else found


def _placement(problem: Problem) -> Placement:
    assert problem.placement is not None
    return problem.placement


def _grad_output(problem: Problem, given: Any, stream: Any) -> DeviceArray | float:
    """Check the gradient of the loss; a number stays on the host, an array goes to the GPU."""
    if given is None:
        return 1.0
    array = as_given(given, "grad_output")
    allowed = is_floating(array.dtype) or (
        is_integer(array.dtype) and not isinstance(array, DeviceArray)
    )
    if not allowed:
        raise TypeError(f"grad_output: got dtype {array.dtype}, expected floating numbers")
    if array.shape != problem.loss_shape:
        raise ValueError(
            f"grad_output: got shape {array.shape}, expected the shape of the loss, "
            f"{problem.loss_shape}"
        )
    if isinstance(array, DeviceArray):
        return memory.on_stream(array, stream)
    if array.ndim == 0 and problem.reduction != "none":
        return float(array)
    return memory.to_device(array.astype(np.float64), stream)


def _out(
    problem: Problem, out: Any, wanted: bool, grad_output: Any, stream: Any
) -> DeviceArray | None:
    """Check the buffer of the logits' gradient."""
    if out is None:
        return None
    if not wanted:
        raise ValueError("out: got an array, but the gradient of 'input' is not in wrt")
    logits: Any = problem.logits
    if not is_on_device(out):
        return _host_out(problem, out, stream)
    array = memory.on_stream(from_interface(out, "out"), stream)
    dtype = native(problem.dtype)
    if array.dtype != dtype:
        raise TypeError(f"out: got dtype {array.dtype}, expected {dtype}")
    if array.shape != problem.logits_shape:
        raise ValueError(f"out: got shape {array.shape}, expected {problem.logits_shape}")
    if array.read_only:
        raise ValueError("out: got an array that is read-only")
    if array.size and any(
        step == 0 and extent > 1 for step, extent in zip(array.strides, array.shape, strict=True)
    ):
        raise ValueError(
            f"out: got strides {array.strides}, expected every element in its own place"
        )
    whole = array.merged(logits.shape)
    same = whole is not None and array.pointer == logits.pointer and whole.strides == logits.strides
    others: list[Any] = [problem.targets.original, problem.weight]
    if is_on_device(grad_output):
        others.append(from_interface(grad_output, "grad_output"))
    for other in others if same else [logits, *others]:
        if other is not None and _overlap(array, other):
            raise ValueError("out: overlaps an argument; only the input itself is allowed")
    return array


def _host_out(problem: Problem, out: Any, stream: Any) -> DeviceArray:
    """Check NumPy's buffer of a call with NumPy's arrays, and return one on the GPU for it."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: got {type(out).__name__}, expected an array or None")
    if _placement(problem).give is not memory.to_host:
        raise TypeError("out: is on the host, but the input is on a GPU")
    if out.dtype != native(problem.dtype):
        raise TypeError(f"out: got dtype {out.dtype}, expected {problem.dtype}")
    if out.shape != problem.logits_shape:
        raise ValueError(f"out: got shape {out.shape}, expected {problem.logits_shape}")
    if not out.flags.writeable:
        raise ValueError("out: got an array that is read-only")
    if out.size and any(
        step == 0 and extent > 1 for step, extent in zip(out.strides, out.shape, strict=True)
    ):
        raise ValueError(f"out: got strides {out.strides}, expected every element in its own place")
    input, *others = (held for held in _placement(problem).held if isinstance(held, np.ndarray))
    same = out.ctypes.data == input.ctypes.data and out.strides == input.strides
    for other in others if same else [input, *others]:
        if np.may_share_memory(out, other):
            raise ValueError("out: overlaps an argument; only the input itself is allowed")
    return memory.empty(problem.logits_shape, native(problem.dtype), stream)


def _overlap(one: DeviceArray, other: DeviceArray) -> bool:
    """Tell whether the memory that two arrays span has bytes in common."""
    (low, high), (first, last) = _span(one), _span(other)
    return low < last and first < high


def _span(array: DeviceArray) -> tuple[int, int]:
    if array.size == 0:
        return array.pointer, array.pointer
    spans = [step * (extent - 1) for step, extent in zip(array.strides, array.shape, strict=True)]
    low = array.pointer + sum(span for span in spans if span < 0)
    return low, array.pointer + sum(span for span in spans if span > 0) + array.dtype.itemsize
