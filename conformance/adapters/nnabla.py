"""NNabla's ``F.softmax_cross_entropy``, whose labels and losses keep the class axis.

It documents no reduction; that is left to ``F.mean`` and ``F.sum``.  Variables hold float32.
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import nnabla as nn
import nnabla.functions as F  # noqa: N812 - nnabla's own name for it
import numpy as np

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, has_classes
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "nnabla",
    arguments=("reduction",),
    dtypes=("float32",),
    indices=("int8", "int16", "int32", "uint8"),
)
REDUCTIONS = {"none": lambda losses: losses, "mean": F.mean, "sum": F.sum}


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    input: Any


class Adapter(BaseAdapter):
    """The function, with the class axis at 1."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"nnabla": nn.__version__, "numpy": np.__version__}
        return {"name": "nnabla", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the variables that hold its graph."""
        check(call)
        input = nn.Variable.from_numpy_array(call.arrays["input"].data).apply(need_grad=True)
        labels = np.expand_dims(call.arrays["target"].data, 1)
        losses = F.softmax_cross_entropy(input, nn.Variable.from_numpy_array(labels), axis=1)
        shape = losses.shape[:1] + losses.shape[2:]
        loss = REDUCTIONS[call.arguments.get("reduction", "mean")](F.reshape(losses, shape))
        loss.forward()
        return from_numpy(loss.d.copy()), State(loss, input)

    def backward(
        self,
        state: State,
        grad_output: Optional[Array],
        retain: bool,  # noqa: ARG002 - buffers are kept unless the caller clears them
    ) -> Dict[str, Array]:
        """Call ``backward``, which adds to the gradient of the input."""
        state.input.g = 0
        state.loss.backward(1 if grad_output is None else np.array(grad_output.data))
        return {"input": from_numpy(state.input.g.copy())}


def check(call: Call) -> None:
    """Refuse what NNabla's documentation does not cover."""
    SCOPE.check(call)
    target = call.arrays["target"]
    reduction = call.arguments.get("reduction", "mean")
    if reduction not in REDUCTIONS:
        raise Unsupported(f"nnabla documents no reduction, so none called {reduction!r}")
    if "weight" in call.arrays:
        raise Unsupported("nnabla documents no class weights")
    if not has_classes(call):
        raise Unsupported("nnabla documents labels by category index only")
    if np.isin(target.data, (-1, -100)).any():
        raise Unsupported(
            "nnabla documents the label -1 for what belongs to no class, and no other"
        )
