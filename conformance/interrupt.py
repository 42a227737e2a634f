"""SIGINT and SIGTERM as a wish to stop, which cuts nothing short."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While the context lasts, the two signals only leave a note, the second as the first.

    The exception that Python raises in their place might strike while results are saved.  A
    signal that is ignored stays so, as of a job in a shell's background; and in any thread but
    the main one, signals are left as they are.

    Attributes
    ----------
    requested
        Whether a signal came.
    connection
        Becomes readable when the first one does; something to wait for beside others.
    """

    def __init__(self) -> None:
        self.requested = False
        self.connection, self._far = multiprocessing.Pipe(duplex=False)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._note)
                for number in _SIGNALS
                if signal.getsignal(number) not in (signal.SIG_IGN, None)
            }
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self.connection.close()
        self._far.close()

    def _note(self, signum: int, frame: object) -> None:  # noqa: ARG002 - the shape of a handler
        if not self.requested:
            self.requested = True
            with contextlib.suppress(OSError):
                self._far.send_bytes(b"!")
