"""MegEngine's ``F.nn.cross_entropy``, of category indices only."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import megengine
import megengine.functional as F  # noqa: N812 - megengine's own name for it
import numpy as np
from megengine.autodiff import GradManager

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, to_arguments
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "megengine",
    arguments=("reduction", "label_smoothing"),
    dtypes=("float16", "float32"),
    indices=("int32", "float32"),
)


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Any
    manager: Any
    input: Any


class Adapter(BaseAdapter):
    """The function, with the class axis at 1."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"megengine": megengine.__version__, "numpy": np.__version__}
        return {"name": "megengine", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Return the loss, and the manager that goes on recording."""
        check(call)
        input, target = (to_tensor(call.arrays[name]) for name in ("input", "target"))
        arguments = to_arguments(call.arguments)
        if "label_smoothing" in arguments:
            arguments["label_smooth"] = arguments.pop("label_smoothing")
        manager = GradManager()
        if call.wrt:
            manager.attach([input])
            manager.record()
        loss = F.nn.cross_entropy(input, target, axis=1, **arguments)
        return from_numpy(loss.numpy()), State(loss, manager, input)

    def backward(
        self,
        state: State,
        grad_output: Optional[Array],
        retain: bool,
    ) -> Dict[str, Array]:
        """Call the manager's ``backward``, which ends the recording."""
        if retain:
            raise Unsupported("megengine documents that backward consumes what was recorded")
        given = () if grad_output is None else (to_tensor(grad_output),)
        state.manager.backward(state.loss, *given)
        return {"input": from_numpy(state.input.grad.numpy())}


def check(call: Call) -> None:
    """Refuse what MegEngine's documentation does not cover."""
    SCOPE.check(call)
    if "weight" in call.arrays:
        raise Unsupported("megengine documents no class weights")
    if call.arrays["target"].data.ndim == call.arrays["input"].data.ndim:
        raise Unsupported("megengine documents no class probabilities")
    if (call.arrays["target"].data == -100).any():
        raise Unsupported("megengine documents no label that is ignored")


def to_tensor(array: Array) -> Any:
    """Return the caller's array as a tensor, from a copy: MegEngine takes no stride of zero."""
    return megengine.Tensor(array.data.copy())
