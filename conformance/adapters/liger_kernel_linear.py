"""Liger Kernel's fused linear cross entropy, in Triton's interpreter."""

from typing import Any, Dict

from conformance.adapters._liger import LigerAdapter

# isort: split
from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

from conformance.protocol import Call, Unsupported


class Adapter(LigerAdapter):
    """``liger_fused_linear_cross_entropy`` and ``LigerFusedLinearCrossEntropyLoss``."""

    name = "liger-kernel-linear"
    systems = ("torch.nn.LinearCrossEntropyLoss",)

    def check(self, call: Call) -> None:
        """Refuse an unreduced loss, too."""
        super().check(call)
        if call.arguments.get("reduction") == "none":
            raise Unsupported("liger-kernel documents that reduction is 'mean' or 'sum' here")

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        """Call the function, or build the module and call that."""
        input, weight, target = (tensors[n] for n in ("input", "linear_weight", "target"))
        bias = tensors.get("linear_bias")
        if "weight" in tensors:
            arguments["ce_weight"] = tensors["weight"]
        if call.form == "module":
            return LigerFusedLinearCrossEntropyLoss(**arguments)(weight, input, target, bias)
        return liger_fused_linear_cross_entropy(input, weight, target, bias, **arguments)
