"""The pool and its memory: threads that cannot start, errors, calls in the midst of a call."""

import signal
import threading
import time

import numpy as np
import pytest

import crossent_spec as cs
from crossent_spec.cpu import threads


@pytest.fixture
def four_threads(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 4)
    monkeypatch.setattr(threads, "_pool", None)


@pytest.mark.usefixtures("four_threads")
def test_all_is_done_where_a_thread_cannot_start(monkeypatch):
    start, started = threading.Thread.start, []

    def second_fails(thread):
        started.append(thread)
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", second_fails)
    for _ in range(20):
        done = []

        def work(begin, end, done=done):
            time.sleep(0.001)
            done.extend(range(begin, end))

        threads.in_parts(work, 40, 1)
        assert sorted(done) == list(range(40))
        monkeypatch.setattr(threads, "_pool", None)
        started.clear()


@pytest.mark.usefixtures("four_threads")
def test_an_error_waits_for_all_who_work():
    running = []

    def work(begin, _end):
        if begin == 0:
            time.sleep(0.01)
            raise MemoryError("no room")
        running.append(begin)
        time.sleep(0.05)
        running.remove(begin)

    with pytest.raises(MemoryError, match="no room"):
        threads.in_parts(work, 8, 1)
    assert running == []


def test_a_signal_handler_may_call_the_library():
    x = np.random.default_rng(0).standard_normal((300, 20)).astype(np.float16)
    y, z = np.zeros(300, int), x[:40] * np.float16(0.5)
    expected, calls = cs.cross_entropy(x, y), []

    def handler(_number, _frame):
        calls.append(cs.cross_entropy(z, y[:40]))
        # Not before: on a busy machine signals would come faster than they are handled.
        signal.setitimer(signal.ITIMER_REAL, 0.0002)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002)
    try:
        deadline = time.monotonic() + 1.0
        found = set()
        while time.monotonic() < deadline:
            found.add(float(cs.cross_entropy(x, y)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(calls) > 10
    assert found == {float(expected)}
