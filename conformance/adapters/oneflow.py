"""OneFlow's cross-entropy loss: ``oneflow.nn.CrossEntropyLoss``."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
import oneflow as flow

from conformance.adapters._documented import to_arguments
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SYSTEM = "oneflow.nn.CrossEntropyLoss"


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    leaves: Dict[str, Any]


class Adapter(BaseAdapter):
    """The class, which is all that the page documents, for both forms of a call."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"oneflow": flow.__version__, "numpy": np.__version__}
        return {"name": "oneflow", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the tensors that hold its graph."""
        if call.system != SYSTEM:
            raise Unsupported(f"the oneflow adapter does not drive {call.system}")
        tensors = {name: to_tensor(array) for name, array in call.arrays.items()}
        leaves = {name: tensors[name].requires_grad_() for name in call.wrt}
        arguments = to_arguments(call.arguments)
        if "weight" in tensors:
            arguments["weight"] = tensors["weight"]
        module = flow.nn.CrossEntropyLoss(**arguments)
        try:
            loss = module(tensors["input"], tensors["target"])
            return to_array(loss), State(loss, leaves)
        except RuntimeError as error:
            # The page names no 16-bit type.  A release that has such kernels is judged on them.
            dtype = call.arrays["input"].dtype
            if dtype in ("float16", "bfloat16") and "Cannot find the kernel" in str(error):
                raise Unsupported(f"oneflow has no kernel of this loss for {dtype}") from None
            raise

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Call ``loss.backward`` and collect what it leaves in ``.grad``."""
        for leaf in state.leaves.values():
            leaf.grad = None
        given = () if grad_output is None else (to_tensor(grad_output),)
        state.loss.backward(*given, retain_graph=retain)
        gradients = {}
        for name, leaf in state.leaves.items():
            if leaf.grad is None:
                raise RuntimeError(f"no gradient: loss.backward() left {name}.grad at None")
            gradients[name] = to_array(leaf.grad)
        return gradients

    def script(self, call: Call, step: Dict[str, Any]) -> str:
        """Write one step in OneFlow's own API; see :mod:`conformance.repro`."""
        tag = step["as"] if step["do"] == "forward" else step["of"]
        names = {name: f"{name}_{tag}" for name in call.arrays}
        loss, module = f"loss_{tag}", f"module_{tag}"
        lines = ["import oneflow as flow"]
        if step["do"] == "forward":
            for name, array in call.arrays.items():
                leaf = ".requires_grad_()" if name in call.wrt else ""
                lines.append(f"{names[name]} = {source(step['arrays'][name], array)}{leaf}")
            passed = [f"weight={names['weight']}"] if "weight" in names else []
            for name, value in to_arguments(call.arguments).items():
                text = "float('nan')" if value != value else repr(value)
                passed.append(f"{name}={text}")
            lines.append(f"{module} = flow.nn.CrossEntropyLoss({', '.join(passed)})")
            lines.append(f"{loss} = {module}({names['input']}, {names['target']})")
            return "\n".join([*lines, f"loss = {loss}.detach().numpy()"])
        passed = [source(step["grad_output"], step["grad_array"])] if step["grad_output"] else []
        passed += ["retain_graph=True"] if step["retain"] else []
        lines += [f"{loss}.backward({', '.join(passed)})", "grads = {"]
        lines += [f"    {name!r}: {names[name]}.grad.numpy().copy()," for name in call.wrt]
        # The next backward pass would add to them.
        return "\n".join([*lines, "}", *(f"{names[name]}.grad = None" for name in call.wrt)])


def to_tensor(array: Array) -> Any:
    """Wrap the caller's memory in a tensor; only negative strides and bfloat16 force a copy."""
    data = array.data
    if array.dtype == "bfloat16":
        wide = (data.astype(np.uint32) << 16).view(np.float32)
        return flow.from_numpy(wide).to(flow.bfloat16)
    if any(stride < 0 for stride in data.strides):
        data = data.copy()
    return flow.from_numpy(data)


def to_array(tensor: Any) -> Array:
    """Return a tensor's values in its own dtype."""
    dtype = str(tensor.dtype).split(".")[-1]
    if dtype == "bfloat16":
        wide = tensor.detach().to(flow.float32).numpy()
        return Array((wide.view(np.uint32) >> 16).astype(np.uint16), dtype)
    return Array(tensor.detach().numpy(), dtype)


def source(variable: str, array: Array) -> str:
    """Return an expression that does for a NumPy variable what :func:`to_tensor` does."""
    if array.dtype == "bfloat16":
        wide = f"({variable}.astype(np.uint32) << 16).view(np.float32)"
        return f"flow.from_numpy({wide}).to(flow.bfloat16)"
    negative = any(stride < 0 for stride in array.data.strides)
    return f"flow.from_numpy({variable}{'.copy()' if negative else ''})"
