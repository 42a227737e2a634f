"""The NumPy implementation that comes with the suite: :mod:`crossent_spec`."""

import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import ml_dtypes
import numpy as np

import crossent_spec
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

#: Documented loss: its function and its class.  OneFlow's page documents the class only.
FORMS = {
    "torch.nn.CrossEntropyLoss": ("cross_entropy_vjp", "CrossEntropyLoss"),
    "torch.nn.LinearCrossEntropyLoss": ("linear_cross_entropy_vjp", "LinearCrossEntropyLoss"),
    "oneflow.nn.CrossEntropyLoss": ("", "OneFlowCrossEntropyLoss"),
    "unit_scaling.functional.cross_entropy": (
        "unit_scaled_cross_entropy_vjp",
        "UnitScaledCrossEntropyLoss",
    ),
}

#: The systems whose pages say that class indices are required to be long.
DEMANDS_LONG = ("torch.nn.CrossEntropyLoss", "torch.nn.LinearCrossEntropyLoss")

PARAMETERS = ("linear_weight", "linear_bias")


class State(NamedTuple):
    """A forward call that can still go backward."""

    vjp: Any
    wrt: List[str]


class Adapter(BaseAdapter):
    """Functions and classes of ``crossent_spec``, for all four documented systems."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented systems and the versions."""
        return {
            "name": "embedded",
            "systems": list(FORMS),
            # Numba compiles each mode at its first call; where it lies in the cache, at once.
            "compiling": 100,
            "versions": {"crossent-spec": _version(), "numpy": np.__version__},
        }

    def given(self, array: Array) -> Any:
        """Return an array as the library takes it."""
        return to_numpy(array)

    def taken(self, result: Any) -> Any:
        """Return the library's result as NumPy's."""
        return result

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the closure that goes backward."""
        _check(call)
        arrays = {name: self.given(array) for name, array in call.arrays.items()}
        arguments = _to_arguments(call.arguments)
        function, klass = FORMS[call.system]
        linear = "linear_weight" in arrays
        with warnings.catch_warnings():
            # What a page calls deprecated warns; callers go on.
            warnings.simplefilter("ignore")
            if call.form == "function" and function:
                loss, vjp = getattr(crossent_spec, function)(
                    **arrays, **arguments, wrt=tuple(call.wrt)
                )
            else:
                if "weight" in arrays:
                    arguments["weight"] = arrays["weight"]
                sizes: Tuple[int, ...] = ()
                if linear:
                    sizes, keywords = _sizes(arrays)
                    arguments.update(keywords, dtype=arrays["linear_weight"].dtype)
                module = getattr(crossent_spec, klass)(*sizes, **arguments)
                for name in PARAMETERS:
                    if name in arrays:
                        setattr(module, name, arrays[name])
                loss, vjp = module.vjp(arrays["input"], arrays["target"], wrt=tuple(call.wrt))
        return _to_array(self.taken(loss)), State(vjp, call.wrt)

    def backward(
        self,
        state: State,
        grad_output: Optional[Array],
        retain: bool,  # noqa: ARG002 - no flag here; LinearCrossEntropyOptions has one
    ) -> Dict[str, Array]:
        """Call the closure."""
        grads = state.vjp() if grad_output is None else state.vjp(self.given(grad_output))
        gradients = {}
        for name in state.wrt:
            gradient = getattr(grads, name)
            if gradient is None:
                raise RuntimeError(f"no gradient: vjp() gave None for {name}")
            gradients[name] = _to_array(self.taken(gradient))
        return gradients

    def script(self, call: Call, step: Dict[str, Any]) -> str:
        """Write one step in the API of ``crossent_spec``; see :mod:`conformance.repro`."""
        _check(call)
        lines = ["import crossent_spec"]
        if step["do"] == "backward":
            given = ""
            if step.get("grad_output") is not None:
                given = _source(step["grad_output"], step["grad_array"], lines)
            lines.append(f"gradients = vjp_{step['of']}({given})")
            items = [f"    {name!r}: {_read('gradients.' + name, call)}," for name in call.wrt]
            return "\n".join([*lines, "grads = {", *items, "}"])
        function, klass = FORMS[call.system]
        names = {
            name: _source(step["arrays"][name], call.arrays[name], lines) for name in call.arrays
        }
        passed = [f"{name}={text}" for name, text in _arguments_source(call.arguments).items()]
        result = "loss_{0}, vjp_{0}".format(step["as"])
        wrt = f"wrt={tuple(call.wrt)!r}"
        if call.form == "function" and function:
            arrays = [f"{name}={text}" for name, text in names.items()]
            given = ", ".join([*arrays, *passed, wrt])
            lines.append(f"{result} = crossent_spec.{function}({given})")
        else:
            module = f"module_{step['as']}"
            if "weight" in names:
                passed.insert(0, f"weight={names['weight']}")
            if "linear_weight" in names:
                sizes, keywords = _sizes({n: array.data for n, array in call.arrays.items()})
                passed = [
                    *map(str, sizes),
                    *(f"{name}={value!r}" for name, value in keywords.items()),
                    f"dtype={names['linear_weight']}.dtype",
                    *passed,
                ]
            lines.append(f"{module} = crossent_spec.{klass}({', '.join(passed)})")
            lines += [f"{module}.{n} = {names[n]}" for n in PARAMETERS if n in names]
            given = ", ".join([names["input"], names["target"], wrt])
            lines.append(f"{result} = {module}.vjp({given})")
        lines.append(f"loss = {_read('loss_' + step['as'], call)}")
        return "\n".join(lines)


def _version() -> str:
    try:
        return version("crossent-spec")
    except PackageNotFoundError:
        return "not installed"


def _check(call: Call) -> None:
    if call.system not in FORMS:
        raise Unsupported(f"crossent_spec does not implement {call.system}")
    target = call.arrays["target"]
    axes = call.arrays["input"].data.ndim
    if "linear_weight" in call.arrays:
        # The projection replaces the last axis by (C, *out_features).
        axes += call.arrays["linear_weight"].data.ndim - 2
    if (
        call.system in DEMANDS_LONG
        and target.data.ndim == axes - 1
        and target.data.dtype.kind in "iu"
        and target.dtype not in ("int64", "bfloat16")
    ):
        raise Unsupported(
            "crossent_spec takes class indices of any integer dtype on purpose; the page asks "
            f"for long and does not document {target.dtype}"
        )


def _sizes(arrays: Dict[str, np.ndarray]) -> Tuple[Tuple[int, ...], Dict[str, Any]]:
    """Return what the linear loss is constructed with, as the shape of its weights tells."""
    num_classes, *out_features, in_features = arrays["linear_weight"].shape
    keywords: Dict[str, Any] = {}
    if out_features:
        keywords["out_features"] = tuple(out_features)
    if "linear_bias" in arrays:
        keywords["bias"] = True
    return (in_features, num_classes), keywords


def to_numpy(array: Array) -> np.ndarray:
    """Return an array as NumPy has it, in place; bfloat16 is that of ml_dtypes."""
    if array.dtype == "bfloat16":
        return array.data.view(ml_dtypes.bfloat16)
    return array.data


def _to_array(values: Any) -> Array:
    data = np.asarray(values)
    if data.dtype == ml_dtypes.bfloat16:
        return Array(data.view(np.uint16), "bfloat16")
    return Array(data, data.dtype.name)


def _to_arguments(written: Dict[str, Any]) -> Dict[str, Any]:
    arguments = dict(written)
    for name in ("label_smoothing", "mult"):
        if isinstance(arguments.get(name), str):
            arguments[name] = float(arguments[name])
    if isinstance(arguments.get("options"), dict):
        arguments["options"] = crossent_spec.LinearCrossEntropyOptions(**arguments["options"])
    return arguments


def _arguments_source(written: Dict[str, Any]) -> Dict[str, str]:
    arguments = {name: repr(value) for name, value in written.items()}
    for name in ("label_smoothing", "mult"):
        if name in written and not np.isfinite(float(written[name])):
            arguments[name] = f"float({str(written[name])!r})"
    options = written.get("options")
    if isinstance(options, dict):
        fields = ", ".join(f"{name}={value!r}" for name, value in options.items())
        arguments["options"] = f"crossent_spec.LinearCrossEntropyOptions({fields})"
    return arguments


def _source(variable: str, array: Array, lines: List[str]) -> str:
    """Return an expression for an array; note what it imports."""
    if array.dtype != "bfloat16":
        return variable
    if "import ml_dtypes" not in lines:
        lines.append("import ml_dtypes")
    return f"{variable}.view(ml_dtypes.bfloat16)"


def _read(variable: str, call: Call) -> str:
    """Return an expression for a result; NumPy itself has no bfloat16."""
    if call.arrays["input"].dtype == "bfloat16":
        return f"{variable}.astype(np.float32)"
    return variable
