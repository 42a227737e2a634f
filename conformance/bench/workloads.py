"""What is timed: shapes, targets and dtypes, and the inputs that they stand for."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossent_spec.dtypes import floating_dtype

Array = NDArray[Any]

INDEX, PROBABILITIES, SMOOTHING, LINEAR = "index", "probabilities", "smoothing-weights", "linear"


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call.

    Attributes
    ----------
    x
        Logits (N, C, d1, ..., dK), or the features (N, F) of the linear loss.
    target
        Class indices, or probabilities of the logits' shape and dtype.
    weight
        Class weights, where the workload has them.
    linear_weight
        (C, F), of the linear loss.
    epsilon
        The label smoothing.
    """

    x: Array
    target: Array
    weight: Array | None = None
    linear_weight: Array | None = None
    epsilon: float = 0.0


@dataclass(frozen=True)
class Workload:
    """One problem that every contestant solves.

    Attributes
    ----------
    kind
        'index', 'probabilities', 'smoothing-weights' (of class indices) or 'linear'.
    shape
        Of the logits; for 'linear' (N, in_features, C).
    dtype
        Of logits, probabilities, features and weights.
    small
        Whether this is a size for which no target is set: a reduced one, or one so small that what
        a call costs besides its arithmetic is all that shows.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    small: bool = False

    @property
    def name(self) -> str:
        """The name, such as ``index-8192x1000-float32``."""
        return f"{self.kind}-{'x'.join(map(str, self.shape))}-{self.dtype}"

    @property
    def classes(self) -> int:
        """C."""
        return self.shape[-1] if self.kind == LINEAR else self.shape[1]

    def inputs(self) -> Inputs:
        """Return inputs that are the same at every call."""
        random = np.random.default_rng(20_26)
        dtype = floating_dtype(self.dtype, "dtype", ValueError)

        def normal(shape: tuple[int, ...], scale: float) -> Array:
            drawn = random.standard_normal(shape, np.float32)
            drawn *= np.float32(scale)
            return drawn.astype(dtype, copy=False)

        if self.kind == LINEAR:
            samples, width, classes = self.shape
            features = normal((samples, width), 1.0)
            matrix = normal((classes, width), width**-0.5)
            return Inputs(features, random.integers(0, classes, samples), linear_weight=matrix)
        x = normal(self.shape, 2.0)
        samples, classes, *positions = self.shape
        if self.kind == PROBABILITIES:
            target = random.random(self.shape, np.float32)
            target /= target.sum(axis=1, keepdims=True)
            return Inputs(x, target.astype(dtype, copy=False))
        y = random.integers(0, classes, (samples, *positions))
        if self.kind == SMOOTHING:
            weight = random.uniform(0.5, 1.5, classes).astype(dtype)
            return Inputs(x, y, weight, epsilon=0.1)
        return Inputs(x, y)


FULL = (
    Workload(INDEX, (8192, 1000)),
    Workload(INDEX, (2048, 32000)),
    Workload(INDEX, (1024, 128256)),
    Workload(INDEX, (65536, 10)),
    Workload(INDEX, (32, 10), small=True),
    Workload(INDEX, (8, 21, 512, 512)),
    Workload(PROBABILITIES, (8192, 1000)),
    Workload(PROBABILITIES, (2048, 32000)),
    Workload(SMOOTHING, (8192, 1000)),
    Workload(SMOOTHING, (2048, 32000)),
    Workload(INDEX, (8192, 1000), "float16"),
    Workload(INDEX, (2048, 32000), "float16"),
    Workload(INDEX, (8192, 1000), "bfloat16"),
    Workload(INDEX, (2048, 32000), "bfloat16"),
    Workload(LINEAR, (2048, 512, 8000)),
    Workload(LINEAR, (8192, 1024, 32000)),
)

SMALL = (
    Workload(INDEX, (256, 1000), small=True),
    Workload(INDEX, (64, 8016), small=True),
    Workload(INDEX, (4096, 10), small=True),
    Workload(INDEX, (2, 21, 32, 32), small=True),
    Workload(PROBABILITIES, (64, 1000), small=True),
    Workload(SMOOTHING, (64, 1000), small=True),
    Workload(INDEX, (64, 1000), "float16", small=True),
    Workload(INDEX, (64, 1000), "bfloat16", small=True),
    Workload(LINEAR, (128, 32, 500), small=True),
)


def choose(workloads: Sequence[Workload], patterns: Sequence[str]) -> list[Workload]:
    """Return the workloads whose names contain or match any of the patterns.

    Raises
    ------
    LookupError
        A pattern selects none.
    """
    if not patterns:
        return list(workloads)
    chosen: set[str] = set()
    for pattern in patterns:
        found = {
            workload.name
            for workload in workloads
            if pattern in workload.name or fnmatch.fnmatchcase(workload.name, pattern)
        }
        if not found:
            names = ", ".join(workload.name for workload in workloads)
            raise LookupError(f"got {pattern!r}, which is in no workload's name; there are {names}")
        chosen |= found
    return [workload for workload in workloads if workload.name in chosen]


def by_name(name: str) -> Workload:
    """Return a workload of any size."""
    return next(workload for workload in (*FULL, *SMALL) if workload.name == name)
