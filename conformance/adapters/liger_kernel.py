"""Liger Kernel's cross entropy of two-dimensional logits, in Triton's interpreter."""

from typing import Any, Dict

from conformance.adapters._liger import LigerAdapter

# isort: split
from liger_kernel.transformers import LigerCrossEntropyLoss
from liger_kernel.transformers.functional import liger_cross_entropy

from conformance.protocol import Call


class Adapter(LigerAdapter):
    """``liger_cross_entropy`` and ``LigerCrossEntropyLoss``."""

    name = "liger-kernel"
    systems = ("torch.nn.CrossEntropyLoss",)

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        """Call the function, or build the module and call that."""
        # It replaces its input by the gradient, to save memory, which the caller's is not for.
        input, target = tensors["input"].clone(), tensors["target"]
        if "weight" in tensors:
            arguments["weight"] = tensors["weight"]
        if call.form == "module":
            return LigerCrossEntropyLoss(**arguments)(input, target)
        return liger_cross_entropy(input, target, **arguments)
