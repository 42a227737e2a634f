"""A worker and its driver, with real processes and an adapter that does its worst."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import conformance
from conformance import driver, protocol
from conformance.driver import Program, Unavailable, Worker, WorkerFailure
from conformance.protocol import Array, encode_view
from conformance.runner import Seat
from tests.conformance import fakes

WORKER = Path(conformance.__file__).with_name("worker.py")


def find_pythons():
    """Return this interpreter and every other 3.8 or newer here that has NumPy.

    The variable CROSSENT_TEST_PYTHONS names further ones.
    """
    found = {sys.version_info[:2]: sys.executable}
    candidates = os.environ.get("CROSSENT_TEST_PYTHONS", "").split(os.pathsep)
    candidates += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    candidates += [shutil.which(f"python3.{minor}") or "" for minor in range(8, 15)]
    probe = "import sys, numpy; print(*sys.version_info[:2])"
    for candidate in filter(os.path.exists, candidates):
        answer = subprocess.run([candidate, "-c", probe], capture_output=True, text=True)
        if answer.returncode == 0:
            version = tuple(map(int, answer.stdout.split()))
            if version >= (3, 8):
                found.setdefault(version, candidate)
    return {f"{major}.{minor}": path for (major, minor), path in found.items()}


PYTHONS = find_pythons()
DESCRIBE = "class Adapter:\n    def describe(self): "


@pytest.fixture
def worker():
    worker = Worker(fakes.hostile())
    worker.start()
    yield worker
    worker.close()


def ask(worker, timeout=20.0, **request):
    worker.send(fakes.message(**request))
    return worker.receive(timeout)


def assert_alive(worker):
    assert ask(worker)["steps"][0]["outcome"] == "ok"


def is_alive(pid):
    """Whether a process still runs; a zombie that waits for its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def group_of(worker):
    """Return the ids of all processes in a worker's session."""
    session = str(worker._process._popen.pid)
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == session:
            members.append(int(stat.parent.name))
    return members


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


def test_a_result_whose_memory_is_used_again_shows(worker):
    forward = {"do": "forward", "arrays": {"input": "x"}}
    answer = ask(worker, do="reuse", steps=[{**forward, "as": "a"}, {**forward, "as": "b"}])
    first, second = (step["arrays"]["loss"] for step in answer["steps"])
    assert first == second  # although the first loss was another number when it was returned


@pytest.mark.parametrize("do", ["overwrite", "write-beside"])
def test_writing_into_or_beside_an_input_is_reported(worker, do):
    assert ask(worker, do=do)["modified"] == ["x"]
    assert ask(worker)["modified"] == []


@pytest.mark.parametrize(
    ("do", "detail"),
    [
        ("abort", "was killed by SIGABRT without a reply; stderr ends:\nthe last words"),
        ("exit", "exited with status 3 without a reply"),
        ("garbage", "not the reply to this request: '}garbage{'"),
    ],
)
def test_a_crash_is_described_and_survived(worker, do, detail):
    failure = ask(worker, do=do)
    assert isinstance(failure, WorkerFailure)
    assert failure.kind == "crash"
    assert detail in failure.detail
    assert not worker.running
    worker.start()
    assert_alive(worker)


def test_a_native_crash_shows_the_python_stack(worker, tmp_path):
    adapter = tmp_path / "segfault.py"
    adapter.write_text(
        "import ctypes\n"
        "class Adapter:\n"
        "    def describe(self): return {'systems': []}\n"
        "    def forward(self, call): ctypes.string_at(0)\n"
    )
    worker = Worker(Program.of_adapter("segfault", str(adapter)))
    worker.start()
    failure = ask(worker)
    assert "was killed by SIGSEGV" in failure.detail
    assert "in forward" in failure.detail


