"""The public functions and classes: page examples, state rule, options, parameters."""

import numpy as np
import pytest

import crossent_spec as cs
from conformance.values import PAGE_LOGITS, PAGE_PROBABILITIES, PAGE_TARGET

INPUT = PAGE_LOGITS.astype(np.float32)
FEATURES = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])
MATRIX = np.array([[0.5, 1.0], [-1.5, 0.0], [2.0, -0.5], [0.0, 1.0]])
TARGET = np.array([1, 3, 0])


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ({"reduction": "none"}, [0.8020, 1.1167, 0.3583]),
        ({"reduction": "sum"}, 2.2769),
        ({"reduction": "mean"}, 0.7590),
        ({"reduction": "none", "ignore_index": 0}, [0.0, 1.1167, 0.3583]),
        ({"reduction": "none", "label_smoothing": 0.5}, [1.0586, 1.1654, 0.8864]),
    ],
)
def test_oneflow_prints_these_numbers(arguments, printed):
    loss = cs.OneFlowCrossEntropyLoss(**arguments)(INPUT, PAGE_TARGET.astype(np.int32))
    np.testing.assert_allclose(loss, printed, atol=5e-5)


def test_oneflow_prints_this_for_probabilities():
    loss = cs.OneFlowCrossEntropyLoss()(INPUT, PAGE_PROBABILITIES.astype(np.float32))
    assert loss == pytest.approx(1.3305, abs=5e-5)


def test_oneflow_documents_batched_input_only():
    with pytest.raises(ValueError, match="^input: got shape"):
        cs.OneFlowCrossEntropyLoss()(INPUT[0], np.int64(0))


def test_smoothing_mixes_the_target_with_the_uniform_distribution():
    onehot = np.eye(3)[PAGE_TARGET]
    mixed = 0.7 * onehot + 0.1
    got = cs.cross_entropy(PAGE_LOGITS, PAGE_TARGET, label_smoothing=0.3)
    assert got == pytest.approx(cs.cross_entropy(PAGE_LOGITS, mixed), rel=1e-14)


def test_a_vjp_on_logits_may_be_called_repeatedly_and_scales():
    _, vjp = cs.cross_entropy_vjp(PAGE_LOGITS, PAGE_TARGET)
    first, second = vjp(), vjp(-2.0)
    np.testing.assert_allclose(second.input, -2 * first.input, rtol=1e-15)
    assert first.target is first.weight is first.linear_weight is first.linear_bias is None


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_the_gradient_of_the_loss_multiplies_what_is_differentiated(reduction):
    rng = np.random.default_rng(5)
    x, along, y = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), np.array([0, 3, 1])
    g = np.array([4.0, -2.0, 0.5]) if reduction == "none" else 4.0
    factors = np.broadcast_to(np.reshape(g, (-1, 1)), (3, 1))
    options = {"reduction": reduction}
    _, plain = cs.cross_entropy_value_and_grad(x, y, **options)
    _, times = cs.cross_entropy_value_and_grad(x, y, grad_output=g, **options)
    np.testing.assert_array_equal(times.input, factors * plain.input)
    plain = cs.cross_entropy_hvp(x, y, along, **options)
    times = cs.cross_entropy_hvp(x, y, along, grad_output=g, **options)
    np.testing.assert_array_equal(times, factors * plain)


def test_linear_is_the_loss_of_the_projection():
    for bias in (None, np.array([0.5, -0.5, 1.0, 0.0])):
        logits = FEATURES @ MATRIX.T + (0 if bias is None else bias)
        got = cs.linear_cross_entropy(FEATURES, MATRIX, TARGET, linear_bias=bias)
        assert got == pytest.approx(cs.cross_entropy(logits, TARGET), rel=1e-14)


