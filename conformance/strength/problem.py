"""A call as the reference framework sees it after its checks, and what a forward pass saves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from conformance.protocol import Array as Buffer

Array = NDArray[Any]

HALVES = ("float16", "bfloat16")


@dataclass
class Projection:
    """The operands of the linear loss: (N, F), (C, D, F) and (C, D) or None."""

    features: Array
    weight: Array
    bias: Array | None


@dataclass
class Problem:
    """A valid call in one layout: logits (N, C, D), indices (N, D) or probabilities (N, C, D)."""

    system: str
    form: str
    dtype: str
    logits_shape: tuple[int, ...]
    y: Array | None
    q: Array | None
    w: Array | None
    keep: Array
    epsilon: float
    reduction: str
    mult: float
    options: dict[str, Any] | None
    projection: Projection | None
    shapes: dict[str, tuple[int, ...]]
    wrt: tuple[str, ...]
    ignore_index: int
    x: Array = field(default_factory=lambda: np.empty(0))

    @property
    def compute(self) -> np.dtype[Any]:
        """Dtype of the arithmetic: float32 for the 16-bit types too."""
        return np.dtype(np.float64 if self.dtype == "float64" else np.float32)

    @property
    def classes(self) -> int:
        """C."""
        return self.logits_shape[0] if len(self.logits_shape) == 1 else self.logits_shape[1]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of the unreduced loss."""
        shape = self.logits_shape
        return () if len(shape) == 1 else (shape[0], *shape[2:])

    @property
    def dense(self) -> bool:
        """Whether every class has a term: probabilities or smoothing."""
        return self.q is not None or self.epsilon != 0

    @property
    def is_unit(self) -> bool:
        """Whether this is the unit-scaled loss."""
        return self.system.startswith("unit")

    @property
    def is_half(self) -> bool:
        """Whether results are stored in 16 bits."""
        return self.dtype in HALVES

    def rows(self, start: int, stop: int) -> Problem:
        """Return the part of the batch from ``start`` to ``stop``, of a linear loss."""
        assert self.projection is not None
        part = replace(self.projection, features=self.projection.features[start:stop])
        return replace(
            self,
            projection=part,
            y=None if self.y is None else self.y[start:stop],
            q=None if self.q is None else self.q[start:stop],
            keep=self.keep[start:stop],
        )


@dataclass
class State:
    """What the backward pass needs."""

    problem: Problem
    logp: Array
    losses: Array
    total: Array
    products: dict[str, Array] | None = None
    gradient: Array | None = None
    calls: int = 0
    returned: dict[str, Array] = field(default_factory=dict)


def in_order(terms: Array, axis: int) -> Array:
    """Add one after the other."""
    if not terms.shape[axis]:
        return terms.sum(axis=axis, keepdims=True, dtype=terms.dtype)
    total = np.add.accumulate(terms, axis=axis, dtype=terms.dtype)
    return total.take([-1], axis=axis)


def to_numpy(buffer: Buffer) -> Array:
    """Return the caller's memory as an array of its own type."""
    if buffer.dtype == "bfloat16":
        return buffer.data.view(ml_dtypes.bfloat16)
    return buffer.data


def to_buffer(values: Array) -> Buffer:
    """Return an array as the protocol has it."""
    if values.dtype == ml_dtypes.bfloat16:
        return Buffer(values.view(np.uint16), "bfloat16")
    return Buffer(values, values.dtype.name)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype for a documented type name."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def whole_buffer(view: Array) -> Array:
    """Return the one-dimensional memory that the caller's view looks into."""
    owner: Any = view
    while getattr(owner, "base", None) is not None and hasattr(owner.base, "__array_interface__"):
        owner = owner.base
    while not isinstance(owner, np.ndarray):
        owner = owner.base
    flat: Array = owner.reshape(-1).view(view.dtype)
    return flat
