"""ONNX's reference evaluator on ``SoftmaxCrossEntropyLoss``, which has no gradient."""

from typing import Any, Dict, List

from conformance.adapters._onnx import OnnxAdapter

# isort: split
import numpy as np
from onnx.reference import ReferenceEvaluator


class Adapter(OnnxAdapter):
    """The operator's definition in NumPy."""

    name = "onnx-reference"

    def evaluate(self, model: Any, feeds: Dict[str, np.ndarray]) -> List[Any]:
        """Evaluate the model."""
        outputs: List[Any] = ReferenceEvaluator(model).run(None, feeds)
        return outputs
