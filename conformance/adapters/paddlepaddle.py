"""PaddlePaddle's cross-entropy loss: ``F.cross_entropy`` and ``nn.CrossEntropyLoss``."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812 - paddle's own name for it

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, has_classes, to_arguments
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "paddle",
    arguments=("ignore_index", "reduction", "label_smoothing"),
    dtypes=("float32", "float64"),
    indices=("int32", "float32", "float64"),
)


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    leaves: Dict[str, Any]


class Adapter(BaseAdapter):
    """The functional form and the layer, with the class axis at 1."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"paddlepaddle": paddle.__version__, "numpy": np.__version__}
        return {"name": "paddlepaddle", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the tensors that hold its graph."""
        check(call)
        tensors = {name: paddle.to_tensor(array.data) for name, array in call.arrays.items()}
        for name in call.wrt:
            tensors[name].stop_gradient = False
        arguments = {"axis": 1, **to_arguments(call.arguments)}
        # Labels of the input's shape are soft, whatever their dtype.
        arguments["soft_label"] = not has_classes(call)
        input, target, weight = tensors["input"], tensors["target"], tensors.get("weight")
        if call.form == "module":
            loss = paddle.nn.CrossEntropyLoss(weight=weight, **arguments)(input, target)
        else:
            loss = F.cross_entropy(input, target, weight=weight, **arguments)
        if arguments["soft_label"] and arguments.get("reduction") == "none":
            # "If soft_label = True, the dimension of return value is [N_1, ..., N_k, 1]."
            loss = paddle.squeeze(loss, axis=1)
        return from_numpy(loss.numpy()), State(loss, {name: tensors[name] for name in call.wrt})

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Call ``loss.backward`` and collect what it leaves in ``.grad``."""
        for leaf in state.leaves.values():
            leaf.clear_grad()
        given = None if grad_output is None else paddle.to_tensor(grad_output.data)
        state.loss.backward(given, retain_graph=retain)
        gradients = {}
        for name, leaf in state.leaves.items():
            if leaf.grad is None and name == "target":
                raise Unsupported("paddle documents no gradient of the labels, and gave none")
            if leaf.grad is None:
                raise RuntimeError(f"no gradient: loss.backward() left {name}.grad at None")
            gradients[name] = from_numpy(leaf.grad.numpy())
        return gradients


def check(call: Call) -> None:
    """Refuse what Paddle's documentation does not cover, or defines in another way."""
    SCOPE.check(call)
    input, target = call.arrays["input"].data, call.arrays["target"].data
    if target.shape == (*input.shape[:1], *input.shape[2:], 1):
        raise Unsupported("paddle documents class indices of shape [N_1, ..., N_k, 1]")
    if not has_classes(call) and "weight" in call.arrays:
        raise Unsupported(
            "paddle documents the class weights of soft labels as one weight for each sample, "
            "and their mean as divided by the sum of those"
        )
