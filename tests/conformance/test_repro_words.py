"""Reproduction scripts word by word, of adapters that name the step and no framework."""

import base64
import re
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from conformance import repro
from conformance.case import Case
from conformance.driver import Hello, Program, Unavailable, WorkerFailure
from conformance.expect import expect
from conformance.layout import place
from conformance.protocol import Adapter, Unsupported
from conformance.request import View, build
from tests.conformance import fakes


class Names(Adapter):
    """Writes a step as what it was given."""

    def __init__(self, imports="import fake\n"):
        self.imports = imports
        self.given = []

    def describe(self):
        return {"versions": {"fake": "1.0", "b": "2"}}

    def script(self, call, step):
        self.given.append((call, step))
        if step["do"] == "forward":
            return (
                f"{self.imports}loss = forward_{step['as']}({', '.join(step['arrays'].values())})"
            )
        return f"{self.imports}grads = backward_{step['of']}({step['grad_output']})"


def written(text, adapter=None):
    case = Case.parse(text)
    request = build(case)
    return repro.compose(case, request, expect(case, request), adapter or Names(), "its-name")


HEAD = '''\
"""torch.nn.CrossEntropyLoss against its documentation.

The exact results are correctly rounded; the allowed errors follow from the dtypes.

fake 1.0, b 2
crossent repro '{}' --adapter its-name
"""

{}


'''
TAIL = """\
for name, array in arrays.items():
    if array.tobytes() != before[name]:
        print(f"{name}: the caller's array was overwritten")
"""


def body(text):
    """Return what follows the head and the helpers."""
    return text[text.index("# What the caller passes.") :]


def numbers_left_out(text):
    """Return a script with dots in the place of what NumPy writes."""
    return re.sub(r"np\.array\((?:[^()]|\n)*?\)", "...", text)


STALE = "ce/index/2x3/bf16/none,layout=offset,grad=mixed,script=stale"


def test_every_word_of_two_calls():
    text = written(STALE)
    head = HEAD.format(STALE, "import fake\nimport numpy as np")
    helpers = f"{repro._BFLOAT16}\n\n{repro._REPORT}\n\n"
    assert text.startswith(head + helpers + "# What the caller passes.\n")
    assert (
        numbers_left_out(body(text))
        == f"""\
# What the caller passes.
input_buffer = bfloat16(...)
input = input_buffer[3:9].reshape(2, 3)
target = ...
input_2_buffer = bfloat16(...)
input_2 = input_2_buffer[3:9].reshape(2, 3)
target_2 = ...
grad_output = bfloat16(...)

arrays = dict(
    input=input,
    target=target,
    input_2=input_2,
    target_2=target_2,
    grad_output=grad_output,
)
before = {{name: array.tobytes() for name, array in arrays.items()}}

# The forward pass of call a.
loss = forward_a(input, target)

exact_loss = ...
allowed = ...
report('loss of call a', loss, 'float32', allowed, exact_loss)

# The forward pass of call b.
loss = forward_b(input_2, target_2)

exact_loss = ...
allowed = ...
report('loss of call b', loss, 'float32', allowed, exact_loss)

# The backward pass of call a.
grads = backward_a(grad_output)

exact_grad_input = ...
allowed = ...
report('grad.input of call a', grads['input'], 'float32', allowed, exact_grad_input)

# The backward pass of call b.
grads = backward_b(grad_output)

exact_grad_input = ...
allowed = ...
report('grad.input of call b', grads['input'], 'float32', allowed, exact_grad_input)

{TAIL}"""
    )


def test_the_passes_of_one_call_need_no_name():
    text = written("ce/index/2x3/f64/mean,script=twice")
    steps = [line for line in text.split("\n") if re.match(r"# The|loss|grads|report", line)]
    assert steps == [
        "# The forward pass.",
        "loss = forward_t(input, target)",
        "report('loss', loss, 'float64', allowed, exact_loss)",
        "# The backward pass.",
        "grads = backward_t(None)",
        "report('grad.input', grads['input'], 'float64', allowed, exact_grad_input)",
        "# The backward pass, second time.",
        "grads = backward_t(None)",
        "report('grad.input, second time', grads['input'], 'float64', allowed, exact_grad_input)",
    ]


def test_every_word_of_a_call_that_must_raise():
    case = "ce/index/2x3/f32/mean,bad=target-too-large"
    text = written(case, Names("import os\nfrom a import b\nimport os\n"))
    imports = "import os\n\nfrom a import b\nimport numpy as np"
    assert text.startswith(HEAD.format(case, imports) + "# What the caller passes.\n")
    assert (
        numbers_left_out(body(text))
        == f"""\
# What the caller passes.
input = ...
target = ...

arrays = dict(input=input, target=target)
before = {{name: array.tobytes() for name, array in arrays.items()}}

# The forward pass, which must raise.
try:
    loss = forward_t(input, target)
except Exception as error:
    print(f"forward pass: raised {{type(error).__name__}}: {{error}}")
else:
    print(f"forward pass: expected an exception, got {{loss}}")

{TAIL}"""
    )


