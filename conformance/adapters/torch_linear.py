"""PyTorch's fused loss: ``F.linear_cross_entropy`` and ``nn.LinearCrossEntropyLoss``."""

from typing import Any, Dict, List, Tuple

from conformance.adapters._torch import TorchAdapter, keywords_source

# isort: split
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from conformance.protocol import Call, Unsupported

PARAMETERS = ("linear_weight", "linear_bias")


class Adapter(TorchAdapter):
    """The functional and the module form, reference and chunked."""

    name = "torch-linear"
    systems = ("torch.nn.LinearCrossEntropyLoss",)

    def check(self, call: Call) -> None:
        """Refuse other systems, and torch before 2.13."""
        super().check(call)
        if not hasattr(F, "linear_cross_entropy"):
            raise Unsupported(f"torch {torch.__version__} has no linear cross-entropy loss")

    def owned(self, call: Call) -> Tuple[str, ...]:
        """Return the projection's arrays, for the module."""
        return PARAMETERS if call.form == "module" else ()

    def loss(self, call: Call, tensors: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        """Call the function, or build the module, set its parameters and call that."""
        input, target, linear_weight = (tensors[n] for n in ("input", "target", "linear_weight"))
        if "weight" in tensors:
            arguments["weight"] = tensors["weight"]
        bias = tensors.get("linear_bias")
        if call.form != "module":
            if bias is not None:
                arguments["linear_bias"] = bias
            return F.linear_cross_entropy(input, linear_weight, target, **arguments)
        num_classes, *out_features, in_features = linear_weight.shape
        if out_features:
            arguments["out_features"] = tuple(out_features)
        if bias is not None:
            arguments["bias"] = True
        module = torch.nn.LinearCrossEntropyLoss(
            in_features, num_classes, dtype=linear_weight.dtype, **arguments
        )
        # The module stores its parameters flat; assigned like this, they stay the caller's memory.
        weight = torch.nn.Parameter(linear_weight.flatten(0, -2))
        tensors["linear_weight"] = module.linear.weight = weight
        if bias is not None:
            tensors["linear_bias"] = module.linear.bias = torch.nn.Parameter(bias.flatten())
        return module(input, target)

    def source(self, call: Call, names: Dict[str, str], arguments: str, result: str) -> List[str]:
        """Write the same."""
        passed = keywords_source(names, "weight") + arguments
        input, target, linear_weight = (names[n] for n in ("input", "target", "linear_weight"))
        if call.form != "module":
            passed = keywords_source(names, "linear_bias") + passed
            given = f"{input}, {linear_weight}, {target}{passed}"
            return [f"{result} = torch.nn.functional.linear_cross_entropy({given})"]
        num_classes, *out_features, in_features = call.arrays["linear_weight"].data.shape
        if "linear_bias" in names:
            passed = ", bias=True" + passed
        if out_features:
            passed = f", out_features={tuple(out_features)!r}{passed}"
        module = result.replace("loss", "module")
        sizes = f"{in_features}, {num_classes}"
        parameter = f"{module}.linear.weight = torch.nn.Parameter({linear_weight}.flatten(0, -2))"
        lines = [
            f"{module} = torch.nn.LinearCrossEntropyLoss("
            f"{sizes}{passed}, dtype={linear_weight}.dtype)",
            f"{linear_weight} = {parameter}",
        ]
        if "linear_bias" in names:
            bias = names["linear_bias"]
            parameter = f"{module}.linear.bias = torch.nn.Parameter({bias}.flatten())"
            lines.append(f"{bias} = {parameter}")
        return [*lines, f"{result} = {module}({input}, {target})"]
