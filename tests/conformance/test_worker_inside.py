"""What a worker does with a request, in this process; its process is test_worker's."""

import ctypes
import io
import json
import sys

import numpy as np
import pytest

from conformance import worker
from conformance.protocol import PROTOCOL_VERSION, Adapter, Array, Unsupported, decode, encode
from tests.conformance import fakes

PYTHON = ".".join(map(str, sys.version_info[:3]))
FULL = {
    "case": "the case",
    "system": "torch.nn.CrossEntropyLoss",
    "form": "module",
    "arguments": {"reduction": "sum"},
    "arrays": {
        "x": encode(Array(np.array([1.0, 2.0], "<f4"), "float32")),
        "y": encode(Array(np.array([3.0, 4.0], "<f8"), "float64")),
    },
    "wrt": ["input"],
}


class Spy(Adapter):
    """Keeps what it is given, and gives back twice the input."""

    def __init__(self):
        self.seen = []

    def forward(self, call):
        self.seen.append(call)
        array = call.arrays["input"]
        return Array(array.data * 2, array.dtype), f"state {len(self.seen)}"

    def backward(self, state, grad_output, retain):
        self.seen.append((state, grad_output, retain))
        return {"input": Array(np.ones(3, "f4"), "float32"), 7: Array(np.zeros(1), "float64")}

    def script(self, call, step):
        self.seen.append((call, step))
        return "the source"


def forward(name="a", **arrays):
    return {"do": "forward", "as": name, "arrays": arrays or {"input": "x"}}


def backward(of="a", grad_output=None, retain=False):
    return {"do": "backward", "of": of, "grad_output": grad_output, "retain": retain}


def outcomes(adapter, *steps):
    return worker.answer(adapter, {**FULL, "steps": list(steps)})["steps"]


# A call.


def test_an_adapter_is_given_the_call_and_its_steps():
    spy = Spy()
    steps = [
        forward("a", input="x"),
        forward("b", input="y", target="x"),
        backward("a", None, 0),
        backward("b", "x", 1),
    ]
    reply = worker.answer(spy, {**FULL, "steps": steps})
    first, second, one, other = spy.seen
    for call in (first, second):
        assert (call.system, call.form) == ("torch.nn.CrossEntropyLoss", "module")
        assert (call.arguments, call.wrt) == ({"reduction": "sum"}, ["input"])
    assert {name: array.data.tolist() for name, array in first.arrays.items()} == {
        "input": [1.0, 2.0]
    }
    assert {name: array.data.tolist() for name, array in second.arrays.items()} == {
        "input": [3.0, 4.0],
        "target": [1.0, 2.0],
    }
    assert one == ("state 1", None, False)
    assert one[2] is False
    state, given, retain = other
    assert (state, given.data.tolist(), given.dtype, retain) == ("state 2", [1, 2], "float32", True)
    assert retain is True
    ones = encode(Array(np.ones(3, "f4"), "float32"))
    zero = encode(Array(np.zeros(1), "float64"))
    assert reply == {
        "case": "the case",
        "steps": [
            {"outcome": "ok", "arrays": {"loss": encode(Array(np.array([2, 4], "f4"), "float32"))}},
            {"outcome": "ok", "arrays": {"loss": encode(Array(np.array([6.0, 8]), "float64"))}},
            {"outcome": "ok", "arrays": {"input": ones, "7": zero}},
            {"outcome": "ok", "arrays": {"input": ones, "7": zero}},
        ],
        "modified": [],
    }


def test_what_an_adapter_overwrites_is_named():
    class Overwrites(Spy):
        def forward(self, call):
            call.arrays["input"].data[0] = 5
            return super().forward(call)

    reply = worker.answer(Overwrites(), {**FULL, "steps": [forward(input="y")]})
    assert reply["modified"] == ["y"]


def test_what_is_written_beside_a_view_counts_as_overwritten(monkeypatch):
    hostile = worker.load(str(fakes.HOSTILE))
    monkeypatch.delitem(sys.modules, type(hostile).__module__)
    assert worker.answer(hostile, fakes.message(do="write-beside"))["modified"] == ["x"]
    assert worker.answer(hostile, fakes.message())["modified"] == []


def test_a_backward_step_of_nothing_is_left_out_and_the_others_go_on():
    class Refuses(Spy):
        def forward(self, call):
            if len(call.arrays) > 1:
                raise Unsupported("not here")
            return super().forward(call)

    steps = [forward("a", input="x", target="y"), backward("a"), forward("b"), backward("b")]
    found = outcomes(Refuses(), *steps)
    assert found[:2] == [
        {"outcome": "unsupported", "reason": "not here"},
        {"outcome": "skipped"},
    ]
    assert [step["outcome"] for step in found[2:]] == ["ok", "ok"]


