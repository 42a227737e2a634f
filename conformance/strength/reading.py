"""How the reference framework reads a call: arguments, memory, one layout; each step a seam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conformance.protocol import Array as Buffer
from conformance.protocol import Call

from .checks import Checks
from .problem import Array, Problem, Projection, to_numpy


class Reading(Checks):
    """Brings a call to a :class:`.problem.Problem`."""

    def read(self, buffer: Buffer, name: str) -> Array:  # noqa: ARG002 - a seam's argument
        """Return the values of the caller's array."""
        return to_numpy(buffer)

    def convert(self, values: Array, dtype: np.dtype[Any]) -> Array:
        """Return values in the dtype of the arithmetic."""
        return values.astype(dtype)

    def default_ignore(self, system: str) -> int:  # noqa: ARG002
        """``ignore_index`` where the caller gives none."""
        return -100

    def default_reduction(self, call: Call) -> str:  # noqa: ARG002
        """``reduction`` where the caller gives none."""
        return "mean"

    def ignored(self, indices: Array, ignore_index: int) -> Array:
        """Mark the samples that are ignored."""
        return indices == ignore_index

    def reduction(self, call: Call) -> str:
        """Return the reduction that the arguments ask for."""
        size_average, reduce = (call.arguments.get(name) for name in ("size_average", "reduce"))
        if size_average is not None or reduce is not None:
            return self.legacy(size_average, reduce)
        return self.check_reduction(call.arguments.get("reduction", self.default_reduction(call)))

    def legacy(self, size_average: bool | None, reduce: bool | None) -> str:
        """Map the deprecated pair."""
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"

    def arguments(self, call: Call) -> dict[str, Any]:
        """Return the scalar arguments."""
        return dict(call.arguments)

    def smoothing(self, arguments: dict[str, Any]) -> float:
        """Return ``label_smoothing``."""
        return self.check_smoothing(float(arguments.get("label_smoothing", 0.0)))

    def to_canonical(self, values: Array, shape: tuple[int, ...]) -> Array:
        """Bring (C), (N, C) or (N, C, d1, ...) to (N, C, D)."""
        if len(shape) == 1:
            return values.reshape(1, shape[0], 1)
        return values.reshape(shape[0], shape[1], math.prod(shape[2:]))

    def indices(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Bring class indices of the samples' shape to (N, D)."""
        return target.reshape(1 if not shape else shape[0], math.prod(shape[1:])).astype(np.int64)

    def problem(self, call: Call) -> Problem:
        """Check a call and bring it to one layout."""
        self.check_call(call)
        call = call._replace(arguments=self.arguments(call))
        raw = {name: self.read(buffer, name) for name, buffer in call.arrays.items()}
        values, target = self.check_input(call.system, raw["input"]), raw["target"]
        dtype = call.arrays["input"].dtype
        compute = np.dtype(np.float64 if dtype == "float64" else np.float32)
        projection = None
        shape = values.shape
        if "linear_weight" in raw:
            weight, bias = raw["linear_weight"], raw.get("linear_bias")
            self.check_projection(values, weight, bias)
            shape = (*values.shape[:-1], *weight.shape[:-1])
            projection = self.projection(values, weight, bias, compute)
        samples = () if len(shape) == 1 else (shape[0], *shape[2:])
        classes = shape[0] if len(shape) == 1 else shape[1]
        given = call.arguments.get("ignore_index")
        ignore_index = self.default_ignore(call.system) if given is None else given
        y = q = None
        if call.arrays["target"].dtype in ("float16", "bfloat16", "float32", "float64"):
            checked = self.check_probabilities(target, shape)
            q = self.convert(self.to_canonical(checked, shape), compute)
            keep = np.ones((q.shape[0], q.shape[2]), dtype=bool)
        else:
            checked = self.check_indices(call.system, target, samples)
            y = self.indices(checked, samples)
            keep = ~self.ignored(y, ignore_index)
            y = self.check_range(y, keep, classes)
        w = None
        if "weight" in raw:
            w = self.convert(self.check_weight(raw["weight"], classes), compute)
        options = call.arguments.get("options")
        found = Problem(
            system=call.system,
            form=call.form,
            dtype=dtype,
            logits_shape=shape,
            y=y,
            q=q,
            w=w,
            keep=keep,
            epsilon=self.smoothing(call.arguments),
            reduction=self.reduction(call),
            mult=float(call.arguments.get("mult", 1.0)),
            options=None if options is None else self.check_options(options),
            projection=projection,
            shapes={name: array.data.shape for name, array in call.arrays.items()},
            wrt=tuple(call.wrt),
            ignore_index=ignore_index,
        )
        if projection is None:
            found.x = self.convert(self.to_canonical(values, shape), compute)
        return found

    def projection(
        self, values: Array, weight: Array, bias: Array | None, compute: np.dtype[Any]
    ) -> Projection:
        """Bring the operands of the linear loss to (N, F), (C, D, F) and (C, D)."""
        classes, width = weight.shape[0], weight.shape[-1]
        return Projection(
            self.convert(values.reshape(-1, width), compute),
            self.convert(weight.reshape(classes, -1, width), compute),
            None if bias is None else self.convert(bias.reshape(classes, -1), compute),
        )
