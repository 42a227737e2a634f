"""The memory that a call needs at its peak: a fresh process for each contestant.

``tracemalloc`` sees neither BLAS nor other frameworks; the operating system sees all of it.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import conformance
from conformance.bench import peers
from conformance.bench.contestant import Contestant, Values
from conformance.bench.workloads import Inputs, Workload, by_name

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

#: Where the call of a contestant is rehearsed, so that what is allocated once is there.
_REHEARSAL = (64, 16, 128)


def extra_bytes(workload: Workload, contestant: str) -> tuple[float, str]:
    """Return the peak beyond inputs and gradients, in bytes; or NaN, and why there is none."""
    root = str(Path(conformance.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.run(
        [sys.executable, "-m", "conformance.bench.memory", workload.name, contestant],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        return math.nan, lines[-1]
    return float(json.loads(process.stdout.splitlines()[-1])), ""


def measured(workload: Workload, name: str) -> int:
    """Measure in this process, which should be a fresh one."""
    _find(Workload(workload.kind, _REHEARSAL, workload.dtype), name)[0].call()
    contestant, inputs = _find(workload, name)
    before = _reset_peak()
    result = contestant.call()
    extra = _peak() - before
    found = contestant.values(result)
    # A base writes where it wrote before; its memory is no part of what the call adds.
    kept = found.gradients.values() if isinstance(found, Values) else ()
    del inputs
    return max(0, extra - sum(gradient.nbytes for gradient in kept))


def _find(workload: Workload, name: str) -> tuple[Contestant, Inputs]:
    """Return a contestant, and the inputs that it holds on to."""
    inputs = workload.inputs()
    made = peers.maker(name)(workload, inputs)
    return next(contestant for contestant in made if contestant.name == name), inputs


def _reset_peak() -> int:
    """Forget the peak; return the resident bytes of now, which are the new one."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        # The peak so far, then: an earlier and higher one hides what the call needs.
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(field: str) -> int:
    match = re.search(rf"^{field}:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    if match is None:
        raise OSError(f"{_STATUS} has no {field}")
    return int(match[1]) * 1024


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(measured(by_name(sys.argv[1]), sys.argv[2]))}\n")