class Speechless(Exception):  # noqa: N818 - it says nothing
    def __str__(self):
        raise RuntimeError("no words")


LOSS = Array(np.zeros((), "f4"), "float32")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "forward returned None, expected the pair (Array, state)"),
        (7, "forward returned a value of type int, expected the pair (Array, state)"),
        ((LOSS,), "forward returned a tuple of 1, expected the pair (Array, state)"),
        ((LOSS, 1, 2), "forward returned a tuple of 3, expected the pair (Array, state)"),
        ([LOSS, 1], "forward returned a value of type list, expected the pair (Array, state)"),
        ((None, 1), "the loss is None, expected a protocol.Array"),
        ((LOSS.data, 1), "the loss is a value of type ndarray, expected a protocol.Array"),
        (
            (Array(LOSS.data, "float128"), 1),
            "the loss has dtype 'float128', allowed are float16, bfloat16, float32, float64, "
            "bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64",
        ),
        (
            (Array(LOSS.data, "bfloat16"), 1),
            "the loss is called bfloat16, which is stored as uint16, but its data is float32",
        ),
    ],
)
def test_what_forward_may_not_return_is_told(given, message):
    class Odd(Spy):
        def forward(self, _):
            return given

    (found,) = outcomes(Odd(), forward())
    assert found == {"outcome": "raised", "type": "AdapterError", "message": message}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "backward returned None, expected a dict of Array"),
        ([LOSS], "backward returned a value of type list, expected a dict of Array"),
        ({"x": 1}, "the gradient of x is a value of type int, expected a protocol.Array"),
    ],
)
def test_what_backward_may_not_return_is_told(given, message):
    class Odd(Spy):
        def backward(self, *_):
            return given

    _, found = outcomes(Odd(), forward(), backward())
    assert found == {"outcome": "raised", "type": "AdapterError", "message": message}


@pytest.mark.parametrize("data", [np.array(2.5, ">f4"), [2.5], np.float32(2.5)])
def test_values_are_told_whatever_holds_them(data):
    class Odd(Spy):
        def forward(self, _):
            return Array(np.asarray(data, getattr(data, "dtype", "f4")), "float32"), None

    (found,) = outcomes(Odd(), forward())
    assert np.ravel(decode(found["arrays"]["loss"]).data).tolist() == [2.5]


@pytest.mark.parametrize(
    ("error", "type_name", "message"),
    [
        (ValueError("x" * 2000), "ValueError", "x" * 2000),
        (ValueError("x" * 1999 + "yz"), "ValueError", "x" * 1999 + "y [...]"),
        (SystemExit("bye"), "SystemExit", "bye"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (Speechless(), "Speechless", "(its text could not be read)"),
    ],
)
def test_whatever_a_framework_raises_is_an_answer(error, type_name, message):
    class Raises(Spy):
        def forward(self, _):
            raise error

        def script(self, *_):
            raise error

    (found,) = outcomes(Raises(), forward())
    assert found == {"outcome": "raised", "type": type_name, "message": message}
    reply = worker.write(Raises(), {**FULL, "step": forward(), "grad_array": None})
    assert reply == {"case": "the case", "error": f"{type_name}: {message}"}


# A script.


def test_an_adapter_writes_the_source_of_a_step():
    spy = Spy()
    step = {**backward("a", "x"), "grad_array": "replaced"}
    reply = worker.write(spy, {**FULL, "step": step, "grad_array": FULL["arrays"]["y"]})
    assert reply == {"case": "the case", "source": "the source"}
    worker.write(spy, {**FULL, "step": forward(), "grad_array": None})
    (call, first), (_, second) = spy.seen
    assert (call.form, call.arrays["x"].data.tolist()) == ("module", [1.0, 2.0])
    assert first.pop("grad_array").data.tolist() == [3.0, 4.0]
    assert first == backward("a", "x")
    assert second == {**forward(), "grad_array": None}


@pytest.mark.parametrize(
    ("error", "word"),
    [(Unsupported("no"), "unsupported"), (NotImplementedError("no"), "unwritten")],
)
def test_why_there_is_no_source_is_told(error, word):
    class Refuses(Spy):
        def script(self, *_):
            raise error

    reply = worker.write(Refuses(), {**FULL, "step": forward(), "grad_array": None})
    assert reply == {"case": "the case", word: "no"}


# The adapter's file.


def test_an_adapter_describes_itself_and_what_it_leaves_out_is_added(tmp_path):
    file = tmp_path / "a b-c1.py"
    file.write_text(
        "class Adapter:\n"
        "    def describe(self):\n"
        "        return {'name': __name__, 'systems': [], 'versions': {'a': 1.5, 'python': 'mine'}}"
    )
    adapter, reply = worker.hello(str(file))
    assert type(adapter).__module__ == "crossent_adapter_a_b_c1"
    assert sys.modules.pop("crossent_adapter_a_b_c1").Adapter is type(adapter)
    assert reply == {
        "name": "crossent_adapter_a_b_c1",
        "systems": [],
        "protocol": PROTOCOL_VERSION,
        "versions": {"a": "1.5", "numpy": np.__version__, "python": "mine"},
    }
    file.write_text("class Adapter:\n    def describe(self): return {}")
    assert worker.hello(str(file)).reply == {
        "protocol": PROTOCOL_VERSION,
        "versions": {"numpy": np.__version__, "python": PYTHON},
    }


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        (
            "import no_such.thing",
            {"error": "ModuleNotFoundError: No module named 'no_such'", "module": "no_such"},
        ),
        ("raise ModuleNotFoundError('x')", {"error": "ModuleNotFoundError: x"}),
        ("raise SystemExit('x')", {"error": "SystemExit: x"}),
    ],
)
def test_why_an_adapter_cannot_be_loaded_is_told(tmp_path, source, failure):
    file = tmp_path / "it.py"
    file.write_text(source)
    assert worker.hello(str(file)) == (None, failure)