def test_linear_gradients_follow_from_those_of_the_logits():
    logits = FEATURES @ MATRIX.T
    at_logits = cs.cross_entropy_value_and_grad(logits, TARGET)[1].input
    _, grads = cs.linear_cross_entropy_value_and_grad(FEATURES, MATRIX, TARGET)
    np.testing.assert_allclose(grads.input, at_logits @ MATRIX, rtol=1e-13)
    np.testing.assert_allclose(grads.linear_weight, at_logits.T @ FEATURES, rtol=1e-13)
    assert grads.linear_bias is None


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_chunked_gradients_are_consumed_unless_retained(reduction, smoothing):
    def call(options):
        return cs.linear_cross_entropy_vjp(
            FEATURES,
            MATRIX,
            TARGET,
            reduction=reduction,
            label_smoothing=smoothing,
            options=options,
        )

    reference = call(None)[1]
    first, again = reference(), reference()
    np.testing.assert_array_equal(first.input, again.input)
    _, vjp = call(cs.LinearCrossEntropyOptions(batch_chunk_size=2))
    np.testing.assert_array_equal(vjp().input, first.input)
    with pytest.raises(RuntimeError, match="allow_retain_graph"):
        vjp()
    _, vjp = call(cs.LinearCrossEntropyOptions(allow_retain_graph=True))
    vjp()
    np.testing.assert_array_equal(vjp().input, first.input)


def test_a_refused_grad_output_does_not_consume_the_gradients():
    _, vjp = cs.linear_cross_entropy_vjp(
        FEATURES, MATRIX, TARGET, options=cs.LinearCrossEntropyOptions()
    )
    with pytest.raises(ValueError, match="grad_output"):
        vjp(np.ones(7))
    vjp(2.0)


def test_a_k_dimensional_bias_falls_back_with_a_warning():
    matrix = np.ones((4, 3, 2))
    target = np.zeros((3, 3), dtype=int)
    options = cs.LinearCrossEntropyOptions()
    with pytest.warns(UserWarning, match="reference implementation") as caught:
        _, vjp = cs.linear_cross_entropy_vjp(
            FEATURES, matrix, target, linear_bias=np.zeros((4, 3)), options=options
        )
    assert caught[0].filename == __file__
    vjp()
    vjp()  # the reference implementation does not consume
    cs.linear_cross_entropy(FEATURES, matrix, target, options=options)  # no bias, no warning


@pytest.mark.parametrize(
    ("error", "argument", "arguments"),
    [
        (ValueError, "input", {"input": np.ones((2, 3, 2))}),
        (ValueError, "input", {"input": np.ones((3, 5))}),
        (TypeError, "input", {"input": np.ones((3, 2), dtype=int)}),
        (ValueError, "linear_weight", {"linear_weight": np.ones(2)}),
        (ValueError, "input", {"input": np.ones(2), "linear_weight": np.ones((4, 3, 2))}),
        (ValueError, "linear_bias", {"linear_bias": np.ones(3)}),
        (ValueError, "weight", {"weight": np.ones(5)}),
        (ValueError, "target", {"target": np.array([0, 1])}),
        (IndexError, "target", {"target": np.array([0, 1, 4])}),
        (ValueError, "ignore_index", {"target": np.ones((3, 4)), "ignore_index": -100}),
        (TypeError, "options", {"options": {"batch_chunk_size": 3}}),
        (ValueError, "acc_dtype", {"options": cs.LinearCrossEntropyOptions(acc_dtype="f4")}),
        (ValueError, "reduction", {"reduction": "max"}),
    ],
)
def test_a_broken_requirement_of_the_linear_loss_names_its_argument(error, argument, arguments):
    call = {"input": FEATURES, "linear_weight": MATRIX, "target": TARGET, **arguments}
    with pytest.raises(error, match=f"^{argument}: "):
        cs.linear_cross_entropy(**call)


def test_a_projection_without_classes_is_named():
    with pytest.raises(ValueError, match="^linear_weight: "):
        cs.linear_cross_entropy(FEATURES, np.ones((0, 2)), TARGET)


