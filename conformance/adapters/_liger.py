"""What the adapters of Liger Kernel have in common: Triton's interpreter and its limits."""

import os
from importlib.metadata import version
from typing import Any, Dict

# Before Triton is imported: its kernels then run on a CPU.
os.environ["TRITON_INTERPRET"] = "1"

from conformance.adapters._torch import TorchAdapter

# isort: split
from conformance.protocol import Call, Unsupported

#: The interpreter takes rows one after another, several milliseconds each.
MOST_ROWS, MOST_ELEMENTS = 512, 100_000


class LigerAdapter(TorchAdapter):
    """Everything but the call; a subclass adds that."""

    def versions(self) -> Dict[str, str]:
        """Return the versions of Liger Kernel and of what it runs on."""
        own = {name: version(name) for name in ("liger-kernel", "triton")}
        return {**own, **super().versions()}

    def check(self, call: Call) -> None:
        """Refuse what Liger Kernel does not document, or the interpreter cannot carry."""
        super().check(call)
        for name in ("size_average", "reduce", "options"):
            if name in call.arguments:
                # "placeholders and not implemented yet"
                raise Unsupported(f"liger-kernel documents no {name}")
        arrays: Dict[str, Any] = {name: array.data for name, array in call.arrays.items()}
        shape = arrays["input"].shape
        if "linear_weight" in arrays:
            shape = (*shape[:-1], *arrays["linear_weight"].shape[:-1])
        if len(shape) != 2:
            raise Unsupported("liger-kernel documents logits of two axes")
        floats = "float" in call.arrays["target"].dtype
        if floats and arrays["target"].shape == shape:
            raise Unsupported("liger-kernel documents no class probabilities")
        if call.arrays["input"].dtype == "bfloat16":
            # -x of bfloat16 [1, 2] gives [-4, -2]: it takes the bit patterns for integers.
            raise Unsupported("Triton's interpreter does not compute in bfloat16")
        if shape[0] > MOST_ROWS or shape[0] * shape[1] > MOST_ELEMENTS:
            raise Unsupported(
                f"Triton's interpreter is too slow for more than {MOST_ROWS} rows "
                f"or {MOST_ELEMENTS} logits"
            )
