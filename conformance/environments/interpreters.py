"""The Pythons of this machine: asked what they are, not believed by their names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: What a Python is asked.  Debian's has venv without what venv needs to install pip.
_QUESTION = """
import json, platform, sys
missing = []
for module in ("venv", "ensurepip"):
    try:
        __import__(module)
    except ImportError:
        missing.append(module)
print(json.dumps([platform.python_implementation(), platform.python_version(), missing]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that environments can be built with."""

    path: str
    version: str


class MissingInterpreterError(Exception):
    """No Python of this machine is of the version that is wanted."""


def find(wanted: str) -> Interpreter:
    """Return a Python of a minor version such as ``3.10``.

    The running one comes first, then those of pyenv, the newest first, then those on the PATH.

    Raises
    ------
    MissingInterpreterError
        There is none; the message says what there is, and what to do.
    """
    seen = []
    for path in _candidates(wanted):
        found = _ask(path)
        if isinstance(found, Interpreter) and re.match(
            re.escape(wanted) + r"(\.|$)", found.version
        ):
            return found
        if isinstance(found, Interpreter):
            seen.append(f"{found.version} ({path})")
        elif f"python{wanted}" in path or f"/{wanted}." in path:
            seen.append(f"{path}, which {found}")
    raise MissingInterpreterError(
        f"it needs Python {wanted}, and none is installed here; there is "
        f"{', '.join(dict.fromkeys(seen)) or 'none at all'}.\n"
        f"Install one, for example with: pyenv install {wanted}\n"
        f"(looked for in {_pyenv()} and, as python{wanted}, on the PATH)"
    )


def _candidates(wanted: str) -> Iterator[str]:
    """Yield the paths of Pythons, the likeliest first and each once."""
    paths = [sys.executable]
    versions = sorted((_pyenv() / "versions").glob("*"), key=lambda folder: _order(folder.name))
    fitting = [folder for folder in versions if folder.name.startswith(wanted)]
    others = [folder for folder in versions if folder not in fitting]
    paths += [str(folder / "bin" / "python") for folder in reversed(fitting)]
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for name in (f"python{wanted}", "python3", "python"):
        paths += [os.path.join(folder, name) for folder in folders if folder]
    paths += [str(folder / "bin" / "python") for folder in reversed(others)]
    met = set()
    for path in paths:
        if os.access(path, os.X_OK) and os.path.isfile(path):
            real = os.path.realpath(path)
            if real not in met:
                met.add(real)
                yield path


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()


def _order(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _ask(path: str) -> Interpreter | str:
    """Return a Python, or why it cannot be used."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=True,
        )
        implementation, version, missing = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return "does not answer"
    if implementation != "CPython":
        return f"is {implementation}"
    if missing:
        return f"lacks the module {' and '.join(missing)} (python3-venv of some distributions)"
    return Interpreter(path, version)
