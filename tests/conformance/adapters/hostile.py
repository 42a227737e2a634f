"""Misbehaves as the call's ``do`` argument says; computes nothing but the sum of the input."""

import contextlib
import ctypes
import faulthandler
import os
import sys
import time

import numpy as np

from conformance.protocol import Adapter as Base
from conformance.protocol import Array, Unsupported


class Panic(BaseException):
    """As foreign runtimes raise them: no Exception."""


class SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def overwrite(call):
    call.arrays["input"].data[...] = 0


def write_beside(call):
    data = call.arrays["input"].data
    np.lib.stride_tricks.as_strided(data, (2 * data.size,), (data.itemsize,))[1] = 77


def print_everywhere(_):
    print("from Python")
    sys.stdout.flush()
    os.write(1, b'{"case": "forged"}\n')
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)


def garbage(_):
    # What no print can do: find the protocol's own pipe, and write into it.
    for fd in range(3, 20):
        with contextlib.suppress(OSError):
            os.write(fd, b"}garbage{\n")


def abort(_):
    faulthandler.disable()
    os.write(2, b"the last words\n")
    os.abort()


def hang(_):
    # A child of its own, so that a test sees whether the whole group goes.
    if os.fork() == 0:
        os.write(2, b"")
    time.sleep(3600)


def panic(_):
    raise Panic("panicked")


def leave(_):
    sys.exit("bye")


def speechless(_):
    raise SpeechlessError


def refuse(_):
    raise Unsupported("not here")


DEEDS = {
    "overwrite": overwrite,
    "write-beside": write_beside,
    "print": print_everywhere,
    "garbage": garbage,
    "abort": abort,
    "exit": lambda _: os._exit(3),
    "hang": hang,
    "panic": panic,
    "leave": leave,
    "speechless": speechless,
    "refuse": refuse,
    "sleep": lambda _: time.sleep(3600),
    "read-stdin": lambda _: sys.stdin.read(),
    "raise": lambda _: [][1],
}
SHARED = np.zeros((), "f4")


def reuse(loss):
    """Give every loss in the same memory."""
    SHARED[...] = SHARED + loss.data
    return Array(SHARED, loss.dtype), None


ODDITIES = {
    "reuse": reuse,
    "no-pair": lambda loss: loss,
    "no-array": lambda loss: (loss.data, None),
    "other-storage": lambda loss: (Array(loss.data.astype("f8"), "float32"), None),
    "other-dtype": lambda loss: (Array(loss.data, "float128"), None),
}


class Adapter(Base):
    def describe(self):
        return {
            "name": "hostile",
            "systems": ["torch.nn.CrossEntropyLoss"],
            "versions": {"hostile": os.environ.get("HOSTILE_VERSION", "6.6.6")},
        }

    def forward(self, call):
        deed = call.arguments.get("do", "nothing")
        if deed in DEEDS:
            DEEDS[deed](call)
        data = call.arrays["input"].data
        loss = Array(np.asarray(data.sum(), data.dtype), call.arrays["input"].dtype)
        if deed in ODDITIES:
            return ODDITIES[deed](loss)
        return loss, call

    def backward(self, state, grad_output, retain):  # noqa: ARG002
        if state.arguments.get("do") == "no-dict":
            return [1]
        scale = 1 if grad_output is None else grad_output.data
        return {
            name: Array(np.ones_like(state.arrays[name].data) * scale, state.arrays[name].dtype)
            for name in state.wrt
        }
