"""Matrix products on the GPU: those of cuBLAS, through CuPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..device_array import DeviceArray
from .memory import memory_of
from .target import SIMULATED


class Operand(NamedTuple):
    """A matrix in C order, or its transpose."""

    matrix: DeviceArray
    transposed: bool = False


class Products:
    """Products of float32 or float64 matrices on a stream.

    Raises
    ------
    RuntimeError
        CuPy, which has cuBLAS, is missing.
    """

    def __init__(self, stream: Any) -> None:
        self.multiply = _on_host if SIMULATED else _Cublas(stream).multiply


class _Cublas:
    def __init__(self, stream: Any) -> None:
        try:
            import cupy
            from cupy.cublas import gemm
        except ImportError as error:
            raise RuntimeError(
                "the linear loss on a GPU takes its matrix products from CuPy, which could not be "
                f"imported ({error}); install the cupy-cuda12x or cupy-cuda13x that goes with "
                "the driver"
            ) from error
        self.as_array, self.gemm = cupy.asarray, gemm
        self.stream = cupy.cuda.ExternalStream(int(stream))

    def multiply(self, a: Operand, b: Operand, out: DeviceArray, add: bool = False) -> None:
        """Write a·b to ``out``, or add it."""
        if not out.size:
            return
        with self.stream:
            left, right, result = (self._array(matrix) for matrix in (a.matrix, b.matrix, out))
            if not left.size:
                if not add:
                    result.fill(0)
                return
            self.gemm(
                "T" if a.transposed else "N",
                "T" if b.transposed else "N",
                left,
                right,
                out=result,
                beta=1.0 if add else 0.0,
            )

    def _array(self, matrix: DeviceArray) -> Any:
        # Without a stream, for which CuPy would wait: it is this one.
        plain = (matrix, matrix.pointer, matrix.shape, matrix.dtype, matrix.strides)
        return self.as_array(DeviceArray(*plain))


def _on_host(a: Operand, b: Operand, out: DeviceArray, add: bool = False) -> None:
    """Multiply in the simulator, whose memory is the host's."""
    left, right = (_matrix(operand.matrix) for operand in (a, b))
    result = _matrix(out)
    with np.errstate(all="ignore"):
        product = (left.T if a.transposed else left) @ (right.T if b.transposed else right)
        result[...] = result + product if add else product


def _matrix(array: DeviceArray) -> Any:
    return memory_of(array).reshape(array.shape)._ary