def test_a_hang_ends_at_the_limit_with_all_its_processes(worker):
    worker.send(fakes.message(do="hang"))
    wait_until(lambda: len(group_of(worker)) == 2)
    group = group_of(worker)
    failure = worker.receive(0.2)
    assert failure == WorkerFailure("timeout", "no reply within 0.2 s")
    wait_until(lambda: not any(map(is_alive, group)))
    worker.start()
    assert_alive(worker)


def test_a_reply_counts_by_when_it_came_not_by_when_it_was_fetched(worker):
    worker.send(fakes.message())
    wait_until(lambda: worker._process.lines.qsize() == 1)
    time.sleep(0.2)
    in_between = time.monotonic() - 0.1 - worker._sent
    assert worker.receive(in_between)["case"] == "the case"
    assert worker.elapsed < in_between
    worker.send(fakes.message())
    wait_until(lambda: worker._process.lines.qsize() == 1)
    assert worker.receive(1e-9).kind == "timeout"


def test_a_close_leaves_no_process(worker, monkeypatch):
    monkeypatch.setattr(driver, "_LEAVE_LIMIT", 0.1)
    worker.send(fakes.message(do="hang"))
    wait_until(lambda: len(group_of(worker)) == 2)
    group = group_of(worker)
    worker.close()
    wait_until(lambda: not any(map(is_alive, group)))


@pytest.mark.parametrize("kind", ["adapter", "command"])
def test_a_worker_dies_with_its_harness_even_while_it_hangs(kind, tmp_path):
    if kind == "adapter":
        program = f"Program.of_adapter('hostile', {str(fakes.HOSTILE)!r})"
    else:
        (tmp_path / "deaf.py").write_text(
            "import sys, time\n"
            "sys.stdin.readline()\n"
            'print(\'{"protocol": 1, "systems": []}\', flush=True)\n'
            "time.sleep(3600)\n"
        )
        command = f"{sys.executable} {tmp_path / 'deaf.py'}"
        program = f"Program.of_command({command!r})"
    harness = (
        "import json, sys, time\n"
        "from conformance.driver import Program, Worker\n"
        f"worker = Worker({program})\n"
        "worker.start()\n"
        f"worker.send(json.loads({json.dumps(fakes.message(do='sleep'))!r}))\n"
        "print(worker._process._popen.pid, flush=True)\n"
        "time.sleep(3600)\n"
    )
    root = str(WORKER.parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-c", harness], stdout=subprocess.PIPE, cwd=root, text=True
    )
    with process:
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        process.kill()
    wait_until(lambda: not is_alive(pid))


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


@pytest.mark.parametrize("value", ["-1", "121", "'long'", "True", "float('inf')"])
def test_a_program_may_compile_so_long_and_no_longer(tmp_path, value):
    source = f"return {{'systems': [], 'compiling': {value}}}"
    (tmp_path / "adapter.py").write_text(DESCRIBE + source)
    match = "compiles for|exited with status 1"  # JSON has no infinity
    with pytest.raises(Unavailable, match=match):
        Worker(Program.of_adapter("x", str(tmp_path / "adapter.py"))).start()


def test_compiling_does_not_count_against_a_case(tmp_path):
    (tmp_path / "adapter.py").write_text(
        "import time\n"
        "class Adapter:\n"
        "    def describe(self): return {'systems': [], 'compiling': COMPILING}\n"
        "    def forward(self, call): time.sleep(0.6)\n"
    )
    for compiling, replies in (("0", False), ("60", True)):
        file = tmp_path / f"adapter{compiling}.py"
        file.write_text((tmp_path / "adapter.py").read_text().replace("COMPILING", compiling))
        seat = Seat(Program.of_adapter("x", str(file)), timeout=0.3)
        answer = seat.ask(fakes.message())()
        seat.worker.close()
        if replies:
            assert answer["steps"][0]["type"] == "AdapterError"
        else:
            assert answer == WorkerFailure("timeout", "no reply within 0.3 s")


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
        ("[print('x' * 1000) for _ in range(100)]; time.sleep(3600)", "not the reply|floods"),
        ("time.sleep(3600)", "no reply within 0.5 s"),
    ],
)
def test_a_program_that_speaks_no_protocol_is_unavailable(monkeypatch, code, text):
    monkeypatch.setattr(driver, "_LEAVE_LIMIT", 0.3)
    program = Program("x", (sys.executable, "-c", "import os, sys, time\n" + code))
    limit = 0.5 if "0.5" in text else 60.0
    with pytest.raises(Unavailable, match=text):
        Worker(program, start_limit=limit).start()


