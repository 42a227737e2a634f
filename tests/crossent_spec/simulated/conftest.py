"""Tests of the GPU's kernels, which run in Numba's CUDA simulator.

It is chosen when Numba is imported, so these tests have a process of their own: that of
``test_cuda.py`` beside this folder.
"""

import os

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

collect_ignore_glob = [] if SIMULATED else ["test_*.py"]
