"""A worker that does its worst: it crashes, hangs, floods, and its driver goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conformance import driver, protocol
from conformance.driver import Program, Unavailable, Worker, WorkerFailure
from conformance.protocol import Array, encode_view
from conformance.runner import Seat
from tests.conformance import fakes, workers
from tests.conformance.workers import (
    DESCRIBE,
    WORKER,
    ask,
    assert_alive,
    group_of,
    is_alive,
    wait_until,
)

worker = workers.worker


def test_a_result_whose_memory_is_used_again_shows(worker):
    forward = {"do": "forward", "arrays": {"input": "x"}}
    answer = ask(worker, do="reuse", steps=[{**forward, "as": "a"}, {**forward, "as": "b"}])
    first, second = (step["arrays"]["loss"] for step in answer["steps"])
    assert first == second  # although the first loss was another number when it was returned


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


def test_compiling_takes_its_time_once_however_often_a_call_hangs(tmp_path):
    (tmp_path / "adapter.py").write_text(
        "import time\n"
        "class Adapter:\n"
        "    def describe(self): return {'systems': [], 'compiling': 1.5}\n"
        "    def forward(self, call): time.sleep(60)\n"
    )
    seat = Seat(Program.of_adapter("x", str(tmp_path / "adapter.py")), timeout=0.3)
    late = [seat.ask(fakes.message())() for _ in range(3)]
    seat.worker.close()
    assert late[0] == WorkerFailure("timeout", "no reply within 1.8 s")
    assert seat.worker.compiling == 0
    assert late[1:] == [WorkerFailure("timeout", "no reply within 0.3 s")] * 2


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


def test_the_last_words_are_lines_without_the_list_of_modules():
    code = "import sys; sys.stderr.write('one\\nExtension modules: a, b\\ntwo\\n'); sys.exit(4)"
    with pytest.raises(Unavailable) as caught:
        Worker(Program("x", (sys.executable, "-c", code))).start()
    assert str(caught.value).endswith("; stderr ends:\none\ntwo")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says whom it takes first")
def test_where_memory_runs_out_the_framework_goes_first(worker):
    assert Path(f"/proc/{worker._process.pid}/oom_score_adj").read_text() == "1000\n"


def test_what_follows_a_reply_is_told_before_the_next_request(worker):
    assert_alive(worker)
    assert worker.after_reply() is None
    os.kill(worker._process.pid, signal.SIGTERM)
    wait_until(lambda: not worker._process.lines.empty())
    failure = worker.after_reply()
    assert failure == WorkerFailure("crash", "the process was killed by SIGTERM after its reply")
    assert not worker.running
    assert worker.after_reply() is None


@pytest.mark.parametrize("count", [1, 100_000])
def test_lines_that_follow_a_reply_are_a_crash(count):
    code = (
        "import sys, time\n"
        "sys.stdin.readline()\n"
        'print(\'{"protocol": 1, "systems": []}\', flush=True)\n'
        "sys.stdin.readline()\n"
        'print(\'{"case": "the case"}\')\n'
        f"for _ in range({count}): print('one more', flush=True)\n"
        "time.sleep(3600)\n"
    )
    worker = Worker(Program("talks", (sys.executable, "-c", code)))
    worker.start()
    assert ask(worker) == {"case": "the case"}
    wait_until(lambda: not worker._process.lines.empty())
    failure = worker.after_reply()
    assert failure is not None
    assert failure.kind == "crash"
    # One that writes on may still say that nobody reads it, before it is killed.
    first = failure.detail.partition("; stderr ends:")[0]
    assert first == "another line followed the reply: 'one more'"
    assert not worker.running


def test_a_reply_may_be_as_long_as_what_was_asked_for(worker, monkeypatch):
    monkeypatch.setattr(driver, "_REPLY_LIMIT", 4096)
    base = np.zeros(1, "f8")
    array = encode_view(Array(base, "float64"), np.broadcast_to(base, (300, 500)))
    reply = ask(worker, arrays={"x": array})
    assert protocol.decode(reply["steps"][1]["arrays"]["input"]).data.shape == (300, 500)
    monkeypatch.setattr(driver, "_ELEMENT_LIMIT", 4)
    failure = ask(worker, arrays={"x": array})
    assert failure.kind == "crash"
    assert "the reply is too long" in failure.detail


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
