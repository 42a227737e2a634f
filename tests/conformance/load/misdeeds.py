"""Checks that go wrong, in processes of their own."""

import itertools
import os
import time

from conformance.load import library, writes
from conformance.load.check import Failed

COUNTER = itertools.count()


def find_fault(_):
    raise Failed("something is wrong")


def raise_error(_):
    raise ZeroDivisionError("a defect")


def die(_):
    os._exit(7)


def hang(_):
    time.sleep(3600)


def unsteady():
    """Calls of which each gives another result."""
    return {"counter": lambda: (float(next(COUNTER)),)}


def unsteady_threads(size):
    library.calls = unsteady
    return library.threads(size)


def unsteady_forks(size):
    library.calls = unsteady
    return library.forks(size)


def write_in_place(folder, version):
    """Write as one should not: into the file itself."""
    with (folder / "x").open("wb") as file:
        file.write(b"0" * 10)
        file.write((b"old", b"new" * writes._LARGE)[version])
        file.flush()
        os.fsync(file.fileno())


def write_and_leave(folder, version):
    """Leave a temporary file where the replacement fails."""
    (folder / "temporary").write_bytes((b"old", b"new")[version])
    os.replace(folder / "temporary", folder / "x")


def faults_in_place(size):
    writes.TARGETS = (writes.Target("file", write_in_place),)
    return writes.faults(size)


def faults_that_leave(size):
    writes.TARGETS = (writes.Target("file", write_and_leave),)
    return writes.faults(size)


def kills_in_place(size):
    writes.TARGETS = (writes.Target("file", write_in_place),)
    return writes.kills(size)
