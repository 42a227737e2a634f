"""Memory of the GPU: arrays in it, to it and from it.  The simulator's is the host's."""

from __future__ import annotations

import ctypes
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.core.errors import NumbaPerformanceWarning
from numpy.typing import NDArray

from ..device_array import DeviceArray
from .rows import Place
from .target import SIMULATED, WIDE, kernel

Array = NDArray[Any]

#: Compute capability that the arithmetic of the kernels needs.
OLDEST = (7, 5)


@cache
def require_device() -> None:
    """Raise one clear error where there is no GPU that the kernels can run on."""
    if SIMULATED:
        return
    looked = "an NVIDIA GPU with its driver (libcuda), through numba-cuda"
    try:
        found = cuda.is_available()
        capability = cuda.get_current_device().compute_capability if found else None
    except Exception as error:
        raise RuntimeError(f"cuda: looked for {looked}; got {_first_line(error)}") from error
    if capability is None:
        raise RuntimeError(
            f"cuda: looked for {looked}; found none{_why()}.  NUMBA_ENABLE_CUDASIM=1 in the "
            "environment runs the kernels, slowly, without one"
        )
    if capability < OLDEST:
        raise RuntimeError(
            f"cuda: the GPU has compute capability {capability[0]}.{capability[1]}, expected "
            f"{OLDEST[0]}.{OLDEST[1]} or newer"
        )
    try:
        _try_a_kernel()
    except Exception as error:
        raise RuntimeError(
            f"cuda: looked for a driver and a toolkit that run kernels together; the driver is of "
            f"CUDA {_driver_version()}, and a first kernel gave {type(error).__name__}: "
            f"{_first_line(error)}.  An extra of numba-cuda that goes with the driver, such as "
            "numba-cuda[cu12] or numba-cuda[cu13], brings the toolkit"
        ) from error


def _try_a_kernel() -> None:
    """Compile and run the least of kernels: what is too old or missing shows nowhere earlier."""

    @kernel(1)
    def write_one(out: Any) -> None:
        out[0] = 1

    with warnings.catch_warnings():
        # That a single block does not fill the GPU.
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        made = cuda.device_array(1, np.int32)
        write_one[1, 1](made)
        found = int(made.copy_to_host()[0])
    if found != 1:
        raise RuntimeError(f"it wrote {found}, expected 1")


def _driver_version() -> str:
    try:
        from numba.cuda.cudadrv.driver import driver

        return ".".join(map(str, driver.get_version()))
    except Exception as error:
        return f"unknown version ({_first_line(error)})"


def current_gpu() -> int | None:
    """Return the number of the GPU that this thread works on; ``None`` in the simulator."""
    return None if SIMULATED else int(cuda.get_current_device().id)


def gpu_of(array: DeviceArray, name: str) -> int | None:
    """Return the number of the GPU that an argument's memory is on, ``None`` without elements.

    Raises
    ------
    ValueError
        Its interface names an address that is no GPU's.
    """
    if SIMULATED or not array.size:
        return None
    from numba.cuda.cudadrv.driver import CudaAPIError, binding, driver

    attribute = binding.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    try:
        return int(driver.cuPointerGetAttribute(attribute, binding.CUdeviceptr(array.pointer)))
    except CudaAPIError as error:
        raise ValueError(
            f"{name}: got the address {array.pointer:#x}, which is no GPU's ({_first_line(error)})"
        ) from error


@contextmanager
def on_gpu(number: int | None) -> Iterator[None]:
    """Work on a GPU, whichever this thread worked on; ``None`` for that one."""
    if SIMULATED or number is None or number == current_gpu():
        yield
        return
    with cuda.gpus[number]:
        yield


def device_name() -> str:
    """Name the GPU, or the simulator."""
    if SIMULATED:
        return "Numba's CUDA simulator"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def _why() -> str:
    error = cuda.cuda_error()
    return f" ({_first_line(error)})" if error else ""


def _first_line(error: object) -> str:
    return next((line for line in str(error).splitlines() if line.strip(" :")), repr(error))


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any = 0) -> DeviceArray:
    """Return a new array in C order."""
    size = max(1, math.prod(shape)) * dtype.itemsize
    if SIMULATED:
        # One too long, to start at a multiple of 16 bytes as a GPU's memory does.
        owner = np.empty(size + WIDE, np.uint8)
        address = owner.ctypes.data + -owner.ctypes.data % WIDE
        return DeviceArray(owner, address, shape, dtype)
    owner = cuda.device_array(size, np.uint8, stream=stream)
    return DeviceArray(
        owner, owner.device_ctypes_pointer.value, shape, dtype, stream=number_of(stream)
    )


def clear(array: DeviceArray, stream: Any) -> None:
    """Set the bytes of an array in C order to zero, which in every floating type is 0."""
    size = array.size * array.dtype.itemsize
    if not size:
        return
    if SIMULATED:
        ctypes.memset(array.pointer, 0, size)
        return
    from numba.cuda.cudadrv.driver import device_memset

    device_memset(_bytes(array), 0, size, stream=stream)


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> DeviceArray:
    """Return a new array of zeros, which do not come from the host."""
    made = empty(shape, dtype, stream)
    clear(made, stream)
    return made


