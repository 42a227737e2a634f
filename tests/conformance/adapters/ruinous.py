"""The embedded implementation, but some calls it answers with a deed.

Such a call has seven rows and asks for the mean; its number of classes says which deed.
"""

import base64
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import sys
import threading
import time

import numpy as np

from conformance.adapters.embedded import Adapter as Embedded

ROWS, FEWEST = 7, 10
LIBC = ctypes.CDLL(None)
BLOCK = b"x" * (1 << 20)


def cases_of(deed):
    """Return the ids of the case that asks for a deed, and of an innocent one that comes next."""
    classes = FEWEST + list(DEEDS).index(deed)
    return [f"ce/index/{ROWS}x{classes}/f64/{reduction}" for reduction in ("mean", "sum")]


def request():
    """Return the request under way, which only worker.py's frame knows."""
    frame = sys._getframe()
    while "message" not in frame.f_locals or "op" not in frame.f_locals["message"]:
        frame = frame.f_back
    return frame.f_locals["message"]


def pipe():
    """Return the protocol's own pipe: the one to write to that is not stdout or stderr."""
    for fd in range(3, 50):
        with contextlib.suppress(OSError):
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
                return fd
    raise RuntimeError("no pipe")


def write(data):
    """Write to the protocol's pipe; when its other end has gone, wait for the end."""
    try:
        while data:
            data = data[os.write(pipe(), data) :]
    except BrokenPipeError:
        sleep()


def sleep():
    while True:
        time.sleep(3600)


def reply(**fields):
    """Return a reply to the request under way."""
    loss = {"dtype": "float64", "shape": [], "data": base64.b64encode(bytes(8)).decode()}
    steps = [{"outcome": "ok", "arrays": {"loss": loss}}]
    steps += [{"outcome": "ok", "arrays": {}} for _ in request()["steps"][1:]]
    return {"case": request()["case"], "steps": steps, "modified": [], **fields}


def forge(**fields):
    """Have the worker write another reply than its own, this once."""
    dumps, forged = json.dumps, json.dumps(reply(**fields))

    def forge_once(*_, **__):
        json.dumps = dumps
        return forged

    json.dumps = forge_once


def with_loss(**fields):
    """Have the worker write a reply whose loss is as told."""
    answer = reply()
    loss = answer["steps"][0]["arrays"]["loss"]
    loss.update(fields)
    forge(steps=answer["steps"])


def deaf_loop():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def print_from_c():
    text = ctypes.c_char_p(BLOCK)
    for _ in range(100):
        LIBC.puts(text)
    LIBC.fflush(None)


def write_all(fd):
    for _ in range(100):
        left = BLOCK
        while left:
            left = left[os.write(fd, left) :]


def exit_after(data):
    write(data)
    os._exit(0)


def hang_after(data):
    write(data)
    sleep()


def reply_late():
    answer = json.dumps(reply()).encode() + b"\n"
    threading.Thread(target=lambda: (time.sleep(8), write(answer))).start()
    sleep()


def reply_twice():
    """Reply before the worker does."""
    steps = [{"outcome": "unsupported", "reason": "twice"}] * len(request()["steps"])
    write(json.dumps(reply(steps=steps)).encode() + b'\n{"case": "another"}\n')


def fork(then):
    """Start a child that does something and sleeps, with every pipe of its parent."""
    if os.fork() == 0:
        then()
        sleep()


