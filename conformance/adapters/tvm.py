"""Apache TVM's ``relax.training.loss.CrossEntropyLoss``, compiled for the CPU."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
import tvm
from tvm import relax
from tvm.relax.training.loss import CrossEntropyLoss

from conformance.adapters._documented import SYSTEM, Scope, from_numpy
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "tvm",
    arguments=("reduction", "ignore_index"),
    # bfloat16 is left out: NumPy, from which TVM takes its tensors here, has none.
    dtypes=("float16", "float32", "float64"),
    # It documents no dtype of its targets.
    indices=("int8", "int16", "int32", "uint8"),
    unbatched=True,
)
PARAMETERS = {"input": "predictions", "target": "targets", "weight": "weights"}


class State(NamedTuple):
    """What the transformation of a loss into its gradient takes."""

    module: Any
    function: Any
    tensors: Dict[str, Any]


class Adapter(BaseAdapter):
    """The loss function, differentiated by ``relax.transform.Gradient``."""

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        versions = {"apache-tvm": tvm.__version__, "numpy": np.__version__}
        return {"name": "tvm", "systems": [SYSTEM], "versions": versions}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Build the loss for the shapes of the arrays, and run it."""
        SCOPE.check(call)
        target = call.arrays["target"]
        if "float" in target.dtype and target.data.shape == call.arrays["input"].data.shape:
            raise Unsupported("tvm documents no class probabilities")
        tensors = {name: to_tensor(array) for name, array in call.arrays.items()}
        variables = {
            name: relax.Var(PARAMETERS[name], relax.TensorType(array.data.shape, array.dtype))
            for name, array in call.arrays.items()
        }
        function = CrossEntropyLoss(**call.arguments)(
            variables["input"], variables["target"], variables.get("weight")
        )
        module = tvm.IRModule({"cross_entropy_loss": function})
        result = run(module, "cross_entropy_loss", tensors)
        return to_array(result), State(module, function, tensors)

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Transform the module, and run the adjoint."""
        del retain
        if grad_output is not None:
            raise Unsupported("tvm documents the gradient of a scalar, and not a multiple of it")
        predictions = state.function.params[0]
        gradient = relax.transform.Gradient("cross_entropy_loss", require_grads=[predictions])
        adjoint = "cross_entropy_loss_adjoint"
        _, gradients = run(gradient(state.module), adjoint, state.tensors)
        return {"input": to_array(gradients[0])}


def run(module: Any, name: str, tensors: Dict[str, Any]) -> Any:
    """Compile a module, and call one of its functions."""
    executable = tvm.compile(module, target="llvm")
    return relax.VirtualMachine(executable, tvm.cpu())[name](*tensors.values())


def to_tensor(array: Array) -> Any:
    """Give TVM a copy of the caller's view."""
    return tvm.runtime.tensor(np.ascontiguousarray(array.data).reshape(array.data.shape))


def to_array(result: Any) -> Array:
    """Return a result's values in its own dtype."""
    return from_numpy(result.numpy())
