"""What a case must give: the exact value of the formula, enclosed, and the allowed error.

The formulas of :mod:`crossent_spec.formulas` are evaluated on python-flint's balls; the enclosure
is narrow beside the allowed error, or the precision is raised until it is.  Infinities and NaN
go through the same text, which on exact infinities and NaN follows IEEE arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import ctx
from numpy.typing import NDArray

from crossent_spec import formulas
from crossent_spec.formulas import Symbols

from . import readings
from .balls import split, to_balls, to_float
from .case import DTYPES, Case
from .request import Request
from .tolerance import Allowed, multiplier_error, projection_error

Array = NDArray[Any]
Float = NDArray[np.float64]

FIRST_PRECISION, LAST_PRECISION = 128, 4096


@dataclass(frozen=True)
class Reading:
    """One acceptable result: exact values as the unevaluated sum of two float64 arrays."""

    name: str
    high: Float
    low: Float


@dataclass(frozen=True)
class ExactOutput:
    """Everything acceptable for one output of one step."""

    dtype: str
    shape: tuple[int, ...]
    readings: tuple[Reading, ...]
    allowed: Float


@dataclass(frozen=True)
class ExpectedStep:
    """What one step must do.

    ``raises`` is 'no', 'must' (a documented requirement is broken) or 'may' (the page leaves
    open whether the call is allowed).
    """

    raises: str = "no"
    outputs: dict[str, ExactOutput] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What each step of a case must do."""

    steps: tuple[ExpectedStep, ...]

    def summary(self) -> list[str]:
        """Lines for a reader: what each step must give."""
        lines = []
        for number, step in enumerate(self.steps):
            if step.raises != "no":
                lines.append(f"step {number}: {step.raises} raise an error")
            for name, output in step.outputs.items():
                what = name if name == "loss" else f"gradient of {name}"
                for reading in output.readings:
                    label = f" ({reading.name})" if reading.name else ""
                    values = np.array2string(
                        reading.high, threshold=8, edgeitems=3, precision=17, separator=", "
                    )
                    lines.append(
                        f"step {number}: {what}{label}, {output.dtype} {output.shape}: {values}"
                    )
                worst = float(output.allowed.max(initial=0.0))
                lines.append(f"step {number}: {what}, largest allowed error {worst:.3g}")
        return lines


def expect(case: Case, request: Request) -> Expected:
    """Work out what each step of a request must give."""
    if case.bad != "no":
        return Expected((ExpectedStep("must"),))
    calls: dict[str, ExactCall] = {}
    backwards: dict[str, int] = {}
    steps = []
    for step in request.steps:
        if step["do"] == "forward":
            call = ExactCall(case, request, step["arrays"])
            # A second forward on the same arrays must give the same: work it out once.
            same = [other for other in calls.values() if other.names == call.names]
            call = same[0] if same else call
            calls[step["as"]] = call
            steps.append(ExpectedStep("may" if _may_refuse(case) else "no", call.forward))
            continue
        count = backwards[step["of"]] = backwards.get(step["of"], 0) + 1
        if count > 1 and _consumes(case):
            # "any second backward() call raises (even with retain_graph=True)", page 000
            steps.append(ExpectedStep("must"))
        else:
            steps.append(ExpectedStep("no", calls[step["of"]].backward))
    return Expected(tuple(steps))


def _consumes(case: Case) -> bool:
    """Tell whether a backward pass consumes the gradients, so that a second one raises.

    A K-dimensional bias falls back to the reference implementation, which does not.
    """
    falls_back = case.bias == "yes" and len(case.classes) > 1
    return case.has_options and case.retain == "no" and not falls_back


def _may_refuse(case: Case) -> bool:
    """Tell whether the pages leave open that the call is refused.

    ``ignore_index`` "is only applicable when the target contains class indices": a call that
    gives one with probabilities may be refused (torch 2.13 does, for indices that could be a
    class) or run without effect.  The mean over a batch of no samples is 0/0: NaN, or an error.
    """
    if case.effective_reduction == "mean" and 0 in case.sample_shape:
        return True
    if case.is_index or case.ignore_index is None:
        return False
    return case.system == "linear" or case.ignore_index >= 0