def daemon():
    """Start a grandchild that has left the group, the session and its parent."""
    if child := os.fork():
        os.waitpid(child, 0)
        return
    os.setsid()
    fork(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    os._exit(0)


def eat():
    kept = []
    while True:
        kept.append(bytearray(1 << 26))


def eat_in_c():
    size = 1 << 26
    LIBC.malloc.restype = ctypes.c_void_p
    while True:
        ctypes.memset(LIBC.malloc(ctypes.c_size_t(size)), 1, size)


def fork_many():
    for _ in range(40):
        fork(lambda: None)


def nested(depth):
    return b'{"case":' + b"[" * depth + b"]" * depth + b"}\n"


DEEDS = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit silently": lambda: os._exit(0),
    "kill itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "loop, deaf to signals": deaf_loop,
    "sleep": sleep,
    "sleep in C": lambda: ctypes.PyDLL(None).sleep(3600),
    "stop itself": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "print 100 MiB": lambda: [print("x" * (1 << 20)) for _ in range(100)],
    "print 100 MiB from C": print_from_c,
    "write 100 MiB to stdout": lambda: write_all(1),
    "write 100 MiB to stderr": lambda: write_all(2),
    "print no UTF-8": lambda: os.write(2, b"\xff\xfe\x1b[2J"),
    "flood the pipe": lambda: write_all(pipe()),
    "flood the pipe with lines": lambda: write(b"{}\n" * (1 << 24)),
    "reply with 4 GiB": lambda: [write(b'{"case":"'), *(write(BLOCK) for _ in range(1 << 12))],
    "half a reply, then exit": lambda: exit_after(b'{"case": "ce/ind'),
    "half a reply, then hang": lambda: hang_after(b'{"case": "ce/ind'),
    "wrong id": lambda: forge(case="ce/index/no-such-case"),
    "no id": lambda: hang_after(b"{}\n"),
    "id of an earlier case": lambda: forge(case=f"ce/index/{ROWS}x{FEWEST}/f64/sum"),
    "reply after the time limit": reply_late,
    "reply twice": reply_twice,
    "malformed JSON": lambda: hang_after(b'{"case": }\n'),
    "JSON of another kind": lambda: hang_after(b"[]\n"),
    "no UTF-8": lambda: hang_after(b'{"case": "\xff"}\n'),
    "deep nesting": lambda: hang_after(nested(100_000)),
    "nesting below the limit": lambda: forge(modified=eval("[" * 80 + "]" * 80)),
    "a number of 10,000 digits": lambda: hang_after(b'{"case": ' + b"9" * 10_000 + b"}\n"),
    "NaN shape": lambda: with_loss(shape=[float("nan")]),
    "negative shape": lambda: with_loss(shape=[-1]),
    "huge shape": lambda: with_loss(shape=[0, 10**30]),
    "large shape without elements": lambda: with_loss(shape=[2**62, 0, 2**62], data=""),
    "fractional shape": lambda: with_loss(shape=[1.5]),
    "boolean shape": lambda: with_loss(shape=[True]),
    "shape of text": lambda: with_loss(shape="2x2"),
    "70 dimensions": lambda: with_loss(shape=[1] * 70),
    "10^12 elements": lambda: with_loss(shape=[10**12]),
    "10^12 elements by strides": lambda: with_loss(
        shape=[10**6, 10**6], strides=[0, 0], offset=0, base=1
    ),
    "no base64": lambda: with_loss(data="*"),
    "no data": lambda: with_loss(data=None),
    "dtype of another kind": lambda: with_loss(dtype=["float64"]),
    "no steps": lambda: forge(steps=[]),
    "steps of another kind": lambda: forge(steps={"0": 1}),
    "no arrays": lambda: forge(steps=[{"outcome": "ok"}] * len(request()["steps"])),
    "an outcome of another kind": lambda: forge(steps=[{"outcome": []}] * len(request()["steps"])),
    "half a surrogate pair": lambda: forge(
        steps=[{"outcome": "raised", "type": "\ud800", "message": "\udfff\x1b[2J"}]
        * len(request()["steps"])
    ),
    "a message of 8 MiB": lambda: forge(
        steps=[{"outcome": "raised", "type": "E", "message": "x" * (8 << 20)}]
        + [{"outcome": "skipped"}] * (len(request()["steps"]) - 1)
    ),
    "a broadcast array of 10^12 elements": lambda: np.broadcast_to(0.0, (10**6, 10**6)),
    "close the pipe": lambda: (os.close(pipe()), sleep()),
    "close the pipe and return": lambda: os.close(pipe()),
    "fork and exit": lambda: (fork(lambda: None), os._exit(0)),
    "fork 40 children": fork_many,
    "leave a daemon": daemon,
    "leave a daemon and crash": lambda: (daemon(), os.abort()),
    "eat memory": eat,
    "eat memory in C": eat_in_c,
}


class Adapter(Embedded):
    def describe(self):
        # Hanging is not compiling.
        return {**super().describe(), "compiling": 0}

    def forward(self, call):
        rows, classes = call.arrays["input"].data.shape
        if rows == ROWS and call.arguments["reduction"] == "mean":
            given = list(DEEDS.values())[classes - FEWEST]()
            if isinstance(given, np.ndarray):
                loss, state = super().forward(call)
                return loss._replace(data=given), state
        return super().forward(call)
