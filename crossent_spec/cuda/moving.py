"""Derivatives along a direction of the logits, from a problem on the GPU to results there."""

from __future__ import annotations

from ..device_array import DeviceArray
from ..dtypes import native
from ..problem import to_classes_in_middle
from . import memory
from .directions import DirectionPlan, along
from .engine import DOUBLE, Asked, Call
from .geometry import Layout, Shape, choose, vector_beside
from .launching import launch
from .rows import NOWHERE, Place


def derivative_of_loss(call: Call, direction: DeviceArray) -> DeviceArray:
    """Return the derivative of the loss along a direction, which has the logits' shape.

    The call's constants must be there.
    """
    problem = call.problem
    if problem.reduction == "none":
        losses = memory.empty(problem.loss_shape, native(problem.dtype), call.stream)
    else:
        losses = memory.empty((call.samples,), DOUBLE, call.stream)
    evaluate_along(call, direction, losses)
    return call.reduced(losses)


def derivative_of_gradient(call: Call, direction: DeviceArray, asked: Asked) -> DeviceArray:
    """Return the derivative of the logits' gradient along a direction, in their shape and dtype.

    Raises
    ------
    IndexError
        A target is no class and not ignored.
    """
    call.prepare(asked)
    problem = call.problem
    out = memory.empty(problem.logits_shape, native(problem.dtype), call.stream)
    losses = memory.empty((call.samples,), DOUBLE, call.stream)
    evaluate_along(call, direction, losses, asked, out)
    return out


def evaluate_along(
    call: Call,
    direction: DeviceArray,
    losses: DeviceArray,
    asked: Asked | None = None,
    out: DeviceArray | None = None,
) -> None:
    """Write the derivatives of the losses and, given ``out``, those of the logits' gradient.

    ``out`` has the logits' shape in C order, and may be the direction.  Of ``asked`` only the
    gradient of the losses matters.
    """
    if not call.samples:
        return
    problem, logits, q = call.problem, call.logits, call.probabilities
    moved = _in_the_middle(direction, problem.logits_shape)
    v, v_place = memory.place(moved)
    to, out_place = call.nothing, None
    scales, step = call.nothing, -1
    if out is not None:
        assert asked is not None
        to, out_place = memory.place(_in_the_middle(out, problem.logits_shape))
        scales, step = call.scales(asked.grad_output)
    # The direction is held beside the logits; probabilities are not.
    layout = Layout(
        call.samples, call.classes, call.positions > 1, logits.dtype.itemsize,
        moved.dtype.itemsize, call.x_place, v_place, out_place, call.wide,
    )  # fmt: skip
    plan, shape = planned(
        layout,
        None if q is None else (call.q_place, q.dtype.itemsize),
        smooth=problem.label_smoothing != 0,
        weighted=problem.weight is not None,
        product=out is not None,
        short=out is not None and out.dtype.itemsize == 2,
        short_losses=losses.dtype.itemsize == 2,
    )
    block = shape.block(call.samples)
    launch(
        along(plan), -(-call.samples * shape.threads // block), block, call.stream, call.x,
        call.x_place, call.y, call.y_place, call.q, call.q_place, v, v_place, call.w,
        call.ignoring, call.ignored, call.samples, call.positions, call.classes,
        call.real(call.sharp), call.real(call.uniform), call.nothing, scales, step,
        memory.memory_of(losses), to, out_place or NOWHERE,
    )  # fmt: skip


def planned(
    layout: Layout, probabilities: tuple[Place, int] | None, **rest: bool
) -> tuple[DirectionPlan, Shape]:
    """Return the kernel of a layout, in which the direction takes the place of probabilities."""
    shape = choose(layout)
    plan = DirectionPlan(
        wide=layout.wide,
        threads=shape.threads,
        vector=shape.vector,
        vector_target=1
        if probabilities is None
        else vector_beside(layout, shape.vector, *probabilities),
        vector_moved=shape.vector_target,
        chunks=shape.chunks,
        resident=shape.resident,
        whole=shape.whole,
        probabilities=probabilities is not None,
        spatial=layout.spatial,
        **rest,
    )
    return plan, shape


def _in_the_middle(array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    # Typed for NumPy's arrays alone.
    found: DeviceArray = to_classes_in_middle(array, shape)  # type: ignore[arg-type, assignment]
    return found
