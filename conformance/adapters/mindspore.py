"""MindSpore's cross-entropy loss: ``ops.cross_entropy`` and ``nn.CrossEntropyLoss``."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import mindspore
import numpy as np
from mindspore import nn, ops

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, has_classes, to_arguments
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

mindspore.set_device("CPU")

SCOPE = Scope(
    "mindspore",
    arguments=("ignore_index", "reduction", "label_smoothing"),
    dtypes=("float16", "float32"),
    indices=("int32",),
    unbatched=True,
)


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    function: Any
    leaves: Dict[str, Any]


class Adapter(BaseAdapter):
    """The functional form and the cell, differentiated by ``ops.GradOperation``.

    That takes a function, and calls it again.  ``mindspore.vjp`` forgets a call as soon as the
    same function is called another time.
    """

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"mindspore": mindspore.__version__, "numpy": np.__version__}
        return {"name": "mindspore", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the function to differentiate."""
        SCOPE.check(call)
        tensors = {name: mindspore.Tensor(array.data) for name, array in call.arrays.items()}
        if has_classes(call) and call.arrays["target"].dtype == "int64":
            # The page's long; MindSpore's documentation asks for int32.
            indices = call.arrays["target"].data.astype(np.int32)
            if (indices != call.arrays["target"].data).any():
                raise Unsupported(
                    "mindspore documents class indices of int32, which cannot hold these"
                )
            tensors["target"] = mindspore.Tensor(indices)
        arguments = to_arguments(call.arguments)

        def loss_of(*leaves: Any) -> Any:
            given = {**tensors, **dict(zip(call.wrt, leaves))}
            input, target, weight = given["input"], given["target"], given.get("weight")
            if call.form == "module":
                return nn.CrossEntropyLoss(weight=weight, **arguments)(input, target)
            return ops.cross_entropy(input, target, weight=weight, **arguments)

        leaves = {name: tensors[name] for name in call.wrt}
        loss = loss_of(*leaves.values())
        # Errors of a kernel come when its result is read.
        return from_numpy(loss.asnumpy()), State(loss, loss_of, leaves)

    def backward(
        self,
        state: State,
        grad_output: Optional[Array],
        retain: bool,  # noqa: ARG002 - MindSpore has no such flag
    ) -> Dict[str, Array]:
        """Differentiate by every leaf, with the gradient of the loss as the sensitivity."""
        if grad_output is None:
            given = ops.ones_like(state.loss)
        else:
            given = mindspore.Tensor(grad_output.data)
        differentiate = ops.GradOperation(get_all=True, sens_param=True)(state.function)
        found = differentiate(*state.leaves.values(), given)
        return {name: from_numpy(gradient.asnumpy()) for name, gradient in zip(state.leaves, found)}
