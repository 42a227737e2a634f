"""The linear loss in chunks: the formulas' values, the promised memory, the documented state."""

import numpy as np
import pytest

import crossent_spec as cs
from crossent_spec import chunks
from crossent_spec.chunks import BUDGET
from tests.crossent_spec.linear_calls import (
    DTYPES,
    MODES,
    SMALL,
    C,
    Call,
    F,
    N,
    check,
    layouts,
    peak,
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rows", [None, 1, 2, 5, 64])
def test_every_chunk_size_gives_the_formulas_values(dtype, mode, rows):
    call = Call(mode, dtype)
    options = None if rows is None else cs.LinearCrossEntropyOptions(batch_chunk_size=rows)
    loss, grads = call.value_and_grad(options=options, wrt=call.names())
    check(call, loss, grads, call.names())
    alone = cs.linear_cross_entropy(
        call.input, call.weight, call.target, **call.arguments, options=options
    )
    np.testing.assert_array_equal(alone, loss)
    for name in call.names():
        argument = {"linear_weight": "weight", "linear_bias": "bias", "weight": "w"}.get(name, name)
        assert getattr(grads, name).dtype == getattr(call, argument).dtype
        assert getattr(grads, name).shape == getattr(call, argument).shape


@pytest.mark.parametrize("policy", ["auto", "accurate", "balanced", "compact"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_accumulate_in_float32_unless_told_otherwise(policy, dtype):
    # Every sample adds a little to a large sum, which a 16-bit sum would not notice.
    batch = 3000
    features = np.full((batch, 1), 1.0, np.dtype(dtype))
    matrix = np.zeros((2, 1), np.dtype(dtype))
    target = np.zeros(batch, dtype=int)
    found = {}
    for acc in (None, "float32", dtype):
        options = cs.LinearCrossEntropyOptions(batch_chunk_size=1, acc_policy=policy, acc_dtype=acc)
        _, grads = cs.linear_cross_entropy_value_and_grad(
            features, matrix, target, reduction="sum", options=options
        )
        found[acc] = float(grads.linear_weight[1, 0])
    assert found[None] == found["float32"] == {"float16": 1500, "bfloat16": 1504}[dtype]
    # Steps of 1/2 are lost once an ulp of the sum is more than 1.
    assert found[dtype] == {"float16": 1024.0, "bfloat16": 128.0}[dtype]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", ["plain", "positions", "smoothing"])
def test_sixteen_bit_accumulation_rounds_once_a_chunk(dtype, mode):
    call = Call(mode, dtype)
    options = cs.LinearCrossEntropyOptions(batch_chunk_size=3, acc_dtype=dtype)
    check(call, *call.value_and_grad(options=options), ["input", "linear_weight"], chunks=5)


@pytest.mark.parametrize("mode", ["plain", "none", "smoothing", "positions", "probabilities"])
@pytest.mark.parametrize("options", [None, {"batch_chunk_size": 4, "allow_retain_graph": True}])
def test_a_gradient_of_the_loss_given_later_multiplies_the_gradients(mode, options):
    call = Call(mode)
    options = None if options is None else cs.LinearCrossEntropyOptions(**options)
    loss, vjp = cs.linear_cross_entropy_vjp(
        call.input, call.weight, call.target, **call.arguments, options=options, wrt=call.names()
    )
    g = 0.75 if np.ndim(loss) == 0 else np.linspace(-1, 2, loss.size).reshape(loss.shape)
    flat = g if np.ndim(loss) == 0 else g.reshape(N, -1)
    first = vjp(g)
    check(call, loss, first, call.names(), flat)
    copy = first.linear_weight.copy()
    again = vjp(g)
    check(call, loss, again, call.names(), flat)
    again.linear_weight[...] = 7
    np.testing.assert_array_equal(first.linear_weight, copy)
    np.testing.assert_array_equal(vjp(g).linear_weight, copy)


def test_a_loss_scale_keeps_small_gradients_of_float16():
    # Divided by the batch the gradient is below what float16 can hold; multiplied again it is not.
    batch = 4096
    features = np.full((batch, 1), 2.0**-14, np.float16)
    matrix = np.zeros((2, 1), np.float16)
    _, vjp = cs.linear_cross_entropy_vjp(features, matrix, np.zeros(batch, dtype=int))
    scaled = vjp(2.0**15)
    np.testing.assert_array_equal(scaled.linear_weight, np.float16([[-1], [1]]))


def test_infinite_gradients_of_the_loss_leave_ignored_samples_alone():
    call = Call("ignored")
    _, vjp = cs.linear_cross_entropy_vjp(call.input, call.weight, call.target)
    found = vjp(np.inf).input
    assert not found[~call.keep].any()
    assert not np.isfinite(found[call.keep]).any()


@pytest.mark.parametrize("mode", ["ignored", "weights", "positions"])
@pytest.mark.parametrize("rows", [None, 1, 4])
def test_ignored_samples_are_as_if_absent(mode, rows):
    call = Call(mode)
    options = None if rows is None else cs.LinearCrossEntropyOptions(batch_chunk_size=rows)
    loss, grads = call.value_and_grad(options=options)
    kept = call.keep.reshape(N, -1).any(axis=1)
    assert not kept.all()
    dirty = call.input.copy()
    dirty[~kept] = [np.nan, np.inf, -np.inf, 3e38, 0, 1]
    call.input = dirty
    again, other = call.value_and_grad(options=options)
    assert loss == again
    np.testing.assert_array_equal(grads.input, other.input)
    np.testing.assert_array_equal(grads.linear_weight, other.linear_weight)
    assert not grads.input[~kept].any()
    call.input, call.target = call.input[kept], call.target[kept]
    without, few = call.value_and_grad(options=options)
    assert loss == without
    np.testing.assert_array_equal(grads.input[kept], few.input)
    np.testing.assert_array_equal(grads.linear_weight, few.linear_weight)


@pytest.mark.parametrize("layout", ["columns", "spaced", "wide", "backwards", "swapped"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_any_layout_of_the_operands_gives_the_same(layout, dtype):
    call = Call("plain", dtype)
    call.input, call.weight = layouts(call.input)[layout], layouts(call.weight)[layout]
    check(call, *call.value_and_grad(), ["input", "linear_weight"])


def test_operands_that_are_not_aligned():
    memory = np.arange(4 * 6 * 3, dtype=np.uint8).tobytes() + b"0"
    features = np.frombuffer(memory, np.float32, 18, offset=1).reshape(6, 3)
    assert not features.flags.aligned
    matrix, target = np.ones((4, 3), np.float32), np.arange(6) % 4
    expected = cs.linear_cross_entropy(features.copy(), matrix, target)
    assert cs.linear_cross_entropy(features, matrix, target) == expected
    moved = cs.Gradients(input=features)
    along = cs.linear_cross_entropy_jvp(features, matrix, target, moved)
    aligned = cs.Gradients(input=features.copy())
    assert along == cs.linear_cross_entropy_jvp(features.copy(), matrix, target, aligned)


def test_operands_of_several_dtypes_are_computed_in_the_widest():
    call = Call("bias", "float64")
    call.input = call.input.astype(np.float32)
    loss, grads = call.value_and_grad()
    exact = call.exact()
    assert loss.dtype == grads.input.dtype == np.float32
    np.testing.assert_allclose(grads.linear_weight, exact["linear_weight"][0].reshape(C, F), 1e-13)
    np.testing.assert_allclose(loss, exact["loss"][0], 2.0**-23)


@pytest.mark.parametrize("rows", [None, 1, 3])
def test_nothing_to_sum_over(rows):
    options = None if rows is None else cs.LinearCrossEntropyOptions(batch_chunk_size=rows)
    loss, grads = cs.linear_cross_entropy_value_and_grad(
        np.ones((0, F)), np.ones((C, F)), np.ones(0, int), reduction="sum", options=options
    )
    assert loss == 0
    assert grads.input.shape == (0, F)
    assert not grads.linear_weight.any()
    loss, grads = cs.linear_cross_entropy_value_and_grad(
        np.ones((3, 0)), np.ones((C, 0)), np.ones(3, int), options=options
    )
    assert loss == pytest.approx(np.log(C))
    losses, grads = cs.linear_cross_entropy_value_and_grad(
        np.ones((3, F)), np.ones((C, 0, F)), np.ones((3, 0), int), reduction="none", options=options
    )
    assert losses.shape == (3, 0)
    assert not grads.input.any()


BIG = {"batch": 2048, "width": 16, "classes": 2048}


@pytest.mark.parametrize(
    "mode", ["plain", "none", "ignored", "weights", "smoothing", "positions", "bias"]
)
@pytest.mark.parametrize("rows", [32, 128])
def test_options_bound_the_memory(mode, rows):
    call = Call(mode, **BIG)
    logits = rows * call.weight[..., 0].size * 4
    assert SMALL + logits < 2048 * call.weight[..., 0].size * 4 / 4
    options = cs.LinearCrossEntropyOptions(batch_chunk_size=rows)
    used, (_, grads) = peak(lambda: call.value_and_grad(options=options))
    results = grads.input.nbytes + grads.linear_weight.nbytes
    assert logits < used < results + logits + SMALL


def test_probability_targets_need_no_second_array_of_all_logits():
    call = Call("probabilities", **BIG)
    options = cs.LinearCrossEntropyOptions(batch_chunk_size=32)
    used, _ = peak(lambda: call.value_and_grad(options=options))
    assert used < 32 * 2048 * 4 + SMALL
    names = ["input", "target"]
    used, (_, grads) = peak(lambda: call.value_and_grad(options=options, wrt=names))
    # The formulas hold some float64 arrays of 2¹⁸ logits.
    assert used < grads.target.nbytes + 12 * 8 * 2**18 + SMALL


def test_without_options_a_chunk_has_a_bounded_size():
    call = Call("plain", batch=4096, width=4, classes=8192)
    used, _ = peak(lambda: call.value_and_grad())
    assert 4096 * 8192 * 4 > 1.9 * 64e6
    assert BUDGET / 4 < used < 64e6


def test_without_options_a_chunk_is_not_much_larger_than_the_operands():
    call = Call("plain", batch=4096, width=256, classes=4096)
    used, (_, grads) = peak(lambda: call.value_and_grad())
    operands = call.input.nbytes + call.weight.nbytes
    assert 6 * operands < 4096 * 4096 * 4
    assert used < grads.input.nbytes + grads.linear_weight.nbytes + 1.13 * operands + SMALL


@pytest.mark.parametrize(
    ("samples", "most", "rows"),
    [
        (5, 40, [5]),
        (70, 7, [7] * 10),
        (15, 7, [5, 5, 5]),
        (100, 15, [15] * 6 + [10]),
        (100, 70, [64, 36]),
        (100, 99, [64, 36]),
        (8192, 406, [400] * 20 + [192]),
        (2048, 723, [688, 688, 672]),
    ],
)
def test_chunks_are_of_a_size_and_leave_blas_no_remainder(monkeypatch, samples, most, rows):
    monkeypatch.setattr(chunks, "ROWS", most)
    seen = []
    evaluate = chunks.Chunks._chunk
    monkeypatch.setattr(
        chunks.Chunks,
        "_chunk",
        lambda self, part, logits, *others: (
            seen.append(len(logits)) or evaluate(self, part, logits, *others)
        ),
    )
    call = Call("plain", batch=samples, width=2, classes=3)
    # Only the most rows of all are to bound these.
    monkeypatch.setattr(chunks, "FEW_ROWS", samples)
    call.value_and_grad()
    assert seen == rows


@pytest.mark.parametrize("options", [None, {"acc_dtype": "bfloat16"}])
def test_no_float32_copy_of_a_16_bit_weight_is_held(options):
    call = Call("plain", "bfloat16", batch=8, width=1024, classes=8192)
    options = None if options is None else cs.LinearCrossEntropyOptions(**options)
    whole, block, logits = 8192 * 1024 * 4, 8 << 20, 8 * 8192 * 4
    used, _ = peak(
        lambda: cs.linear_cross_entropy(call.input, call.weight, call.target, options=options)
    )
    assert used < block + logits + SMALL < whole / 3
    used, _ = peak(lambda: call.value_and_grad(options=options))
    # The gradient, and either the float32 sums or blocks of them.
    assert used < whole / 2 + (whole if options is None else 2 * block) + logits + SMALL


def test_memory_layouts_of_blas_are_not_copied():
    call = Call("plain", batch=64, width=1024, classes=4096)
    call.weight, call.input = np.asfortranarray(call.weight), np.asfortranarray(call.input)
    used, _ = peak(lambda: cs.linear_cross_entropy(call.input, call.weight, call.target))
    assert used < 64 * 4096 * 4 + SMALL < call.weight.nbytes


@pytest.mark.parametrize("mode", MODES)
def test_options_run_in_chunks_without_a_warning(mode):
    # Warnings are errors here; torch falls back with one in several of these modes.
    call = Call(mode)
    call.value_and_grad(options=cs.LinearCrossEntropyOptions(batch_chunk_size=3))


def test_only_a_k_dimensional_bias_falls_back_and_warns():
    call = Call("positions")
    bias = np.zeros(call.weight.shape[:-1], np.float32)
    call.arguments["linear_bias"] = call.bias = bias
    with pytest.warns(UserWarning, match="reference implementation"):
        loss, grads = call.value_and_grad(options=cs.LinearCrossEntropyOptions(batch_chunk_size=3))
    check(call, loss, grads, ["input", "linear_weight", "linear_bias"])


def test_two_runs_give_the_same_bits():
    call = Call("weights", batch=300, width=64, classes=500)
    (loss, grads), (again, others) = call.value_and_grad(), call.value_and_grad()
    assert loss == again
    np.testing.assert_array_equal(grads.input, others.input)
    np.testing.assert_array_equal(grads.linear_weight, others.linear_weight)
