import os
import re
import subprocess
import sys
from pathlib import Path

SIMULATED = Path(__file__).with_name("simulated")


def test_kernels_in_the_simulator():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(SIMULATED)],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.splitlines()[-1]
    passed = re.match(r"(\d+) passed in", summary)
    assert passed is not None, summary
    assert int(passed[1]) >= 200
