"""Where and with what the times were taken."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from conformance import runner
from crossent_spec.cpu.threads import thread_count

_PACKAGES = ("numpy", "numba", "scipy", "torch", "jax")


def describe() -> dict[str, Any]:
    """Return the facts that a reader of the times needs, by name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu(),
        "cores": cores,
        "threads": thread_count(),
        "system": platform.platform(),
        "versions": {
            "crossent-spec": runner.version(),
            "python": platform.python_version(),
            **{name: found for name in _PACKAGES if (found := _version(name))},
        },
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if re.match(r"(OPENBLAS|OMP|MKL|NUMBA|XLA)_", name)
        },
    }


def load() -> float | None:
    """Return the load average of the last minute, where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def lines(facts: dict[str, Any]) -> list[str]:
    """Write the facts for a person."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    settings = facts["environment"]
    made = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads for the library, the "
        "bases and torch",
        versions,
    ]
    if settings:
        made.append("set: " + ", ".join(f"{name}={value}" for name, value in settings.items()))
    blas = [name for name in settings if name.startswith("OPENBLAS_")]
    if blas:
        made.append(
            f"warning: {' and '.join(blas)} can slow the BLAS of NumPy and SciPy, and with it the "
            "linear loss and its base"
        )
    return made


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.processor() or platform.machine() or sys.platform


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
