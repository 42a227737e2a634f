"""Apple's cut cross entropy: its implementation by ``torch.compile``, which runs on a CPU."""

from importlib.metadata import version
from typing import Any, Dict, List

from conformance.adapters._torch import TorchAdapter

# isort: split
import torch
from cut_cross_entropy import LinearCrossEntropy, linear_cross_entropy

from conformance.protocol import Call, Unsupported

#: The other implementation is a Triton kernel for GPUs.
IMPLEMENTATION = "torch_compile"

ARGUMENTS = ("ignore_index", "reduction")


class Adapter(TorchAdapter):
    """``linear_cross_entropy`` and ``LinearCrossEntropy``."""

    name = "cut-cross-entropy"
    systems = ("torch.nn.LinearCrossEntropyLoss",)

    def __init__(self) -> None:
        # Beyond its limit of recompilations torch.compile raises where no graph may break.
        torch._dynamo.config.recompile_limit = 10**6
        torch._dynamo.config.accumulated_recompile_limit = 10**6

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented system, the versions, and that it compiles."""
        return {**super().describe(), "compiling": 100}

    def versions(self) -> Dict[str, str]:
        """Return the versions of the package and of what it runs on."""
        return {"cut-cross-entropy": version("cut-cross-entropy"), **super().versions()}

    def check(self, call: Call) -> None:
        """Refuse what its documentation does not name."""
        super().check(call)
        for name in call.arguments:
            if name not in ARGUMENTS:
                raise Unsupported(f"cut-cross-entropy documents no {name}")
        for name in ("weight", "linear_bias"):
            if name in call.arrays:
                raise Unsupported(f"cut-cross-entropy documents no {name}")
        if call.arrays["linear_weight"].data.ndim != 2:
            raise Unsupported("cut-cross-entropy documents a classifier matrix of two axes")
        target = call.arrays["target"]
        if "float" in target.dtype and target.data.ndim == call.arrays["input"].data.ndim:
            raise Unsupported("cut-cross-entropy documents no class probabilities")

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        """Call the function, or build the module and call that."""
        given = (tensors["input"], tensors["linear_weight"], tensors["target"])
        if call.form == "module":
            return LinearCrossEntropy(**arguments, impl=IMPLEMENTATION)(*given)
        return linear_cross_entropy(*given, **arguments, impl=IMPLEMENTATION)

    def source(self, call: Call, names: Dict[str, str], arguments: str, result: str) -> List[str]:
        """Write the same."""
        given = ", ".join(names[name] for name in ("input", "linear_weight", "target"))
        passed = f"{arguments}, impl={IMPLEMENTATION!r}"
        if call.form != "module":
            return [
                "from cut_cross_entropy import linear_cross_entropy",
                f"{result} = linear_cross_entropy({given}{passed})",
            ]
        return [
            "from cut_cross_entropy import LinearCrossEntropy",
            f"{result} = LinearCrossEntropy({passed[2:]})({given})",
        ]