def test_byte_order_and_names_of_dtypes():
    options = cs.LinearCrossEntropyOptions(acc_dtype="float64")
    swapped = FEATURES.astype(">f8")
    got = cs.linear_cross_entropy(swapped, MATRIX, TARGET, options=options)
    assert got == cs.linear_cross_entropy(FEATURES, MATRIX, TARGET)
    assert cs.LinearCrossEntropyOptions(acc_dtype="bfloat16").acc_dtype.name == "bfloat16"
    module = cs.LinearCrossEntropyLoss(2, 4, dtype="bfloat16")
    assert module.linear.weight.dtype.name == "bfloat16"
    with pytest.raises(TypeError, match="^dtype: got 'nope'"):
        cs.LinearCrossEntropyLoss(2, 4, dtype="nope")


def test_infinities_that_the_formula_does_not_meet():
    logits = np.array([[0.0, 1.0]])
    weight = np.array([1.0, np.inf])
    loss, grads = cs.cross_entropy_value_and_grad(logits, np.array([0]), weight)
    plain, exact = cs.cross_entropy_value_and_grad(logits, np.array([0]))
    assert loss == plain
    np.testing.assert_array_equal(grads.input, exact.input)
    # Wholly smoothed, the target's class is as likely as every other, and impossible: infinite.
    impossible = np.array([[0.0, -np.inf]])
    assert cs.cross_entropy(impossible, np.array([1]), label_smoothing=1.0) == np.inf
    assert cs.cross_entropy(impossible, np.array([[0.0, 1.0]]), label_smoothing=1.0) == np.inf


def test_ignore_index_none_is_minus_one_hundred():
    target = np.array([1, -100, 0])
    got = cs.linear_cross_entropy(FEATURES, MATRIX, target)
    assert got == cs.linear_cross_entropy(FEATURES, MATRIX, target, ignore_index=-100)
    with pytest.raises(IndexError):
        cs.linear_cross_entropy(FEATURES, MATRIX, target, ignore_index=-1)


@pytest.mark.parametrize(
    ("arguments", "sizes", "rows"),
    [
        ({}, (64, 8, 32), 8),
        ({"batch_chunk_size": 10}, (64, 8, 32), 10),
        ({"batch_chunk_size": 100}, (64, 8, 32), 64),
        ({"chunking_method": None}, (64, 8, 32), 64),
        ({"chunking_method": "aspect_ratio"}, (4096, 4096, 32000), 512),
        ({"chunking_method": "aspect_ratio:4"}, (4096, 4096, 32000), 128),
        ({"chunking_method": "aspect_ratio:4096"}, (64, 8, 32), 1),
        ({"chunking_method": "aspect_ratio", "batch_chunk_size": 16}, (64, 8, 32), 16),
    ],
)
def test_chunk_sizes_follow_the_documented_heuristics(arguments, sizes, rows):
    assert cs.LinearCrossEntropyOptions(**arguments).chunk_size(*sizes) == rows


def test_disagreeing_chunk_sizes_are_refused():
    options = cs.LinearCrossEntropyOptions(chunking_method="aspect_ratio", batch_chunk_size=3)
    with pytest.raises(ValueError, match=r"batch_chunk_size: got 3, .* gives 2"):
        cs.linear_cross_entropy(FEATURES, MATRIX, TARGET, options=options)


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_chunk_size": 0},
        {"batch_chunk_size": 2.0},
        {"batch_chunk_size": True},
        {"chunking_method": "nearest"},
        {"chunking_method": "aspect_ratio:0"},
        {"chunking_method": "aspect_ratio:"},
        {"acc_policy": "fast"},
        {"acc_dtype": "int8"},
        {"acc_dtype": "no such type"},
    ],
)
def test_options_check_their_fields(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))}: got"):
        cs.LinearCrossEntropyOptions(**arguments)


