"""A worker and its driver, with real processes: what is asked and answered."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from conformance import driver, protocol
from conformance import worker as worker_module
from conformance.driver import Program, Unavailable, Worker
from tests.conformance import fakes, workers
from tests.conformance.workers import DESCRIBE, PYTHONS, WORKER, ask, assert_alive

worker = workers.worker


@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS.keys())
def test_any_python_answers_with_its_versions_and_results(python):
    worker = Worker(fakes.hostile(python))
    try:
        hello = worker.start()
        reply = ask(worker)
    finally:
        worker.close()
    assert hello.name == "hostile"
    assert hello.systems == ("torch.nn.CrossEntropyLoss",)
    assert hello.versions.keys() == {"hostile", "numpy", "python"}
    loss = protocol.decode(reply["steps"][0]["arrays"]["loss"])
    assert loss.dtype == "float32"
    assert loss.data == 1 + 3 + 5 + 7
    gradient = protocol.decode(reply["steps"][1]["arrays"]["input"])
    np.testing.assert_array_equal(gradient.data, np.ones(4, "f4"))
    assert reply["modified"] == []
    assert worker.elapsed > 0


def test_a_foreign_python_sees_nothing_of_this_ones_packages():
    for name, python in PYTHONS.items():
        if python != sys.executable:
            command = fakes.hostile(python).command
            assert command == (python, str(WORKER), str(fakes.HOSTILE)), name


@pytest.mark.parametrize("do", ["print", "read-stdin"])
def test_the_frameworks_own_streams_are_not_the_protocols(worker, do):
    assert ask(worker, do=do)["steps"][0]["outcome"] == "ok"
    assert_alive(worker)


@pytest.mark.parametrize(
    ("do", "outcome"),
    [
        ("raise", {"type": "IndexError", "message": "list index out of range"}),
        ("panic", {"type": "Panic", "message": "panicked"}),
        ("leave", {"type": "SystemExit", "message": "bye"}),
        ("speechless", {"type": "SpeechlessError", "message": "(its text could not be read)"}),
    ],
)
def test_whatever_is_raised_is_an_answer(worker, do, outcome):
    steps = ask(worker, do=do)["steps"]
    assert steps == [{"outcome": "raised", **outcome}, {"outcome": "skipped"}]
    assert_alive(worker)


def test_unsupported_carries_its_reason(worker):
    steps = ask(worker, do="refuse")["steps"]
    assert steps == [{"outcome": "unsupported", "reason": "not here"}, {"outcome": "skipped"}]


@pytest.mark.parametrize(
    ("do", "step", "message"),
    [
        ("no-pair", 0, "forward returned a tuple of 2"),
        ("no-array", 0, "the loss is a value of type ndarray, expected a protocol.Array"),
        ("other-storage", 0, "called float32, which is stored as float32, but its data is float64"),
        ("other-dtype", 0, "the loss has dtype 'float128', allowed are float16,"),
        ("no-dict", 1, "backward returned a value of type list, expected a dict of Array"),
    ],
)
def test_what_an_adapter_may_not_return_is_explained(worker, do, step, message):
    answer = ask(worker, do=do)["steps"][step]
    if do == "no-pair":
        message = "the loss is"  # an Array is itself a tuple of two
    assert answer["outcome"] == "raised"
    assert answer["type"] == "AdapterError"
    assert message in answer["message"]


@pytest.mark.parametrize("do", ["overwrite", "write-beside"])
def test_writing_into_or_beside_an_input_is_reported(worker, do):
    assert ask(worker, do=do)["modified"] == ["x"]
    assert ask(worker)["modified"] == []


@pytest.mark.parametrize(
    ("source", "text", "module"),
    [
        ("import no_such_framework", "No module named 'no_such_framework'", "no_such_framework"),
        ("raise RuntimeError('no GPU')", "RuntimeError: no GPU", None),
        ("x = 1", "defines no class named Adapter", None),
        ("class Adapter: pass", "AttributeError", None),
        ("import sys; sys.exit(1)", "SystemExit: 1", None),
        ("import os; os._exit(9)", "exited with status 9", None),
        (DESCRIBE + "return {}", "lacks a list of systems", None),
        (DESCRIBE + "return {'systems': 'all'}", "lacks a list of systems", None),
        (DESCRIBE + "return None", "TypeError: 'NoneType' object is not iterable", None),
        (DESCRIBE + "return {'systems': [], 'x': float('nan')}", "exited with status 1", None),
        (DESCRIBE + "import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV", None),
        (DESCRIBE + "return {'error': '\\ud800\\x1b[2J', 'module': 1}", "^\ufffd\ufffd.2J$", None),
        (DESCRIBE + "import time; time.sleep(3600)", "no reply within 2 s", None),
    ],
)
def test_a_framework_that_cannot_be_imported_is_unavailable(tmp_path, source, text, module):
    (tmp_path / "adapter.py").write_text(source)
    limit = 2.0 if "sleep" in source else 60.0
    worker = Worker(Program.of_adapter("x", str(tmp_path / "adapter.py")), start_limit=limit)
    with pytest.raises(Unavailable, match=text) as caught:
        worker.start()
    assert caught.value.module == module
    assert not worker.running


def test_an_adapter_named_like_its_framework_imports_the_framework(tmp_path):
    adapter = tmp_path / "json.py"
    adapter.write_text(
        "import json, sys\n"
        "class Adapter:\n"
        "    def describe(self):\n"
        "        return {'systems': [json.dumps(1), __name__, *sys.path]}\n"
    )
    worker = Worker(Program.of_adapter("json", str(adapter), sys.executable))
    systems = worker.start().systems
    worker.close()
    assert systems[:2] == ("1", "crossent_adapter_json")
    assert str(WORKER.parent) not in systems


def test_an_adapter_meets_the_protocol_and_nothing_else_of_the_suite(tmp_path):
    adapter = tmp_path / "mine.py"
    adapter.write_text(
        "import conformance, conformance.protocol, sys\n"
        "class Adapter:\n"
        "    def describe(self):\n"
        "        of_it = hasattr(conformance, '__file__'), *conformance.__path__\n"
        "        return {'systems': [*of_it, *sys.path[-2:]]}\n"
    )
    program = Program.of_adapter("mine", str(adapter))
    worker = Worker(replace(program, command=(*program.command[:3], "/a", "/b")))
    systems = worker.start().systems
    worker.close()
    assert systems == ("False", str(WORKER.parent), "/a", "/b")


def test_where_python_leaves_its_own_folder_out_nothing_else_is_taken_away(tmp_path):
    adapter, beside = tmp_path / "mine.py", tmp_path / "beside"
    adapter.write_text("import here\n" + DESCRIBE + "return {'systems': [here.__name__]}")
    beside.mkdir()
    (beside / "here.py").write_text("")
    program = Program.of_adapter("mine", str(adapter), sys.executable)
    variables = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(beside)}
    worker = Worker(replace(program, variables=variables))
    systems = worker.start().systems
    worker.close()
    assert systems == ("here",)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print('[1]')", "not the reply to this request: '\\[1\\]'"),
        ("print('{\"protocol\": NaN}')", "not the reply"),
        ("print('[' * 100000)", "not the reply"),
        ("print('{\"protocol\": 99}')", "it speaks protocol 99"),
        ("sys.stdout.write('{\"half')", "its last line breaks off: '{\"half'"),
        ("pass", "exited with status 0"),
        ("os.close(1); time.sleep(3600)", "closed its stdout"),
        ("[print('x' * 1000) for _ in range(100)]; time.sleep(3600)", "not the reply"),
        ("time.sleep(3600)", "no reply within 0.5 s"),
    ],
)
def test_a_program_that_speaks_no_protocol_is_unavailable(monkeypatch, code, text):
    monkeypatch.setattr(driver, "_LEAVE_LIMIT", 0.3)
    program = Program("x", (sys.executable, "-c", "import os, sys, time\n" + code))
    limit = 0.5 if "0.5" in text else 60.0
    with pytest.raises(Unavailable, match=text):
        Worker(program, start_limit=limit).start()


@pytest.mark.parametrize("command", ["/no/such/program", "no-such-program --flag"])
def test_a_missing_program_is_named(command):
    with pytest.raises(Unavailable, match=r"cannot run .*no.such.program: No such file"):
        Worker(Program.of_command(command)).start()
    with pytest.raises(Unavailable, match="/no/such/python: No such file"):
        Worker(fakes.hostile("/no/such/python")).start()


def test_an_empty_command_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Program.of_command("  ")


def test_a_number_that_json_has_not_reaches_an_adapter_as_a_number():
    given = []

    class Adapter(protocol.Adapter):
        def forward(self, call):
            given.append(call.arguments)
            raise protocol.Unsupported("no")

    arrays = {"input": protocol.encode_view(protocol.Array(ONES, "float32"), ONES)}
    forward = {"do": "forward", "as": "a", "arrays": {"input": "input"}}
    arguments = {"label_smoothing": "nan", "mult": "-inf", "reduction": "nan"}
    message = {"case": "x", "system": "", "form": "", "wrt": [], "arrays": arrays,
               "arguments": arguments, "steps": [forward]}  # fmt: skip
    worker_module.answer(Adapter(), message)
    assert math.isnan(given[0].pop("label_smoothing"))
    assert given == [{"mult": -math.inf, "reduction": "nan"}]
    # The message is the harness's own.
    assert arguments["label_smoothing"] == "nan"


ONES = np.ones(2, "f4")
