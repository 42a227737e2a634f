"""Judging the embedded implementation's GPU kernels: on a GPU, or a small part in a simulator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .adapters import FOLDER
from .case import Case
from .driver import Program

#: What Numba's simulator, which is Python, does of a case within seconds: so many logits, and so
#: many classes, of which more would take more threads than a warp.
MOST_LOGITS, MOST_CLASSES = 4096, 1024


def program(simulator: bool) -> Program:
    """Return the worker that runs the GPU's kernels."""
    found = Program.of_adapter("embedded-cuda", str(Path(FOLDER) / "embedded_cuda.py"))
    return replace(found, variables={"NUMBA_ENABLE_CUDASIM": "1"}) if simulator else found


def small(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that a simulator can do.

    >>> from conformance.corpus import corpus
    >>> len(corpus()) > len(small(corpus())) > 0.9 * len(corpus())
    True
    """
    return [case for case in cases if _is_small(case.logits_shape)]


def _is_small(shape: tuple[int, ...]) -> bool:
    classes = shape[0] if len(shape) == 1 else shape[1] if shape else 0
    return math.prod(shape) <= MOST_LOGITS and classes <= MOST_CLASSES
