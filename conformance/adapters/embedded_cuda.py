"""The implementation that comes with the suite, on an NVIDIA GPU: :mod:`crossent_spec.cuda`."""

from collections import deque
from importlib.metadata import version
from typing import Any, Deque, Dict, Tuple

import numpy as np

from conformance.adapters import embedded
from conformance.protocol import Array
from crossent_spec.cuda import memory
from crossent_spec.device_array import DeviceArray


class Adapter(embedded.Adapter):
    """The public functions and classes of ``crossent_spec`` on arrays in a GPU's memory.

    With ``NUMBA_ENABLE_CUDASIM=1`` in the environment, in that of Numba's simulator.
    """

    def __init__(self) -> None:
        memory.require_device()
        # Recent arguments: the caller's memory, its copy, and what both held.
        self.watched: Deque[Tuple[np.ndarray, DeviceArray, bytes]] = deque(maxlen=64)

    def describe(self) -> Dict[str, Any]:
        """Return the name, the documented systems and the versions."""
        described = super().describe()
        described["name"] = "embedded-cuda"
        described["versions"]["numba-cuda"] = version("numba-cuda")
        described["versions"]["device"] = memory.device_name()
        return described

    def given(self, array: Array) -> DeviceArray:
        """Copy an array with all the memory around it, in the same layout."""
        view = embedded.to_numpy(array)
        whole = _buffer(view)
        copied = memory.to_device(whole)
        offset = view.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        self.watched.append((whole, copied, whole.tobytes()))
        return DeviceArray(
            copied,
            copied.pointer + offset,
            view.shape,
            view.dtype,
            view.strides,
            read_only=not view.flags.writeable,
        )

    def taken(self, result: Any) -> Any:
        """Copy a result to the host, and what became of the arguments, which must not change."""
        for whole, copied, before in self.watched:
            now = memory.to_host(copied)
            if now.tobytes() != before and whole.flags.writeable:
                whole[...] = now
        return result.copy_to_host()


def _buffer(view: np.ndarray) -> np.ndarray:
    """Return the flat array that a view looks into."""
    owner: Any = view
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    whole: np.ndarray = owner.reshape(-1)
    return whole
