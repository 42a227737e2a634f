"""The unit-scaled loss of the package unit-scaling, which has a function only."""

from importlib.metadata import version
from typing import Any, Dict, List

from conformance.adapters._torch import TorchAdapter, keywords_source

# isort: split
import unit_scaling.functional as U  # noqa: N812 - the package's own name for it

from conformance.protocol import Call


class Adapter(TorchAdapter):
    """``unit_scaling.functional.cross_entropy``."""

    name = "unit-scaling"
    systems = ("unit_scaling.functional.cross_entropy",)

    def versions(self) -> Dict[str, str]:
        """Return the versions of unit-scaling and of what it runs on."""
        return {"unit-scaling": version("unit-scaling"), **super().versions()}

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:  # noqa: ARG002
        """Call the function."""
        if "weight" in tensors:
            arguments["weight"] = tensors["weight"]
        return U.cross_entropy(tensors["input"], tensors["target"], **arguments)

    def source(self, call: Call, names: Dict[str, str], arguments: str, result: str) -> List[str]:  # noqa: ARG002
        """Write the same."""
        passed = keywords_source(names, "weight") + arguments
        given = f"{names['input']}, {names['target']}{passed}"
        return [
            "import unit_scaling.functional",
            f"{result} = unit_scaling.functional.cross_entropy({given})",
        ]