def test_a_line_without_an_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(driver, "_REPLY_LIMIT", 1 << 16)
    code = "import sys\nwhile True: sys.stdout.write('x' * 4096)"
    with pytest.raises(Unavailable, match="the reply is too long: over .* and no end"):
        Worker(Program("x", (sys.executable, "-c", code))).start()


def test_a_program_that_reads_nothing_blocks_nobody():
    code = (
        "import sys, time\n"
        "sys.stdin.readline()\n"
        'print(\'{"protocol": 1, "systems": []}\', flush=True)\n'
        "time.sleep(3600)\n"
    )
    worker = Worker(Program("deaf", (sys.executable, "-c", code)))
    worker.start()
    worker.send(fakes.message(padding="x" * (8 << 20)))
    assert worker.receive(0.2) == WorkerFailure("timeout", "no reply within 0.2 s")


def test_stderr_is_kept_to_its_end():
    code = "import sys; sys.stderr.write('x' * 1000000 + 'end'); sys.exit(4)"
    with pytest.raises(Unavailable) as caught:
        Worker(Program("x", (sys.executable, "-c", code))).start()
    assert "exited with status 4" in str(caught.value)
    assert str(caught.value).endswith("xend")
    assert len(str(caught.value)) < 9000


@pytest.mark.parametrize("command", ["/no/such/program", "no-such-program --flag"])
def test_a_missing_program_is_named(command):
    with pytest.raises(Unavailable, match=r"cannot run .*no.such.program: No such file"):
        Worker(Program.of_command(command)).start()
    with pytest.raises(Unavailable, match="/no/such/python: No such file"):
        Worker(fakes.hostile("/no/such/python")).start()


def test_an_empty_command_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Program.of_command("  ")


def test_what_follows_a_reply_is_told_before_the_next_request(worker):
    assert_alive(worker)
    assert worker.after_reply() is None
    os.kill(worker._process.pid, signal.SIGTERM)
    wait_until(lambda: not worker._process.lines.empty())
    failure = worker.after_reply()
    assert failure == WorkerFailure("crash", "the process was killed by SIGTERM after its reply")
    assert not worker.running
    assert worker.after_reply() is None


def test_a_reply_may_be_as_long_as_what_was_asked_for(worker, monkeypatch):
    monkeypatch.setattr(driver, "_REPLY_LIMIT", 4096)
    base = np.zeros(1, "f8")
    array = encode_view(Array(base, "float64"), np.broadcast_to(base, (300, 500)))
    reply = ask(worker, arrays={"x": array})
    assert protocol.decode(reply["steps"][1]["arrays"]["input"]).data.shape == (300, 500)
    monkeypatch.setattr(driver, "_ELEMENT_LIMIT", 4)
    assert "the reply is too long" in ask(worker, arrays={"x": array}).detail


@pytest.mark.parametrize("kind", ["adapter", "command"])
def test_memory_is_limited(kind, tmp_path):
    (tmp_path / "adapter.py").write_text(
        DESCRIBE + "return {'error': str(len(bytearray(1 << 29)))}"
    )
    program = Program.of_adapter("x", str(tmp_path / "adapter.py"))
    if kind == "command":
        program = Program.of_command(program.line)
    with pytest.raises(Unavailable, match=str(1 << 29)):
        Worker(program).start()
    with pytest.raises(Unavailable, match="MemoryError"):
        Worker(program, memory=400 << 20).start()
