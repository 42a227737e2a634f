"""Faults in file writes: what was there before stays, and nothing half-written is left."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import random
import resource
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from conformance import report
from conformance.golden import write as golden
from conformance.result import Result, Run

from .check import Check, Failed, Size, tally

_NOBODY = 65534
_LARGE = 1 << 16


@dataclass(frozen=True)
class Target:
    """Something of the suite that replaces files.

    Attributes
    ----------
    name
        What it is.
    write
        Replaces the files of a folder by those of a version: few bytes, or more than 64 KiB.
    """

    name: str
    write: Callable[[Path, int], None]


def _write_result(folder: Path, version: int) -> None:
    results = [Result("ce/x", (), "pass", "x" * (_LARGE if version else 1))]
    report.write_json(Run(f"version {version}", {}, results), folder / "result.json")


def _write_golden(folder: Path, version: int) -> None:
    text = f"version {version}".encode()
    names = ("a.json", "index.json")
    golden.replace_files(folder, dict.fromkeys(names, text * (_LARGE if version else 1)))


#: Whatever else replaces files belongs here, as will the cache of compiled kernels.
TARGETS = (Target("result file", _write_result), Target("golden files", _write_golden))


@contextlib.contextmanager
def _file_size_limit(folder: Path) -> Iterator[None]:  # noqa: ARG001
    """Refuse to write beyond so many bytes, in the middle of a file as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGE // 2, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def _no_permission(folder: Path) -> Iterator[None]:
    """Take away the right to write, and the superuser's to do it nevertheless."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    superuser = os.geteuid() == 0
    folder.chmod(0o555)
    if superuser:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if superuser:
            os.seteuid(0)
        folder.chmod(mode)


def _failing(
    *names: str, times: int = 1, error: int = errno.EIO
) -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    """Return a fault: calls of ``os`` of which one fails, the first or a later one."""

    @contextlib.contextmanager
    def fault(folder: Path) -> Iterator[None]:  # noqa: ARG001
        left = times

        def patched(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise OSError(error, os.strerror(error))
                return real(*args, **kwargs)

            return call

        with contextlib.ExitStack() as stack:
            for name in names:
                real = getattr(os, name)
                stack.enter_context(mock.patch.object(os, name, patched(real)))
            # Without it two folders change places by two renames, of which each may fail.
            stack.enter_context(mock.patch.object(golden, "_exchange", return_value=False))
            yield

    return fault


FAULTS: dict[str, Callable[[Path], contextlib.AbstractContextManager[None]]] = {
    "the disk is full (RLIMIT_FSIZE)": _file_size_limit,
    "no permission": _no_permission,
    "fsync fails": _failing("fsync", error=errno.ENOSPC),
    "the first rename fails": _failing("replace", "rename"),
    "the second rename fails": _failing("replace", "rename", times=2),
}


def _state(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "files"
        Path(name).chmod(0o755)
        folder.mkdir()
        yield folder


def _versions(target: Target) -> list[dict[str, bytes]]:
    """Return the files of both versions as they are where nothing goes wrong."""
    found = []
    for version in (0, 1):
        with _folder() as folder:
            target.write(folder, version)
            found.append(_state(folder))
    return found


def _suffer(target: Target, fault: str) -> str:
    """Let one fault strike a replacement."""
    old, new = _versions(target)
    with _folder() as folder:
        target.write(folder, 0)
        outcome = "new files"
        with FAULTS[fault](folder):
            try:
                target.write(folder, 1)
            except OSError as error:
                if error.errno is None:
                    raise Failed(f"{target.name}, {fault}: an error without a cause") from None
                outcome = "old files and an error"
        # A fault that strikes a rename that is not needed leaves the new files, and no error.
        expected = new if outcome == "new files" else old
        if (found := _state(folder)) != expected:
            raise Failed(f"{target.name}, {fault}: {outcome} expected, there are {sorted(found)}")
        target.write(folder, 1)
        if _state(folder) != new:
            raise Failed(f"{target.name}, {fault}: the next write does not work")
    return outcome


def faults(size: Size) -> tuple[str, str]:  # noqa: ARG001
    """Let every fault strike every target."""
    outcomes = [_suffer(target, fault) for target in TARGETS for fault in FAULTS]
    return f"{len(FAULTS)} faults, {len(TARGETS)} kinds of file", tally(outcomes)


def _write_for_ever(target: Target, folder: Path) -> None:
    version = 0
    while True:
        version = 1 - version
        target.write(folder, version)


def kills(size: Size) -> tuple[str, str]:
    """Kill a process at any moment of its writing."""
    context = multiprocessing.get_context("fork")
    outcomes = []
    chance = random.Random(23)
    for target in TARGETS:
        versions = _versions(target)
        with _folder() as folder:
            target.write(folder, 0)
            for _ in range(size.kills):
                writer = context.Process(target=_write_for_ever, args=(target, folder))
                writer.start()
                time.sleep(chance.uniform(0.005, 0.05))
                writer.kill()
                writer.join()
                # Half a temporary file may be left: the next write removes it.
                found = {k: v for k, v in _state(folder).items() if not k.startswith(".")}
                if found not in versions:
                    raise Failed(f"{target.name}: neither version is whole, {sorted(found)}")
                outcomes.append("old files" if found == versions[0] else "new files")
            target.write(folder, 1)
            if _state(folder) != versions[1]:
                raise Failed(f"{target.name}: remains of a killed writer stay")
    return f"{len(outcomes)} kills", f"all whole: {tally(outcomes)}"


CHECKS = (
    Check("faults in file writes", faults),
    Check("kills while files are written", kills),
)
