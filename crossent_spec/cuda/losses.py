"""The public calls on a GPU: checks of what only they take, and results in the caller's arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from ..buffers import check_buffer, check_host_buffer, refuse_overlap
from ..chunks import Chunking, Projection, Tangents
from ..device_array import DeviceArray, as_given, from_interface, is_on_device
from ..dtypes import is_floating, is_integer, native
from ..evaluate import Gradients, Vjp
from ..placement import Placement, on_the_gpu
from ..problem import Problem
from . import memory
from .engine import Asked, Call
from .linear import LinearCall
from .linear_directions import LinearDirections
from .moving import derivative_of_gradient, derivative_of_loss

Function = TypeVar("Function", bound=Callable[..., Any])


def on_its_gpu(function: Function) -> Function:
    """Have a function of a problem work on the GPU that this is on."""

    @wraps(function)
    def there(problem: Problem, *rest: Any) -> Any:
        with memory.on_gpu(_placement(problem).gpu):
            return function(problem, *rest)

    return cast(Function, there)


@on_its_gpu
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


@on_its_gpu
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


@on_its_gpu
def linear_loss(problem: Problem, projection: Projection, chunking: Chunking) -> Any:
    """Return the linear loss."""
    where = _placement(problem)
    call = LinearCall(problem, projection, where.stream, *chunking)
    return _loss(where, call.evaluate(Asked())[0])


def linear_loss_and_vjp(
    problem: Problem, projection: Projection, chunking: Chunking, names: Sequence[str]
) -> tuple[Any, Vjp]:
    """Return the linear loss and its ``vjp``."""

    def vjp(grad_output: ArrayLike | None = None) -> Gradients:
        return linear_value_and_grad(problem, projection, chunking, names, grad_output)[1]

    return linear_loss(problem, projection, chunking), vjp


@on_its_gpu
def linear_value_and_grad(
    problem: Problem,
    projection: Projection,
    chunking: Chunking,
    names: Sequence[str],
    grad_output: ArrayLike | None,
) -> tuple[Any, Gradients]:
    """Return the linear loss and the gradients."""
    where = _placement(problem)
    asked = Asked(names, _grad_output(problem, grad_output, where.stream))
    loss, found = LinearCall(problem, projection, where.stream, *chunking).evaluate(asked)
    given = {name: where.give(gradient) for name, gradient in found.items()}
    return _loss(where, loss), Gradients(**given)


@on_its_gpu
def jvp(problem: Problem, direction: DeviceArray) -> tuple[Any, Any]:
    """Return the loss and its derivative along a direction of the logits."""
    where = _placement(problem)
    call = Call(problem, where.stream)
    loss, _ = call.evaluate(Asked())
    along = _moving(problem, direction, call.constants)
    return _loss(where, loss), _loss(where, derivative_of_loss(along, direction))


@on_its_gpu
def hvp(problem: Problem, direction: DeviceArray, grad_output: ArrayLike | None) -> Any:
    """Return the derivative of the logits' gradient along a direction."""
    where = _placement(problem)
    asked = Asked(grad_output=_grad_output(problem, grad_output, where.stream))
    return where.give(derivative_of_gradient(_moving(problem, direction), direction, asked))


@on_its_gpu
def linear_jvp(problem: Problem, projection: Projection, tangents: Tangents) -> tuple[Any, Any]:
    """Return the linear loss and its derivative along a direction of the operands."""
    where = _placement(problem)
    found = LinearDirections(problem, projection, where.stream, tangents).losses()
    loss, moved = (_loss(where, value) for value in found)
    return loss, moved


@on_its_gpu
def linear_hvp(
    problem: Problem, projection: Projection, tangents: Tangents, grad_output: ArrayLike | None
) -> Gradients:
    """Return the derivatives of the operands' gradients along a direction of the operands."""
    where = _placement(problem)
    asked = Asked(grad_output=_grad_output(problem, grad_output, where.stream))
    found = LinearDirections(problem, projection, where.stream, tangents).products(asked)
    return Gradients(**{name: where.give(gradient) for name, gradient in found.items()})


def _moving(problem: Problem, direction: DeviceArray, constants: DeviceArray | None = None) -> Call:
    """Return the call that works as widely as its direction asks for."""
    where = _placement(problem)
    wide = direction.dtype.itemsize == 8
    return Call(problem, where.stream, constants=constants, wide=wide)


def _loss(where: Placement, value: DeviceArray) -> Any:
    """Return a loss as the caller has arrays; a scalar of NumPy's is one."""
    found = where.give(value)
    return found[()] if where.on_host else found


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
        return on_the_gpu(_placement(problem), given, "grad_output")
    if array.ndim == 0 and problem.reduction != "none":
        return float(array)
    return memory.to_device(array.astype(np.float64), stream)


def _out(
    problem: Problem, out: Any, wanted: bool, grad_output: Any, stream: Any
) -> DeviceArray | None:
    """Check the buffer of the logits' gradient; return it, or one on the GPU for NumPy's."""
    if out is None:
        return None
    where = _placement(problem)
    logits: Any = problem.logits
    if not is_on_device(out):
        if not where.on_host:
            raise TypeError("out: is on the host, but the input is on a GPU")
        check_host_buffer(out, problem, wanted)
        input, *others = (held for held in where.held if isinstance(held, np.ndarray))
        same = out.ctypes.data == input.ctypes.data and out.strides == input.strides
        refuse_overlap(out, others if same else [input, *others], np.may_share_memory)
        return memory.empty(problem.logits_shape, native(problem.dtype), stream)
    array = on_the_gpu(where, out, "out")
    check_buffer(array, problem, wanted, lambda: not array.read_only)
    whole = array.merged(logits.shape)
    same = whole is not None and array.pointer == logits.pointer and whole.strides == logits.strides
    read: list[Any] = [problem.targets.original, problem.weight]
    if is_on_device(grad_output):
        read.append(from_interface(grad_output, "grad_output"))
    refuse_overlap(array, read if same else [logits, *read], _overlap)
    return array


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
