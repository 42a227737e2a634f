"""What the adapters of PyTorch, and of packages built on it, have in common.

The number of threads stays at torch's default, because a result should be the one that users
get.  But idle threads must not spin where several workers share the cores: on two cores, a run
with two workers took two to three times as long with spinning threads as with sleeping ones, and
one thread per worker was no faster.  OpenMP reads the setting when torch is loaded, so adapters
import this module before torch.
"""

import os
import warnings
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from conformance.protocol import Adapter, Array, Call, Unsupported


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    leaves: Dict[str, Any]
    shapes: Dict[str, Tuple[int, ...]]


class TorchAdapter(Adapter):
    """Everything but the framework call itself; a subclass adds that, as a call and as text."""

    name = ""
    systems: Tuple[str, ...] = ()

    def versions(self) -> Dict[str, str]:
        """Return the version of every package that takes part."""
        return {"torch": str(torch.__version__), "numpy": np.__version__}

    def check(self, call: Call) -> None:
        """Refuse a call that is not of a system driven here."""
        if call.system not in self.systems:
            raise Unsupported(f"the {self.name} adapter does not drive {call.system}")

    def owned(self, call: Call) -> Tuple[str, ...]:  # noqa: ARG002 - a subclass reads it
        """Return the arrays that this form keeps as parameters of its own."""
        return ()

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        """Call the framework; replace what is owned in ``tensors`` by the form's parameters."""
        raise NotImplementedError

    def source(self, call: Call, names: Dict[str, str], arguments: str, result: str) -> List[str]:
        """Return lines of source code that do what :meth:`loss` does.

        Parameters
        ----------
        names
            The variable that holds each tensor; that of an owned array must end up holding the
            form's parameter.
        arguments
            The scalar arguments as source, each preceded by a comma and a space.
        result
            The variable to assign.
        """
        raise NotImplementedError

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented systems and the versions."""
        return {"name": self.name, "systems": list(self.systems), "versions": self.versions()}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the tensors that hold its graph."""
        self.check(call)
        # Deprecated arguments, read-only arrays and torch's fallbacks warn; callers go on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensors = {name: to_tensor(array) for name, array in call.arrays.items()}
            owned = self.owned(call)
            for name in call.wrt:
                if name not in owned:
                    tensors[name].requires_grad_()
            try:
                loss = self.loss(call, tensors, to_arguments(call.arguments))
            except RuntimeError as error:
                # Older releases have no float16 on a CPU, and no page says that they do.
                kind = {"float16": "'Half'", "bfloat16": "'BFloat16'"}.get(
                    call.arrays["input"].dtype
                )
                if kind and str(error).endswith(f"not implemented for {kind}"):
                    raise Unsupported(f"torch {torch.__version__}: {error}") from None
                raise
        shapes = {name: call.arrays[name].data.shape for name in call.wrt}
        return to_array(loss), State(loss, {name: tensors[name] for name in call.wrt}, shapes)

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Call ``loss.backward`` and collect what it leaves in ``.grad``."""
        for leaf in state.leaves.values():
            leaf.grad = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gradient = None if grad_output is None else to_tensor(grad_output)
            state.loss.backward(gradient=gradient, retain_graph=retain)
        gradients = {}
        for name, leaf in state.leaves.items():
            if leaf.grad is None:
                raise RuntimeError(f"no gradient: loss.backward() left {name}.grad at None")
            gradients[name] = to_array(leaf.grad.reshape(state.shapes[name]))
        return gradients

    def script(self, call: Call, step: Dict[str, Any]) -> str:
        """Write one step in torch's own API; see :mod:`conformance.repro`."""
        self.check(call)
        owned = self.owned(call)
        tag = step["as"] if step["do"] == "forward" else step["of"]
        names = {name: f"{name}_{tag}" for name in call.arrays}
        loss = f"loss_{tag}"
        # NumPy has no bfloat16.
        numpy = ".float().numpy()" if call.arrays["input"].dtype == "bfloat16" else ".numpy()"
        lines = ["import torch"]
        if step["do"] == "forward":
            for name, array in call.arrays.items():
                wrapped = wrap_source(step["arrays"][name], array)
                leaf = name in call.wrt and name not in owned
                lines.append(names[name] + " = " + wrapped + (".requires_grad_()" if leaf else ""))
            lines += self.source(call, names, arguments_source(call.arguments), loss)
            lines.append(f"loss = {loss}.detach(){numpy}")
            return "\n".join(lines)
        passed = []
        if step.get("grad_output") is not None:
            passed.append(wrap_source(step["grad_output"], step["grad_array"]))
        if step.get("retain"):
            passed.append("retain_graph=True")
        lines.append(f"{loss}.backward({', '.join(passed)})")
        lines.append("grads = {")
        for name in call.wrt:
            shape = f".reshape{call.arrays[name].data.shape!r}" if name in owned else ""
            lines.append(f"    {name!r}: {names[name]}.grad{numpy}{shape},")
        lines.append("}")
        if step.get("retain"):
            lines += [f"{names[name]}.grad = None" for name in call.wrt]
        return "\n".join(lines)


