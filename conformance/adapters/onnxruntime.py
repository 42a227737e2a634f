"""ONNX Runtime on a model of ONNX's ``SoftmaxCrossEntropyLoss``, which has no gradient."""

from conformance.adapters._onnxruntime import OnnxRuntimeAdapter


class Adapter(OnnxRuntimeAdapter):
    """The package for inference."""

    name = package = "onnxruntime"
