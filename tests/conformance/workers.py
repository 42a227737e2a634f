"""Workers of the hostile adapter, and what is asked of them."""

import glob
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import conformance
from conformance.driver import Worker
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