def test_the_linear_module_owns_flat_parameters():
    loss = cs.LinearCrossEntropyLoss(5, 10, out_features=(4, 3), bias=True, rng=1)
    assert loss.linear.weight.shape == (120, 5)
    assert loss.linear.bias.shape == (120,)
    assert loss.linear_weight.shape == (10, 4, 3, 5)
    assert loss.linear_bias.shape == (10, 4, 3)
    assert loss.linear.weight.dtype == np.float32
    limit = 1 / np.sqrt(5)
    assert np.abs(loss.linear.weight).max() <= limit
    assert np.abs(loss.linear.weight).max() > 0.9 * limit
    same = cs.LinearCrossEntropyLoss(5, 10, out_features=(4, 3), bias=True, rng=1)
    np.testing.assert_array_equal(loss.linear.weight, same.linear.weight)
    value, grads = loss.value_and_grad(
        np.ones((2, 5), dtype=np.float32), np.zeros((2, 4, 3), dtype=np.int64)
    )
    assert value.shape == ()
    assert grads.linear_weight.shape == (10, 4, 3, 5)
    assert grads.linear_bias.shape == (10, 4, 3)


@pytest.mark.parametrize(
    ("error", "argument", "arguments"),
    [
        (TypeError, "in_features", {"in_features": 1.5}),
        (ValueError, "num_classes", {"num_classes": 0}),
        (TypeError, "out_features", {"out_features": 3}),
        (ValueError, "device", {"device": "cuda"}),
        (TypeError, "dtype", {"dtype": np.int32}),
        (ValueError, "weight", {"weight": np.ones(3)}),
        (ValueError, "label_smoothing", {"label_smoothing": 2.0}),
        (ValueError, "reduction", {"reduction": "avg"}),
        (TypeError, "options", {"options": "auto"}),
        (TypeError, "ignore_index", {"ignore_index": 0.5}),
    ],
)
def test_the_linear_module_checks_its_arguments(error, argument, arguments):
    with pytest.raises(error, match=f"^{argument}: "):
        cs.LinearCrossEntropyLoss(**{"in_features": 2, "num_classes": 4, **arguments})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("weight", np.ones(3)),
        ("size_average", True),
        ("reduce", False),
        ("label_smoothing", 0.1),
        ("mult", np.nan),
    ],
)
def test_unit_scaling_refuses_what_it_does_not_support(argument, value):
    with pytest.raises(ValueError, match=f"^{argument}: "):
        cs.unit_scaled_cross_entropy(PAGE_LOGITS, PAGE_TARGET, **{argument: value})


def test_unit_scaling_needs_two_classes():
    with pytest.raises(ValueError, match="^input: "):
        cs.unit_scaled_cross_entropy(np.zeros((2, 1)), np.array([0, 0]))


def test_the_unit_gradient_has_neither_mult_nor_the_denominator():
    _, grads = cs.unit_scaled_cross_entropy_value_and_grad(PAGE_LOGITS, PAGE_TARGET, mult=2.0)
    plain = cs.cross_entropy_value_and_grad(2 * PAGE_LOGITS, PAGE_TARGET, reduction="sum")[1]
    np.testing.assert_allclose(grads.input, 3 / np.sqrt(2) * plain.input, rtol=1e-14)
    module = cs.UnitScaledCrossEntropyLoss(mult=2.0)
    np.testing.assert_array_equal(
        module.value_and_grad(PAGE_LOGITS, PAGE_TARGET)[1].input, grads.input
    )


