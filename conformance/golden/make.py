"""A case as a vector, and a vector as a request: the same numbers both ways."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from ..case import Case
from ..clauses import clauses_of
from ..expect import ExactCall, expect
from ..request import Request, View, build
from ..values import numpy_dtype
from .flags import flags_of
from .numbers import round_up
from .prove import Proved, outputs_of, prove
from .vector import Answer, Output, Tensor, Vector


class AmbiguousOverflowError(ValueError):
    """A result's bound reaches past the largest number of its type: a file cannot say that."""


def make_vector(case: Case, request: Request | None = None) -> Vector:
    """Work out the vector of a case.

    Parameters
    ----------
    case
        The case.
    request
        Its arrays and arguments, where they are not the case's own: what a file holds.
    """
    request = build(case) if request is None else request
    inputs = {name: _tensor(array) for name, array in request.arrays.items()}
    vector = Vector(
        id=case.id,
        clauses=clauses_of(case),
        flags=flags_of(case),
        calls=case.script,
        arguments=request.arguments,
        inputs={name: tensor for name, tensor in inputs.items() if name != "grad_output"},
        grad_output=inputs.get("grad_output"),
        raises="must",
    )
    steps = expect(case, request).steps
    if steps[0].raises == "must":
        return vector
    call = ExactCall(case, request, request.steps[0]["arrays"])
    second = ""
    if case.script == "twice":
        second = "raises" if steps[2].raises == "must" else "same"
    return Vector(
        **{
            **vars(vector),
            "raises": steps[0].raises,
            "loss": _outputs(call, "forward")["loss"],
            "gradients": _outputs(call, "backward") if call.wrt else {},
            "second_backward": second,
        }
    )


def make_request(vector: Vector) -> Request:
    """Build the request that a vector describes, from what its file holds alone."""
    names = list(vector.inputs)
    arrays = {name: _view(tensor) for name, tensor in vector.inputs.items()}
    if vector.grad_output is not None:
        arrays["grad_output"] = _view(vector.grad_output)
    return Request(
        case=vector.case,
        arrays=arrays,
        arguments={name: _argument(value) for name, value in vector.arguments.items()},
        wrt=("input",) if vector.loss is None else tuple(vector.gradients),
        steps=_steps(vector, names),
    )


def _steps(vector: Vector, names: list[str]) -> tuple[dict[str, Any], ...]:
    def forward(state: str) -> dict[str, Any]:
        return {"do": "forward", "as": state, "arrays": {name: name for name in names}}

    def backward(state: str, retain: bool = False) -> dict[str, Any]:
        grad_output = None if vector.grad_output is None else "grad_output"
        return {"do": "backward", "of": state, "grad_output": grad_output, "retain": retain}

    if not vector.gradients:
        return (forward("a"),)
    return {
        "once": (forward("a"), backward("a")),
        "twice": (forward("a"), backward("a", retain=True), backward("a")),
        "again": (forward("a"), forward("b"), backward("a"), backward("b")),
    }[vector.calls]


def _tensor(array: View) -> Tensor:
    return Tensor(array.dtype, array.values)


def _view(tensor: Tensor) -> View:
    values: np.ndarray = tensor.values.astype(numpy_dtype(tensor.dtype))
    if tensor.dtype == "bfloat16":
        values = values.view(np.uint16)
    base = values.reshape(-1).copy()
    return View(base, base.reshape(values.shape), tensor.dtype)


def _argument(value: Any) -> Any:
    """Write a number that is not finite as the worker's protocol does."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _outputs(call: ExactCall, direction: str) -> dict[str, Output]:
    proved = prove(call, direction)
    found = {}
    for name, exact in outputs_of(call, direction).items():
        readings = proved[name]
        found[name] = Output(
            exact.dtype,
            _tolerance(call.case, name, exact.dtype, exact.allowed, readings),
            tuple(Answer(one.reading, one.values, one.bits, one.ties) for one in readings),
        )
    return found


def _tolerance(
    case: Case, name: str, dtype: str, allowed: np.ndarray, readings: tuple[Proved, ...]
) -> np.ndarray:
    """Allow, around the rounded values, all that is allowed around the exact ones."""
    limits = ml_dtypes.finfo(numpy_dtype(dtype))
    overflow = float(limits.max) * (1 + float(limits.eps) / 4)
    for one in readings:
        finite = np.isfinite(one.values)
        near = finite & (np.abs(one.values) + allowed >= overflow)
        if near.any() or one.overflow:
            raise AmbiguousOverflowError(f"{case.id}: {name} is about the largest {dtype}")
    distance = np.max([one.distance for one in readings], axis=0)
    somewhere_finite = np.any([np.isfinite(one.values) for one in readings], axis=0)
    total = np.where(somewhere_finite, allowed + distance, 0.0)
    bounds = [round_up(float(bound)) for bound in total.ravel()]
    return np.array(bounds, dtype=np.float64).reshape(allowed.shape)
