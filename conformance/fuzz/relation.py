"""What a relation between calls is, and how it is judged.

A relation makes, from one case, several calls and equations between what they return.  Every
equation is exact in real numbers, and the calls' inputs are exact in their dtype, so that two
results may differ by what each call is allowed by its own error analysis, and by nothing else.
No equation knows a formula of the loss: they also hold the formulas themselves to account.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
from flint import arb, ctx, fmpq
from numpy.typing import NDArray

from conformance.balls import to_balls
from conformance.case import Case
from conformance.driver import WorkerFailure
from conformance.expect import ExactCall, ExactOutput
from conformance.protocol import decode
from conformance.request import Request, assemble
from conformance.result import OutputResult, Result
from conformance.runner import Ask
from conformance.values import numpy_dtype

Array = NDArray[Any]
Outputs = Sequence[dict[str, Any]]
#: Turns a coefficient into the number to calculate with.
Number = Callable[[Any], Any]
#: A linear function of the outputs whose coefficients go through :data:`Number`.
Linear = Callable[[Outputs, Number], Any]

#: Enough that an enclosure is nothing beside any allowed error.
_PRECISION = 256


class SpecificationError(Exception):
    """A relation does not hold for the formulas of the specification."""


@dataclass(frozen=True)
class Call:
    """One call: a case that says how, and the numbers, which must be exact in its dtype."""

    case: Case
    arrays: dict[str, Array]

    def request(self) -> Request | None:
        """Return the request, or None where a number is not exact in the dtype."""
        request = assemble(self.case, self.arrays)
        exact = all(
            np.array_equal(request.arrays[name].values, values)
            for name, values in self.arrays.items()
        )
        return request if exact else None


@dataclass(frozen=True)
class Equation:
    """Two linear functions of what the calls return are equal; ``name`` says of what."""

    name: str
    left: Linear
    right: Linear


@dataclass(frozen=True)
class Derived:
    """The calls of a relation and what holds between their results."""

    calls: tuple[Call, ...]
    equations: tuple[Equation, ...]


Derive = Callable[[Case, dict[str, Array]], Derived | None]


def exactly(coefficient: Any) -> Any:
    """Return a coefficient as balls."""
    if isinstance(coefficient, Fraction):
        return arb(fmpq(coefficient.numerator, coefficient.denominator))
    values = np.asarray(coefficient, dtype=np.float64)
    return to_balls(values) if values.ndim else arb(float(values))


def _in_size(coefficient: Any) -> Any:
    """Return the size of a coefficient, rounded up."""
    size = np.abs(np.asarray(coefficient, dtype=np.float64))
    return size * (1 + 2.0**-50)


class Prepared:
    """A derived relation with everything that its calls must give."""

    def __init__(self, derived: Derived, requests: Sequence[Request]) -> None:
        ctx.prec = _PRECISION
        self.equations = derived.equations
        self.requests = list(requests)
        self._calls = [
            ExactCall(request.case, request, request.steps[0]["arrays"]) for request in requests
        ]
        self.expected: list[dict[str, ExactOutput]] = [
            {**call.forward, **call.backward} for call in self._calls
        ]

    def is_decided(self) -> bool:
        """Tell whether every result has one reading, which is finite and well inside its dtype."""
        return all(_is_tame(one) for side in self.expected for one in side.values())

    def check_formulas(self) -> None:
        """Hold the formulas to the relation, on exact values.

        Raises
        ------
        SpecificationError
            The enclosures of the two sides do not overlap.
        """
        ctx.prec = _PRECISION
        exact = []
        for call, expected in zip(self._calls, self.expected, strict=True):
            side = {}
            for direction in ("forward", "backward"):
                _, found = next(iter(call.evaluate(direction, to_balls)))
                for name, values in found.items():
                    balls = np.asarray(values, dtype=object)
                    side[name] = balls.reshape(expected[name].shape)
            exact.append(side)
        for equation in self.equations:
            gap = np.asarray(
                equation.left(exact, exactly) - equation.right(exact, exactly), dtype=object
            )
            allowed = self.allowed(equation)
            for ball, limit in zip(gap.ravel(), np.ravel(allowed), strict=True):
                if not arb(ball).contains(0):
                    raise SpecificationError(f"{equation.name} differs by {arb(ball).str(10)}")
                if not float(arb(ball).rad()) <= limit * 2.0**-20 + 2.0**-200:
                    raise SpecificationError(f"{equation.name}: too wide at {_PRECISION} bits")

    def allowed(self, equation: Equation) -> Array:
        """Return by how much the two sides of an equation may differ."""
        errors = [{name: one.allowed for name, one in side.items()} for side in self.expected]
        total = equation.left(errors, _in_size) + equation.right(errors, _in_size)
        return np.asarray(total, dtype=np.float64)

    def compare(self, got: Outputs) -> list[OutputResult]:
        """Return how far from equal the two sides of every equation are."""
        ctx.prec = _PRECISION
        found = []
        for equation in self.equations:
            left = np.asarray(equation.left(got, exactly), dtype=object)
            right = np.asarray(equation.right(got, exactly), dtype=object)
            gap = np.array([abs(float(arb(one).mid())) for one in np.ravel(left - right)])
            allowed = self.allowed(equation).ravel()
            with np.errstate(divide="ignore", invalid="ignore"):
                fraction = np.where(gap == 0, 0.0, gap / allowed)
            worst = int(np.argmax(fraction)) if gap.size else 0
            ok = bool((gap <= allowed).all())
            detail = ""
            if not ok:
                place = [int(i) for i in np.unravel_index(worst, left.shape)]
                where = f" at {place}" if left.ndim else ""
                detail = (
                    f"is {float(arb(left.ravel()[worst])):.9g}{where}, and by the relation "
                    f"{float(arb(right.ravel()[worst])):.9g} ± {allowed[worst]:.3g}"
                )
            found.append(
                OutputResult(
                    equation.name, 0, ok, 0.0, float(fraction.max(initial=0.0)), "", detail
                )
            )
        return found


def prepare(derive: Derive, case: Case, arrays: dict[str, Array]) -> Prepared | None:
    """Derive a relation's calls; None where it does not apply, or says nothing."""
    derived = derive(case, arrays)
    if derived is None:
        return None
    requests = [request for call in derived.calls if (request := call.request()) is not None]
    if len(requests) < len(derived.calls):
        return None
    prepared = Prepared(derived, requests)
    return prepared if prepared.is_decided() else None


