"""Adapters loaded as a worker loads them, and calls for them."""

import importlib.util
import math
from pathlib import Path

import ml_dtypes
import numpy as np

import conformance
from conformance.protocol import Array, Call

ADAPTERS = Path(conformance.__file__).parent / "adapters"
CE = "torch.nn.CrossEntropyLoss"
LINEAR = "torch.nn.LinearCrossEntropyLoss"
ONEFLOW = "oneflow.nn.CrossEntropyLoss"
UNIT = "unit_scaling.functional.cross_entropy"


def load(name):
    """Load an adapter the way a worker does: by path, under a name of its own."""
    spec = importlib.util.spec_from_file_location(
        f"adapter_under_test_{name}", ADAPTERS / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def adapter(name):
    return load(name).Adapter()


def array(data, dtype=None):
    if dtype == "bfloat16":
        return Array(np.asarray(data, ml_dtypes.bfloat16).view(np.uint16), dtype)
    data = np.asarray(data, dtype)
    return Array(data, data.dtype.name)


def values(result):
    """Return an adapter's array as float64."""
    data = result.data.view(ml_dtypes.bfloat16) if result.dtype == "bfloat16" else result.data
    return data.astype(np.float64)


def logits(*shape, dtype="float32", seed=0):
    return array(np.random.default_rng(seed).normal(size=shape), dtype)


def probabilities(*shape, dtype="float32"):
    raw = np.random.default_rng(1).uniform(0.1, 1, size=shape)
    return array(raw / raw.sum(axis=1, keepdims=True), dtype)


def ce_call(form="function", arguments=None, wrt=("input",), system=CE, **arrays):
    arrays = {"input": logits(4, 5), "target": array([0, 4, 2, 1]), **arrays}
    return Call(system, form, arguments or {}, arrays, list(wrt))


def linear_call(form="function", out=(), arguments=None, wrt=("input", "linear_weight"), **arrays):
    target = np.arange(6 * math.prod(out)).reshape(6, *out) % 5
    arrays = {
        "input": logits(6, 3),
        "target": array(target),
        "linear_weight": logits(5, *out, 3, seed=2),
        **arrays,
    }
    return Call(LINEAR, form, arguments or {}, arrays, list(wrt))
