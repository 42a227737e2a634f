"""The judgement: what a framework gave against what the formula gives."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from .case import Case
from .clauses import clauses_of
from .corpus import clauses_by_rarity
from .driver import WorkerFailure
from .expect import ExactOutput, Expected, ExpectedStep, Reading
from .protocol import Array, decode
from .request import Request
from .result import OutputResult, Result
from .text import printable
from .values import numpy_dtype

Float = NDArray[np.float64]

#: What is raised without the framework having refused the call: the adapter's own mistake, and
#: the end of the memory.
_NO_REFUSAL = ("AdapterError", "MemoryError")


@dataclass(frozen=True)
class Comparison:
    """One output against one reading."""

    ok: bool
    ulps: float
    bound_fraction: float
    detail: str


def judge(request: Request, expected: Expected, reply: Any) -> Result:
    """Judge a worker's reply to the request of a case.

    Parameters
    ----------
    request, expected
        What was sent, and what must come back.
    reply
        The decoded JSON reply, or a :class:`WorkerFailure`.
    """
    case = request.case
    clauses = clauses_by_rarity(case)
    if isinstance(reply, WorkerFailure):
        return Result(case.id, clauses, reply.kind, reply.detail)
    try:
        verdict, message, outputs = _judge(request, expected, reply)
        if verdict == "unsupported":
            shown = _shown_by_loss(case, clauses) if outputs else ()
            if shown:
                verdict, message, clauses = "pass", f"the loss alone: {message}", shown
            else:
                outputs = ()
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        verdict, outputs = "crash", ()
        message = f"the worker's reply breaks the protocol: {type(error).__name__}: {error}"
    return Result(case.id, clauses, verdict, printable(message), outputs)


def _shown_by_loss(case: Case, clauses: tuple[str, ...]) -> tuple[str, ...]:
    """Return the clauses that a right loss shows where the framework has no such gradient.

    There are none where the case is about one that takes a backward pass.
    """
    seen = clauses_of(replace(case, grad="skip", script="once"))
    if clauses[0] not in seen:
        return ()
    return tuple(clause for clause in clauses if clause in seen)


def _judge(
    request: Request, expected: Expected, reply: dict[str, Any]
) -> tuple[str, str, tuple[OutputResult, ...]]:
    answers = reply["steps"]
    modified = reply["modified"]
    if not isinstance(answers, list) or len(answers) != len(expected.steps):
        raise ValueError(f"expected {len(expected.steps)} steps, got {answers!r:.200}")
    if not isinstance(modified, list):
        raise ValueError(f"modified: got {modified!r:.200}, expected a list of names")
    outputs: list[OutputResult] = []
    # The worst thing that any step shows is the verdict.
    worst, message = "pass", ""
    no_gradient = ""
    refused: set[str] = set()
    for number, (step, asked, answer) in enumerate(
        zip(expected.steps, request.steps, answers, strict=True)
    ):
        state = asked["as"] if asked["do"] == "forward" else asked["of"]
        if state in refused:
            continue
        verdict, why = _judge_step(step, answer, number, outputs)
        if answer["outcome"] == "raised" and asked["do"] == "forward":
            refused.add(state)
        if verdict == "unsupported" and worst == "pass" and not modified:
            if asked["do"] == "forward":
                return "unsupported", why, ()
            no_gradient = no_gradient or why
        if verdict not in ("pass", "unsupported") and worst == "pass":
            worst, message = verdict, f"{asked['do']} (step {number}): {why}"
    if modified and worst == "pass":
        worst, message = "fail", f"overwrote the caller's {', '.join(map(str, modified))}"
    if no_gradient and worst == "pass":
        worst, message = "unsupported", no_gradient
    return worst, message, tuple(outputs)


def _judge_step(
    step: ExpectedStep, answer: dict[str, Any], number: int, outputs: list[OutputResult]
) -> tuple[str, str]:
    outcome = answer["outcome"]
    if outcome == "unsupported":
        return "unsupported", str(answer["reason"])
    if outcome == "raised":
        raised = f"{answer['type']}: {answer['message']}"
        if step.raises == "no" or answer["type"] in _NO_REFUSAL:
            return "error", raised
        if step.raises == "may":
            outputs.append(OutputResult("call", number, True, reading="refused with an error"))
        return "pass", raised
    if outcome != "ok":
        raise ValueError(f"outcome {outcome!r}, but nothing before it failed")
    if step.raises == "must":
        return "accepts-invalid", "did not raise; " + _shown(answer)
    wrong = ""
    arrays = answer["arrays"]
    for name, exact in step.outputs.items():
        label = name if name == "loss" else f"grad.{name}"
        if name not in arrays:
            result = OutputResult(label, number, False, math.nan, math.nan, "", "is missing")
        else:
            result = _judge_output(label, number, exact, arrays[name], step.raises == "may")
        outputs.append(result)
        if not result.ok and not wrong:
            wrong = f"{label} {result.detail}"
    return ("fail" if wrong else "pass"), wrong


def _judge_output(
    label: str, number: int, exact: ExactOutput, message: dict[str, Any], optional: bool
) -> OutputResult:
    got = _decode(message)
    if got.dtype != exact.dtype:
        detail = f"has dtype {got.dtype}, expected {exact.dtype}"
        return OutputResult(label, number, False, math.nan, math.nan, "", detail)
    if got.data.shape != exact.shape:
        detail = f"has shape {got.data.shape}, expected {exact.shape}"
        return OutputResult(label, number, False, math.nan, math.nan, "", detail)
    data = got.data
    if exact.dtype == "bfloat16":
        data = data.view(ml_dtypes.bfloat16)
    values = data.astype(np.float64)
    tried = [(reading, compare(exact, reading, values)) for reading in exact.readings]
    best = min(tried, key=lambda item: (not item[1].ok, item[1].bound_fraction))
    reading, comparison = best
    name = reading.name
    if optional and comparison.ok:
        name = name or "accepted"
    return OutputResult(
        label,
        number,
        comparison.ok,
        comparison.ulps,
        comparison.bound_fraction,
        name if comparison.ok else "",
        comparison.detail,
    )


def compare(exact: ExactOutput, reading: Reading, got: Float) -> Comparison:
    """Compare values of the output's dtype with one reading, element by element.

    A finite exact value allows the interval of its error bound; where that reaches past the
    largest finite number of the dtype, the infinity of that sign belongs to it.  NaN and
    infinities must be met exactly.
    """
    dtype = numpy_dtype(exact.dtype)
    largest = float(ml_dtypes.finfo(dtype).max)
    # From here on, rounding to nearest gives infinity.
    overflow = largest + float(spacing(np.asarray(largest), dtype)) / 2
    finite = np.isfinite(reading.high)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs((got - reading.high) - reading.low)
        to_infinity = np.abs(reading.high) + exact.allowed >= overflow
        same_sign = np.sign(got) == np.sign(reading.high)
    special = np.where(np.isnan(reading.high), np.isnan(got), got == reading.high)
    overflowed = np.isinf(got) & same_sign & to_infinity
    within = np.isfinite(got) & (error <= exact.allowed)
    ok = np.where(finite, within | overflowed, special)
    unit = spacing(reading.high, dtype)
    measured = finite & np.isfinite(got)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ulps = np.where(measured, error / unit, np.where(ok, 0.0, np.inf))
        fraction = np.where(
            exact.allowed > 0, error / exact.allowed, np.where(error > 0, np.inf, 0)
        )
        fraction = np.where(measured, fraction, np.where(ok, 0.0, np.inf))
    detail = "" if ok.all() else _where_wrong(exact, reading, got, np.asarray(ok), fraction)
    return Comparison(
        bool(ok.all()),
        float(np.max(ulps, initial=0.0)),
        float(np.max(fraction, initial=0.0)),
        detail,
    )


def spacing(values: Float, dtype: np.dtype[Any]) -> Float:
    """One unit in the last place of ``dtype`` at each value.

    >>> float(spacing(np.array(1.5), np.dtype("float32")) * 2**23)
    1.0
    """
    limits = ml_dtypes.finfo(dtype)
    exponent = np.frexp(np.abs(values))[1]
    unit = np.where(values == 0, 0.0, np.ldexp(float(limits.eps), exponent - 1))
    return np.maximum(unit, float(limits.smallest_subnormal))


def _where_wrong(
    exact: ExactOutput, reading: Reading, got: Float, ok: NDArray[np.bool_], fraction: Float
) -> str:
    wrong = np.argwhere(~ok)
    worst = np.unravel_index(int(np.argmax(fraction)), ok.shape)
    place = f" at {[int(i) for i in worst]}" if exact.shape else ""
    allowed = float(exact.allowed[worst])
    text = (
        f"is {float(got[worst])!r}{place}, expected {float(reading.high[worst])!r} ± {allowed:.3g}"
    )
    if len(wrong) > 1:
        text += f" ({len(wrong)} of {ok.size} elements are wrong)"
    return text


def _decode(message: dict[str, Any]) -> Array:
    """Decode an array of a reply, which has no layout: strides could make much of few bytes."""
    return decode({name: message[name] for name in ("dtype", "shape", "data")})


def _shown(answer: dict[str, Any]) -> str:
    loss = answer.get("arrays", {}).get("loss")
    if loss is None:
        return "returned nothing"
    array = _decode(loss)
    data = array.data.view(ml_dtypes.bfloat16) if array.dtype == "bfloat16" else array.data
    return f"returned {array.dtype} {np.array2string(data.astype(np.float64), threshold=6)}"