def examine(name: str, id: str, prepared: Prepared, ask: Ask) -> Result | None:
    """Put the calls of a relation to a framework and judge how its answers fit together.

    The result names no clause: a relation follows from several.  There is none where a call is
    refused or gives no finite numbers: nothing is left to relate, and the call's own case tells.
    """
    got: list[dict[str, Any]] = []
    for request, expected in zip(prepared.requests, prepared.expected, strict=True):
        reply = ask(request.message())()
        if isinstance(reply, WorkerFailure):
            return Result(id, (), reply.kind, reply.detail)
        side: dict[str, Any] = {}
        for step in reply["steps"]:
            if step["outcome"] == "unsupported":
                return Result(id, (), "unsupported", str(step["reason"]))
            if step["outcome"] != "ok":
                return None
            side.update(step["arrays"])
        for output, exact in expected.items():
            if not _fits(side.get(output), exact):
                return None
            side[output] = _values(side[output])
        got.append(side)
    outputs = tuple(prepared.compare(got))
    wrong_ones = [output for output in outputs if not output.ok]
    if wrong_ones:
        problem = f"{name}: {wrong_ones[0].name} {wrong_ones[0].detail}"
        return Result(id, (), "fail", problem, outputs)
    return Result(id, (), "pass", outputs=outputs)


def _is_tame(one: ExactOutput) -> bool:
    largest = float(ml_dtypes.finfo(numpy_dtype(one.dtype)).max)
    values = one.readings[0].high
    return (
        len(one.readings) == 1
        and bool(np.isfinite(values).all())
        and bool((np.abs(values) + one.allowed < largest).all())
    )


def _fits(message: Any, exact: ExactOutput) -> bool:
    if message is None:
        return False
    array = decode(message)
    same = (array.dtype, array.data.shape) == (exact.dtype, exact.shape)
    return same and bool(np.isfinite(_floats(message)).all())


def _floats(message: Any) -> Array:
    array = decode(message)
    data = array.data.view(ml_dtypes.bfloat16) if array.dtype == "bfloat16" else array.data
    return np.asarray(data.astype(np.float64))


def _values(message: Any) -> Any:
    """Return what was returned as balls, a number where it has no axes."""
    balls = to_balls(_floats(message))
    return balls if balls.ndim else balls[()]
