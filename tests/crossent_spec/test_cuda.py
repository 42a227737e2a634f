import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SIMULATED = Path(__file__).with_name("simulated")


def simulated(file):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.splitlines()[-1]
    passed = re.match(r"(\d+) passed in", summary)
    assert passed is not None, summary
    return int(passed[1])


def test_kernels_in_the_simulator():
    # The simulator uses one CPU however many threads a kernel has.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assert sum(pool.map(simulated, sorted(SIMULATED.glob("test_*.py")))) >= 200
