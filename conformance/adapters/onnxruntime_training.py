"""ONNX Runtime for training: ``SoftmaxCrossEntropyLoss`` and its gradient's operator."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

from conformance.adapters._onnx import OPERATOR, check, inputs_of
from conformance.adapters._onnxruntime import OnnxRuntimeAdapter

# isort: split
import numpy as np
import onnxruntime

from conformance.protocol import Array, Call

GRADIENT = ("com.microsoft", "SoftmaxCrossEntropyLossGrad")


class State(NamedTuple):
    """A forward call that can still go backward."""

    loss: Array
    inputs: Dict[str, Array]
    attributes: Dict[str, Any]


class Adapter(OnnxRuntimeAdapter):
    """One session for the loss, one for the gradient of the scores."""

    name = "onnxruntime-training"

    def versions(self) -> Dict[str, str]:
        """Return the versions of ONNX Runtime and of what it reads."""
        return {"onnxruntime-training-cpu": onnxruntime.__version__, **super().versions()}

    def forward(self, call: Call) -> Tuple[Array, State]:
        """Evaluate the loss, and the logarithms of the probabilities, which its gradient takes."""
        check(call)
        inputs = inputs_of(call)
        loss, log_prob = self.apply(OPERATOR, inputs, ["loss", "log_prob"], call.arguments)
        others = {name: array for name, array in inputs.items() if name != "scores"}
        return loss, State(loss, {"log_prob": log_prob, **others}, call.arguments)

    def backward(
        self, state: State, grad_output: Optional[Array], retain: bool
    ) -> Dict[str, Array]:
        """Evaluate the gradient."""
        del retain
        seed = grad_output or Array(np.ones_like(state.loss.data), state.loss.dtype)
        inputs = {"dy": seed, **state.inputs}
        return {"input": self.apply(GRADIENT, inputs, ["d_scores"], state.attributes)[0]}
