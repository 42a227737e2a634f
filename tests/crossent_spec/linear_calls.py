"""Random calls of the linear loss, and what the formulas say about them."""

import tracemalloc

import ml_dtypes  # noqa: F401
import numpy as np

import crossent_spec as cs
from crossent_spec import formulas

DTYPES = ("float16", "bfloat16", "float32", "float64")
#: Unit roundoffs of the results' type, and of the products'.
STORE = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
PRODUCT = {name: 2.0**-53 if name == "float64" else 2.0**-24 for name in STORE}
#: Roundings of a loss or a gradient of the logits, beside those of the projection.
KERNEL = 8
#: Per-sample numbers, class coefficients, kernels' rows and tiles.
SMALL = 1.5e6

N, F, C = 13, 6, 11

MODES = {
    "plain": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "bias": {"bias": True},
    "ignored": {"ignored": True},
    "weights": {"weights": True, "ignored": True},
    "smoothing": {"label_smoothing": 0.2, "weights": True, "bias": True},
    "probabilities": {"probabilities": True, "bias": True},
    "probabilities-weights": {"probabilities": True, "weights": True, "label_smoothing": 0.1},
    "positions": {"out": (2, 3), "ignored": True},
    "positions-smoothing": {"out": (2,), "label_smoothing": 0.3, "weights": True},
    "positions-probabilities": {"out": (2,), "probabilities": True, "reduction": "none"},
}