def test_a_backward_pass_that_must_raise_shows_gradients():
    text = written("linear/index/6x8-10/f32/sum,options=chunk2,script=twice")
    assert text.count("which must raise") == 1
    assert "# The backward pass, second time, which must raise.\ntry:\n    grads = " in text
    assert 'print(f"backward pass, second time: expected an exception, got {grads}")' in text


def test_an_adapter_is_given_the_callers_arrays():
    names = Names()
    written("ce/prob/2x3/bf16/none,layout=transposed,grad=mixed,weight=mixed", names)
    request = build(Case.parse("ce/prob/2x3/bf16/none,layout=transposed,grad=mixed,weight=mixed"))
    (call, forward), (again, backward) = names.given
    assert again is call
    assert call.arrays.keys() == {"input", "target", "weight"}
    assert forward == {
        "do": "forward", "as": "t",
        "arrays": {"input": "input", "target": "target", "weight": "weight"},
    }  # fmt: skip
    seed = backward.pop("grad_array")
    assert seed.dtype == "bfloat16"
    np.testing.assert_array_equal(seed.data, request.arrays["grad_output"].view)
    assert backward == {"do": "backward", "of": "t", "grad_output": "grad_output", "retain": False}
    written("ce/index/2x3/f32/mean", names)
    assert names.given[-1][1]["grad_array"] is None


def test_what_a_page_leaves_open_is_said():
    text = written("ce/prob/4x3/f32/mean,ignore_index=1")
    words = "# The page leaves open whether this call is refused."
    assert f"# The forward pass.\n{words}\nloss = forward_t(input, target)\n\n" in text
    assert text.count(words) == 1
    text = numbers_left_out(written("unit/index/6x5/f32/mean,ignored=some"))
    assert (
        """\

# One acceptable reading: mean over all elements of the output.
exact_loss_1 = ...
# One acceptable reading: mean over non-ignored targets.
exact_loss_2 = ...
allowed = ...
report('loss', loss, 'float32', allowed, exact_loss_1, exact_loss_2)
"""
        in text
    )


def test_large_results_are_packed_as_float32_unless_they_are_float64():
    for dtype, stored in (("f32", "<f4"), ("f64", "<f8")):
        text = written(f"ce/index/31x10/{dtype}/mean")
        assert text.startswith(HEAD.format(
            f"ce/index/31x10/{dtype}/mean",
            "import base64\nimport zlib\n\nimport fake\nimport numpy as np",
        ) + f"{repro._UNPACK}\n\n{repro._REPORT}\n\n")  # fmt: skip
        packed = re.search(
            r'exact_grad_input = unpack\(\n    """\n([^"]*)\n""",\n    \'(...)\', 31, 10,\n\)', text
        )
        assert packed[2] == stored
        values = np.frombuffer(zlib.decompress(base64.b64decode(packed[1])), stored)
        assert abs(values.sum()) < 1e-6
        assert {len(line) for line in packed[1].split("\n")[:-1]} == {96}
    # Of bfloat16 the patterns are packed as they are.
    text = written("ce/index/31x10/bf16/mean")
    assert "input = unpack(" in text
    assert "bfloat16(" not in text
    assert "import base64\nimport zlib\n" in text


def test_an_exact_array_of_a_few_hundred_elements_is_numbers():
    text = written("ce/index/30x10/f32/mean")
    assert "unpack" not in text
    exact = re.search(r"exact_grad_input = np.array\([^']*'(\w+)'", text)
    assert exact[1] == "float64"
    assert "input = bfloat16(np.array(\n" in written("ce/index/30x10/bf16/mean")
    assert "input = unpack(\n" in written("ce/index/1x301/f32/mean")


def test_each_call_is_of_its_own_arrays():
    names = Names()
    written(STALE, names)
    given = [(step["do"], step.get("as", step.get("of")), call) for call, step in names.given]
    (_, _, first), (_, _, second), (_, one, third), (_, other, fourth) = given
    assert (one, other) == ("a", "b")
    assert third is first
    assert fourth is second
    assert not np.array_equal(first.arrays["input"].data, second.arrays["input"].data)


