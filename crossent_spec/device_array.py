"""Arrays on a GPU, as far as they are known without touching it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

INTERFACE = "__cuda_array_interface__"


class DeviceArray:
    """An array in the memory of a GPU.

    It has the CUDA array interface, which CuPy, PyTorch, Numba and others take and give.

    Attributes
    ----------
    shape, dtype
        As of a NumPy array; bfloat16 is that of ml_dtypes.
    strides
        In bytes.
    pointer
        Address of the first element.
    owner
        What keeps the memory alive.
    read_only
        Whether the memory must not be written.
    stream
        Number of the stream on which the memory is valid, or ``None``.
    source
        The host's array that it is a copy of, which may still be under way.
    """

    def __init__(
        self,
        owner: Any,
        pointer: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        strides: tuple[int, ...] | None = None,
        read_only: bool = False,
        stream: int | None = None,
    ) -> None:
        self.owner, self.pointer = owner, pointer
        self.shape, self.dtype = shape, dtype
        self.strides = contiguous(shape, dtype.itemsize) if strides is None else strides
        self.read_only, self.stream = read_only, stream
        self.source: NDArray[Any] | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the interface.  A bfloat16 is two bytes of no named type, ``<V2``."""
        return {
            "shape": self.shape,
            "typestr": "<V2" if self.dtype.name == "bfloat16" else self.dtype.str,
            "data": (self.pointer, self.read_only),
            "strides": self.strides,
            "version": 3,
            "stream": self.stream,
        }

    def merged(self, shape: tuple[int, ...]) -> DeviceArray | None:
        """Return the same elements in another shape, or ``None`` where that needs a copy."""
        strides = merged_strides(self.shape, self.strides, shape, self.dtype.itemsize)
        if strides is None:
            return None
        return DeviceArray(
            self, self.pointer, shape, self.dtype, strides, self.read_only, self.stream
        )

    def reshape(self, *shape: int) -> DeviceArray:
        """Return the same elements in another shape, one extent of which may be -1."""
        known = -math.prod(shape) if -1 in shape else 1
        return reshaped(self, tuple(self.size // known if n == -1 else n for n in shape))

    def part(self, begin: int, end: int) -> DeviceArray:
        """Return the items from ``begin`` to ``end`` along the first axis."""
        return DeviceArray(
            self,
            self.pointer + begin * self.strides[0],
            (end - begin, *self.shape[1:]),
            self.dtype,
            self.strides,
            self.read_only,
            self.stream,
        )

    def copy_to_host(self) -> NDArray[Any]:
        """Return the elements as a NumPy array, once they are there."""
        from .cuda.memory import to_host

        return to_host(self)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"


def reshaped(array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    """Return the same elements in another shape; a copy only where the layout demands it."""
    found = array.merged(shape)
    if found is None:
        from .cuda.copying import contiguous_copy
        from .cuda.memory import gpu_of, on_gpu, stream_of

        with on_gpu(gpu_of(array, "array")):
            found = contiguous_copy(array, stream_of(array)).merged(shape)
        assert found is not None
    return found


def is_on_device(value: Any) -> bool:
    """Tell whether an argument lies in a GPU's memory."""
    if isinstance(value, np.ndarray):
        return False
    try:
        return hasattr(value, INTERFACE)
    except Exception:
        # It has one, but gives a reason against it: said when its name is known.
        return True


def from_interface(value: Any, name: str) -> DeviceArray:
    """Return an argument ``name`` that has the CUDA array interface as a :class:`DeviceArray`."""
    if isinstance(value, DeviceArray):
        return value
    try:
        about = getattr(value, INTERFACE)
    except Exception as error:
        raise TypeError(f"{name}: {error}") from error
    if about.get("mask") is not None:
        raise TypeError(f"{name}: got a masked array, expected one without a mask")
    shape = tuple(int(extent) for extent in about["shape"])
    dtype = _dtype(about["typestr"], name)
    strides = about.get("strides")
    pointer, read_only = about["data"]
    pointer = pointer or 0
    if pointer % dtype.itemsize or any(step % dtype.itemsize for step in strides or ()):
        raise ValueError(f"{name}: got an array that is not aligned to its elements")
    return DeviceArray(
        value,
        int(pointer),
        shape,
        dtype,
        None if strides is None else tuple(int(step) for step in strides),
        bool(read_only),
        about.get("stream"),
    )


def as_given(value: Any, name: str) -> Any:
    """Return an argument as NumPy's array, or as a :class:`DeviceArray` if it is on a GPU."""
    if is_on_device(value):
        return from_interface(value, name)
    if np.ma.is_masked(value):
        raise TypeError(
            f"{name}: got a masked array, of which the mask would be lost; fill it, and mark "
            "samples to leave out by ignore_index"
        )
    return np.asarray(value)


def _dtype(typestr: str, name: str) -> np.dtype[Any]:
    if typestr in ("<V2", "|V2"):
        try:
            import ml_dtypes
        except ImportError:
            raise TypeError(
                f"{name}: bfloat16 needs the package ml_dtypes, which is not installed"
            ) from None
        return np.dtype(ml_dtypes.bfloat16)
    dtype = np.dtype(typestr)
    if not dtype.isnative:
        raise TypeError(f"{name}: got dtype {dtype.str}, expected native byte order on a GPU")
    return dtype


def contiguous(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Strides in bytes of an array in C order, whose elements have ``size`` bytes."""
    return tuple(size * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def merged_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], wanted: tuple[int, ...], size: int
) -> tuple[int, ...] | None:
    """Strides of the same memory in another shape of as many elements, or ``None``.

    >>> merged_strides((2, 3, 4), (96, 32, 8), (2, 12), 8)
    (96, 8)
    >>> merged_strides((2, 3, 4), (96, 8, 24), (2, 12), 8) is None
    True
    """
    if math.prod(shape) == 0:
        return contiguous(wanted, size)
    # Axes that lie one within the other are one run: (extent, stride of its elements).
    runs: list[tuple[int, int]] = []
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if runs and runs[-1][1] == extent * stride:
            runs[-1] = (runs[-1][0] * extent, stride)
        else:
            runs.append((extent, stride))
    found: list[int] = []
    left, stride = 1, size
    for extent in reversed(wanted):
        if extent == 1:
            found.append(size)
            continue
        if left == 1:
            left, stride = runs.pop()
        if left % extent:
            return None
        found.append(stride)
        left, stride = left // extent, stride * extent
    return tuple(reversed(found))
