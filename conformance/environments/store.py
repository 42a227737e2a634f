"""The environments that have been built, in the user's cache folder.

An environment is the folder ``environments/NAME/VERSION``.  A virtual environment cannot be moved,
so it is built where it stays; what makes it one is its record, written last.  Whoever changes an
environment holds a lock on it, which ends with the process, and with every process it started.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from conformance.environments.manifest import Manifest, ManifestError, manifest_of

RECORD = "environment.json"
LOG = "environment.log"

State = Literal["ready", "out of date", "broken", "unfinished", "being built", "missing"]
#: States in which an adapter can be run there.
USABLE: tuple[State, ...] = ("ready", "out of date")

#: What keeps a Python to its own environment, when it is built and when it is run.
ISOLATION = {"PYTHONPATH": "", "PYTHONHOME": "", "PYTHONNOUSERSITE": "1"}


class BusyError(Exception):
    """Another process is at work on the environment."""


def cache_folder() -> Path:
    """Return the folder for everything that can be built again.

    It is ``CROSSENT_CACHE`` or, by the XDG specification, ``crossent`` in ``XDG_CACHE_HOME``,
    which is ``~/.cache`` by default.
    """
    own = os.environ.get("CROSSENT_CACHE")
    folder = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "crossent")
    return folder.expanduser().absolute()


@dataclass(frozen=True)
class Environment:
    """An environment, built or not.

    Attributes
    ----------
    name, version
        The adapter's name and its framework's version.
    """

    name: str
    version: str

    @classmethod
    def of(cls, manifest: Manifest) -> Environment:
        """Return the environment that a manifest describes."""
        return cls(manifest.name, manifest.version)

    @property
    def path(self) -> Path:
        """Its folder."""
        return cache_folder() / "environments" / self.name / self.version

    @property
    def python(self) -> Path:
        """Its Python, where it has one."""
        return self.path / "bin" / "python"

    @property
    def log(self) -> Path:
        """What the tools said that built it."""
        return self.path / LOG

    @property
    def label(self) -> str:
        """The name with the version."""
        return f"{self.name}=={self.version}"

    def record(self) -> dict[str, Any] | None:
        """Return what was written when it was finished, or None if it was not."""
        try:
            record = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def write_record(self, record: dict[str, Any]) -> None:
        """Make it count as an environment."""
        temporary = self.path / f".{RECORD}"
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, self.path / RECORD)

    def state(self) -> State:
        """Return what it is good for."""
        record = self.record()
        if record is None:
            if not self.path.is_dir():
                return "missing"
            with contextlib.suppress(BusyError), self.lock():
                return "unfinished"
            return "being built"
        if record.get("manifest", {}).get("python") and not os.access(self.python, os.X_OK):
            return "broken"  # the Python that it was built with is gone
        try:
            manifest = manifest_of(str(record.get("adapter")), self.version)
        except (LookupError, ManifestError):
            manifest = None
        if manifest is None or manifest.contents != record.get("manifest"):
            return "out of date"
        return "ready"

    def size(self) -> int:
        """Return how many bytes it takes on the disk."""
        return sum(
            os.lstat(os.path.join(folder, name)).st_blocks * 512
            for folder, _, names in os.walk(self.path)
            for name in names
        )

    @contextlib.contextmanager
    def lock(self, wait: Callable[[], None] | None = None) -> Iterator[int]:
        """Keep other processes from changing it; yield the descriptor that children inherit.

        Parameters
        ----------
        wait
            Called where another process is at work, before it is waited for; by default that is
            a :class:`BusyError`.
        """
        folder = cache_folder() / "environments" / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / self.label, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if wait is None:
                    raise BusyError(f"{self.label} is being built") from None
                wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield file.fileno()
            finally:
                # Closing would leave it to children that are about to die.
                fcntl.flock(file, fcntl.LOCK_UN)

    def clear(self) -> None:
        """Remove it, the record first; the caller holds the lock."""
        (self.path / RECORD).unlink(missing_ok=True)
        if self.path.is_dir():
            shutil.rmtree(self.path)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # unless another version is there


def all_environments() -> list[Environment]:
    """Return what has been built, finished or not."""
    folders = (cache_folder() / "environments").glob("[!.]*/*/")
    return [Environment(folder.parent.name, folder.name) for folder in sorted(folders)]
