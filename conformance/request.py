"""What an adapter is asked for a case: arrays in their memory layout, arguments, steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import invalid, layout
from .case import DTYPES, SYSTEMS, Case
from .protocol import Array, Call, encode_view
from .values import Values, numpy_dtype

_OPTIONS: dict[str, dict[str, Any]] = {
    "absent": {},
    "auto": {},
    "whole": {"batch_chunk_size": 4096},
    "aspect": {"chunking_method": "aspect_ratio"},
    **{policy: {"acc_policy": policy} for policy in ("accurate", "balanced", "compact")},
}
#: Given with acc_dtype="float32" for 16-bit input: named alone, unlike "auto", they would
#: accumulate in 16 bits, which the tolerance does not admit.
_POLICIES = ("accurate", "balanced", "compact")


@dataclass(frozen=True)
class View:
    """An array as its buffer and the view into it, in storage form (bfloat16 as bit patterns)."""

    base: NDArray[Any]
    view: NDArray[Any]
    dtype: str

    @property
    def values(self) -> NDArray[Any]:
        """The elements as float64 or int64."""
        if self.dtype == "bfloat16":
            return self.view.view(numpy_dtype("bfloat16")).astype(np.float64)
        return self.view.astype(np.float64 if self.dtype.startswith("float") else np.int64)


@dataclass(frozen=True)
class Request:
    """Everything that is sent to a worker for one case.

    Attributes
    ----------
    arrays
        By name; a second set for 'stale' has names that end in ``.2``.
    arguments
        Scalar arguments as the caller writes them.
    wrt
        Arrays to differentiate by.
    steps
        ``{"do": "forward", "as": state, "arrays": {argument: array}}`` and
        ``{"do": "backward", "of": state, "grad_output": array or None, "retain": bool}``.
    """

    case: Case
    arrays: dict[str, View]
    arguments: dict[str, Any]
    wrt: tuple[str, ...]
    steps: tuple[dict[str, Any], ...]

    def call(self, step: dict[str, Any]) -> Call:
        """Return the call of a forward step, as an adapter receives it."""
        return Call(
            system=SYSTEMS[self.case.system],
            form=self.case.form,
            arguments=dict(self.arguments),
            arrays={
                argument: Array(self.arrays[name].view, self.arrays[name].dtype)
                for argument, name in step["arrays"].items()
            },
            wrt=list(self.wrt),
        )

    def message(self) -> dict[str, Any]:
        """Return the protocol message."""
        return {
            "op": "call",
            "case": self.case.id,
            "system": SYSTEMS[self.case.system],
            "form": self.case.form,
            "arguments": self.arguments,
            "arrays": {
                name: encode_view(Array(array.base, array.dtype), array.view)
                for name, array in self.arrays.items()
            },
            "wrt": list(self.wrt),
            "steps": list(self.steps),
        }


def build(case: Case) -> Request:
    """Build the request of a case: the same bytes on any machine."""
    arguments = _arguments(case)
    plain = _arrays(case, Values(case), arguments)
    if case.script == "stale":
        second = _arrays(case, Values(case, ".2"), arguments)
        plain.update({f"{name}.2": second[name] for name in ("input", "target")})
    grad_output = Values(case).grad_output()
    if grad_output is not None:
        plain["grad_output"] = grad_output
    return assemble(case, plain, arguments)


def assemble(
    case: Case, plain: dict[str, NDArray[Any]], arguments: dict[str, Any] | None = None
) -> Request:
    """Build a request of given numbers instead of the case's own.

    Parameters
    ----------
    case
        Everything else: dtype, layouts, steps.
    plain
        Arrays of float64 or int64 by name.
    arguments
        Scalar arguments; by default the case's.
    """
    names = [name for name in plain if name != "grad_output" and not name.endswith(".2")]
    return Request(
        case=case,
        arrays={name: _view(case, name, values) for name, values in plain.items()},
        arguments=_arguments(case) if arguments is None else arguments,
        wrt=_wrt(case, names),
        steps=_steps(case, names, "grad_output" in plain),
    )


def _arguments(case: Case) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if case.reduction != "default":
        arguments["reduction"] = case.reduction
    if case.ignore_index is not None:
        arguments["ignore_index"] = case.ignore_index
    if case.smoothing is not None:
        arguments["label_smoothing"] = case.smoothing
    if case.mult is not None:
        arguments["mult"] = case.mult
    for name in ("size_average", "reduce"):
        if getattr(case, name) != "absent":
            arguments[name] = getattr(case, name) == "true"
    if case.has_options:
        options = _options(case.options)
        if case.options in _POLICIES and case.dtype in ("f16", "bf16"):
            options["acc_dtype"] = "float32"
        if case.options.startswith("chunk") or case.options == "whole":
            options["chunking_method"] = None
        if case.retain == "yes":
            options["allow_retain_graph"] = True
        arguments["options"] = options
    return arguments


def _options(name: str) -> dict[str, Any]:
    if name in _OPTIONS:
        return dict(_OPTIONS[name])
    if name.startswith("chunk"):
        return {"batch_chunk_size": int(name.removeprefix("chunk"))}
    return {"chunking_method": f"aspect_ratio:{name.removeprefix('aspect')}"}


def _arrays(case: Case, values: Values, arguments: dict[str, Any]) -> dict[str, NDArray[Any]]:
    hot = layout.repeat_first(values.indices(), case.target_layout)
    target = layout.repeat_first(values.with_ignored(hot), case.target_layout)
    ignored = (target == case.ignored_value) if case.is_index else np.zeros(hot.shape, dtype=bool)
    arrays: dict[str, NDArray[Any]] = {}
    probabilities = None if case.is_index else values.probabilities(hot)
    if case.system == "linear":
        input, linear_weight, bias = values.features(ignored)
        arrays["input"] = layout.repeat_first(input, case.layout)
        arrays["linear_weight"] = linear_weight
        if bias is not None:
            arrays["linear_bias"] = layout.repeat_first(bias, case.weight_layout)
    else:
        arrays["input"] = layout.repeat_first(
            values.logits(hot, _has_target(case, hot, probabilities), ignored), case.layout
        )
    if probabilities is None:
        arrays["target"] = target
    else:
        arrays["target"] = layout.repeat_first(probabilities, case.target_layout)
    weight = values.weight()
    if weight is not None:
        arrays["weight"] = layout.repeat_first(weight, case.weight_layout)
    invalid.spoil(case, arrays, arguments)
    return arrays


def _has_target(
    case: Case, hot: NDArray[np.int64], probabilities: NDArray[Any] | None
) -> NDArray[np.bool_]:
    """Mark the classes with a target of their own, in the logits' shape."""
    if probabilities is not None:
        return np.asarray(probabilities != 0)
    axis = 0 if len(case.logits_shape) == 1 else 1
    classes = np.arange(case.num_classes).reshape(
        (1,) * axis + (-1,) + (1,) * (len(case.logits_shape) - axis - 1)
    )
    return np.asarray(classes == np.expand_dims(hot, axis))


