"""Where a call runs: on the CPU, or on the GPU where its arrays are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .device_array import DeviceArray, from_interface, is_on_device
from .dtypes import is_floating, is_integer

BACKENDS = ("cpu", "cuda")


@dataclass(frozen=True)
class Placement:
    """A GPU's stream, and how its results are handed out.

    Attributes
    ----------
    stream
        Numba's.
    give
        From an array on the GPU to what the caller works with: NumPy's arrays for a call with
        these, otherwise arrays of the library that the input is of.
    held
        What must live as long: NumPy's arrays that were copied, the caller's stream.
    """

    stream: Any
    give: Callable[[DeviceArray], Any]
    held: tuple[Any, ...] = ()


def placed(backend: str | None, stream: Any, **arrays: Any) -> tuple[Placement | None, list[Any]]:
    """Decide where a call runs; return its arrays there.

    ``None`` for the CPU.  Arrays on a GPU select it; NumPy's are copied to it if ``backend`` is
    'cuda'.
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend: got {backend!r}, allowed are {', '.join(BACKENDS)} and None")
    on_device = [name for name, value in arrays.items() if is_on_device(value)]
    if backend != "cuda" and not on_device:
        if stream is not None:
            raise ValueError("stream: only arrays on a GPU, or backend='cuda', have one")
        return None, list(arrays.values())
    if backend == "cpu":
        raise TypeError(f"{on_device[0]}: is on a GPU; copy it to the host for backend='cpu'")
    for name, value in arrays.items():
        if on_device and value is not None and name not in on_device:
            raise TypeError(
                f"{name}: is on the host, but {on_device[0]} is on a GPU; copy one to the other"
            )
    from .cuda import memory

    memory.require_device()
    if not on_device:
        on = memory.stream_from(stream)
        given = {
            name: None if value is None else np.asarray(value) for name, value in arrays.items()
        }
        return Placement(on, memory.to_host, (*given.values(), stream)), [
            None if value is None else _copied(value, on) for value in given.values()
        ]
    found = [
        None if value is None else from_interface(value, name) for name, value in arrays.items()
    ]
    first = next(array for array in found if array is not None)
    input = next(iter(arrays.values()))
    if stream is None and _library(input) == "torch":
        # Its interface tells no stream.
        stream = sys.modules["torch"].cuda.current_stream(input.device).cuda_stream
    on = memory.stream_of(first) if stream is None else memory.stream_from(stream)
    ready = [None if array is None else memory.on_stream(array, on) for array in found]
    return Placement(on, _giver(input, on), (stream,)), ready


def _copied(value: Any, stream: Any) -> Any:
    from .cuda import memory

    if not (is_floating(value.dtype) or is_integer(value.dtype)):
        # Its dtype is refused by name later.
        return value
    return memory.to_device(value, stream)


def _library(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def _giver(like: Any, stream: Any) -> Callable[[DeviceArray], Any]:
    """Return what makes arrays of the library that an array is of; only torch has bfloat16."""
    library = _library(like)
    if library == "torch":
        return lambda array: _as_torch(sys.modules["torch"], array, stream)
    if library == "cupy":
        return lambda array: (
            array if array.dtype.name == "bfloat16" else sys.modules["cupy"].asarray(array)
        )
    if library in ("numba", "numba_cuda"):
        return _as_numba
    return lambda array: array


def _as_torch(torch: Any, array: DeviceArray, stream: Any) -> Any:
    if array.stream not in (None, torch.cuda.current_stream().cuda_stream or 1):
        # torch does not read the interface's stream.
        stream.synchronize()
    if array.dtype.name != "bfloat16":
        return torch.as_tensor(array, device="cuda")
    bits = DeviceArray(array, array.pointer, array.shape, np.dtype(np.int16), array.strides)
    return torch.as_tensor(bits, device="cuda").view(torch.bfloat16)


def _as_numba(array: DeviceArray) -> Any:
    from numba import cuda

    # Numba has no bfloat16 arrays.
    return array if array.dtype.name == "bfloat16" else cuda.as_cuda_array(array)