class Call:
    """A random call, and what the formulas say about it in float64."""

    def __init__(self, mode, dtype="float32", seed=0, batch=N, width=F, classes=C):
        mode = dict(MODES[mode])
        rng = np.random.default_rng(seed)
        kind = np.dtype(dtype)
        out = mode.pop("out", ())
        self.input = rng.standard_normal((batch, width)).astype(kind)
        self.weight = rng.standard_normal((classes, *out, width)).astype(kind)
        bias = mode.pop("bias", False)
        self.bias = rng.standard_normal(classes).astype(kind) if bias else None
        self.w = rng.uniform(0.5, 2, classes).astype(kind) if mode.pop("weights", False) else None
        self.keep = np.ones((batch, *out), dtype=bool)
        if mode.pop("probabilities", False):
            q = rng.uniform(size=(batch, classes, *out))
            self.target = (q / q.sum(axis=1, keepdims=True)).astype(kind)
        else:
            self.target = rng.integers(0, classes, (batch, *out))
            if mode.pop("ignored", False):
                self.target[rng.uniform(size=batch) < 0.4] = -100
                self.target[0, ...] = -100
                self.target.reshape(batch, -1)[1, 0] = -100
                self.keep = self.target != -100
        self.arguments = {"linear_bias": self.bias, "weight": self.w, **mode}
        self.mode = mode
        self.store, self.product = STORE[dtype], PRODUCT[dtype]

    def value_and_grad(self, **more):
        return cs.linear_cross_entropy_value_and_grad(
            self.input, self.weight, self.target, **self.arguments, **more
        )

    def names(self):
        names = ["input", "linear_weight"] + ["linear_bias"] * (self.bias is not None)
        return (
            names + ["weight"] * (self.w is not None) + ["target"] * (self.target.dtype.kind != "i")
        )

    def symbols(self):
        wide = {name: None if (a := getattr(self, name)) is None else a.astype(np.float64)
                for name in ("input", "weight", "bias", "w")}  # fmt: skip
        classes, width = len(self.weight), self.weight.shape[-1]
        matrix = wide["weight"].reshape(classes, -1, width)
        bias = None if self.bias is None else wide["bias"].reshape(classes, -1)
        indices, batch = self.target.dtype.kind == "i", len(self.input)
        s = formulas.Symbols(
            x=formulas.linear_logits(wide["input"], matrix, bias),
            y=np.where(self.keep, self.target, 0).reshape(batch, -1) if indices else None,
            q=None if indices else self.target.astype(np.float64).reshape(batch, classes, -1),
            w=np.ones(classes) if self.w is None else wide["w"],
            keep=self.keep.reshape(batch, -1),
            epsilon=self.mode.get("label_smoothing", 0.0),
            reduction=self.mode.get("reduction", "mean"),
        )
        return s, wide["input"], matrix, bias

    def exact(self, g=1.0, chunks=0):
        """Return loss and gradients, each with its allowed error.

        Every operation rounds by u at most, and a sum of n terms by n − 1 of them (Higham 2002):
        F + 1 roundings make a logit, so that its error moves a log-probability by at most twice
        the largest of them; what is stored rounds once more, by v.  ``chunks`` roundings by v are
        those of a sum over so many chunks that is itself stored.
        """
        u, v = self.product, self.store
        s, features, matrix, bias = self.symbols()
        divisor = formulas.denominator(s)
        g = np.broadcast_to(g, s.keep.shape) if s.reduction == "none" else np.float64(g)
        scale = formulas.sample_scale(g, divisor, s)
        size = np.abs(features) @ np.abs(matrix).reshape(-1, features.shape[1]).T
        size = size.reshape(s.x.shape) + (0 if bias is None else np.abs(bias))
        logit = (features.shape[1] + 1) * u * size.max(axis=1, keepdims=True)
        logp = np.abs(formulas.log_softmax(s.x))
        a = np.abs(formulas.coefficients(s)) * s.keep[:, None, :]
        wrong = 2 * logit + KERNEL * u * (1 + logp + np.abs(s.x))
        losses = (a * wrong).sum(axis=1)
        reduced = formulas.reduced(losses, divisor, s.reduction)
        loss = formulas.loss(s)
        found = {"loss": (loss, reduced + v * np.abs(loss))}

        found_g = formulas.gradients(s, g)
        total = np.exp(-logp) * a.sum(axis=1, keepdims=True)
        strength = np.abs(scale)[:, None, :]
        error = strength * (total * wrong + KERNEL * u * (total + a))
        count, flat = len(features), (len(features), -1)
        x, wide = np.abs(features), np.abs(matrix.reshape(-1, features.shape[1]))
        G, E = np.abs(found_g.x).reshape(flat), error.reshape(flat)
        of_input, of_weight, of_bias = formulas.linear_gradients(found_g.x, features, matrix)
        sums = {
            "input": (of_input, E @ wide + (len(wide) + 1) * u * (G @ wide)),
            "linear_weight": (of_weight, E.T @ x + ((count + 1) * u + chunks * v) * (G.T @ x)),
            "linear_bias": (of_bias, (E + (count + 1) * u * G).sum(axis=0)),
        }
        for name, (value, bound) in sums.items():
            found[name] = value, bound.reshape(value.shape) + 2 * v * np.abs(value)
        mixed = np.abs(formulas.mixed_targets(s)) * s.keep[:, None, :]
        of_w = (strength * mixed * wrong).sum(axis=(0, 2))
        if s.q is None and s.reduction == "mean":
            of_w = of_w + reduced * (strength * mixed).sum(axis=(0, 2)) / max(1e-9, 1 - s.epsilon)
        found["weight"] = found_g.w, of_w + 2 * v * np.abs(found_g.w)
        found["target"] = found_g.q, strength * s.w[:, None] * wrong + 2 * v * np.abs(found_g.q)
        return found


def check(call, loss, grads, names, g=1.0, chunks=0):
    exact = call.exact(g, chunks)
    for name in ("loss", *names):
        got = loss if name == "loss" else getattr(grads, name)
        value, allowed = (np.asarray(part) for part in exact[name])
        got = np.asarray(got).astype(np.float64).reshape(value.shape)
        # Results of a 16-bit type may be subnormal there.
        allowed = allowed + (2.0**-24 if call.store > 2.0**-24 else 0.0)
        assert (np.abs(got - value) <= allowed).all(), (name, np.abs(got - value).max())


def layouts(array):
    spaced = np.zeros((len(array) + 2, array.shape[1] * 2), array.dtype)
    spaced[1:-1, ::2] = array
    return {
        "columns": np.asfortranarray(array),
        "spaced": spaced[1:-1, ::2],
        "wide": np.pad(array, ((0, 0), (1, 2)))[:, 1:-2],
        "backwards": array[::-1].copy()[::-1],
        "swapped": array.astype(array.dtype.newbyteorder()),
    }


def peak(function):
    """Return what a call holds at most beyond what was there, its results included, in bytes."""
    function()  # compiles
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()
