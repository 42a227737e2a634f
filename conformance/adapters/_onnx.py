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
OPERATOR = ("", "SoftmaxCrossEntropyLoss")
#: The opset of the operator's latest version; the gradient's is made of operators of a later one.
OPSET, GRADIENT_OPSET, IR_VERSION = 13, 15, 8
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

    def apply(
        self,
        operator: Tuple[str, str],
        inputs: Dict[str, Array],
        outputs: List[str],
        attributes: Dict[str, Any],
    ) -> List[Array]:
        """Evaluate a model of one operator, given by its domain and its name."""
        model = model_of(operator, inputs, outputs, attributes)
        feeds = {name: to_numpy(array) for name, array in inputs.items()}
        return [to_array(result) for result in self.evaluate(model, feeds)]

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system and the versions."""
        return {"name": self.name, "systems": [SYSTEM], "versions": self.versions()}

    def forward(self, call: Call) -> Tuple[Array, Any]:
        """Evaluate a model of the one operator."""
        check(call)
        return self.apply(OPERATOR, inputs_of(call), ["loss"], call.arguments)[0], None

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


def inputs_of(call: Call) -> Dict[str, Array]:
    """Return the caller's arrays by the operator's names."""
    return {INPUTS[name]: array for name, array in call.arrays.items()}


def model_of(
    operator: Tuple[str, str],
    inputs: Dict[str, Array],
    outputs: List[str],
    attributes: Dict[str, Any],
) -> Any:
    """Return a model of one node.

    Shapes are left open, as in an exported model with dynamic axes, so that the operator itself
    meets whatever the caller passes.
    """
    domain, name = operator
    node = helper.make_node(name, list(inputs), outputs, domain=domain, **attributes)
    # Every output has the first input's dtype.
    dtypes = [element_type(array) for array in inputs.values()]
    graph = helper.make_graph(
        [node],
        "loss",
        [helper.make_tensor_value_info(*known, None) for known in zip(inputs, dtypes)],
        [helper.make_tensor_value_info(output, dtypes[0], None) for output in outputs],
    )
    opsets = [helper.make_opsetid("", GRADIENT_OPSET if domain else OPSET)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def element_type(array: Array) -> int:
    """Return ONNX's number of a dtype."""
    dtype = np.dtype(ml_dtypes.bfloat16 if array.dtype == "bfloat16" else array.dtype)
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def to_numpy(array: Array) -> np.ndarray:
    """Return the caller's view in its own dtype."""
    return array.data.view(ml_dtypes.bfloat16) if array.dtype == "bfloat16" else array.data


def to_array(result: Any) -> Array:
    """Return a result's values in its own dtype."""
    data = np.asarray(result)
    if data.dtype == ml_dtypes.bfloat16:
        return Array(data.view(np.uint16), "bfloat16")
    return from_numpy(data)
