"""Reproduction scripts: they run by themselves and show what the suite saw."""

import contextlib
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import conformance
from conformance import repro, worker
from conformance.case import Case
from conformance.driver import Program, Unavailable
from conformance.expect import ExactOutput, Expected, ExpectedStep, Reading, expect
from conformance.layout import place
from conformance.protocol import Adapter, Array, Call, Unsupported
from conformance.request import View, build

ADAPTERS = Path(conformance.__file__).parent / "adapters"


def run(text):
    """Run a script here and return what it printed."""
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore")
        exec(compile(text, "report.py", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def run_alone(text, folder):
    """Run a script in an interpreter of its own, which sees neither checkout nor PYTHONPATH."""
    file = folder / "report.py"
    file.write_text(text)
    command = [sys.executable, "-I", "-W", "ignore", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def script(case, adapter="torch"):
    """Write a script in this process, where a worker does it for :func:`repro.script`."""
    made = Case.parse(case)
    request = build(made)
    subject = worker.load(str(ADAPTERS / f"{adapter}.py"))
    spec = adapter.replace("_", "-")
    return repro.compose(made, request, expect(made, request), subject, spec)


def reported(output):
    """Return what a script printed: {name: (got, expected)}."""
    found = re.findall(r"^(\S.*): got (\S+)(?: at \[.*\])?, expected (\S+)$", output, re.MULTILINE)
    return {name: (float(got), float(expected)) for name, got, expected in found}


# The whole way ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("ce/index/4x10/f32/mean", ["loss", "grad.input"]),
        ("ce/index/4x10/f64/sum,form=module,weight=mixed,smoothing=0.1", ["loss", "grad.input"]),
        ("ce/prob/4x10/f16/none,layout=transposed,grad=mixed", ["loss", "grad.input"]),
        ("ce/index/4x10/bf16/mean,layout=strided", ["loss", "grad.input"]),
        ("ce/index/4x10x3/bf16/none,grad=mixed,grad_layout=reversed", ["loss", "grad.input"]),
        ("ce/index/40x10/f32/mean,layout=readonly,weight=ones,weight_layout=broadcast", ["loss"]),
        ("ce/index/10/f32/default,layout=offset", ["loss", "grad.input"]),
        ("ce/index/4x10/f32/sum,logits=neginf", ["loss"]),
        (
            "ce/index/4x10/f32/mean,script=again",
            ["loss of call a", "grad.input of call a", "loss of call b", "grad.input of call b"],
        ),
        (
            "ce/index/4x10/f32/mean,script=stale",
            ["loss of call a", "loss of call b", "grad.input of call a", "grad.input of call b"],
        ),
        (
            "ce/index/4x10/f32/mean,script=twice",
            ["loss", "grad.input", "grad.input, second time"],
        ),
    ],
)
def test_a_script_shows_the_difference(case, names):
    results = reported(run(script(case)))
    assert set(names) <= set(results), results
    for got, expected in results.values():
        # torch is right within its precision in these cases.
        assert got == pytest.approx(expected, rel=3e-2, abs=1e-2)


@pytest.mark.parametrize("form", ["function", "module"])
@pytest.mark.parametrize("adapter", ["torch_linear", "embedded"])
def test_a_k_dimensional_linear_loss_with_options(form, adapter):
    case = f"linear/index/4x8-5x3x2/f32/mean,form={form},bias=yes,options=balanced"
    results = reported(run(script(case, adapter)))
    assert {"loss", "grad.input", "grad.linear_weight", "grad.linear_bias"} <= set(results)
    for got, expected in results.values():
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_chunked_loss_that_goes_backward_twice():
    output = run(script("linear/index/6x8-10/f32/sum,options=chunk2,script=twice", "torch_linear"))
    assert "second time: raised RuntimeError" in output


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("ce/index/4x10/f32/mean,bad=target-too-large", "IndexError"),
        ("ce/index/4x10/f32/mean,bad=smoothing-above-one", "RuntimeError"),
    ],
)
def test_a_call_that_must_raise_says_what_happened(case, error):
    assert f"forward pass: raised {error}: " in run(script(case))


def test_the_unit_scaled_loss():
    text = script("unit/index/4x10/f32/sum,mult=2.0", "unit_scaling")
    assert text.count("import unit_scaling.functional\n") == 1
    results = reported(run(text))
    assert results["loss"][0] == pytest.approx(results["loss"][1], rel=1e-5)


@pytest.mark.parametrize(
    "case", ["ce/index/4x10/bf16/mean", "oneflow/index/4x10/f32/none,grad=mixed"]
)
def test_scripts_of_the_embedded_implementation(case):
    results = reported(run(script(case, "embedded")))
    assert {"loss", "grad.input"} <= set(results)


