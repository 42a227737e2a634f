"""From a kernel to PTX and to the assembler's report, on a machine without a GPU."""

from __future__ import annotations

import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from conformance.gpu.figures import Figures, read
from conformance.gpu.kernels import Kernel

#: Compute capabilities that are compiled for: A100 and H100.
TARGETS = ((8, 0), (9, 0))
#: What decides about registers.
_TOOLS = ("nvidia-cuda-nvcc", "nvidia-nvvm", "numba-cuda")


def versions() -> dict[str, str]:
    """Return the versions of compiler and assembler."""
    return {name: metadata.version(name) for name in _TOOLS}


def ptxas() -> Path:
    """Return the assembler of the installed package.

    Raises
    ------
    FileNotFoundError
        It is not installed.
    """
    try:
        files = metadata.files("nvidia-cuda-nvcc") or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name in ("ptxas", "ptxas.exe")]
    if not found:
        raise FileNotFoundError("there is no ptxas: pip install 'cuda-toolkit[nvcc]==13.*'")
    return found[0]


def pretend(capability: tuple[int, int]) -> None:
    """Have Numba compile device functions, which ask for the GPU, for a capability from now on.

    For the rest of the process: it keeps what it has compiled.
    """
    device = SimpleNamespace(compute_capability=capability)
    mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device).start()


def to_ptx(kernel: Kernel, capability: tuple[int, int]) -> str:
    """Compile; :func:`pretend` must have been called with the same capability."""
    from numba import cuda

    dispatcher = kernel.make()
    made: Any = cuda.compile(
        dispatcher.py_func,
        kernel.signature,
        device=False,
        cc=capability,
        abi="numba",
        launch_bounds=dispatcher.targetoptions["launch_bounds"],
    )
    return str(made[0])


def assemble(ptx: str, capability: tuple[int, int]) -> str:
    """Return what ``ptxas -v`` says."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.ptx")
        file.write_text(ptx, encoding="utf-8")
        architecture = f"-arch=sm_{capability[0]}{capability[1]}"
        done = subprocess.run(
            [ptxas(), "-v", architecture, file, "-o", Path(folder, "kernel.cubin")],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"ptxas refused the PTX: {done.stderr.strip()[:500]}")
    return done.stderr


def examine(kernel: Kernel, capability: tuple[int, int]) -> Figures:
    """Return the figures of a kernel."""
    ptx = to_ptx(kernel, capability)
    return read(ptx, assemble(ptx, capability))
