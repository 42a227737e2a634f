"""Documented requirements, and calls that break one of them each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .case import Case

Array = NDArray[Any]

#: Arguments of a scalar kind that a page forbids.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "reduction-name": {"reduction": "average"},
    "reduction-case": {"reduction": "Mean"},
    "smoothing-negative": {"label_smoothing": -0.1},
    "smoothing-above-one": {"label_smoothing": 1.5},
    "smoothing-nan": {"label_smoothing": "nan"},
    "options-chunk": {"options": {"batch_chunk_size": 0}},
    "options-method": {"options": {"chunking_method": "nearest"}},
    "options-policy": {"options": {"acc_policy": "fast"}},
    "unsupported-size-average": {"size_average": True},
    "unsupported-reduce": {"reduce": True},
    "unsupported-smoothing": {"label_smoothing": 0.1},
}


def spoil(case: Case, arrays: dict[str, Array], arguments: dict[str, Any]) -> None:
    """Break, in place, the requirement that ``case.bad`` names.

    ``arrays`` holds valid float64 and int64 arrays by argument name; those of another dtype than
    the case's come back in their own.
    """
    bad = case.bad
    if bad == "no":
        return
    if bad in _ARGUMENTS:
        arguments.update(_ARGUMENTS[bad])
        return
    what, _, how = bad.partition("-")
    if what == "input":
        arrays["input"] = _input(how, arrays)
    elif what == "target":
        arrays["target"] = _target(case, how, arrays["target"])
    elif what == "prob":
        arrays["target"] = _probabilities(how, arrays["target"])
    elif what == "bias":
        bias = arrays["linear_bias"]
        arrays["linear_bias"] = np.concatenate([bias, bias[:1]])
    else:
        arrays["weight"] = _weight(how, arrays.get("weight", np.ones(case.num_classes)))


def _input(how: str, arrays: dict[str, Array]) -> Array:
    values = arrays["input"]
    if how == "scalar":
        arrays["target"] = np.int64(0) * arrays["target"].reshape(-1)[0]
        return values.reshape(-1)[0].reshape(())
    if how == "unbatched":
        arrays["target"] = arrays["target"][0]
        return values[0]
    if how == "3d":
        return np.stack([values, values])
    return np.concatenate([values, values[..., :1]], axis=-1)  # one feature too many


def _target(case: Case, how: str, valid: Array) -> Array:
    values = valid.copy()
    if how == "length":
        return np.concatenate([values, values[:1]])
    if how == "extra-axis":
        return np.expand_dims(values, -1)
    if how == "missing-axis":
        return values[..., 0]
    if how == "spatial":
        return np.concatenate([values, values[..., :1]], axis=-1)
    if how == "shape-of-input":
        return np.zeros(case.logits_shape, dtype=np.int64)
    if how == "float":
        return values.astype(np.float64)
    if how in ("too-large", "negative"):
        # Where another index is ignored, the default one is a class out of range like any other.
        below = -1 if case.ignored_value == -100 else -100
        values.reshape(-1)[values.size // 2] = case.num_classes if how == "too-large" else below
    if how == "wraps":
        values.reshape(-1)[values.size // 2] += 2**32  # a class again where it is cut to 32 bits
    return values  # "dtype": the case names it


def _probabilities(how: str, values: Array) -> Array:
    if how == "dtype":
        return np.rint(values).astype(np.int64)
    if how == "broadcast":
        return values[:1]  # those of one sample, for a batch
    axis = 0 if values.ndim == 1 else 1
    return np.concatenate([values, values.take([0], axis=axis)], axis=axis)


def _weight(how: str, values: Array) -> Array:
    if how == "short":
        return values[:-1]
    if how == "long":
        return np.concatenate([values, values[:1]])
    if how == "2d":
        return values[None, :]
    if how == "scalar":
        return values[0].reshape(())
    if how == "dtype":
        return np.ones(values.shape, dtype=np.int64)
    return values  # "weight" itself is what is unsupported
