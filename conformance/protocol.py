"""What a worker and the harness say to each other, and what an adapter is.

This module and :mod:`conformance.worker` are the only parts of the suite that run inside a
framework's own Python.  They need Python 3.8 and NumPy 1.21, nothing else.  ``PROTOCOL.md``
tells the same for other languages.
"""

import base64
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

PROTOCOL_VERSION = 1

#: Element types of the protocol and the NumPy type that holds each.  NumPy has no bfloat16 of
#: its own, so bfloat16 values travel, and reach an adapter, as their bit patterns.
STORAGE = {
    "float16": "<f2",
    "bfloat16": "<u2",
    "float32": "<f4",
    "float64": "<f8",
    "bool": "|b1",
    "int8": "|i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "|u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
}


class Array(NamedTuple):
    """An array and its documented element type.

    ``data`` is the caller's own array, with the caller's strides, offset and write protection;
    an adapter wraps it without a copy where its framework can.  For ``dtype == "bfloat16"``
    the elements of ``data`` are the bit patterns, as ``uint16``.
    """

    data: np.ndarray
    dtype: str


class Call(NamedTuple):
    """One documented call.

    Attributes
    ----------
    system
        The documented loss, such as ``"torch.nn.CrossEntropyLoss"``.
    form
        ``"function"`` or ``"module"``; a framework that has only one of them uses that one.
    arguments
        The scalar arguments that the caller writes, by their documented names; an argument that
        is not here is left at the framework's default.
    arrays
        ``input``, ``target`` and, where the caller passes them, ``weight``, ``linear_weight``
        (C, *out_features, in_features) and ``linear_bias`` (C, *out_features).
    wrt
        The arrays whose gradients the backward pass must give.
    """

    system: str
    form: str
    arguments: Dict[str, Any]
    arrays: Dict[str, Array]
    wrt: List[str]


class Unsupported(Exception):  # noqa: N818 - it is an answer, not an error
    """Raised by an adapter for a call that its framework does not document."""


class Adapter:
    """Drives one framework.  Subclass it, name the subclass ``Adapter`` in a file of its own.

    An adapter makes framework calls and nothing else: it never computes a loss, never judges,
    and never checks what the framework ought to check.
    """

    def describe(self) -> Dict[str, Any]:
        """Return ``{"name": ..., "systems": [...], "versions": {package: version}}``.

        A framework that compiles what a call needs when it meets it first adds ``"compiling"``:
        the seconds that this may take in all, 120 at most, on top of the time limits of cases.
        """
        raise NotImplementedError

    def forward(self, call: Call) -> Tuple[Array, Any]:
        """Return the loss and whatever ``backward`` needs (a graph, a closure)."""
        raise NotImplementedError

    def backward(self, state: Any, grad_output: Optional[Array], retain: bool) -> Dict[str, Array]:
        """Return the gradient of each array named in the call's ``wrt``.

        ``grad_output`` has the loss's shape; ``None`` means the framework's own default for a
        scalar loss (one).  ``retain`` says that the caller will go backward again from the same
        forward call, so a framework with such a flag (``retain_graph``) is given it.
        """
        raise NotImplementedError

    def script(self, call: Call, step: Dict[str, Any]) -> str:
        """Return source code that makes one step of a case in the framework's own API.

        A forward step is ``{"do": "forward", "as": identifier, "arrays": {argument: NumPy
        variable}}`` and leaves a NumPy array ``loss``; a backward step is ``{"do": "backward",
        "of": identifier, "grad_output": variable or None, "grad_array": Array or None,
        "retain": bool}`` and leaves a dictionary ``grads`` of NumPy arrays by argument.
        bfloat16 variables hold bit patterns; results in bfloat16 are widened to float32.
        Variables of the adapter's own end in ``_`` and the step's identifier.
        """
        raise NotImplementedError("this adapter does not write reproduction scripts")


def encode(array: Array) -> Dict[str, Any]:
    """Encode the values of an array: C order, little-endian, base64.

    >>> encode(Array(np.array([1.0, -2.0], dtype="<f4"), "float32"))
    {'dtype': 'float32', 'shape': [2], 'data': 'AACAPwAAAMA='}
    """
    data = np.asarray(array.data)
    packed = np.ascontiguousarray(data, dtype=np.dtype(STORAGE[array.dtype]))
    return {
        "dtype": array.dtype,
        "shape": list(data.shape),
        "data": base64.b64encode(packed.tobytes()).decode("ascii"),
    }


def encode_view(base: Array, view: np.ndarray) -> Dict[str, Any]:
    """Encode a view together with the whole one-dimensional buffer that it looks into.

    The receiver rebuilds the view with the same strides and offset, so that a framework meets
    the caller's memory layout, and anything written beside the view shows.
    """
    item = base.data.dtype.itemsize
    offset = (
        view.__array_interface__["data"][0] - base.data.__array_interface__["data"][0]
    ) // item
    message = encode(base)
    message["base"] = message.pop("shape")[0]
    message["shape"] = list(view.shape)
    message["strides"] = [stride // item for stride in view.strides]
    message["offset"] = offset if view.size else 0
    message["readonly"] = not view.flags.writeable
    return message


def decode(message: Dict[str, Any]) -> Array:
    """Decode an array or a view; check every number before memory is touched.

    >>> decode({"dtype": "int8", "shape": [2], "data": "AQI="}).data
    array([1, 2], dtype=int8)
    """
    if not isinstance(message, dict):
        raise ValueError(f"array: expected an object, got {type(message).__name__}")
    dtype = message.get("dtype")
    if dtype not in STORAGE:
        raise ValueError(f"array dtype: got {dtype!r}, allowed are {', '.join(STORAGE)}")
    storage = np.dtype(STORAGE[dtype])
    shape = _extents(message, "shape")
    raw = base64.b64decode(message.get("data", ""), validate=True)
    strided = "strides" in message
    size = int(message["base"]) if strided else _product(shape)
    if len(raw) != size * storage.itemsize:
        raise ValueError(
            f"array data: got {len(raw)} bytes, shape {list(shape)} of {dtype} needs "
            f"{size * storage.itemsize}"
        )
    # A copy, because np.frombuffer gives read-only memory.
    base = np.frombuffer(raw, dtype=storage).copy()
    if not strided:
        return Array(base.reshape(shape), dtype)
    strides = [int(step) for step in message["strides"]]
    offset = int(message["offset"])
    reach = [(extent - 1) * step for extent, step in zip(shape, strides)]
    lowest = offset + sum(step for step in reach if step < 0)
    highest = offset + sum(step for step in reach if step > 0)
    if len(strides) != len(shape) or (_product(shape) and not 0 <= lowest <= highest < size):
        raise ValueError(f"array strides: view reaches outside its buffer of {size} elements")
    view = np.lib.stride_tricks.as_strided(
        base[offset:], shape, [step * storage.itemsize for step in strides]
    )
    if message.get("readonly", False):
        view.flags.writeable = False
    return Array(view, dtype)


def _extents(message: Dict[str, Any], key: str) -> Tuple[int, ...]:
    extents = message.get(key)
    if not isinstance(extents, list) or not all(
        type(extent) is int and 0 <= extent <= sys.maxsize for extent in extents
    ):
        raise ValueError(f"array {key}: got {extents!r:.200}, expected a list of sizes")
    return tuple(extents)


def _product(extents: Tuple[int, ...]) -> int:
    result = 1
    for extent in extents:
        result *= extent
    return result
