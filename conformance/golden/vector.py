"""A golden vector: one documented call, and everything acceptable that it may give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..case import SYSTEMS, Case
from .numbers import Json, write_float, write_integer

#: Names the form of the files, which ``golden/vectors.schema.json`` describes.
SCHEMA = "urn:crossent-spec:golden:1"
INDEX_SCHEMA = "urn:crossent-spec:golden-index:1"

#: What is called: forward and backward; then the same backward again; two forwards on the same
#: arrays, then both backwards.
CALLS = ("once", "twice", "again")

_MODES = {
    "ce": "cross_entropy",
    "linear": "linear_cross_entropy",
    "oneflow": "oneflow_cross_entropy",
    "unit": "unit_scaled_cross_entropy",
}
_KINDS = {"index": "indices", "prob": "probabilities"}
_REDUCTIONS = ("none", "mean", "sum")


@dataclass(frozen=True)
class Tensor:
    """An array by its values: float64 for the floating types, int64 for the others."""

    dtype: str
    values: NDArray[Any]

    def to_json(self) -> dict[str, Any]:
        """Return the tensor as JSON data."""
        return {"dtype": self.dtype, "shape": list(self.values.shape), "values": write(self.values)}


@dataclass(frozen=True)
class Answer:
    """One acceptable result of an output, and its proof; see :class:`~.prove.Proved`."""

    reading: str
    values: NDArray[np.float64]
    bits: int
    ties: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        proof: dict[str, Any] = {"bits": self.bits}
        if self.ties:
            proof["ties"] = list(self.ties)
        found = {"values": write(self.values), "proof": proof}
        return {"reading": self.reading, **found} if self.reading else found


@dataclass(frozen=True)
class Output:
    """The loss or a gradient: its type, its acceptable results, the allowed error of each."""

    dtype: str
    tolerance: NDArray[np.float64]
    answers: tuple[Answer, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the output as JSON data; the first answer stands in it, others beside it."""
        bounds = self.tolerance.ravel().tolist()
        same = len(set(bounds)) == 1
        found = {
            "dtype": self.dtype,
            "shape": list(self.tolerance.shape),
            **self.answers[0].to_json(),
            "tolerance": bounds[0] if same else bounds,
        }
        if len(self.answers) > 1:
            found["acceptable"] = [answer.to_json() for answer in self.answers[1:]]
        return found


@dataclass(frozen=True)
class Vector:
    """One golden vector.

    Attributes
    ----------
    arguments
        Scalar arguments as the caller writes them; the others are left out.
    inputs
        Arrays by argument name.
    grad_output
        Gradient of the loss, or None for a scalar loss's one.
    raises
        'no', 'must', or 'may' where the page leaves open whether the call is refused.
    outputs
        The loss and the gradients, by argument; empty where the call must raise.
    second_backward
        What the second backward of 'twice' does: 'same' or 'raises'.
    """

    id: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    calls: str
    arguments: dict[str, Any]
    inputs: dict[str, Tensor]
    grad_output: Tensor | None
    raises: str = "no"
    loss: Output | None = None
    gradients: dict[str, Output] = field(default_factory=dict)
    second_backward: str = ""

    @property
    def case(self) -> Case:
        """The case whose numbers these are."""
        return Case.parse(self.id)

    @property
    def mode(self) -> str:
        """The file that holds the vector."""
        return mode_of(self.case)

    def to_json(self) -> dict[str, Any]:
        """Return the vector as JSON data."""
        case = self.case
        expected: dict[str, Any]
        if self.loss is None:
            expected = {"raises": True}
        else:
            expected = {
                "loss": self.loss.to_json(),
                "gradients": {name: output.to_json() for name, output in self.gradients.items()},
            }
            if self.raises == "may":
                expected["may_raise"] = True
            if self.second_backward:
                expected["second_backward"] = self.second_backward
        return {
            "id": self.id,
            "clauses": list(self.clauses),
            "flags": list(self.flags),
            "system": SYSTEMS[case.system],
            "calls": self.calls,
            "arguments": {name: _write_argument(value) for name, value in self.arguments.items()},
            "inputs": {name: tensor.to_json() for name, tensor in self.inputs.items()},
            "grad_output": None if self.grad_output is None else self.grad_output.to_json(),
            "expected": expected,
        }


def mode_of(case: Case) -> str:
    """Name the file that holds a case's vector.

    >>> mode_of(Case.parse("ce/prob/4x10/f32/default"))
    'cross_entropy_probabilities_mean'
    """
    if case.bad != "no":
        return f"{_MODES[case.system]}_invalid"
    return f"{_MODES[case.system]}_{_KINDS[case.target]}_{case.effective_reduction}"


MODES = tuple(
    f"{mode}_{kind}"
    for mode in _MODES.values()
    for kind in (
        *(f"{kind}_{reduction}" for kind in _KINDS.values() for reduction in _REDUCTIONS),
        "invalid",
    )
)


def write(values: NDArray[Any]) -> list[Json]:
    """Write the values of an array in C order."""
    if values.dtype.kind == "f":
        return [write_float(value) for value in values.ravel().tolist()]
    return [write_integer(value) for value in values.ravel().tolist()]


def _write_argument(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _write_argument(item) for name, item in value.items()}
    if value in ("nan", "inf", "-inf"):  # how the worker's protocol spells them
        return write_float(float(value))
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return write_float(value) if isinstance(value, float) else write_integer(value)