def to_device(array: Array, stream: Any = 0) -> DeviceArray:
    """Copy a NumPy array to the GPU."""
    require_device()
    native = np.ascontiguousarray(array)
    if not native.dtype.isnative:
        native = native.astype(native.dtype.newbyteorder("="))
    made = empty(array.shape, native.dtype, stream)
    if array.size:
        _bytes(made).copy_to_device(native.reshape(-1).view(np.uint8), stream=stream)
        made.source = native
    return made


def to_host(array: DeviceArray, stream: Any = None) -> Array:
    """Copy an array from the GPU, after what its stream has been given to do."""
    require_device()
    made = np.empty(array.shape, array.dtype)
    if array.size == 0:
        return made
    with on_gpu(gpu_of(array, "array")):
        on = stream_of(array) if stream is None else stream
        whole = array
        if not is_contiguous(array):
            from .copying import contiguous_copy

            whole = contiguous_copy(array, on)
        _bytes(whole).copy_to_host(made.reshape(-1).view(np.uint8), stream=on)
        synchronize(on)
    return made


def stream_of(array: DeviceArray) -> Any:
    """Return the stream that an array's producer works on, or the default one."""
    return stream_from(array.stream)


def stream_from(given: Any) -> Any:
    """Return Numba's stream for one given as Numba's, CuPy's, PyTorch's, or as its number.

    Raises
    ------
    TypeError, ValueError
        It is none of these.
    """
    if given is None:
        return cuda.default_stream() if SIMULATED else cuda.legacy_default_stream()
    if isinstance(given, bool | str | float):
        raise TypeError(f"stream: got {given!r}, expected a stream or its number")
    if isinstance(given, int | np.integer):
        given = int(given)
        if given < 0:
            raise ValueError(f"stream: got {given}, expected a stream or its number")
        if SIMULATED:
            return cuda.default_stream()
        # Of the interface: 1 is the legacy default stream, 2 the one of each thread.
        if given in (0, 1):
            return cuda.legacy_default_stream()
        if given == 2:
            return cuda.per_thread_default_stream()
        return cuda.external_stream(given)
    protocol = getattr(given, "__cuda_stream__", None)
    if protocol is not None and not hasattr(given, "synchronize"):
        # cuda.core's, and whatever else has NVIDIA's protocol: its version and the number.
        return stream_from(int(protocol()[1]))
    for attribute in ("ptr", "cuda_stream"):
        if isinstance(getattr(given, attribute, None), int):
            return stream_from(getattr(given, attribute))
    if not hasattr(given, "synchronize"):
        raise TypeError(f"stream: got {given!r}, expected a stream or its number")
    return given


def number_of(stream: Any) -> int | None:
    """Return what the CUDA array interface calls a stream, of which 0 is none."""
    return None if SIMULATED else int(stream) or 1


def on_stream(array: DeviceArray, stream: Any) -> DeviceArray:
    """Return an array for use on a stream: wait for the one that it comes from, if another."""
    number = number_of(stream)
    if array.stream is not None and array.stream != number:
        synchronize(stream_of(array))
    return DeviceArray(
        array, array.pointer, array.shape, array.dtype, array.strides, array.read_only, number
    )


def synchronize(stream: Any) -> None:
    """Wait until a stream has done its work."""
    if not SIMULATED:
        stream.synchronize()


def place(array: DeviceArray) -> tuple[Any, Place]:
    """Return the memory of an array (N, C, D) for kernels, and where its elements are."""
    size = array.dtype.itemsize
    # The step of an axis that is one long is never gone, and must not decide about alignment.
    steps = [
        step // size if extent > 1 else 0
        for step, extent in zip(array.strides, array.shape, strict=True)
    ]
    spans = [step * (extent - 1) for step, extent in zip(steps, array.shape, strict=True)]
    if array.size == 0:
        spans = [0] * len(spans)
    start = -sum(span for span in spans if span < 0)
    extent = 1 + sum(abs(span) for span in spans) if array.size else 0
    lowest = array.pointer - start * size
    memory = flat(lowest, extent, storage(array.dtype), array)
    return memory, Place(start, steps[0], steps[1], steps[2], lowest % WIDE // size)


def storage(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the element type that stands for a dtype in kernels."""
    return np.dtype(np.uint16) if dtype.name == "bfloat16" else dtype


def flat(address: int, count: int, dtype: np.dtype[Any], owner: Any) -> Any:
    """Return ``count`` elements from an address on, as Numba's kernels take them."""
    if SIMULATED:
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        memory: Any = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address)
        memory.owner = owner
        return FakeCUDAArray(np.frombuffer(memory, dtype, count))
    about = {
        "shape": (count,),
        "typestr": dtype.str,
        "data": (address, False),
        "strides": None,
        "version": 3,
    }
    # Ordering between streams is the caller's: everything here runs on one.
    return cuda.from_cuda_array_interface(about, owner=owner, sync=False)


def memory_of(array: DeviceArray) -> Any:
    """Return the elements of an array in C order, as Numba's kernels take them."""
    return flat(array.pointer, array.size, storage(array.dtype), array)


def _bytes(array: DeviceArray) -> Any:
    return flat(array.pointer, array.size * array.dtype.itemsize, np.dtype(np.uint8), array)


def is_contiguous(array: DeviceArray) -> bool:
    """Tell whether elements lie in C order, one after the other."""
    return all(
        step == expected
        for step, expected, extent in zip(
            array.strides,
            DeviceArray(None, 0, array.shape, array.dtype).strides,
            array.shape,
            strict=True,
        )
        if extent != 1
    )
