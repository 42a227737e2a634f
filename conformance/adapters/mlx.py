"""MLX's ``nn.losses.cross_entropy`` on the CPU.

MLX documents a weight for each target: it is the weight of the target's class.
"""

from importlib.metadata import version
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from conformance.adapters._documented import (
    SYSTEM,
    Scope,
    from_numpy,
    has_classes,
    ignores_by_default,
    to_arguments,
)
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

mx.set_default_device(mx.cpu)

SCOPE = Scope(
    "mlx",
    arguments=("reduction", "label_smoothing"),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    # "class indices", without a dtype.
    indices=("int8", "int16", "int32", "uint8"),
    # "targets shape should match the logits shape with the axis dimension removed"
    unbatched=True,
)


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    function: Callable[..., Any]
    leaves: Dict[str, Any]


class Adapter(BaseAdapter):
    """The function, differentiated by ``mx.vjp``."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"mlx": version("mlx"), "numpy": np.__version__}
        return {"name": "mlx", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the function that gave it."""
        check(call)
        tensors = {name: to_mlx(array) for name, array in call.arrays.items()}
        arguments = to_arguments(call.arguments)
        arguments["axis"] = 0 if tensors["input"].ndim == 1 else 1
        if "weight" in tensors:
            arguments["weights"] = mx.take(tensors["weight"], tensors["target"])

        def loss(*leaves: Any) -> Any:
            given = {**tensors, **dict(zip(call.wrt, leaves))}
            return nn.losses.cross_entropy(given["input"], given["target"], **arguments)

        leaves = {name: tensors[name] for name in call.wrt}
        value = loss(*leaves.values())
        return to_array(value), State(value, loss, leaves)

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Differentiate the function at the same arrays."""
        del retain
        leaves = list(state.leaves.values())
        seed = mx.ones_like(state.loss) if grad_output is None else to_mlx(grad_output)
        _, gradients = mx.vjp(state.function, leaves, [seed])
        return {name: to_array(gradient) for name, gradient in zip(state.leaves, gradients)}


def check(call: Call) -> None:
    """Refuse what MLX does not document."""
    SCOPE.check(call)
    if ignores_by_default(call):
        raise Unsupported("mlx documents no class that is ignored")
    if "reduction" not in call.arguments:
        raise Unsupported("mlx documents that reduction is 'none' by default")
    weight = call.arrays.get("weight")
    if weight is None:
        return
    if not has_classes(call) or "label_smoothing" in call.arguments:
        raise Unsupported("mlx documents weights of targets, and here the classes' differ")
    if call.arguments["reduction"] == "mean":
        raise Unsupported("mlx documents no mean that divides by the weights")
    input = call.arrays["input"]
    if (weight.data.shape, weight.dtype) != (input.data.shape[1:2], input.dtype):
        raise Unsupported("mlx documents no weights of classes, which it could check")


def to_mlx(array: Array) -> Any:
    """Give MLX a copy of the caller's view; it takes no negative strides."""
    data = array.data.copy() if any(stride < 0 for stride in array.data.strides) else array.data
    if array.dtype == "bfloat16":
        return mx.array(data).view(mx.bfloat16)
    # Without a dtype it makes float32 of float64.
    dtype = mx.bool_ if array.dtype == "bool" else getattr(mx, array.dtype)
    return mx.array(data, dtype=dtype)


def to_array(result: Any) -> Array:
    """Return a result's values in its own dtype."""
    if result.dtype == mx.bfloat16:
        return Array(np.array(result.view(mx.uint16)), "bfloat16")
    return from_numpy(np.array(result))
