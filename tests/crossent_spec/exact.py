"""Losses and gradients of class indices in ball arithmetic, and how far results are from them."""

import ml_dtypes
import numpy as np
from flint import arb, ctx

from crossent_spec import formulas

DTYPES = {"f2": np.float16, "b2": ml_dtypes.bfloat16, "f4": np.float32, "f8": np.float64}
#: What is promised: float64 has no wider type to sum and to round from.
LOSS_ULPS = {"f2": 1.0, "b2": 1.0, "f4": 1.0, "f8": 4.0}
GRADIENT_ULPS = {"f2": 2.0, "b2": 2.0, "f4": 2.0, "f8": 8.0}


def ulps(got, exact_high, exact_low, dtype):
    """Distance of rounded results to exact values, in ulps of the dtype at the exact value."""
    info = ml_dtypes.finfo(dtype)
    size = np.maximum(np.abs(exact_high), float(info.smallest_normal))
    # Twice: float64 cannot scale by 2^1074 at once.
    ulp = np.exp2(np.floor(np.log2(size))) * float(info.eps)
    return np.abs((np.asarray(got, dtype=np.float64) - exact_high) - exact_low) / ulp


def exactly(x, y, w, reduction, smoothing, g, ignore_index=-100, precision=200):
    """Loss and gradient as pairs of float64: nearest, and what is left."""
    ctx.prec = precision

    def balls(values):
        found = np.empty(values.size, dtype=object)
        found[:] = [arb(float(v)) for v in values.ravel()]
        return found.reshape(values.shape)

    shape = x.shape
    flat = np.asarray(x, np.float64).reshape(shape[0], shape[1], -1)
    keep = y.reshape(shape[0], -1) != ignore_index
    s = formulas.Symbols(
        x=balls(np.where(keep[:, None, :], flat, 0.0)),
        y=np.where(keep, y.reshape(shape[0], -1), 0),
        q=None,
        w=balls(np.ones(shape[1]) if w is None else np.asarray(w, np.float64)),
        keep=keep,
        epsilon=arb(smoothing),
        reduction=reduction,
    )
    loss = np.asarray(formulas.loss(s), dtype=object)
    gradient = formulas.gradients(s, balls(np.asarray(g, np.float64)), "x").x.reshape(shape)
    return split(loss), split(gradient)


def split(values):
    values = np.asarray(values, dtype=object)
    high = np.array([float(v.mid()) for v in values.ravel()]).reshape(values.shape)
    low = [float((v - h).mid()) for v, h in zip(values.ravel(), high.ravel(), strict=True)]
    return high, np.array(low).reshape(values.shape)


def problem(seed, shape, dtype, scale=3.0):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(shape) * scale).astype(dtype)
    return x, rng.integers(0, shape[1], (shape[0], *shape[2:]))


def terms(x, g):
    """The terms whose difference a gradient is: scale·(softmax + 1/C), in float64."""
    flat = np.asarray(x, np.float64)
    p = np.exp(flat - flat.max(axis=1, keepdims=True))
    return np.abs(g) * (p / p.sum(axis=1, keepdims=True) + 1 / x.shape[1])
