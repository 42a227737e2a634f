import os
import signal
import threading

import pytest

from conformance.interrupt import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_a_note_and_get_their_handlers_back(number):
    before = signal.getsignal(number)
    with Stop() as stop:
        assert not stop.requested
        assert not stop.connection.poll()
        for _ in range(3):
            os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.connection.poll()
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_signals_alone():
    seen = []

    def work():
        with Stop():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