@pytest.mark.parametrize(
    ("layout", "shape", "text"),
    [
        ("c", (1, 2), "np.array([[0, 1]], 'int16')"),
        ("transposed", (2, 1), "np.array([[0], [1]], 'int16')"),
        ("transposed", (2, 2), "np.array([[0, 2], [1, 3]], 'int16').T"),
        ("transposed", (2, 1, 2), "np.array([[[0, 2], [1, 3]]], 'int16').transpose(2, 0, 1)"),
        ("reversed", (2,), "np.array([1, 0], 'int16')[::-1]"),
        ("reversed", (2, 2), "np.array([[1, 0], [3, 2]], 'int16')[:, ::-1]"),
        ("readonly", (2,), "np.array([0, 1], 'int16') it.flags.writeable = False"),
        (
            "strided",
            (2,),
            "np.lib.stride_tricks.as_strided( it_buffer[0:], (2,), "
            "[it_buffer.itemsize * step for step in [2]] )",
        ),
        (
            "broadcast",
            (2, 2),
            "np.lib.stride_tricks.as_strided( it_buffer[0:], (2, 2), "
            "[it_buffer.itemsize * step for step in [0, 1]] )",
        ),
        ("offset", (2, 2), "it_buffer[3:7].reshape(2, 2)"),
        ("reversed", (0, 2), "np.zeros((0, 2), 'int16')"),
    ],
)
def test_an_array_is_written_as_what_gives_its_layout(layout, shape, text):
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    base, view = place(values, layout, 7)
    request = SimpleNamespace(arrays={"it": View(base, view, "int16")}, steps=[])
    found = " ".join(repro._Writer(request, None, None).array("it").split())
    found = re.sub(r"array\( (.*), \)", r"array(\1)", found)
    buffer = np.array2string(base, separator=", ")
    before = f"it_buffer = np.array({buffer}, 'int16') " if "it_buffer" in text else ""
    assert found == f"{before}it = {text}"


# The adapter in its process.


class Replies:
    """Stands for a worker, and gives replies in turn."""

    def __init__(self, *replies, versions=None):
        self.hello = Hello("x", ("torch.nn.CrossEntropyLoss",), versions or {"fake": "9"})
        self.replies = list(replies)
        self.sent = []
        self.closed = 0

    def __call__(self, program):
        self.program = program
        return self

    def start(self):
        return self.hello

    def send(self, message):
        self.sent.append(message)

    def receive(self, limit):
        assert limit == repro.START_LIMIT
        return self.replies.pop(0)

    def close(self):
        self.closed += 1


CASE = Case.parse("ce/index/2x3/f32/none,grad=mixed")


def test_the_process_is_asked_for_each_step_of_each_case(monkeypatch):
    worker = Replies(*({"source": line} for line in ("loss = 1", "grads = 2") * 2))
    monkeypatch.setattr(repro, "Worker", worker)
    found = list(repro.scripts([CASE, CASE], fakes.hostile()))
    assert worker.program == fakes.hostile()
    assert worker.closed == 1
    assert found[0] == found[1]
    assert f"\n\nfake 9\ncrossent repro '{CASE.id}' --adapter hostile\n" in found[0]
    assert "# The forward pass.\nloss = 1\n" in found[0]
    assert "# The backward pass.\ngrads = 2\n" in found[0]
    forward, backward = worker.sent[:2]
    assert worker.sent[2:] == worker.sent[:2]
    message = build(CASE).message()
    common = {key: message[key] for key in ("case", "system", "form", "arguments", "wrt")}
    arrays = {name: message["arrays"][name] for name in ("input", "target")}
    assert forward == {
        **common, "op": "script", "arrays": arrays, "grad_array": None,
        "step": {"do": "forward", "as": "t", "arrays": {"input": "input", "target": "target"}},
    }  # fmt: skip
    assert backward == {
        **common, "op": "script", "arrays": arrays,
        "grad_array": message["arrays"]["grad_output"],
        "step": {"do": "backward", "of": "t", "grad_output": "grad_output", "retain": False},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (WorkerFailure("crash", "it died"), Unavailable, "^it died$"),
        ({"error": "KeyError: x"}, Unavailable, "^KeyError: x$"),
        ({"unsupported": "not here"}, Unsupported, "^not here$"),
    ],
)
def test_why_there_is_no_script(monkeypatch, reply, error, words):
    worker = Replies(reply)
    monkeypatch.setattr(repro, "Worker", worker)
    with pytest.raises(error, match=words):
        repro.script(CASE, fakes.hostile())
    assert worker.closed == 1


def test_an_adapter_that_writes_nothing_is_called_by_the_script(monkeypatch):
    monkeypatch.setattr(repro, "Worker", Replies({"unwritten": "no"}))
    text = repro.script(CASE, fakes.hostile())
    assert "The framework is called through its adapter" in text.split('"""')[1]
    assert f"\n\nfake 9\ncrossent repro '{CASE.id}' --adapter hostile\n" in text
    assert "adapter = load('hostile')\n" in text
    assert "# The forward pass.\ncall_t = Call(" in text
    other = Case.parse("linear/index/2x3-4/f32/mean")
    monkeypatch.setattr(repro, "Worker", Replies({"unwritten": "no"}))
    words = "^hostile does not drive torch.nn.LinearCrossEntropyLoss$"
    with pytest.raises(Unsupported, match=words):
        repro.script(other, fakes.hostile())


def test_only_an_adapter_writes_scripts():
    with pytest.raises(Unsupported, match="^only adapters that are Python files write scripts$"):
        repro.script(CASE, Program("x", ("x",)))
