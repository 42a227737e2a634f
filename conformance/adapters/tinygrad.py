"""tinygrad's ``Tensor.cross_entropy``, ``nll_loss`` and ``sparse_categorical_crossentropy``."""

import os
from importlib.metadata import version
from typing import Any, Dict, NamedTuple, Optional, Tuple

# Needs no compiler; DEV=CPU takes clang.
os.environ.setdefault("DEV", "PYTHON")

import numpy as np
from tinygrad import Tensor, dtypes

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

#: What Python's own loops carry in the time of a case.
MOST_ELEMENTS = 4000

SCOPE = Scope(
    "tinygrad",
    arguments=("ignore_index", "reduction", "label_smoothing"),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    # Its examples have labels of the default integer, which is int32.
    indices=("int32",),
    unbatched=True,
)


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    leaves: Dict[str, Any]


class Adapter(BaseAdapter):
    """The methods of a tensor, differentiated by ``Tensor.gradient``."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"tinygrad": version("tinygrad"), "numpy": np.__version__}
        return {"name": "tinygrad", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, which holds its graph."""
        check(call)
        tensors = {name: to_tensor(array) for name, array in call.arrays.items()}
        value = loss(tensors, to_arguments(call.arguments))
        return to_array(value), State(value, {name: tensors[name] for name in call.wrt})

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Differentiate the loss."""
        del retain
        seed = None if grad_output is None else to_tensor(grad_output)
        gradients = state.loss.gradient(*state.leaves.values(), gradient=seed)
        return {name: to_array(gradient) for name, gradient in zip(state.leaves, gradients)}


def check(call: Call) -> None:
    """Refuse what tinygrad does not document, or its interpreter cannot carry."""
    SCOPE.check(call)
    input, given = call.arrays["input"].data, call.arguments
    classes, weighted = has_classes(call), "weight" in call.arrays
    if ignores_by_default(call):
        raise Unsupported("tinygrad documents no label that is ignored by default")
    if "ignore_index" in given and not classes:
        raise Unsupported("tinygrad documents an ignored index of labels only")
    if weighted and not (classes and "label_smoothing" not in given):
        raise Unsupported("tinygrad documents class weights of nll_loss alone")
    if input.ndim == 1 and (weighted or "ignore_index" in given):
        raise Unsupported("tinygrad documents nll_loss of a batch")
    if os.environ["DEV"] == "PYTHON" and input.size > MOST_ELEMENTS:
        raise Unsupported(
            f"tinygrad without a compiler is too slow for more than {MOST_ELEMENTS} logits"
        )


def loss(tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Call the method that documents the arguments."""
    input, target = tensors["input"], tensors["target"]
    if "weight" not in tensors and "ignore_index" not in arguments:
        return input.cross_entropy(target, **arguments)
    if "label_smoothing" not in arguments:
        return input.log_softmax(1).nll_loss(target, weight=tensors.get("weight"), **arguments)
    # "unlike PyTorch, this function expects the class axis to be -1"
    logits = input.permute(0, *range(2, input.ndim), 1)
    return logits.sparse_categorical_crossentropy(target, **arguments)


def to_tensor(array: Array) -> Any:
    """Give tinygrad a copy of the caller's view."""
    data = np.ascontiguousarray(array.data).reshape(array.data.shape)
    tensor = Tensor(data.copy())
    return tensor.bitcast(dtypes.bfloat16) if array.dtype == "bfloat16" else tensor


def to_array(result: Any) -> Array:
    """Return a result's values in its own dtype."""
    if result.dtype == dtypes.bfloat16:
        return Array(result.bitcast(dtypes.uint16).numpy(), "bfloat16")
    return from_numpy(result.numpy())
