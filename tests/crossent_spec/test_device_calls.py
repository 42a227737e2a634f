"""What is handed to the GPU's part of the library, for which a stand-in answers."""

import contextlib
import sys
from types import ModuleType

import numpy as np
import pytest

import crossent_spec
from crossent_spec import Gradients, LinearCrossEntropyOptions
from crossent_spec.chunks import Chunking, Projection, Tangents
from crossent_spec.device_array import DeviceArray


def on_gpu(*shape, dtype="f4", at=4096):
    return DeviceArray(None, at, shape, np.dtype(dtype))


class Memory:
    """One GPU, on which every array is ready."""

    def require_device(self):
        pass

    def gpu_of(self, array, name):  # noqa: ARG002
        return 0

    def on_gpu(self, number):  # noqa: ARG002
        return contextlib.nullcontext()

    def stream_of(self, array):  # noqa: ARG002
        return "its stream"

    def stream_from(self, stream):
        return ("from", stream)

    def on_stream(self, array, stream):  # noqa: ARG002
        return array


@pytest.fixture
def asked(monkeypatch):
    """What the GPU's part was asked: the function, and its arguments."""
    asked = []

    class Losses:
        def __getattr__(self, name):
            def ask(*arguments):
                asked.append((name, *arguments))
                if name.endswith("vjp") and name != "hvp":
                    return "the loss", lambda given=None: ("gradients of", given)
                return ("the loss", "the other") if "hvp" not in name else "the product"

            return ask

    package = ModuleType("crossent_spec.cuda")
    package.memory, package.losses = Memory(), Losses()
    monkeypatch.setitem(sys.modules, "crossent_spec.cuda", package)
    return asked


X, Y, Q = on_gpu(2, 3), on_gpu(2, dtype="i8"), on_gpu(2, 3, at=8192)
F, A, B = on_gpu(2, 5), on_gpu(3, 5), on_gpu(3)
WEIGHT = on_gpu(3, dtype="f8")
OUT, G = on_gpu(2, 3), 2.5
BOTH = ("the loss", "the other")


@pytest.mark.parametrize(
    ("call", "expected", "given"),
    [
        (lambda: crossent_spec.cross_entropy(X, Y), BOTH, ("loss", 1.0, False)),
        (
            lambda: crossent_spec.cross_entropy_value_and_grad(
                X, Q, WEIGHT, grad_output=G, out=OUT, wrt=("input", "weight")
            ),
            BOTH,
            ("value_and_grad", ("input", "weight"), G, OUT, 1.0, False),
        ),
        (
            lambda: crossent_spec.cross_entropy_vjp(X, Q, wrt="target")[1](G),
            ("gradients of", G),
            ("loss_and_vjp", ("target",), 1.0, False),
        ),
        (
            lambda: crossent_spec.unit_scaled_cross_entropy(X, Y, mult=2),
            BOTH,
            ("loss", 2.0, True),
        ),
        (
            lambda: crossent_spec.unit_scaled_cross_entropy_value_and_grad(X, Y, mult=2),
            BOTH,
            ("value_and_grad", ("input",), None, None, 2.0, True),
        ),
        (
            lambda: crossent_spec.unit_scaled_cross_entropy_vjp(X, Y, mult=2)[1](G),
            ("gradients of", G),
            ("loss_and_vjp", ("input",), 2.0, True),
        ),
        (lambda: crossent_spec.cross_entropy_jvp(X, Y, OUT), BOTH, ("jvp", OUT)),
        (
            lambda: crossent_spec.cross_entropy_hvp(X, Y, OUT, grad_output=G),
            "the product",
            ("hvp", OUT, G),
        ),
    ],
)
def test_a_call_with_arrays_of_a_gpu_is_the_gpus(asked, call, expected, given):
    assert call() == expected
    ((name, problem, *others),) = asked
    assert (name, *others) == given
    assert problem.logits.pointer == X.pointer
    assert problem.placement.stream == "its stream"


@pytest.mark.parametrize(
    ("options", "chunking"),
    [(None, Chunking()), (LinearCrossEntropyOptions(batch_chunk_size=1), Chunking(1, None))],
)
def test_so_is_a_linear_call(asked, options, chunking):
    arrays = (F, A, Y)
    more = {"linear_bias": B, "options": options}
    assert crossent_spec.linear_cross_entropy(*arrays, **more) == BOTH
    crossent_spec.linear_cross_entropy_value_and_grad(
        *arrays, **more, wrt=("linear_weight", "weight"), grad_output=G, weight=WEIGHT
    )
    loss, vjp = crossent_spec.linear_cross_entropy_vjp(*arrays, **more)
    assert loss == "the loss"
    assert vjp(G) == ("gradients of", G)
    if options is None:
        assert vjp() == ("gradients of", None)
    else:
        with pytest.raises(RuntimeError, match="were consumed by an earlier call"):
            vjp()
    names = ("input", "linear_weight", "linear_bias")
    for (name, problem, projection, found, *others), given in zip(
        asked,
        [
            ("linear_loss",),
            ("linear_value_and_grad", ("linear_weight", "weight"), G),
            ("linear_loss_and_vjp", names),
        ],
        strict=True,
    ):
        assert (name, *others) == given
        assert problem.placement.stream == "its stream"
        assert projection == Projection(F, A, B)
        assert found[0] == chunking.rows


def test_so_is_a_derivative_along_tangents(asked):
    along = Gradients(linear_weight=A, linear_bias=B)
    stream = {"linear_bias": B, "stream": 7}
    assert crossent_spec.linear_cross_entropy_jvp(F, A, Y, along, **stream) == BOTH
    found = crossent_spec.linear_cross_entropy_hvp(F, A, Y, along, grad_output=G, **stream)
    assert found == "the product"
    for (name, problem, projection, moves, *others), given in zip(
        asked, [("linear_jvp",), ("linear_hvp", G)], strict=True
    ):
        assert (name, *others) == given
        assert problem.placement.stream == ("from", 7)
        assert projection == Projection(F, A, B)
        assert moves == Tangents(None, A, B)


def test_the_chunks_are_those_of_the_options(asked):
    half = np.dtype("f2")
    options = LinearCrossEntropyOptions(chunking_method="aspect_ratio", acc_dtype=half)
    input, matrix = on_gpu(64, 2, dtype=half), on_gpu(16, 4, 2, dtype=half)
    crossent_spec.linear_cross_entropy(input, matrix, on_gpu(64, 4, dtype="i8"), options=options)
    *_, chunking = asked[0]
    # The 64 logits of a sample are 32 times its 2 features: a 32nd of the 64 samples.
    assert chunking == Chunking(2, half)
