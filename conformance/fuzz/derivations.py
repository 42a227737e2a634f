"""The relations between calls that follow from the documented definition, whatever the formula.

===================== =========================================================================
shift                 a number added to all logits of a sample changes nothing
permute               classes in another order: the same loss, gradients in that order
absent                an ignored row in the batch: as if it were not there, and its own zeros
scale-weight          class weights times 2^k: the mean over indices unchanged, the rest times 2^k
one-hot               class indices as one-hot probabilities, but for what the mean divides by
smooth                ``label_smoothing`` as probabilities that are mixed beforehand
flatten               (N, C, d1, ..., dK) as (N·d1·…·dK, C)
split                 a batch in two parts: their losses and gradients, by their shares of the mean
project               the linear loss as the loss of the projected logits
identity              the linear loss as the linear loss of those, projected by the identity
===================== =========================================================================

Each takes a case and its numbers, and may round the numbers so that those of every call are
exact in the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np

from conformance import streams
from conformance.case import DTYPES, Case
from conformance.values import numpy_dtype

from .relation import Array, Call, Derived, Equation, Linear

#: Numbers of few bits repeat, and so do their exponentials, whose roundings are then not
#: independent: what the tolerance knows of such logits.
_COARSE = "zeros"


def _mean(case: Case) -> bool:
    return case.effective_reduction == "mean"


def _unreduced(case: Case) -> bool:
    return case.effective_reduction == "none"


def _number(case: Case, bound: int, what: str) -> int:
    """Draw an integer in [0, bound) that goes with the case."""
    return int(streams.integers(f"relation/{what}/{case.seed}/{case.shape}", (1,), bound)[0])


def _of(side: int, name: str, change: Callable[[Any], Any] = lambda value: value) -> Linear:
    return lambda outputs, _: change(outputs[side][name])


def _times(side: int, name: str, factor: Any) -> Linear:
    return lambda outputs, number: number(factor) * outputs[side][name]


def _gradients(case: Case, arrays: dict[str, Array]) -> list[str]:
    """Name the arguments that every call of the case is differentiated by."""
    names = ["input"]
    if not case.is_index and case.system != "oneflow":
        names += ["target"] + ["weight"] * ("weight" in arrays)
    return names + [name for name in ("linear_weight", "linear_bias") if name in arrays]


def _grid(values: Array, dtype: str) -> float:
    """Return a unit whose multiples are exact, up to 64 beyond the largest value."""
    eps = float(ml_dtypes.finfo(numpy_dtype(DTYPES[dtype])).eps)
    return math.ldexp(eps, math.frexp(float(np.abs(values).max(initial=0.0)) + 64.0)[1])


def _shares(case: Case, arrays: dict[str, Array], rows: Any = slice(None)) -> Fraction:
    """Return what the mean over some rows divides by, from its definition on the pages."""
    if case.system == "unit" or not case.is_index:
        return Fraction(math.prod(case.sample_shape[1:]) * len(arrays["target"][rows]))
    target = np.ravel(arrays["target"][rows])
    kept = target[target != case.ignored_value]
    if "weight" not in arrays:
        return Fraction(len(kept))
    return sum((Fraction(float(arrays["weight"][y])) for y in kept), Fraction(0))


def shift(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """A number added to all logits of a sample, through the bias in the linear loss."""
    name = "linear_bias" if case.system == "linear" else "input"
    if name not in arrays:
        return None
    axis = 0 if name == "linear_bias" or len(case.shape) == 1 else 1
    shape = list(arrays[name].shape)
    shape[axis] = 1
    step = streams.uniform(f"relation/shift/{case.seed}", tuple(shape)) * 128 - 64
    unit = _grid(arrays[name], case.dtype)
    values, step = np.rint(arrays[name] / unit) * unit, np.rint(step / unit) * unit
    coarse = replace(case, logits=_COARSE)
    return Derived(
        (Call(coarse, {**arrays, name: values}), Call(coarse, {**arrays, name: values + step})),
        tuple(
            Equation(name, _of(0, name), _of(1, name))
            for name in ["loss", *_gradients(case, arrays)]
        ),
    )


def permute(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """Classes in another order."""
    count = case.num_classes
    order = np.argsort(streams.uniform(f"relation/permute/{case.seed}", (count,)), kind="stable")
    if case.is_index and 0 <= case.ignored_value < count:
        # It keeps its place, or another class would be ignored.
        rest = order[order != case.ignored_value]
        order = np.insert(rest, case.ignored_value, case.ignored_value)
    axis = 0 if len(case.logits_shape) == 1 else 1
    along = {"weight": 0, "linear_weight": 0, "linear_bias": 0}
    if case.system != "linear":
        along["input"] = axis
    changed = dict(arrays)
    if case.is_index:
        kept = arrays["target"] != case.ignored_value
        place = np.argsort(order)
        changed["target"] = np.where(
            kept, place[np.where(kept, arrays["target"], 0)], arrays["target"]
        )
    else:
        along["target"] = axis
    for name, where in along.items():
        if name in arrays:
            changed[name] = arrays[name].take(order, axis=where)

    def ordered(name: str) -> Linear:
        return _of(0, name, lambda value: value.take(order, axis=along[name]))

    names = ["loss", *_gradients(case, arrays)]
    return Derived(
        (Call(case, arrays), Call(case, changed)),
        tuple(
            Equation(name, ordered(name) if name in along else _of(0, name), _of(1, name))
            for name in names
        ),
    )


def absent(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """An ignored row is put into the batch."""
    if not case.is_index or len(case.logits_shape) == 1:
        return None
    if case.system == "unit" and _mean(case):
        return None
    count = case.shape[0]
    place = _number(case, count + 1, "absent")
    longer = dict(arrays)
    for name in (
        "input",
        *(["grad_output"] if _unreduced(case) and "grad_output" in arrays else []),
    ):
        row = arrays[name][place % count]
        longer[name] = np.insert(arrays[name], place, row, axis=0)
    longer["target"] = np.insert(arrays["target"], place, case.ignored_value, axis=0)
    changed = replace(case, shape=(count + 1, *case.shape[1:]), ignored="some")

    def rest(name: str) -> Linear:
        return _of(1, name, lambda value: np.delete(value, place, axis=0))

    by_row = ["input", *(["loss"] if _unreduced(case) else [])]
    equations = [
        Equation(name, _of(0, name), rest(name) if name in by_row else _of(1, name))
        for name in ["loss", *_gradients(case, arrays)]
    ]
    equations += [
        Equation(
            f"{name} of the ignored row",
            _of(1, name, lambda value: np.atleast_1d(value[place])),
            _of(1, name, lambda value: 0 * np.atleast_1d(value[place])),
        )
        for name in by_row
    ]
    return Derived((Call(case, arrays), Call(changed, longer)), tuple(equations))


def scale_weight(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """Class weights times a power of two."""
    if "weight" not in arrays:
        return None
    factor = 2.0 ** (-2, -1, 1, 2)[_number(case, 4, "scale")]
    scaled = {**arrays, "weight": arrays["weight"] * factor}
    cancels = case.is_index and _mean(case)
    equations = [
        Equation(
            name,
            _of(0, name) if cancels or name == "weight" else _times(0, name, factor),
            _of(1, name),
        )
        for name in ["loss", *_gradients(case, arrays)]
    ]
    return Derived((Call(case, arrays), Call(case, scaled)), tuple(equations))


def one_hot(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """Class indices as one-hot probabilities."""
    if not case.is_index or _ignores(case, arrays):
        return None
    hot = {**arrays, "target": _hot(case, arrays["target"])}
    as_probabilities = replace(case, target="prob", probs="onehot", ignore_index=None)
    return Derived(
        (Call(case, arrays), Call(as_probabilities, hot)),
        _by_mean(case, arrays, _gradients(case, arrays)),
    )


def smooth(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """``label_smoothing`` as probabilities that are mixed beforehand."""
    if case.system == "unit" or case.smoothing is not None or _ignores(case, arrays):
        return None
    count = case.num_classes
    exponent = math.ceil(math.log2(count)) + 2
    epsilon, floor = count * 2.0**-exponent, 2.0**-exponent
    truth = _hot(case, arrays["target"]) if case.is_index else np.rint(8 * arrays["target"]) / 8
    given = arrays if case.is_index else {**arrays, "target": truth}
    mixed = {**arrays, "target": (1 - epsilon) * truth + floor}
    plain = replace(case, target="prob", probs="soft", ignore_index=None)
    names = _gradients(case, arrays)
    equations = _by_mean(case, arrays, [name for name in names if name != "target"])
    if "target" in names:
        equations += (Equation("target", _of(0, "target"), _times(1, "target", 1 - epsilon)),)
    return Derived((Call(replace(case, smoothing=epsilon), given), Call(plain, mixed)), equations)


def flatten(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """(N, C, d1, ..., dK) as (N·d1·…·dK, C)."""
    if case.system == "linear" or len(case.shape) < 3:
        return None

    def classes_last(values: Any) -> Any:
        return np.moveaxis(values, 1, -1).reshape(-1, case.num_classes)

    def flat(values: Any) -> Any:
        return values.reshape(-1)

    spread = {"input": classes_last, "target": flat if case.is_index else classes_last}
    if _unreduced(case):
        spread.update(loss=flat, grad_output=flat)
    changed = {
        name: spread[name](values) if name in spread else values for name, values in arrays.items()
    }
    rows = math.prod(case.sample_shape)
    return Derived(
        (Call(case, arrays), Call(replace(case, shape=(rows, case.num_classes)), changed)),
        tuple(
            Equation(name, _of(0, name, spread.get(name, lambda value: value)), _of(1, name))
            for name in ["loss", *_gradients(case, arrays)]
        ),
    )


def split(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """A batch in two parts."""
    if len(case.logits_shape) == 1 or case.shape[0] < 2:
        return None
    count = case.shape[0]
    cut = 1 + _number(case, count - 1, "split")
    by_row = ["input", "target", *(["grad_output", "loss"] if _unreduced(case) else [])]
    calls, shares = [Call(case, arrays)], []
    for rows in (slice(0, cut), slice(cut, count)):
        part = {name: array[rows] if name in by_row else array for name, array in arrays.items()}
        shape = (len(part["input"]), *case.shape[1:])
        calls.append(Call(replace(case, shape=shape), part))
        shares.append(_shares(case, arrays, rows))
    whole = sum(shares)
    if _mean(case) and 0 in (*shares, whole):
        return None
    parts = [share / whole for share in shares] if _mean(case) else [Fraction(1), Fraction(1)]

    def together(name: str) -> Linear:
        # The unit-scaled loss's gradients are those of the sum.
        unscaled = case.system == "unit" and name != "loss"
        first, second = (Fraction(1), Fraction(1)) if unscaled else parts

        def right(outputs: Any, number: Any) -> Any:
            left = number(first) * outputs[1][name]
            other = number(second) * outputs[2][name]
            return np.concatenate([left, other]) if name in by_row else left + other

        return right

    return Derived(
        tuple(calls),
        tuple(
            Equation(name, _of(0, name), together(name))
            for name in ["loss", *_gradients(case, arrays)]
        ),
    )


def project(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """The linear loss as the loss of the projected logits."""
    return _projected(case, arrays, identity=False)


def identity(case: Case, arrays: dict[str, Array]) -> Derived | None:
    """The linear loss as the linear loss of the projected logits, times the identity."""
    return _projected(case, arrays, identity=True)


def _projected(case: Case, arrays: dict[str, Array], *, identity: bool) -> Derived | None:
    if case.system != "linear":
        return None
    # So coarse that the logits, sums of products, are exact.
    coarse = {
        name: np.clip(np.rint(2 * values), -3, 3) / 2
        if name in ("input", "linear_weight", "linear_bias")
        else values
        for name, values in arrays.items()
    }
    width, outputs = case.shape[-1], math.prod(case.classes)
    features = coarse["input"].reshape(-1, width)
    matrix = coarse["linear_weight"].reshape(outputs, width)
    logits = features @ matrix.T + coarse.get("linear_bias", np.zeros(outputs)).reshape(outputs)
    rest = {name: values for name, values in coarse.items() if not name.startswith("linear")}
    case = replace(case, logits=_COARSE)
    plain = replace(case, bias="no", options="absent", retain="no")
    if identity:
        rest["input"] = logits.reshape(*case.shape[:-1], outputs)
        rest["linear_weight"] = np.eye(outputs).reshape(*case.classes, outputs)
        plain = replace(plain, shape=(*case.shape[:-1], outputs))
    else:
        rest["input"] = logits.reshape(case.logits_shape)
        plain = replace(plain, system="ce", shape=case.logits_shape, classes=())

    def of_logits(outputs_: Any) -> Any:
        return outputs_[1]["input"].reshape(-1, outputs)

    pulled: dict[str, Linear] = {
        "input": lambda got, number: (of_logits(got) @ number(matrix)).reshape(case.shape),
        "linear_weight": lambda got, number: (of_logits(got).T @ number(features)).reshape(
            arrays["linear_weight"].shape
        ),
        "linear_bias": lambda got, _: of_logits(got).sum(axis=0).reshape(case.classes),
    }
    return Derived(
        (Call(case, coarse), Call(plain, rest)),
        tuple(
            Equation(name, _of(0, name), pulled.get(name, _of(1, name)))
            for name in ["loss", *_gradients(case, arrays)]
        ),
    )


def _ignores(case: Case, arrays: dict[str, Array]) -> bool:
    return case.is_index and bool((arrays["target"] == case.ignored_value).any())


def _hot(case: Case, target: Array) -> Array:
    axis = 0 if len(case.logits_shape) == 1 else 1
    hot = np.eye(case.num_classes)[target]
    return np.asarray(np.moveaxis(hot, -1, axis))


def _by_mean(case: Case, arrays: dict[str, Array], names: list[str]) -> tuple[Equation, ...]:
    """Equate indices with probabilities: the one's mean is by weight, the other's by number."""
    share = Fraction(1)
    if _mean(case) and case.is_index and case.system != "unit":
        share = _shares(case, {**arrays, "target": np.atleast_1d(arrays["target"])})
        share /= math.prod(case.sample_shape)
    return tuple(Equation(name, _times(0, name, share), _of(1, name)) for name in ["loss", *names])
