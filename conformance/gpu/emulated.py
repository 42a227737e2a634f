"""The library's GPU calls, with kernels compiled as for a GPU and carried out by the machine.

In the stead of driver and GPU, as far as the library touches these: what Numba's simulator shows of
the Python of a kernel, this shows of what NVIDIA's compiler made of it, faults of
:mod:`.machine` included.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from numba import cuda, types
from numba.cuda.dispatcher import CUDADispatcher

from conformance.gpu.arena import Memory
from conformance.gpu.machine import launch
from crossent_spec.cuda import memory, products
from crossent_spec.cuda.target import SIMULATED
from crossent_spec.device_array import DeviceArray

#: What is compiled for, and the bytes of the machine's memory.
CAPABILITY, SIZE = (9, 0), 1 << 26
#: PTX by kernel and types of arguments; kernels are kept, so that none takes another one's place.
_compiled: dict[tuple[Any, ...], str] = {}


class Stream:
    """The only stream, on which everything is done at once."""

    def __int__(self) -> int:
        return 1

    def synchronize(self) -> None:
        """Do nothing."""


class Elements:
    """Elements in a row, as kernels and products take them."""

    def __init__(
        self, machine: Memory, address: int, shape: tuple[int, ...], dtype: Any, owner: Any
    ) -> None:
        self.machine, self.address, self.owner = machine, address, owner
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.size = math.prod(shape)

    def reshape(self, shape: tuple[int, ...]) -> Elements:
        """Return the same in another shape."""
        return Elements(self.machine, self.address, shape, self.dtype, self)

    @property
    def _ary(self) -> Any:
        return self._bytes(True).view(self.dtype).reshape(self.shape)

    def copy_to_device(self, given: Any, stream: Any = None) -> None:
        """Take bytes from the host."""
        del stream
        self._bytes(True)[:] = given.view(np.uint8)

    def copy_to_host(self, to: Any, stream: Any = None) -> None:
        """Give bytes to the host."""
        del stream
        to.view(np.uint8)[:] = self._bytes(False)

    def _bytes(self, writing: bool) -> Any:
        return self.machine.view(self.address, self.size * self.dtype.itemsize, writing)


class _Owner:
    """Keeps an array's memory."""


@contextlib.contextmanager
def on_the_machine(on_launch: Callable[[str], object] = str) -> Iterator[Memory]:
    """Carry out what is asked of a GPU on the machine meanwhile.

    Parameters
    ----------
    on_launch
        Called with each kernel's name.

    Raises
    ------
    RuntimeError
        In a process that has Numba's simulator, there is nothing to compile.
    """
    if SIMULATED:
        raise RuntimeError("the machine runs compiled kernels; unset NUMBA_ENABLE_CUDASIM")
    machine, stream = Memory(SIZE), Stream()

    def empty(shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any = 0) -> DeviceArray:
        del stream
        address = machine.allocate(max(1, math.prod(shape)) * dtype.itemsize)
        owner = _Owner()
        weakref.finalize(owner, machine.free, address)
        return DeviceArray(owner, address, shape, dtype, stream=1)

    def clear(array: DeviceArray, stream: Any) -> None:
        del stream
        if array.size:
            machine.view(array.pointer, array.size * array.dtype.itemsize, True).fill(0)

    def flat(address: int, count: int, dtype: np.dtype[Any], owner: Any) -> Elements:
        return Elements(machine, address, (count,), dtype, owner)

    def configured(self: Any, how: tuple[Any, int, Any]) -> Callable[..., None]:
        grid, threads, on = how
        blocks = grid if isinstance(grid, tuple) else (grid, 1)
        assert on is stream
        # A GPU's own limits.
        assert 0 < blocks[0] < 2**31
        assert 0 < blocks[1] < 2**16
        assert 0 < threads <= 1024

        def run(*arguments: Any) -> None:
            on_launch(self.py_func.__name__)
            given = [number for argument in arguments for number in _passed(argument)]
            launch(_ptx(self, arguments), blocks, threads, given, machine)

        return run

    patches: dict[str, Any] = {
        "require_device": lambda: None,
        "current_gpu": lambda: 0,
        "gpu_of": lambda array, _: 0 if array.size else None,
        "device_name": lambda: "the machine that runs PTX",
        "empty": empty,
        "clear": clear,
        "flat": flat,
        "stream_from": lambda _: stream,
    }
    capability = SimpleNamespace(compute_capability=CAPABILITY)
    with (
        mock.patch.multiple(memory, **patches),
        mock.patch.object(products, "SIMULATED", True),
        mock.patch.object(CUDADispatcher, "__getitem__", configured),
        mock.patch("numba.cuda.dispatcher.get_current_device", return_value=capability),
    ):
        yield machine


def _ptx(kernel: Any, arguments: tuple[Any, ...]) -> str:
    signature = types.void(*map(_type, arguments))
    key = (kernel, str(signature))
    if key not in _compiled:
        _compiled[key] = cuda.compile(
            kernel.py_func,
            signature,
            device=False,
            cc=CAPABILITY,
            abi="numba",
            launch_bounds=kernel.targetoptions["launch_bounds"],
        )[0]
    return _compiled[key]


def _type(argument: Any) -> Any:
    """Return Numba's type, as of an argument of a launch."""
    if isinstance(argument, Elements):
        return types.Array(getattr(types, argument.dtype.name), 1, "C")
    if isinstance(argument, tuple):
        count = len(argument)
        if hasattr(argument, "_fields"):
            return types.NamedUniTuple(types.int64, count, type(argument))
        return types.UniTuple(types.int64, count)
    if isinstance(argument, np.generic):
        return getattr(types, argument.dtype.name)
    return {bool: types.boolean, int: types.int64, float: types.float64}[type(argument)]


def _passed(argument: Any) -> list[Any]:
    """Return an argument's numbers, as Numba hands them to a kernel."""
    if isinstance(argument, Elements):
        size = argument.dtype.itemsize
        return [0, 0, argument.size, size, argument.address, argument.size, size]
    return list(argument) if isinstance(argument, tuple) else [argument]