class TestHigherOrder:
    v = np.array([[1.0, -0.5, 0.25], [0.0, 2.0, 1.0], [-1.0, 0.5, 3.0]])

    @pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
    def test_jvp_is_the_gradient_along_the_tangent(self, reduction):
        arguments = {"weight": np.array([0.5, 1.0, 2.0]), "reduction": reduction}
        loss, derivative = cs.cross_entropy_jvp(PAGE_LOGITS, PAGE_TARGET, self.v, **arguments)
        same, grads = cs.cross_entropy_value_and_grad(PAGE_LOGITS, PAGE_TARGET, **arguments)
        np.testing.assert_array_equal(loss, same)
        assert np.sum(derivative) == pytest.approx(np.sum(grads.input * self.v), rel=1e-13)

    def test_hvp_agrees_with_torch(self):
        import torch

        x = torch.tensor(PAGE_LOGITS, requires_grad=True)
        y, w = torch.tensor(PAGE_TARGET), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        loss = torch.nn.functional.cross_entropy(x, y, w, label_smoothing=0.1)
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        (expected,) = torch.autograd.grad(gradient, x, torch.tensor(self.v))
        got = cs.cross_entropy_hvp(PAGE_LOGITS, PAGE_TARGET, self.v, w.numpy(), label_smoothing=0.1)
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-12)

    @pytest.mark.parametrize("biased", [False, True])
    def test_linear_derivatives_agree_with_torch(self, biased):
        import torch

        rng = np.random.default_rng(3)
        bias = rng.normal(size=4) if biased else None
        values = [FEATURES, MATRIX] + ([bias] if biased else [])
        directions = [rng.normal(size=value.shape) for value in values]
        tensors = [torch.tensor(value, requires_grad=True) for value in values]
        moves = [torch.tensor(direction) for direction in directions]

        def function(*operands):
            return torch.nn.functional.cross_entropy(
                torch.nn.functional.linear(*operands), torch.tensor(TARGET)
            )

        _, jvp = torch.autograd.functional.jvp(function, tuple(tensors), tuple(moves))
        _, hvp = torch.autograd.functional.hvp(function, tuple(tensors), tuple(moves))
        names = ("input", "linear_weight", "linear_bias")
        tangents = cs.Gradients(**dict(zip(names, directions, strict=False)))
        call = (FEATURES, MATRIX, TARGET, tangents)
        assert cs.linear_cross_entropy_jvp(*call, linear_bias=bias)[1] == pytest.approx(
            float(jvp), rel=1e-12
        )
        product = cs.linear_cross_entropy_hvp(*call, linear_bias=bias)
        for name, expected in zip(names, hvp, strict=False):
            np.testing.assert_allclose(getattr(product, name), expected.numpy(), rtol=1e-11)

    def test_they_are_refused_with_options(self):
        arguments = (FEATURES, MATRIX, TARGET, cs.Gradients(input=FEATURES))
        options = cs.LinearCrossEntropyOptions()
        for function in (cs.linear_cross_entropy_jvp, cs.linear_cross_entropy_hvp):
            with pytest.raises(RuntimeError, match="options: the chunked path"):
                function(*arguments, options=options)

    def test_a_wrong_tangent_is_named(self):
        with pytest.raises(ValueError, match="^tangent: "):
            cs.cross_entropy_jvp(PAGE_LOGITS, PAGE_TARGET, self.v[:2])
        with pytest.raises(ValueError, match=r"^tangents\.linear_bias: "):
            cs.linear_cross_entropy_jvp(
                FEATURES, MATRIX, TARGET, cs.Gradients(linear_bias=np.ones(4))
            )
        for name in ("weight", "target"):
            with pytest.raises(ValueError, match=rf"^tangents\.{name}: "):
                cs.linear_cross_entropy_hvp(
                    FEATURES, MATRIX, TARGET, cs.Gradients(**{name: np.ones(4)}), weight=np.ones(4)
                )

    def test_what_is_differentiated_by_is_named(self):
        with pytest.raises(TypeError, match=r"^wrt: got 5, expected a name or several of input"):
            cs.cross_entropy_vjp(PAGE_LOGITS, PAGE_TARGET, wrt=5)


def test_importing_the_library_imports_nothing_of_the_harness():
    import subprocess
    import sys

    code = (
        "import crossent_spec, sys; print([m for m in sys.modules if m.split('.')[0] in "
        "('conformance', 'flint', 'numba', 'scipy', 'ml_dtypes', 'rich', 'click')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
