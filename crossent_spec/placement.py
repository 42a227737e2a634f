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
    gpu
        Number of the GPU; ``None`` for the simulator's.
    on_host
        Whether the caller has NumPy's arrays.
    """

    stream: Any
    give: Callable[[DeviceArray], Any]
    held: tuple[Any, ...]
    gpu: int | None
    on_host: bool


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
        held = (*given.values(), stream)
        where = Placement(on, memory.to_host, held, memory.current_gpu(), on_host=True)
        return where, [None if value is None else _copied(value, on) for value in given.values()]
    found = [
        None if value is None else from_interface(value, name) for name, value in arrays.items()
    ]
    gpu = _the_gpu(dict(zip(arrays, found, strict=True)))
    first = next(array for array in found if array is not None)
    input = next(iter(arrays.values()))
    if stream is None and _library(input) == "torch":
        # Its interface tells no stream.
        stream = sys.modules["torch"].cuda.current_stream(input.device).cuda_stream
    with memory.on_gpu(gpu):
        on = memory.stream_of(first) if stream is None else memory.stream_from(stream)
        ready = [None if array is None else memory.on_stream(array, on) for array in found]
    return Placement(on, _giver(input, on), (stream,), gpu, on_host=False), ready


def taken(placement: Placement | None, value: Any, name: str) -> Any:
    """Return a further array of a call that is placed already, where that runs.

    Unlike the gradient of the loss, which may be a number, it must be where the input is.
    """
    if placement is None:
        if is_on_device(value):
            raise TypeError(f"{name}: is on a GPU, but input is on the host; copy one to the other")
        return value
    if is_on_device(value) == placement.on_host:
        one, other = ("a GPU", "the host") if placement.on_host else ("the host", "a GPU")
        raise TypeError(f"{name}: is on {one}, but input is on {other}; copy one to the other")
    if placement.on_host:
        return _copied(np.asarray(value), placement.stream)
    return on_the_gpu(placement, value, name)


def on_the_gpu(placement: Placement, value: Any, name: str) -> DeviceArray:
    """Return a further array on a GPU, which must be the one of the call, for its stream."""
    from .cuda import memory

    array = from_interface(value, name)
    gpu = memory.gpu_of(array, name)
    if gpu is not None and placement.gpu is not None and gpu != placement.gpu:
        raise ValueError(
            f"{name}: is on GPU {gpu}, but input is on GPU {placement.gpu}; copy one to the other"
        )
    with memory.on_gpu(placement.gpu):
        return memory.on_stream(array, placement.stream)


def _the_gpu(arrays: dict[str, DeviceArray | None]) -> int | None:
    """Return the number of the GPU that all arrays are on; those without elements are on any."""
    from .cuda import memory

    found = {
        name: memory.gpu_of(array, name) for name, array in arrays.items() if array is not None
    }
    known = {name: gpu for name, gpu in found.items() if gpu is not None}
    if not known:
        return memory.current_gpu()
    first = next(iter(known))
    for name, gpu in known.items():
        if gpu != known[first]:
            raise ValueError(
                f"{name}: is on GPU {gpu}, but {first} is on GPU {known[first]}; "
                "copy one to the other"
            )
    return known[first]


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
        return lambda array: _as_torch(sys.modules["torch"], array, like.device, stream)
    if library == "cupy":
        return lambda array: (
            array if array.dtype.name == "bfloat16" else sys.modules["cupy"].asarray(array)
        )
    if library in ("numba", "numba_cuda"):
        return _as_numba
    return lambda array: array


def _as_torch(torch: Any, array: DeviceArray, device: Any, stream: Any) -> Any:
    if array.stream not in (None, torch.cuda.current_stream(device).cuda_stream or 1):
        # torch does not read the interface's stream.
        stream.synchronize()
    # The input's GPU, which need not be torch's current one: there torch would copy to.
    if array.dtype.name != "bfloat16":
        return torch.as_tensor(array, device=device)
    bits = DeviceArray(array, array.pointer, array.shape, np.dtype(np.int16), array.strides)
    return torch.as_tensor(bits, device=device).view(torch.bfloat16)


def _as_numba(array: DeviceArray) -> Any:
    from numba import cuda

    # Numba has no bfloat16 arrays.
    return array if array.dtype.name == "bfloat16" else cuda.as_cuda_array(array)
