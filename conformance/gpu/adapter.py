"""The embedded implementation's GPU kernels as they are compiled, on :mod:`.machine`.

``crossent run conformance/gpu/adapter.py`` judges them where there is no GPU.
"""

from typing import Any

from conformance.adapters import embedded_cuda
from conformance.gpu.emulated import on_the_machine


class Adapter(embedded_cuda.Adapter):
    """The public functions and classes of ``crossent_spec`` on arrays in the machine's memory."""

    def __init__(self) -> None:
        # For the rest of the process.
        self.machine = on_the_machine()
        self.machine.__enter__()
        super().__init__()

    def describe(self) -> dict[str, Any]:
        """Return the name, the documented systems and the versions."""
        described = super().describe()
        described["name"] = "embedded-cuda-compiled"
        return described
