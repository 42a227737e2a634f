"""Writing a file so that whatever goes wrong, the old or the new one is there, whole."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path


def write_whole(path: Path, content: str) -> None:
    """Write a text file; where that fails, what was there before stays and nothing is added.

    It ends in one newline.  A pipe or a device is written to directly.  Halves of surrogate
    pairs become ``\\udXXX``, which JSON reads as the same again.
    """
    data = (content.rstrip("\n") + "\n").encode("utf-8", "backslashreplace")
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    target = path.resolve()  # a link stays a link
    prefix = f".{target.name}."
    for left in leftovers(target.parent, prefix):
        left.unlink(missing_ok=True)
    temporary = target.with_name(f"{prefix}{os.getpid()}")
    try:
        write_synced(temporary, data)
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def leftovers(folder: Path, prefix: str, suffix: str = "") -> list[Path]:
    """Return what is named by a prefix, the id of a process that is no more, and a suffix."""
    name = re.compile(re.escape(prefix) + "([0-9]+)" + re.escape(suffix))
    return [
        path
        for path in folder.iterdir()
        if (match := name.fullmatch(path.name)) and not _runs(int(match[1]))
    ]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and have it on the disk, not only on its way, when this returns."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
