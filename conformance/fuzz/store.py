"""What a search found before: ids of minimal failing examples, in the user's cache.

Hypothesis's folders hold them, keyed by the program that failed.  Ids, unlike Hypothesis's own
choice sequences, still mean the same example after the strategies changed.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis.database import DirectoryBasedExampleDatabase


def default_folder() -> Path:
    """Return the folder of the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "crossent-spec" / "fuzz"


class Store:
    """Remembered ids of one program.

    Parameters
    ----------
    folder
        Where they lie; made when the first is saved.
    program
        The program's name or command line.
    """

    def __init__(self, folder: Path, program: str) -> None:
        self._database = DirectoryBasedExampleDatabase(folder)
        self._key = f"crossent fuzz {program}".encode()

    def ids(self) -> list[str]:
        """Return every remembered id, the shortest first."""
        found = (value.decode("utf-8", "replace") for value in self._database.fetch(self._key))
        return sorted(found, key=lambda text: (len(text), text))

    def add(self, id: str) -> None:
        """Remember an example."""
        self._database.save(self._key, id.encode())

    def remove(self, id: str) -> None:
        """Forget an example."""
        self._database.delete(self._key, id.encode())