class ExactCall:
    """One forward call of a request and its backward pass, worked out exactly on demand."""

    def __init__(self, case: Case, request: Request, names: dict[str, str]) -> None:
        self.case = case
        self.names = names
        self.wrt = request.wrt
        arrays = {argument: request.arrays[name] for argument, name in names.items()}
        self.arrays = {argument: array.values for argument, array in arrays.items()}
        grad = request.arrays.get("grad_output")
        self.grad_output = None if grad is None else grad.values
        with np.errstate(invalid="ignore"):  # 0·∞, where mult is 0
            self.plain = self.symbols(to_float)
        self.given = self._given()
        self.found = readings.find(case, self.plain, self.given)
        self._symbols: dict[tuple[Any, int], Symbols] = {}
        self._forward: dict[str, ExactOutput] | None = None
        self._backward: dict[str, ExactOutput] | None = None
        self._allowed = self._analyse()

    @property
    def forward(self) -> dict[str, ExactOutput]:
        """The loss."""
        if self._forward is None:
            shape = self.case.sample_shape if self.plain.reduction == "none" else ()
            loss = self._exact(
                {"loss": shape},
                {"loss": self._allowed.loss()},
                "forward",
            )
            self._forward = loss
        return self._forward

    @property
    def backward(self) -> dict[str, ExactOutput]:
        """The gradients."""
        if self._backward is None:
            shapes = {name: self.arrays[name].shape for name in self.wrt}
            self._backward = self._exact(shapes, self._allowed_gradients(), "backward")
        return self._backward

    def symbols(self, number: Any) -> Symbols:
        """Put the arrays into the pages' symbols, as numbers of one kind."""
        case, arrays = self.case, self.arrays
        shape = case.logits_shape
        batch = shape[0] if len(shape) > 1 else 1
        positions = math.prod(shape[2:])
        full = (batch, case.num_classes, positions)
        keep = np.ones((batch, positions), dtype=bool)
        y = q = None
        if case.is_index:
            target = arrays["target"].reshape(batch, positions)
            keep = target != case.ignored_value
            y = np.where(keep, target, 0)
        else:
            q = number(arrays["target"].reshape(full))
        weight = arrays.get("weight", np.ones(case.num_classes))
        s = Symbols(
            x=np.empty(0),
            y=y,
            q=q,
            w=number(weight),
            keep=keep,
            epsilon=number(np.asarray(case.epsilon))[()],
            reduction=case.effective_reduction,
        )
        if case.system == "linear":
            return s._replace(x=formulas.linear_logits(*self._operands(number, keep)))
        # What an ignored sample holds must not matter: here it is 0.
        logits = np.where(keep[:, None, :], arrays["input"].reshape(full), 0.0)
        s = s._replace(x=number(logits))
        if case.system == "unit":
            mult = number(np.asarray(1.0 if case.mult is None else case.mult))[()]
            s = formulas.unit_symbols(s, mult)
        return s

    def _given(self) -> Float:
        """Return the logits in float64 as they were given, ignored samples' too."""
        everything = np.ones((1, 1), dtype=bool)
        with np.errstate(all="ignore"):
            if self.case.system == "linear":
                return formulas.linear_logits(*self._operands(to_float, everything))
            logits = self.arrays["input"].reshape(self.plain.x.shape)
            return np.asarray(logits * (1.0 if self.case.mult is None else self.case.mult))

    def _operands(self, number: Any, keep: NDArray[np.bool_]) -> tuple[Any, Any, Any]:
        width = self.case.shape[-1]
        classes = self.case.num_classes
        features = self.arrays["input"].reshape(-1, width)
        features = np.where(keep.any(axis=1, keepdims=True), features, 0.0)
        bias = self.arrays.get("linear_bias")
        return (
            number(features),
            number(self.arrays["linear_weight"].reshape(classes, -1, width)),
            None if bias is None else number(bias.reshape(classes, -1)),
        )

    def _analyse(self) -> Allowed:
        finite = _with_finite_logits(self.plain)
        error: Any = 0.0
        if self.case.system == "linear":
            operands = self._operands(to_float, self.plain.keep)
            features = np.nan_to_num(operands[0])
            error = projection_error(self.case, features, operands[1], operands[2], finite.x)
        elif self.case.system == "unit":
            error = multiplier_error(self.case, finite.x)
        return Allowed(self.case, finite, error, self.case.system == "unit")

    def _g(self, number: Any) -> Any:
        if self.grad_output is None:
            return number(np.asarray(1.0))[()]
        g = number(self.grad_output)
        return g.reshape(self.plain.keep.shape) if self.plain.reduction == "none" else g[()]

    def _scale(self) -> Float:
        """∂result/∂l_n in float64, finite, for the analysis."""
        allowed, g = self._allowed, self._g(to_float)
        if self.plain.reduction == "mean" and self.case.system != "unit":
            g = g / allowed.denominator if allowed.denominator else 0.0 * g
        return np.asarray(np.broadcast_to(g, self.plain.keep.shape))

    @np.errstate(invalid="ignore")  # ∞ − ∞ and 0·∞, where a weight is infinite
    def _allowed_gradients(self) -> dict[str, Float]:
        allowed, scale = self._allowed, self._scale()
        found: dict[str, Float] = {}
        if self.case.system == "unit":
            classes = self.case.num_classes
            found["input"] = allowed.logits(scale * (classes / np.sqrt(classes - 1)))
        else:
            found["input"] = allowed.logits(scale)
        if "target" in self.wrt:
            found["target"] = allowed.target(scale)
        if "weight" in self.wrt:
            found["weight"] = allowed.weight(scale)
        if self.case.system == "linear":
            features, weight, _ = self._operands(to_float, self.plain.keep)
            gradient = formulas.logit_gradient(allowed.s, scale)
            products = allowed.linear(gradient, found["input"], np.nan_to_num(features), weight)
            names = ("input", "linear_weight", "linear_bias")
            found.update(dict(zip(names, products, strict=True)))
        return {name: found[name] for name in self.wrt}

    def evaluate(self, direction: str, number: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Evaluate the formulas in every acceptable reading; yield its name and the outputs.

        Parameters
        ----------
        direction
            ``"forward"`` for the loss, ``"backward"`` for the gradients.
        number
            Turns float64 arrays into arrays of the numbers to calculate with, such as
            :func:`to_balls` at the precision in force.
        """

        def formula(s: Symbols, number: Any) -> dict[str, Any]:
            if direction == "backward":
                return self._gradients(s, number)
            unit = self.case.system == "unit"
            return {"loss": formulas.unit_loss(s) if unit else formulas.loss(s)}

        key = (number, ctx.prec)
        if key not in self._symbols:
            self._symbols[key] = self.symbols(number)
        return readings.evaluate(
            self.case, self.found, self._symbols[key], self.given, formula, number
        )

    def _gradients(self, s: Symbols, number: Any) -> dict[str, Array]:
        kinds = {"target": "q", "weight": "w"}
        of = "".join(sorted({kinds.get(name, "x") for name in self.wrt}))
        pull = formulas.unit_gradients if self.case.system == "unit" else formulas.gradients
        found = pull(s, self._g(number), of)
        by_name: dict[str, Any] = {"input": found.x, "target": found.q, "weight": found.w}
        if self.case.system == "linear":
            features, weight, _ = self._operands(number, s.keep)
            products = formulas.linear_gradients(found.x, features, weight)  # type: ignore[arg-type]
            names = ("input", "linear_weight", "linear_bias")
            by_name.update(dict(zip(names, products, strict=True)))
        return {name: by_name[name] for name in self.wrt}

    def _exact(
        self, shapes: dict[str, tuple[int, ...]], allowed: dict[str, Float], direction: str
    ) -> dict[str, ExactOutput]:
        """Enclose every output narrowly beside its allowed error, in every reading."""
        limits = {name: allowed[name].reshape(shape) for name, shape in shapes.items()}
        precision = FIRST_PRECISION
        while True:
            ctx.prec = precision
            enclosed: dict[str, list[Reading]] = {name: [] for name in shapes}
            narrow = True
            with np.errstate(all="ignore"):
                plain = [values for _, values in self.evaluate(direction, to_float)]
            enclosures = self.evaluate(direction, to_balls)
            for (label, values), ieee in zip(enclosures, plain, strict=True):
                for name, balls in values.items():
                    high, low, radius = split(
                        np.asarray(balls), np.asarray(ieee[name]), shapes[name]
                    )
                    finite = np.isfinite(high)
                    narrow &= bool((radius[finite] <= limits[name][finite] * 2.0**-20).all())
                    enclosed[name].append(Reading(label, high, low))
            if narrow:
                break
            if precision >= LAST_PRECISION:
                raise ArithmeticError(
                    f"case {self.case.id}: enclosure still too wide at {precision} bits"
                )
            precision *= 2
        return {
            name: ExactOutput(
                DTYPES[self.case.dtype],
                shapes[name],
                _distinct(enclosed[name]),
                limits[name],
            )
            for name in shapes
        }


def _with_finite_logits(s: Symbols) -> Symbols:
    """Replace what is not finite, for the error analysis of the outputs that are.

    -inf becomes a logit whose class has no probability; a sample with NaN or +inf has no finite
    result at all, whatever stands there.
    """
    finite = np.isfinite(s.x)
    if finite.all():
        return s
    top = np.where(finite, s.x, -np.inf).max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    return s._replace(x=np.where(finite, s.x, top - 1000.0))


def _distinct(found: list[Reading]) -> tuple[Reading, ...]:
    """Drop readings that say the same as an earlier one; a single one needs no name."""
    kept: list[Reading] = []
    for reading in found:
        if not any(
            np.array_equal(reading.high, other.high, equal_nan=True)
            and np.array_equal(reading.low, other.low)
            for other in kept
        ):
            kept.append(reading)
    if len(kept) == 1:
        return (Reading("", kept[0].high, kept[0].low),)
    return tuple(kept)
