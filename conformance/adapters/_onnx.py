"""What the adapters of ONNX's loss operator have in common: the model of one node."""

from typing import Any, Dict, List, Optional, Tuple

import ml_dtypes
import numpy as np
import onnx
from onnx import helper

from conformance.adapters._documented import SYSTEM, Scope, from_numpy, ignores_by_default
from conformance.protocol import Adapter as BaseAdapter
from conformance.protocol import Array, Call, Unsupported

SCOPE = Scope(
    "onnx",
    arguments=("ignore_index", "reduction"),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    indices=("int32",),
)
OPSET, IR_VERSION = 13, 8
#: What the operator calls the arguments.
INPUTS = {"input": "scores", "target": "labels", "weight": "weights"}


class OnnxAdapter(BaseAdapter):
    """Everything but the evaluation of the model, which a subclass adds."""

    name = ""

    def versions(self) -> Dict[str, str]:
        """Return the version of every package that takes part."""
        return {"onnx": onnx.__version__, "numpy": np.__version__}

    def evaluate(self, model: Any, feeds: Dict[str, np.ndarray]) -> List[Any]:
        """Return the outputs of a model."""
        raise NotImplementedError

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        return {"name": self.name, "systems": [SYSTEM], "versions": self.versions()}

    def forward(self, call: Call) -> Tuple[Array, None]:
        """Evaluate a model of the one operator."""
        check(call)
        model = model_of("SoftmaxCrossEntropyLoss", call, ["loss"])
        return to_array(self.evaluate(model, feeds_of(call))[0]), None

    def backward(self, state: Any, grad_output: Optional[Array], retain: bool) -> Dict[str, Array]:
        """Say that there is none."""
        del state, grad_output, retain
        raise Unsupported(f"{self.name} documents no gradient")


def check(call: Call) -> None:
    """Refuse what the operator does not document."""
    SCOPE.check(call)
    input, target = call.arrays["input"], call.arrays["target"]
    if "float" in target.dtype and target.data.shape == input.data.shape:
        raise Unsupported("onnx documents no labels that are probabilities")
    if ignores_by_default(call):
        raise Unsupported("onnx documents no label that is ignored by default")


def model_of(operator: str, call: Call, outputs: List[str]) -> Any:
    """Return a model of one node whose inputs are the caller's arrays.

    Shapes are left open, as in an exported model with dynamic axes, so that the operator itself
    meets whatever the caller passes.
    """
    node = helper.make_node(
        operator, [INPUTS[name] for name in call.arrays], outputs, **call.arguments
    )
    dtype = element_type(call.arrays["input"])
    graph = helper.make_graph(
        [node],
        "loss",
        [
            helper.make_tensor_value_info(INPUTS[name], element_type(array), None)
            for name, array in call.arrays.items()
        ],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def element_type(array: Array) -> int:
    """Return ONNX's number of a dtype."""
    dtype = np.dtype(ml_dtypes.bfloat16 if array.dtype == "bfloat16" else array.dtype)
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def feeds_of(call: Call) -> Dict[str, np.ndarray]:
    """Return the caller's views by the operator's names."""
    return {
        INPUTS[name]: array.data.view(ml_dtypes.bfloat16)
        if array.dtype == "bfloat16"
        else array.data
        for name, array in call.arrays.items()
    }


def to_array(result: Any) -> Array:
    """Return a result's values in its own dtype."""
    data = np.asarray(result)
    if data.dtype == ml_dtypes.bfloat16:
        return Array(data.view(np.uint16), "bfloat16")
    return from_numpy(data)
