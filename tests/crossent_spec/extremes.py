"""Calls at the ends of what numbers can be, and what CPU and GPU make of them."""

import numpy as np

import crossent_spec
from tests.crossent_spec.exact import DTYPES

MODES = ["plain", "positive", "negative", "probabilities", "smooth"]


def nearly_certain(shape, name, gap, layout, mode):
    """Return logits, targets and weights whose target is so far beyond all others, and arguments.

    Of the second sample the target is another class; of the third it is ignored, and in the fourth
    a class has no probability at all.
    """
    dtype, samples, classes = DTYPES[name], *shape
    rng = np.random.default_rng(7)
    x = rng.normal(size=shape).astype(dtype)
    y = rng.integers(0, classes, samples)
    x[np.arange(samples), y] = x.max(axis=1) + dtype(gap)
    y[1] = (y[1] + 1) % classes
    if mode != "probabilities":
        y[2] = -100
    x[3, (y[3] + 1) % classes] = -np.inf
    w = {"positive": np.full(classes, 1e-3, dtype), "negative": np.full(classes, -0.5, dtype)}
    target = np.eye(classes, dtype=dtype)[y] if mode == "probabilities" else y
    arguments = {"label_smoothing": 0.1 if mode == "smooth" else 0.0}
    return (np.asarray(x, order=layout), target, w.get(mode)), arguments


def with_a_weight(classes, name, layout, peak, value):
    """Return logits, targets and weights, of which the second class's is ``value``."""
    x = np.random.default_rng(classes).random((8, classes)).astype(DTYPES[name])
    x[:, 1] = peak
    w = np.ones(classes, x.dtype)
    w[1] = value
    return np.asarray(x, order=layout), np.arange(8) % 3, w


def both(arrays, **arguments):
    """Return what loss and gradients are on the GPU and on the CPU."""
    with np.errstate(all="ignore"):
        return [
            crossent_spec.cross_entropy_value_and_grad(*arrays, **arguments, backend=backend)
            for backend in ("cuda", "cpu")
        ]
