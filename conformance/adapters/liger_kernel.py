"""Liger Kernel's cross entropy of two-dimensional logits, in Triton's interpreter."""

import os
from importlib.metadata import version
from typing import Any, Dict

# Before Triton is imported: its kernels then run on a CPU.
os.environ["TRITON_INTERPRET"] = "1"

from conformance.adapters._documented import Scope, has_classes
from conformance.adapters._torch import TorchAdapter

# isort: split
from liger_kernel.transformers import LigerCrossEntropyLoss
from liger_kernel.transformers.functional import liger_cross_entropy

from conformance.protocol import Call, Unsupported

#: The interpreter takes rows one after another, several milliseconds each.
MOST_ROWS, MOST_ELEMENTS = 512, 100_000

SCOPE = Scope(
    "liger-kernel",
    # "size_average" and "reduce" are "placeholders and not implemented yet".
    arguments=("ignore_index", "reduction", "label_smoothing"),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    indices=(),
)


class Adapter(TorchAdapter):
    """``liger_cross_entropy`` and ``LigerCrossEntropyLoss``."""

    name = "liger-kernel"
    systems = ("torch.nn.CrossEntropyLoss",)

    def versions(self) -> Dict[str, str]:
        """Return the versions of Liger Kernel and of what it runs on."""
        own = {name: version(name) for name in ("liger-kernel", "triton")}
        return {**own, **super().versions()}

    def check(self, call: Call) -> None:
        """Refuse what Liger Kernel does not document, or the interpreter cannot carry."""
        super().check(call)
        SCOPE.check(call)
        if call.arrays["input"].data.ndim > 2:
            raise Unsupported("liger-kernel documents logits of two axes")
        floats = "float" in call.arrays["target"].dtype
        if floats and not has_classes(call):
            raise Unsupported("liger-kernel documents no class probabilities")
        rows, *_ = shape = call.arrays["input"].data.shape
        if rows > MOST_ROWS or rows * shape[-1] > MOST_ELEMENTS:
            raise Unsupported(
                f"Triton's interpreter is too slow for {rows} rows, {rows * shape[-1]} elements"
            )

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        """Call the function, or build the module and call that."""
        # "computing both the loss and gradient in the forward pass with inplace replacement of
        # input": the caller's own memory is not given up to that.
        input, target = tensors["input"].clone(), tensors["target"]
        if "weight" in tensors:
            arguments["weight"] = tensors["weight"]
        if call.form == "module":
            return LigerCrossEntropyLoss(**arguments)(input, target)
        return liger_cross_entropy(input, target, **arguments)
