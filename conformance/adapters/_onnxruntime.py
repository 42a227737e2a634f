"""What the adapters of ONNX Runtime have in common: a session per call."""

from typing import Any, Dict, List

from conformance.adapters._onnx import OnnxAdapter

# isort: split
import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from conformance.protocol import Unsupported


class OnnxRuntimeAdapter(OnnxAdapter):
    """ONNX Runtime on the CPU, from whichever package."""

    def evaluate(self, model: Any, feeds: Dict[str, np.ndarray]) -> List[Any]:
        """Run the model on the CPU."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except NoKernel as error:
            # Its table of kernels names the dtypes of each processor.
            raise Unsupported(f"ONNX Runtime has no such kernel: {error}") from None
        outputs: List[Any] = session.run(None, feeds)
        return outputs
