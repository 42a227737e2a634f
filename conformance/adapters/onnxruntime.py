"""ONNX Runtime on a model of ONNX's ``SoftmaxCrossEntropyLoss``, which has no gradient."""

from typing import Dict

from conformance.adapters._onnxruntime import OnnxRuntimeAdapter

# isort: split
import onnxruntime


class Adapter(OnnxRuntimeAdapter):
    """The package for inference."""

    name = "onnxruntime"

    def versions(self) -> Dict[str, str]:
        """Return the versions of ONNX Runtime and of what it reads."""
        return {"onnxruntime": onnxruntime.__version__, **super().versions()}