@pytest.mark.parametrize(
    ("case", "adapter"),
    [
        ("ce/index/4x10/f32/mean,layout=transposed", "torch"),
        ("ce/prob/40x10/bf16/none,layout=strided,grad=mixed", "torch"),
        ("linear/index/4x8-5x3/f32/mean,form=module,bias=yes,options=chunk2", "torch_linear"),
        ("ce/index/4x10/f32/mean,bad=target-too-large", "torch"),
    ],
)
def test_a_script_needs_numpy_and_the_framework_only(case, adapter, tmp_path):
    text = script(case, adapter)
    assert run_alone(text, tmp_path) == run(text)


def test_the_head_says_what_was_run():
    text = script("linear/index/6x8-10/f32/sum", "torch_linear")
    assert "crossent repro 'linear/index/6x8-10/f32/sum' --adapter torch-linear" in text
    assert "torch 2." in text.split('"""')[1]
    assert "conformance" not in text


@pytest.mark.parametrize(
    ("case", "adapter"),
    [
        (
            "ce/prob/4x10/bf16/none,weight=mixed,layout=reversed,target_layout=strided,grad=mixed,"
            "grad_layout=broadcast",
            "torch",
        ),
        ("linear/index/6x8-10x2/f32/sum,form=module,bias=yes,options=chunk2", "torch_linear"),
    ],
)
def test_the_framework_s_own_process_writes_the_same(case, adapter):
    program = Program.of_adapter("its-name", str(ADAPTERS / f"{adapter}.py"))
    head, body = repro.script(Case.parse(case), program).split('"""\n\n', 1)
    assert body == script(case, adapter).split('"""\n\n', 1)[1]
    assert f"crossent repro '{case}' --adapter its-name" in head
    assert "torch 2." in head
    assert "python 3." in head


def test_an_adapter_of_another_system_is_refused():
    program = Program.of_adapter("unit-scaling", str(ADAPTERS / "unit_scaling.py"))
    with pytest.raises(Unsupported, match="does not drive"):
        repro.script(Case.parse("ce/index/4x10/f32/mean"), program)


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        ("pass", Unsupported, "mine does not drive torch.nn.CrossEntropyLoss"),
        ("def script(self, call, step): 1 / 0", Unavailable, "ZeroDivisionError: division by zero"),
        ("def script(self, call, step): import os; os._exit(3)", Unavailable, "with status 3"),
    ],
)
def test_an_adapter_that_writes_no_script_is_told(tmp_path, body, error, text):
    adapter = tmp_path / "mine.py"
    adapter.write_text(
        "from conformance import protocol\n\n\n"
        "class Adapter(protocol.Adapter):\n"
        "    def describe(self):\n"
        "        return {'name': 'mine', 'systems': [], 'versions': {}}\n\n"
        f"    {body}\n"
    )
    with pytest.raises(error, match=text):
        repro.script(Case(), Program.of_adapter("mine", str(adapter)))


def test_a_program_of_another_kind_writes_no_script():
    with pytest.raises(Unsupported, match="Python files"):
        repro.script(Case(), Program.of_command("node x"))


# Judgement that the script prints, on requests made by hand -------------------------------------


class Fake(Adapter):
    """Writes given lines."""

    def __init__(self, forward):
        self.forward_lines = forward

    def describe(self):
        return {"name": "fake", "systems": [], "versions": {"fake": "1"}}

    def script(self, call, step):  # noqa: ARG002
        return self.forward_lines


def fake_script(forward, *values, raises="no", allowed=0.5):
    """Write a script whose one call is ``forward`` and should give one of ``values``."""
    view = np.ones((2, 3), np.float32)
    call = Call("fake", "function", {}, {"input": Array(view, "float32")}, [])
    values = [np.asarray(value, float) for value in values]
    readings = tuple(
        Reading(f"reading {i}", value, np.zeros_like(value)) for i, value in enumerate(values)
    )
    outputs = {}
    if values:
        shape = values[0].shape
        outputs["loss"] = ExactOutput("float32", shape, readings, np.broadcast_to(allowed, shape))
    request = SimpleNamespace(
        call=lambda _: call,
        arrays={"input": View(view.reshape(-1), view, "float32")},
        steps=[{"do": "forward", "as": "a", "arrays": {"input": "input"}}],
    )
    expected = Expected((ExpectedStep(raises, outputs),))
    return repro.compose(Case(), request, expected, Fake(forward), "fake")