def test_a_file_that_is_no_adapter_is_named(tmp_path):
    file, other = tmp_path / "it.py", tmp_path / "it.txt"
    file.write_text("x = 1")
    with pytest.raises(worker.AdapterError, match=f"^{file} defines no class named Adapter$"):
        worker.load(str(file))
    with pytest.raises(worker.AdapterError, match=f"^{other} is not a Python file$"):
        worker.load(str(other))


# The lines.


class Replies(io.BytesIO):
    """What was written, and after which writes it was flushed."""

    flushed = ()

    def flush(self):
        self.flushed += (self.getvalue().count(b"\n"),)


def serve(*requests):
    lines = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
    replies = Replies()
    worker.serve(str(fakes.HOSTILE), io.BytesIO(lines), replies)
    found = [json.loads(line) for line in replies.getvalue().split(b"\n")[:-1]]
    assert replies.flushed == tuple(range(1, len(found) + 1))  # each at once
    return found


def test_requests_are_answered_in_turn_until_it_is_told_to_quit():
    script = {"op": "script", "step": forward(input="x"), "grad_array": None}
    hello, call, refused = serve(
        {"op": "hello"},
        fakes.message(),
        {**fakes.message(), **script},
        {"op": "quit"},
        {"op": "hello"},
    )
    assert (hello["name"], hello["protocol"]) == ("hostile", PROTOCOL_VERSION)
    assert [step["outcome"] for step in call["steps"]] == ["ok", "ok"]
    assert refused["unwritten"] == "this adapter does not write reproduction scripts"
    assert serve() == []


@pytest.mark.parametrize("op", ["call", "script", "sing", None])
def test_what_cannot_be_done_is_told(op):
    requests = [{"op": op}] if op else [{}]
    words = {"error": f"expected hello, then call or quit, got {op!r}"}
    assert serve(*requests) == [words]
    if op not in ("call", "script"):
        assert serve({"op": "hello"}, *requests)[1:] == [words]


def test_a_number_that_json_lacks_ends_the_worker(tmp_path):
    file = tmp_path / "it.py"
    file.write_text("class Adapter:\n    def describe(self): return {'x': float('nan')}")
    with pytest.raises(ValueError, match="JSON"):
        worker.serve(str(file), io.BytesIO(b'{"op": "hello"}\n'), io.BytesIO())


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_where_a_parents_death_cannot_be_told_nothing_happens(monkeypatch, platform):
    loaded = []

    def missing(name):
        loaded.append(name)
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(sys, "platform", platform)
    worker.die_with_parent()
    assert loaded == ([None] if platform == "linux" else [])


def test_a_program_that_cannot_be_started_is_named(monkeypatch):
    monkeypatch.setattr(worker, "die_with_parent", lambda: None)
    with pytest.raises(SystemExit, match="^cannot run /no/program: No such file or directory$"):
        worker.main(["worker.py", "--exec", "/no/program", "x"])
