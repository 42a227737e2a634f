"""PyTorch's cross-entropy loss: ``F.cross_entropy`` and ``nn.CrossEntropyLoss``."""

from typing import Any, Dict, List

from conformance.adapters._torch import TorchAdapter, keywords_source

# isort: split
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from conformance.protocol import Call, Unsupported


class Adapter(TorchAdapter):
    """The functional and the module form, of torch 1.13 and newer."""

    name = "torch"
    systems = ("torch.nn.CrossEntropyLoss",)

    def check(self, call: Call) -> None:
        """Refuse other systems, and in torch 1.x what only the page of torch 2.x tells of.

        That page says that class indices are long and weights floating; page 002 says neither.
        """
        super().check(call)
        if str(torch.__version__).startswith("1."):
            for name in ("target", "weight"):
                dtype = call.arrays[name].dtype if name in call.arrays else "float32"
                if "float" not in dtype and (name, dtype) != ("target", "int64"):
                    raise Unsupported(f"page 002, of torch 1.x, tells of no {name} in {dtype}")

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        """Call the function, or build the module and call that."""
        input, target = tensors["input"], tensors["target"]
        if "weight" in tensors:
            arguments["weight"] = tensors["weight"]
        if call.form == "module":
            return torch.nn.CrossEntropyLoss(**arguments)(input, target)
        return F.cross_entropy(input, target, **arguments)

    def source(self, call: Call, names: Dict[str, str], arguments: str, result: str) -> List[str]:
        """Write the same."""
        passed = keywords_source(names, "weight") + arguments
        given = f"{names['input']}, {names['target']}"
        if call.form == "module":
            module = result.replace("loss", "module")
            return [
                f"{module} = torch.nn.CrossEntropyLoss({passed[2:]})",
                f"{result} = {module}({given})",
            ]
        return [f"{result} = torch.nn.functional.cross_entropy({given}{passed})"]
