"""Chainer's ``F.softmax_cross_entropy``, which ignores the label -1 by default."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import chainer
import chainer.functions as F  # noqa: N812 - chainer's own name for it
import numpy as np

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, has_classes
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "chainer",
    arguments=("ignore_index", "reduction"),
    dtypes=("float16", "float32", "float64"),
    # "a signed integer vector of ground truth labels"
    indices=("int8", "int16", "int32"),
)
REDUCTIONS = {"none": "no"}


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    input: Any
    wrt: List[str]


class Adapter(BaseAdapter):
    """The function, with soft targets where the labels are not integers."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"chainer": chainer.__version__, "numpy": np.__version__}
        return {"name": "chainer", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the variables that hold its graph."""
        check(call)
        arrays = {name: array.data for name, array in call.arrays.items()}
        arguments: Dict[str, Any] = {}
        if "reduction" in call.arguments:
            reduction = call.arguments["reduction"]
            arguments["reduce"] = REDUCTIONS.get(reduction, reduction)
        if "ignore_index" in call.arguments:
            arguments["ignore_label"] = call.arguments["ignore_index"]
        input = chainer.Variable(arrays["input"])
        weight = arrays.get("weight")
        loss = F.softmax_cross_entropy(input, arrays["target"], class_weight=weight, **arguments)
        return from_numpy(loss.array), State(loss, input, call.wrt)

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Call ``backward``, which starts from ``loss.grad``."""
        if state.wrt != ["input"]:
            raise Unsupported("chainer: this function is differentiable only by x")
        state.input.cleargrad()
        if grad_output is not None:
            state.loss.grad = grad_output.data
        state.loss.backward(retain_grad=retain)
        if state.input.grad is None:
            raise RuntimeError("no gradient: loss.backward() left input.grad at None")
        return {"input": from_numpy(state.input.grad)}


def check(call: Call) -> None:
    """Refuse what Chainer's documentation does not cover, or defines in another way."""
    SCOPE.check(call)
    if call.arguments.get("reduction") == "sum":
        raise Unsupported("chainer documents no sum")
    if "weight" in call.arrays and call.arguments.get("reduction") != "none":
        raise Unsupported("chainer documents a mean over the instances, whatever their weights")
    by_default = has_classes(call) and "ignore_index" not in call.arguments
    if by_default and np.isin(call.arrays["target"].data, (-1, -100)).any():
        raise Unsupported("chainer documents that the label -1 is ignored by default")