@pytest.mark.parametrize(
    ("forward", "values", "output"),
    [
        ("np.float32(2)", [3.0], "loss: got 2.0, expected 3.0\n    error 1, 2 times"),
        ("np.float32(3)", [3.0], "loss: got 3.0, expected 3.0\n    error 0, 0 times"),
        ("np.float64(3)", [3.0], "loss: got float64(), expected float32()\nloss: got 3.0"),
        ("np.ones((1, 2), 'f')", [[1.0, 1.0]], "loss: got float32(1, 2), expected float32(2,)\n"),
        (
            "np.ones(2, 'f')",
            [[1.0, 4.0]],
            "loss: got 1.0 at [1], expected 4.0\n    error 3, 6 times",
        ),
        ("np.array([9, np.nan], 'f')", [[1.0, 4.0]], "loss: got nan at [1], expected 4.0\n"),
        ("np.array([9, np.nan], 'f')", [[1.0, np.nan]], "loss: got 9.0 at [0], expected 1.0\n"),
        ("np.array([9, np.inf], 'f')", [[1.0, np.inf]], "loss: got 9.0 at [0], expected 1.0\n"),
        ("np.array([9, 1], 'f')", [[1.0, np.inf]], "loss: got 1.0 at [1], expected inf\n"),
        (
            "np.float32(2)",
            [np.nan, 2.5, 0.0],
            "loss: got 2.0, expected 2.5\n    error 0.5, 1 times",
        ),
    ],
)
def test_the_report(forward, values, output):
    assert run(fake_script(f"loss = {forward}", *values)).startswith(output)


def test_the_worst_element_is_the_one_farthest_beyond_what_is_allowed():
    text = fake_script("loss = np.array([9, 1e-9], 'f')", [1.0, 0.0], allowed=[10.0, 1e-12])
    assert run(text) == (
        "loss: got 1e-09 at [1], expected 0.0\n    error 1e-09, 1e+03 times the allowed error\n"
    )


def test_nothing_to_compare_prints_nothing():
    assert run(fake_script("loss = np.zeros((0, 2), 'f')", np.zeros((0, 2)))) == ""


def test_readings_are_named():
    assert "# One acceptable reading: reading 1." in fake_script("loss = 1", 2.0, 3.0)


def test_an_overwritten_array_is_told():
    output = run(fake_script("loss = np.float32(3); input[0, 0] = 5", 3.0))
    assert output.endswith("input: the caller's array was overwritten\n")


@pytest.mark.parametrize(
    ("forward", "output"),
    [
        ("loss = 3", "forward pass: expected an exception, got 3\n"),
        ("raise KeyError('x')", "forward pass: raised KeyError: 'x'\n"),
    ],
)
def test_what_must_raise(forward, output):
    assert run(fake_script(forward, raises="must")) == output


def test_what_may_raise_is_said():
    assert "leaves open whether this call is refused" in fake_script("loss = 1", 1.0, raises="may")


# Arrays as text ---------------------------------------------------------------------------------


def rebuild(view, base, dtype):
    """Run the text of an array and return what it makes."""
    item = View(base, view, dtype)
    request = SimpleNamespace(arrays={"input.2": item}, steps=[])
    writer = repro._Writer(request, None, None)
    text = writer.array("input.2")
    names = {}
    exec("\n".join([*writer.imports, *writer.helpers, text]), names)
    return names["input_2"], text


LAYOUTS = ["c", "transposed", "strided", "offset", "broadcast", "readonly", "reversed"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 4), (1, 3, 1), (0, 4), (25, 30)])
def test_an_array_comes_back_with_its_values_and_its_memory_layout(layout, dtype, shape):
    values = np.random.default_rng(0).normal(size=shape) * 100
    if dtype == "bfloat16":
        values = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    else:
        values = np.abs(values).astype(dtype)
    base, view = place(values, layout, 7)
    back, text = rebuild(view, base, dtype)
    assert back.dtype == view.dtype
    assert back.shape == view.shape
    for extent, ours, theirs in zip(view.shape, back.strides, view.strides, strict=True):
        assert extent <= 1 or view.size == 0 or ours == theirs
    assert back.flags.writeable == view.flags.writeable
    np.testing.assert_array_equal(back, view)
    assert ("unpack" in text) == (base.size > repro.LITERAL_LIMIT)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_literals_are_exact(dtype):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize) - 1, 250, dtype=np.uint64)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e-45, 6e-8, 65504], dtype)
    values = np.concatenate([bits.astype(f"u{np.dtype(dtype).itemsize}").view(dtype), special])
    back = eval(repro.literal(values), {"np": np})
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(
        np.signbit(back[~np.isnan(back)]), np.signbit(values[~np.isnan(values)])
    )


def test_a_long_line_is_broken_outside_of_its_strings():
    line = (
        f"    report('grad, second time (1)', {'a' * 60}, f({'b' * 30}, {'c' * 60}, 1), 'float32')"
    )
    assert repro.break_line(line) == [
        "    report(",
        "        'grad, second time (1)',",
        f"        {'a' * 60},",
        "        f(",
        f"            {'b' * 30},",
        f"            {'c' * 60},",
        "            1,",
        "        ),",
        "        'float32',",
        "    )",
    ]


def test_lines_stay_short():
    wide = np.random.default_rng(0).normal(size=(10, 30)).astype(np.float32)
    for line in [
        *repro.literal(wide).split("\n"),
        *script("ce/index/4x10/f32/mean").split("\n"),
    ]:
        assert len(line) <= 100, line
