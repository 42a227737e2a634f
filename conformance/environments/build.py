"""Building an environment: the tools are venv and pip of the wanted Python, and npm."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.environments import interpreters
from conformance.environments.interpreters import Interpreter, MissingInterpreterError
from conformance.environments.manifest import Manifest
from conformance.environments.store import ISOLATION, Environment

#: How many lines of the log are shown where a tool failed.
_LAST_LINES = 15
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
_NPM = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")


class BuildError(Exception):
    """An environment could not be built."""


def create(
    manifest: Manifest,
    show: Callable[[str], None],
    *,
    again: bool = False,
) -> bool:
    """Build an environment, unless it is ready; return whether there was anything to do.

    What another process builds at the same time is waited for.  Where it fails, or is
    interrupted, the folder stays for its log, but is no environment.

    Parameters
    ----------
    manifest
        What it is made of.
    show
        Called with every line that a tool says.
    again
        Build it anew even if it is ready.

    Raises
    ------
    BuildError
        A tool is missing or failed.
    """
    environment = Environment.of(manifest)
    with environment.lock(lambda: show("another process is building it; waiting")) as lock:
        if environment.state() == "ready" and not again:
            return False
        # What can be known to be missing is said before the old one goes.
        interpreter = _interpreter(manifest)
        if manifest.npm and not shutil.which("npm"):
            raise BuildError(
                "it needs npm, which is not on the PATH; install Node.js 18 or newer with npm"
            )
        environment.clear()
        environment.path.mkdir(parents=True)
        with environment.log.open("wb", buffering=0) as log:
            tools = _Tools(environment, log.fileno(), lock, show)
            if interpreter is not None:
                tools.install_python(interpreter, manifest)
            if manifest.npm:
                tools.install_npm(manifest)
            packages = tools.packages(manifest)
        environment.write_record(
            {
                "adapter": manifest.spec,
                "manifest": manifest.contents,
                "python": interpreter.version if interpreter is not None else "",
                "interpreter": interpreter.path if interpreter is not None else "",
                "packages": packages,
                "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
    return True


def _interpreter(manifest: Manifest) -> Interpreter | None:
    if not manifest.python:
        return None
    try:
        return interpreters.find(manifest.python)
    except MissingInterpreterError as error:
        raise BuildError(str(error)) from None


class _Tools:
    """The tools at work in one environment."""

    def __init__(
        self, environment: Environment, log: int, lock: int, show: Callable[[str], None]
    ) -> None:
        self.environment = environment
        self.log = log
        self.lock = lock
        self.show = show

    def install_python(self, interpreter: Interpreter, manifest: Manifest) -> None:
        """Make a virtual environment and install the packages."""
        python = str(self.environment.python)
        self.show(f"making an environment of Python {interpreter.version}")
        self.run([interpreter.path, "-m", "venv", str(self.environment.path)])
        self.show(f"installing {', '.join(manifest.packages)}")
        self.run([python, *_PIP, "install", *manifest.packages])
        if manifest.without_dependencies:
            self.run([python, *_PIP, "install", "--no-deps", *manifest.without_dependencies])

    def install_npm(self, manifest: Manifest) -> None:
        """Install the npm packages."""
        self.show(f"installing {', '.join(manifest.npm)}")
        self.run([*_NPM, "--prefix", str(self.environment.path), *manifest.npm])

    def packages(self, manifest: Manifest) -> list[str]:
        """Return the packages that are there, with their versions."""
        found = []
        if manifest.python:
            said = self.run([str(self.environment.python), *_PIP, "freeze"])
            found += [line for line in said if "==" in line or " @ " in line]
        if manifest.npm:
            lock = json.loads((self.environment.path / "package-lock.json").read_text("utf-8"))
            found += [
                f"{place.rpartition('node_modules/')[2]}@{package.get('version')}"
                for place, package in lock["packages"].items()
                if place
            ]
        return found

    def run(self, command: Sequence[str]) -> list[str]:
        """Run a tool; what it says goes to the log, and is returned."""
        os.write(self.log, f"$ {shlex.join(command)}\n".encode())
        said: list[str] = []
        # In a session of its own, so that all of it can be ended; with the lock, so that, should
        # this process be killed, nobody begins anew while the tool is still at work.
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ISOLATION},
            cwd=self.environment.path,
            start_new_session=True,
            pass_fds=(self.lock,),
        ) as tool:
            try:
                assert tool.stdout is not None
                for line in tool.stdout:
                    os.write(self.log, line)
                    said.append(line.decode("utf-8", "replace").rstrip())
                    self.show(said[-1])
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(tool.pid, signal.SIGKILL)
                raise
        if tool.returncode != 0:
            tail = "\n".join(f"    {line}" for line in said[-_LAST_LINES:])
            name = Path(command[0]).name if "pip" not in command else "pip"
            raise BuildError(
                f"{name} failed with status {tool.returncode}; it said at the end\n{tail}\n"
                f"all that it said: {self.environment.log}"
            )
        return said
