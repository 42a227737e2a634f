"""Drives the reference framework, whole or with one fault, in this process or in a worker.

In a worker, the environment variable ``CROSSENT_FAULT`` names the fault or the variant.
"""

from __future__ import annotations

import os
from typing import Any

from conformance import protocol
from conformance.protocol import Call
from conformance.strength.problem import to_buffer
from conformance.strength.reference import Reference

SYSTEMS = (
    "torch.nn.CrossEntropyLoss",
    "torch.nn.LinearCrossEntropyLoss",
    "oneflow.nn.CrossEntropyLoss",
    "unit_scaling.functional.cross_entropy",
)


class Adapter(protocol.Adapter):
    """The reference framework.

    Parameters
    ----------
    framework
        The class to drive; by default the one that ``CROSSENT_FAULT`` names, or the correct one.
    """

    def __init__(self, framework: type[Reference] | None = None) -> None:
        if framework is None:
            framework = Reference
            if os.environ.get("CROSSENT_FAULT"):
                from conformance.strength.catalogue import find

                framework = find(os.environ["CROSSENT_FAULT"])
        self.framework = framework()

    def describe(self) -> dict[str, Any]:
        """Return the name, the documented systems and the versions."""
        return {"name": f"strength:{type(self.framework).__name__}", "systems": list(SYSTEMS)}

    def forward(self, call: Call) -> tuple[protocol.Array, Any]:
        """Return the loss and the state."""
        loss, state = self.framework.forward(call)
        return to_buffer(loss), state

    def backward(
        self, state: Any, grad_output: protocol.Array | None, retain: bool
    ) -> dict[str, protocol.Array]:
        """Return the gradients."""
        found = self.framework.backward(state, grad_output, retain)
        return {name: to_buffer(gradient) for name, gradient in found.items()}