def _view(case: Case, name: str, values: NDArray[Any]) -> View:
    argument = name.partition(".")[0]
    kind = {"target": case.target_layout, "weight": case.weight_layout, "input": case.layout,
            "linear_bias": case.weight_layout, "grad_output": case.grad_layout,
            }.get(argument, "c")  # fmt: skip
    if argument == "weight" and values.ndim != 1:
        kind = "c"
    if argument == "linear_weight" and case.layout != "broadcast":
        kind = case.layout
    dtype = DTYPES[case.dtype]
    if argument == "target" and case.target_dtype != "auto":
        dtype = case.target_dtype
    elif values.dtype.kind == "i":
        dtype = "int64"
    stored = Values(case).rounded(values) if dtype == DTYPES[case.dtype] else values.astype(dtype)
    if dtype == "bfloat16":
        stored = stored.view(np.uint16)
    base, view = layout.place(stored, kind, _filler(dtype))
    return View(base, view, dtype)


def _filler(dtype: str) -> Any:
    if dtype == "bfloat16":
        return 0x7FC0  # NaN
    if dtype.startswith("float"):
        return np.nan
    return np.iinfo(dtype).max if dtype != "bool" else True


def _wrt(case: Case, names: list[str]) -> tuple[str, ...]:
    """Name the arguments to differentiate by.

    No page says that class weights are differentiable; torch differentiates them where the
    target holds probabilities.  OneFlow's page speaks of the input's gradient only.
    """
    if case.grad == "skip":
        return ()  # nothing asks for a gradient: frameworks may take another path
    if case.bad != "no":
        return ("input",)
    found = ["input"]
    if not case.is_index and case.system != "oneflow":
        found.append("target")
        if "weight" in names:
            found.append("weight")
    return (*found, *(name for name in ("linear_weight", "linear_bias") if name in names))


def _steps(case: Case, names: list[str], has_grad: bool) -> tuple[dict[str, Any], ...]:
    def forward(state: str, suffix: str = "") -> dict[str, Any]:
        arrays = {name: name + (suffix if name in ("input", "target") else "") for name in names}
        return {"do": "forward", "as": state, "arrays": arrays}

    def backward(state: str, retain: bool = False) -> dict[str, Any]:
        grad_output = "grad_output" if has_grad else None
        return {"do": "backward", "of": state, "grad_output": grad_output, "retain": retain}

    if case.bad != "no" or case.grad == "skip":
        return (forward("a"),)
    return {
        "once": (forward("a"), backward("a")),
        "again": (forward("a"), forward("b"), backward("a"), backward("b")),
        "stale": (forward("a"), forward("b", ".2"), backward("a"), backward("b")),
        "twice": (forward("a"), backward("a", retain=True), backward("a")),
    }[case.script]
