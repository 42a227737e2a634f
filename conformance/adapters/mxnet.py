"""MXNet's ``gluon.loss.SoftmaxCrossEntropyLoss``, which averages over every axis but the batch.

It documents no reduction over the batch; that is left to ``NDArray.mean`` and ``NDArray.sum``.
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, has_classes
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "mxnet",
    arguments=("reduction",),
    dtypes=("float16", "float32", "float64"),
    # "label should contain integer category indicators"
    indices=("int8", "int32", "uint8"),
)
REDUCTIONS: Dict[str, Any] = {
    "none": lambda losses: losses,
    "mean": lambda losses: losses.mean(),
    "sum": lambda losses: losses.sum(),
}


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    leaves: Dict[str, Any]


class Adapter(BaseAdapter):
    """The block, with the class axis at 1 and a sample's weight for its class's."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"mxnet": mx.__version__, "numpy": np.__version__}
        return {"name": "mxnet", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the arrays that hold its graph."""
        check(call)
        arrays = {name: to_mxnet(array) for name, array in call.arrays.items()}
        leaves = {name: arrays[name] for name in call.wrt}
        for leaf in leaves.values():
            leaf.attach_grad()
        reduction = REDUCTIONS[call.arguments.get("reduction", "mean")]
        block = mx.gluon.loss.SoftmaxCrossEntropyLoss(axis=1, sparse_label=has_classes(call))
        weights = None
        if "weight" in arrays:
            # "if label has shape (64, 10) [...] sample_weight should have shape (64, 1)"
            weights = mx.nd.take(arrays["weight"], arrays["target"]).expand_dims(1)
        with mx.autograd.record():
            loss = reduction(block(arrays["input"], arrays["target"], weights))
        # An NDArray has an axis at least; what has been reduced to one number has no other.
        shape = loss.shape if call.arguments.get("reduction") == "none" else ()
        return from_numpy(loss.asnumpy().reshape(shape)), State(loss, leaves)

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Call ``backward`` and collect what it leaves in ``.grad``."""
        given = None
        if grad_output is not None:
            given = to_mxnet(grad_output).reshape(state.loss.shape)
        state.loss.backward(given, retain_graph=retain)
        return {name: from_numpy(leaf.grad.asnumpy()) for name, leaf in state.leaves.items()}


def check(call: Call) -> None:
    """Refuse what MXNet's documentation does not cover."""
    SCOPE.check(call)
    input, target = call.arrays["input"], call.arrays["target"]
    reduction = call.arguments.get("reduction", "mean")
    if reduction not in REDUCTIONS:
        raise Unsupported(f"mxnet documents no reduction, so none called {reduction!r}")
    if input.data.ndim > 2 and reduction != "mean":
        raise Unsupported("mxnet documents that dimensions other than the batch are averaged out")
    if has_classes(call) and (target.data == -100).any():
        raise Unsupported("mxnet documents no label that is ignored")
    if "weight" in call.arrays:
        if not has_classes(call):
            raise Unsupported("mxnet documents no class weights, and weights of samples differ")
        if reduction == "mean":
            raise Unsupported("mxnet documents no mean over the weights of samples")
        if call.arrays["weight"].data.shape != (input.data.shape[1],):
            raise Unsupported("mxnet documents no class weights, whose number it could check")


def to_mxnet(array: Array) -> Any:
    """Return a copy of the caller's array, in its dtype."""
    return mx.nd.array(array.data, dtype=array.dtype)
