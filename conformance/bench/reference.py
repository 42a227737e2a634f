"""What every contestant must find: the specification's formulas in float64, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from conformance.bench.contestant import Values
from conformance.bench.workloads import LINEAR, PROBABILITIES, Inputs, Workload
from crossent_spec import formulas

Array = NDArray[Any]

#: Logits that are evaluated at a time.
BLOCK = 1 << 20


def expected(workload: Workload, inputs: Inputs) -> Values:
    """Return the loss and the gradients, the latter rounded to float32."""
    if workload.kind == LINEAR:
        return _linear(inputs)
    samples, classes = inputs.x.shape[:2]
    logits = inputs.x.reshape(samples, classes, -1)
    index = workload.kind != PROBABILITIES
    target = inputs.target.reshape((samples, -1) if index else logits.shape)
    weight = np.ones(classes) if inputs.weight is None else inputs.weight.astype(np.float64)
    divisor = weight[target].sum() if index else target.size / classes
    gradient = np.empty(logits.shape, np.float32)
    loss = 0.0
    for part in _blocks(samples, logits[0].size):
        symbols = _symbols(logits[part].astype(np.float64), target[part], weight, inputs.epsilon)
        loss += formulas.unreduced(symbols).sum() / divisor
        scale = formulas.sample_scale(1.0 / divisor, 1.0, symbols)
        gradient[part] = formulas.logit_gradient(symbols, scale)
    return Values(loss, {"input": gradient.reshape(inputs.x.shape)})


def _linear(inputs: Inputs) -> Values:
    assert inputs.linear_weight is not None
    weight = inputs.linear_weight.astype(np.float64)
    samples, classes = len(inputs.x), len(weight)
    of_features = np.empty(inputs.x.shape, np.float32)
    of_weight = np.zeros_like(weight)
    loss = 0.0
    # Products of many rows are the faster ones, and these are most of the work.
    for part in _blocks(samples, classes // 16 or 1):
        features = inputs.x[part].astype(np.float64)
        logits = formulas.linear_logits(features, weight[:, None], None)
        symbols = _symbols(logits, inputs.target[part][:, None], np.ones(classes), 0.0)
        loss += formulas.unreduced(symbols).sum() / samples
        scale = formulas.sample_scale(1.0 / samples, 1.0, symbols)
        of_logits = formulas.logit_gradient(symbols, scale)
        of_input, of_part, _ = formulas.linear_gradients(of_logits, features, weight[:, None])
        of_features[part] = of_input
        of_weight += of_part[:, 0]
    return Values(loss, {"input": of_features, "linear_weight": of_weight.astype(np.float32)})


def _symbols(x: Array, target: Array, weight: Array, epsilon: float) -> formulas.Symbols:
    index = target.ndim == 2
    samples, _, positions = x.shape
    return formulas.Symbols(
        x,
        target if index else None,
        None if index else target.astype(np.float64),
        weight,
        np.ones((samples, positions), np.bool_),
        epsilon,
        "mean",
    )


def _blocks(count: int, size: int) -> Iterator[slice]:
    step = max(1, BLOCK // size)
    for begin in range(0, count, step):
        yield slice(begin, min(begin + step, count))


def departure(workload: Workload, found: Values, wanted: Values) -> str:
    """Say where values are not what they should be; nothing if they are.

    The allowance is for a framework that rounds its log-softmax to the dtype of the logits, as
    some do: it tells right from wrong, and does not judge precision (``crossent run`` does).
    """
    unit = float(ml_dtypes.finfo(workload.dtype).eps)
    if not abs(found.loss - wanted.loss) <= 64 * unit * abs(wanted.loss):
        return f"the loss is {found.loss:.7g}, not {wanted.loss:.7g}"
    # Errors of a product go with the size of its terms, not with that of its result.
    beside = 256 if workload.kind == LINEAR else 8
    for name, gradient in found.gradients.items():
        right = wanted.gradients[name]
        if gradient.shape != right.shape:
            return f"the gradient of {name} has shape {gradient.shape}, not {right.shape}"
        floor = beside * unit * float(max(-right.min(), right.max()))
        floor += 2 * float(ml_dtypes.finfo(workload.dtype).smallest_subnormal)
        for part in _blocks(len(right), right[0].size):
            error = np.abs(gradient[part].astype(np.float32) - right[part])
            excess = error - (64 * unit * np.abs(right[part]) + np.float32(floor))
            # Written so that NaN is an excess.
            if not (excess <= 0).all():
                return f"the gradient of {name} is off by up to {np.nanmax(error):.2g}"
    return ""