def to_tensor(array: Array) -> Any:
    """Wrap the caller's memory in a tensor; only negative strides force a copy."""
    data = array.data
    if array.dtype == "bfloat16":
        # torch 1.x has no uint16.
        data = data.view(np.int16)
    if any(stride < 0 for stride in data.strides):
        data = data.copy()
    tensor = torch.from_numpy(data)
    return tensor.view(torch.bfloat16) if array.dtype == "bfloat16" else tensor


def to_array(tensor: Any) -> Array:
    """Return a tensor's values, in the tensor's own dtype and memory."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return Array(tensor.view(torch.int16).numpy().view(np.uint16), "bfloat16")
    return Array(tensor.numpy(), str(tensor.dtype).split(".")[-1])


def to_arguments(written: Dict[str, Any]) -> Dict[str, Any]:
    """Return the caller's scalar arguments as torch takes them."""
    arguments = dict(written)
    for name in ("label_smoothing", "mult"):
        if isinstance(arguments.get(name), str):
            arguments[name] = float(arguments[name])
    if isinstance(arguments.get("options"), dict):
        options = dict(arguments["options"])
        if isinstance(options.get("acc_dtype"), str):
            options["acc_dtype"] = getattr(torch, options["acc_dtype"])
        arguments["options"] = torch.nn.LinearCrossEntropyOptions(**options)
    return arguments


def wrap_source(variable: str, array: Array) -> str:
    """Return an expression that does for a NumPy variable what :func:`to_tensor` does."""
    negative = any(stride < 0 for stride in array.data.strides)
    copy = ".copy()" if negative else ""
    if array.dtype == "bfloat16":
        return f"torch.from_numpy({variable}.view(np.int16){copy}).view(torch.bfloat16)"
    return f"torch.from_numpy({variable}{copy})"


def arguments_source(written: Dict[str, Any]) -> str:
    """Return the caller's scalar arguments as source, each after a comma.

    >>> arguments_source({"reduction": "sum", "options": {"batch_chunk_size": 3}})
    ", reduction='sum', options=torch.nn.LinearCrossEntropyOptions(batch_chunk_size=3)"
    >>> arguments_source({"label_smoothing": "nan"})
    ", label_smoothing=float('nan')"
    """
    items = []
    for name, value in written.items():
        text = repr(value)
        if name in ("label_smoothing", "mult"):
            text = repr(value) if np.isfinite(float(value)) else f"float({str(value)!r})"
        elif name == "options" and isinstance(value, dict):
            fields = {key: repr(item) for key, item in value.items()}
            if isinstance(value.get("acc_dtype"), str):
                fields["acc_dtype"] = f"torch.{value['acc_dtype']}"
            given = ", ".join(f"{key}={field}" for key, field in fields.items())
            text = f"torch.nn.LinearCrossEntropyOptions({given})"
        items.append(f", {name}={text}")
    return "".join(items)


def keywords_source(names: Dict[str, str], *arrays: str) -> str:
    """Return those of ``arrays`` that are passed as keyword source, each after a comma.

    >>> keywords_source({"input": "input_a", "weight": "weight_a"}, "weight", "linear_bias")
    ', weight=weight_a'
    """
    return "".join(f", {name}={names[name]}" for name in arrays if name in names)
