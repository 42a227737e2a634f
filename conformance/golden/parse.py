"""A vector from parsed JSON: every member, shape and number is checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..case import SYSTEMS, Case
from ..clauses import by_id
from .numbers import FORMATS, INTEGERS, is_number_of, read_float, read_integer
from .vector import CALLS, Answer, Output, Tensor, Vector

#: Limits on what is read.
LARGEST_ARRAY, MOST_AXES, LONGEST_TEXT = 4096, 8, 1000

_OPTIONAL_INPUTS = ("weight", "linear_weight", "linear_bias")
_OPTIONS = (
    "acc_dtype",
    "acc_policy",
    "allow_retain_graph",
    "batch_chunk_size",
    "chunking_method",
)


class GoldenFileError(ValueError):
    """A golden file is not what it must be."""


def parse_vector(value: object, where: str, notes: Collection[str]) -> Vector:
    """Return the vector that JSON data describes.

    Parameters
    ----------
    value
        The data.
    where
        What messages call it.
    notes
        The flags that have a note.
    """
    members = read_object(
        value,
        where,
        (
            "id",
            "clauses",
            "flags",
            "system",
            "calls",
            "arguments",
            "inputs",
            "grad_output",
            "expected",
        ),
    )
    case = _case(members["id"], where)
    if members["system"] != SYSTEMS[case.system]:
        refuse(f"{where}: system", members["system"], SYSTEMS[case.system])
    if members["calls"] not in CALLS or members["calls"] != case.script:
        refuse(f"{where}: calls", members["calls"], case.script)
    clauses = read_texts(members["clauses"], f"{where}: clauses")
    for clause in clauses:
        try:
            by_id(clause)
        except ValueError as error:
            raise GoldenFileError(f"{where}: {error}") from None
    flags = read_texts(members["flags"], f"{where}: flags")
    for flag in flags:
        if flag not in notes:
            raise GoldenFileError(f"{where}: the flag {flag!r:.80} has no note")
    inputs = members["inputs"]
    read_object(inputs, f"{where}: inputs", ("input", "target"), _OPTIONAL_INPUTS)
    grad_output = members["grad_output"]
    vector = Vector(
        id=case.id,
        clauses=clauses,
        flags=flags,
        calls=case.script,
        arguments=_arguments(members["arguments"], f"{where}: arguments"),
        inputs={name: _tensor(item, f"{where}: {name}") for name, item in inputs.items()},
        grad_output=None
        if grad_output is None
        else _tensor(grad_output, f"{where}: grad_output", FORMATS),
        raises="must",
    )
    return _with_expected(vector, case, members["expected"], f"{where}: expected")


def _case(text: object, where: str) -> Case:
    text = read_text(text, f"{where}: id")
    try:
        case = Case.parse(text)
    except (ValueError, OverflowError) as error:
        raise GoldenFileError(f"{where}: {error}") from None
    if case.id != text:
        refuse(f"{where}: id", text, case.id)
    return case


def _arguments(value: object, where: str) -> dict[str, Any]:
    kinds: dict[str, Callable[[object, str], Any]] = {
        "reduction": read_text,
        "ignore_index": _integer,
        "label_smoothing": _float,
        "mult": _float,
        "size_average": _bool,
        "reduce": _bool,
        "options": _options,
    }
    members = read_object(value, where, (), kinds)
    return {name: kinds[name](item, f"{where}: {name}") for name, item in members.items()}


def _options(value: object, where: str) -> dict[str, Any]:
    members = read_object(value, where, (), _OPTIONS)
    for name, item in members.items():
        if not (item is None or isinstance(item, bool)):
            read_text(item, where) if isinstance(item, str) else read_count(
                item, f"{where}: {name}", 2**31
            )
    return members


def _bool(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        refuse(where, value, "true or false")
    return value


def _integer(value: object, where: str) -> int:
    try:
        return read_integer(value)
    except ValueError as error:
        raise GoldenFileError(f"{where}: {error}") from None


def _float(value: object, where: str) -> float:
    try:
        return read_float(value)
    except ValueError as error:
        raise GoldenFileError(f"{where}: {error}") from None


def _shape(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MOST_AXES:
        refuse(f"{where}: shape", value, f"a list of at most {MOST_AXES} sizes")
    shape = tuple(read_count(extent, f"{where}: shape", LARGEST_ARRAY) for extent in value)
    if math.prod(max(1, extent) for extent in shape) > LARGEST_ARRAY:
        refuse(f"{where}: shape", value, f"at most {LARGEST_ARRAY} elements")
    return shape


def _dtype(value: object, where: str, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        refuse(f"{where}: dtype", value, f"one of {', '.join(allowed)}")
    return value


def _tensor(value: object, where: str, allowed: Collection[str] = (*FORMATS, *INTEGERS)) -> Tensor:
    members = read_object(value, where, ("dtype", "shape", "values"))
    dtype = _dtype(members["dtype"], where, allowed)
    shape = _shape(members["shape"], where)
    return Tensor(dtype, _values(members["values"], where, dtype, shape))


def _values(value: object, where: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    size = math.prod(shape)
    if not isinstance(value, list) or len(value) != size:
        got = f"{len(value)} values" if isinstance(value, list) else repr(value)[:80]
        raise GoldenFileError(f"{where}: values: got {got}, shape {list(shape)} needs {size}")
    numbers: list[Any] = []
    for position, item in enumerate(value):
        here = f"{where}: values at {position}"
        if dtype in INTEGERS:
            number: float | int = _integer(item, here)
            low, high = INTEGERS[dtype]
            if not low <= number <= high:
                refuse(here, item, f"a number of {dtype}")
        else:
            number = _float(item, here)
            if not is_number_of(number, dtype):
                refuse(here, item, f"a number of {dtype}")
        numbers.append(number)
    kind = np.int64 if dtype in INTEGERS else np.float64
    return np.array(numbers, dtype=kind).reshape(shape)


def _with_expected(vector: Vector, case: Case, value: object, where: str) -> Vector:
    if isinstance(value, dict) and "raises" in value:
        members = read_object(value, where, ("raises",))
        if members["raises"] is not True or case.bad == "no":
            refuse(where, value, "results, or true for a call that the page forbids")
        return vector
    second = ("second_backward",) if vector.calls == "twice" else ()
    members = read_object(value, where, ("loss", "gradients", *second), ("may_raise",))
    if case.bad != "no":
        refuse(where, value, '{"raises": true}')
    if members.get("may_raise", True) is not True:
        refuse(f"{where}: may_raise", members["may_raise"], "true, or nothing")
    if second and members["second_backward"] not in ("same", "raises"):
        refuse(f"{where}: second_backward", members["second_backward"], "same or raises")
    gradients = read_object(members["gradients"], f"{where}: gradients", (), tuple(vector.inputs))
    made = {name: _output(item, f"{where}: gradients: {name}") for name, item in gradients.items()}
    for name, output in made.items():
        if output.tolerance.shape != vector.inputs[name].values.shape:
            raise GoldenFileError(f"{where}: gradients: {name}: has another shape than {name}")
    return Vector(
        **{
            **vars(vector),
            "raises": "may" if "may_raise" in members else "no",
            "loss": _output(members["loss"], f"{where}: loss"),
            "gradients": made,
            "second_backward": members.get("second_backward", ""),
        }
    )


def _output(value: object, where: str) -> Output:
    members = read_object(
        value, where, ("dtype", "shape", "values", "proof", "tolerance"), ("reading", "acceptable")
    )
    dtype = _dtype(members["dtype"], where, FORMATS)
    shape = _shape(members["shape"], where)
    others = members.get("acceptable", [])
    if not isinstance(others, list) or bool(others) != ("reading" in members):
        refuse(f"{where}: acceptable", others, "other readings beside a named one")
    if "acceptable" in members and not others:
        refuse(f"{where}: acceptable", others, "at least one other reading")
    first = {name: members[name] for name in ("reading", "values", "proof") if name in members}
    answers = tuple(_answer(item, where, dtype, shape) for item in (first, *others))
    names = [answer.reading for answer in answers]
    if others and ("" in names or len(set(names)) != len(names)):
        refuse(f"{where}: acceptable", names, "a name of its own for every reading")
    return Output(dtype, _tolerance(members["tolerance"], where, shape), answers)


def _answer(value: object, where: str, dtype: str, shape: tuple[int, ...]) -> Answer:
    members = read_object(value, where, ("values", "proof"), ("reading",))
    proof = read_object(members["proof"], f"{where}: proof", ("bits",), ("ties",))
    ties = proof.get("ties", [])
    if not isinstance(ties, list) or ("ties" in proof and not ties):
        refuse(f"{where}: ties", ties, "a list of positions")
    positions = [read_count(tie, f"{where}: ties", math.prod(shape) - 1) for tie in ties]
    if positions != sorted(set(positions)):
        refuse(f"{where}: ties", ties, "ascending positions")
    reading = read_text(members["reading"], f"{where}: reading") if "reading" in members else ""
    return Answer(
        reading,
        _values(members["values"], where, dtype, shape),
        read_count(proof["bits"], f"{where}: bits", 1 << 20, least=1),
        tuple(positions),
    )


def _tolerance(value: object, where: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    size = math.prod(shape)
    bounds: Iterable[object] = value if isinstance(value, list) else [value] * size
    made = [_float(bound, f"{where}: tolerance") for bound in bounds]
    if len(made) != size or (size == 0 and value != []):
        raise GoldenFileError(f"{where}: tolerance: shape {list(shape)} needs {size} bounds or one")
    if not all(math.isfinite(bound) and bound >= 0 for bound in made):
        raise GoldenFileError(f"{where}: tolerance: expected finite bounds, none below 0")
    return np.array(made, dtype=np.float64).reshape(shape)


def refuse(where: str, got: object, expected: str) -> NoReturn:
    """Raise the error that says what stands where something else must."""
    raise GoldenFileError(f"{where}: got {got!r:.80}, expected {expected}")


def read_object(
    value: object, where: str, required: Collection[str], optional: Collection[str] = ()
) -> dict[str, Any]:
    """Return an object that has all the required members, and no unknown one."""
    if not isinstance(value, dict):
        refuse(where, value, "an object")
    for name in required:
        if name not in value:
            raise GoldenFileError(f"{where}: lacks {name!r}")
    for name in value:
        if name not in required and name not in optional:
            raise GoldenFileError(f"{where}: has an unknown member {name!r:.80}")
    return value


def read_count(value: object, where: str, limit: int, least: int = 0) -> int:
    """Return an integer within limits."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= limit:
        refuse(where, value, f"an integer from {least} to {limit}")
    return value


def read_text(value: object, where: str) -> str:
    """Return a text that is not too long."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        refuse(where, value, f"a text of at most {LONGEST_TEXT} characters")
    return value


def read_texts(value: object, where: str) -> tuple[str, ...]:
    """Return a list of different texts."""
    if not isinstance(value, list):
        refuse(where, value, "a list")
    found = tuple(read_text(item, where) for item in value)
    if len(set(found)) != len(found):
        refuse(where, value, "every entry once")
    return found
