"""The numbers of a case: logits, targets, weights and gradients, by the patterns that it names."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from crossent_spec.dtypes import round_to

from . import streams
from .case import DTYPES, Case

Array = NDArray[Any]

#: Page 003 prints these.
PAGE_LOGITS = np.array(
    [
        [-0.1664078, -1.7256707, -0.14690138],
        [-0.21474946, 0.53737473, 0.99684894],
        [-1.135804, -0.50371903, 0.7645404],
    ]
)
PAGE_TARGET = np.array([0, 1, 2])
PAGE_PROBABILITIES = np.array(
    [
        [0.99495536, 0.28255007, -0.2775054],
        [0.42397153, 0.01075112, 0.56527734],
        [0.72356546, -0.1304398, 0.4068744],
    ]
)

#: Where kernels change loops: beside powers of two and multiples of vector lengths.
EDGES = sorted(
    {
        edge + step
        for edge in (
            4,
            8,
            16,
            32,
            64,
            96,
            128,
            256,
            512,
            1000,
            1024,
            2048,
            4096,
            8192,
            16384,
            32768,
            65536,
        )
        for step in (-1, 0, 1)
    }
)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype for a documented type name."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def smallest_subnormal(dtype: np.dtype[Any]) -> float:
    """The smallest positive number of a floating dtype."""
    return float(ml_dtypes.finfo(dtype).smallest_subnormal)


class Values:
    """Draws the arrays of one case, in float64 or int64, in documented shapes."""

    def __init__(self, case: Case, part: str = "") -> None:
        self.case = case
        self.part = part
        self.dtype = numpy_dtype(DTYPES[case.dtype])

    def key(self, name: str) -> str:
        """Name of a stream: the same numbers for the same shape and seed, whatever the mode."""
        shape = (*self.case.shape, *self.case.classes)
        return f"{name}{self.part}/{'x'.join(map(str, shape))}/{self.case.seed}"

    def rounded(self, values: Array) -> Array:
        """Round to the case's dtype."""
        return round_to(values, self.dtype)

    def indices(self) -> NDArray[np.int64]:
        """Class indices, before any of them is ignored; the extreme classes are among them."""
        case = self.case
        if case.logits == "page":
            return PAGE_TARGET.copy()
        found = streams.integers(self.key("target"), case.sample_shape, case.num_classes)
        if not found.ndim:
            return found
        flat = found.reshape(-1)
        if flat.size > 1 and not self.part:
            flat[0], flat[-1] = case.num_classes - 1, 0
        return found

    def with_ignored(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Put the ignored index where the case says."""
        order = np.arange(indices.size)
        last = indices.size - 1
        chosen = {
            "nowhere": order < 0,
            "some": order % 3 == 1,
            "first": order == 0,
            "last": order == last,
            "most": order != indices.size // 2,
            "all": order >= 0,
        }[self.case.ignored]
        return np.where(chosen.reshape(indices.shape), self.case.ignored_value, indices)

    def probabilities(self, hot: NDArray[np.int64]) -> Array:
        """Class probabilities; ``hot`` holds the class that each pattern favours."""
        case = self.case
        shape, classes = case.logits_shape, case.num_classes
        axis = _class_axis(shape)
        is_hot = _along_classes(classes, shape) == np.expand_dims(hot, axis)
        is_next = _along_classes(classes, shape) == np.expand_dims((hot + 1) % classes, axis)
        if case.probs == "page":
            return PAGE_PROBABILITIES
        if case.probs == "onehot":
            return is_hot.astype(np.float64)
        if case.probs == "sparse":
            return 0.75 * is_hot + 0.25 * is_next
        if case.probs == "zeros":
            return np.zeros(shape)
        if case.probs == "outside":
            return streams.normal(self.key("probs"), shape)
        raw = streams.uniform(self.key("probs"), shape)
        if case.probs == "unnormalised":
            return raw
        raw = raw * raw + 2.0**-20
        if case.probs == "nan":
            order = np.arange(hot.size).reshape(hot.shape)
            middle = np.expand_dims(order == hot.size // 2, axis)
            raw = np.where(middle & is_next, math.nan, raw)
            return raw / classes
        # Accumulate, which adds in order; np.sum's order is its own.
        total = np.add.accumulate(raw, axis=axis).take([classes - 1], axis=axis)
        return raw / total

    def logits(self, hot: NDArray[np.int64], spared: NDArray[np.bool_], ignored: Array) -> Array:
        """Logits by the case's pattern.

        ``hot`` holds the target's class, ``spared`` marks the classes that have a target of
        their own (which no -inf may meet unless the pattern says so), ``ignored`` the samples.
        """
        case = self.case
        shape, classes = case.logits_shape, case.num_classes
        axis = _class_axis(shape)
        position = _along_classes(classes, shape)
        is_hot = position == np.expand_dims(hot, axis)
        is_next = position == np.expand_dims((hot + 1) % classes, axis)
        order = np.arange(hot.size).reshape(hot.shape)
        rows = np.expand_dims(order, axis)
        uniform = streams.uniform(self.key("where"), shape)
        kind = case.logits
        base = streams.normal(self.key("logits"), shape)
        if kind == "page":
            return PAGE_LOGITS
        if kind in ("zeros", "equal"):
            return np.full(shape, 0.0 if kind == "zeros" else -3.25)
        if kind == "wide":
            return 2e4 * streams.uniform(self.key("logits"), shape) - 1e4
        if kind == "offset":
            return base + 1e4
        if kind == "tiny":
            return base * 2.0**-10
        if kind == "denormal":
            return np.rint(base * 100) * smallest_subnormal(self.dtype)
        if kind == "ascending":
            return np.broadcast_to(position * (16.0 / max(1, classes)), shape) + 0 * base
        if kind == "normal":
            return np.ldexp(base, np.expand_dims(order % 5 - 2, axis))
        if kind == "tail":
            return np.where((rows == hot.size - 1) & is_next & ~is_hot, 1000.0, base)
        if kind == "brink":
            # exp of the arithmetic's type overflows at top: five below it, the others far.
            top = math.log(np.finfo(np.float64 if case.dtype == "f64" else np.float32).max)
            high = np.where(position % 2 == 0, top - 1.2 - 0.3 * uniform, 8.4)
            return np.where(rows % 2 == 0, high, -(top + 40.0) - uniform)
        if kind == "masked":
            lowest = float(ml_dtypes.finfo(self.dtype).min) / 8  # whose error bound is finite
            return np.where((rows == 0) | ((uniform < 0.25) & ~spared), lowest, base)
        if kind == "window":
            beside = np.abs(position - np.expand_dims(hot, axis)) <= 1
            return np.where(beside, base, -math.inf)
        boost = {
            "first": np.broadcast_to(position == 0, shape),
            "last": np.broadcast_to(position == classes - 1, shape),
            "edge": position == np.expand_dims(_edges(classes)[order % len(_edges(classes))], axis),
            "target": is_hot,
            "against": is_next & ~is_hot,
        }
        boost["peak"] = boost["edge"]
        if kind in boost:
            height = {"against": 25.0, "peak": 1000.0}.get(kind, 15.0)
            return np.where(boost[kind], base + height, base)
        scattered = uniform < 0.25
        first, third, middle = rows == 0, rows % 3 == 0, rows == hot.size // 2
        special = {
            "neginf": (scattered & ~spared, -math.inf),
            "neginf-target": (third & is_hot & (classes > 1), -math.inf),
            "neginf-row": (np.broadcast_to(first, shape), -math.inf),
            "posinf": (first & is_next & ~is_hot, math.inf),
            "posinf-target": (first & is_hot, math.inf),
            "nan": (middle & is_next, math.nan),
            "nan-ignored": (np.broadcast_to(np.expand_dims(ignored, axis), shape), math.nan),
        }
        where, value = special[kind]
        return np.where(where, value, base)

    def weight(self) -> Array | None:
        """Class weights."""
        kind, classes = self.case.weight, self.case.num_classes
        if kind == "absent":
            return None
        mixed = 0.25 + 2.0 * streams.uniform(self.key("weight"), (classes,))
        if kind == "ones":
            return np.ones(classes)
        if kind == "zeros":
            return np.zeros(classes)
        if kind == "somezero":
            return np.where(np.arange(classes) % 3 == 1, 0.0, mixed)
        if kind == "infinite":
            return np.where(np.arange(classes) == 1, math.inf, mixed)
        if kind == "signed":
            return np.where(np.arange(classes) % 3 == 1, -mixed, mixed)
        return mixed * {"mixed": 1.0, "large": 2.0**9, "tiny": 2.0**-9}[kind]

    def features(self, ignored: Array) -> tuple[Array, Array, Array | None]:
        """Input, linear weight and linear bias of the linear loss."""
        case = self.case
        width = case.shape[-1]
        input = streams.normal(self.key("input"), case.shape)
        weight = streams.normal(self.key("linear"), (*case.classes, width)) / math.sqrt(width)
        bias = streams.normal(self.key("bias"), case.classes) if case.bias == "yes" else None
        row = np.arange(input.shape[0])[:, None] if input.ndim == 2 else np.zeros((1,))
        if case.logits == "wide":
            input = input * 64.0
        elif case.logits == "zeros":
            input = input * 0.0
        elif case.logits == "tail":
            input = np.where(row == len(input) - 1, input * 64.0, input)
        elif case.logits == "nan":
            input = np.where(row == len(input) // 2, math.nan, input)
        elif case.logits == "nan-ignored":
            sample = ignored.all(axis=tuple(range(1, ignored.ndim)))
            input = np.where(np.expand_dims(sample, -1), math.nan, input)
        elif case.logits != "normal":
            raise ValueError(f"case logits: {case.logits!r} is not a pattern of the linear loss")
        return input, weight, bias

    def grad_output(self) -> Array | None:
        """Gradient of the loss, ``None`` for the framework's default."""
        kind = self.case.grad
        shape = self.case.sample_shape if self.case.effective_reduction == "none" else ()
        if kind in ("default", "skip"):
            return None
        mixed = streams.normal(self.key("grad"), shape)
        return {
            "ones": np.ones(shape),
            "mixed": mixed,
            "negative": -0.5 - np.abs(mixed),
            "zero": np.zeros(shape),
            "large": mixed * 2.0**8,
            "small": mixed * 2.0**-6,
        }[kind]


def _class_axis(shape: tuple[int, ...]) -> int:
    return 0 if len(shape) == 1 else 1


def _along_classes(classes: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    axis = _class_axis(shape)
    return np.arange(classes).reshape((1,) * axis + (classes,) + (1,) * (len(shape) - axis - 1))


def _edges(classes: int) -> NDArray[np.int64]:
    """Classes where loops change, the last first: cases of many classes have few samples."""
    below = [edge for edge in EDGES if edge < classes]
    return np.array([classes - 1, max(0, classes - 2), *reversed(below), 0])
