"""Writing the files: the same bytes on every machine, all of them or none."""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from ..case import Case
from ..files import leftovers, write_synced
from .flags import BY_NAME
from .make import make_vector
from .vector import INDEX_SCHEMA, MODES, SCHEMA, Vector

#: The folder of the generated files, beside their schemas and their README.
VECTORS = "vectors"
INDEX = "index.json"

_STAGING, _ASIDE = ".vectors-", "-old"
_CHUNK = 16


def make_all(
    cases: Sequence[Case], jobs: int | None = None, on_vector: Callable[[], None] | None = None
) -> list[Vector]:
    """Work out the vectors of the cases, in several processes."""
    made = []
    for vector in in_processes(make_vector, cases, jobs):
        made.append(vector)
        if on_vector:
            on_vector()
    return made


def in_processes(work: Callable[[Any], Any], items: Sequence[Any], jobs: int | None) -> Any:
    """Yield ``work(item)`` for every item, in their order."""
    jobs = min(jobs or os.cpu_count() or 1, -(-len(items) // _CHUNK))
    if jobs <= 1:
        yield from map(work, items)
        return
    # A fresh process has no threads of ours, such as a progress bar's, to inherit a lock from.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context)
    try:
        yield from pool.map(work, items, chunksize=_CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)


def render(mode: str, vectors: Iterable[Vector]) -> bytes:
    """Return the file of a mode: one vector a line, sorted by id."""
    chosen = sorted(vectors, key=lambda vector: vector.id)
    used = {flag for vector in chosen for flag in vector.flags}
    notes = {name: flag.to_json() for name, flag in BY_NAME.items() if name in used}
    return _lines(
        [
            f'"schema":{_dump(SCHEMA)}',
            f'"mode":{_dump(mode)}',
            _block("notes", [f"{_dump(name)}:{_dump(note)}" for name, note in notes.items()], "{}"),
            _block("vectors", [_dump(vector.to_json()) for vector in chosen], "[]"),
        ]
    )


def render_all(vectors: Iterable[Vector]) -> dict[str, bytes]:
    """Return every file by its name, the index among them."""
    by_mode: dict[str, list[Vector]] = defaultdict(list)
    for vector in vectors:
        by_mode[vector.mode].append(vector)
    files = {f"{mode}.json": render(mode, by_mode[mode]) for mode in MODES if mode in by_mode}
    entries = [
        f"{_dump(name)}:"
        + _dump(
            {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "vectors": len(by_mode[name.removesuffix(".json")]),
            }
        )
        for name, content in files.items()
    ]
    index = [f'"schema":{_dump(INDEX_SCHEMA)}', _block("files", entries, "{}")]
    return {**files, INDEX: _lines(index)}


def replace_files(folder: Path, files: dict[str, bytes]) -> None:
    """Put the files into ``folder/vectors``, in place of all that was there.

    They are written beside it; then the two folders change places.  Whenever the process is
    killed, ``folder/vectors`` is whole, be it the old or the new one; on a file system that
    cannot exchange two names it may be missing, and the next call finds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    staging = folder / f"{_STAGING}{os.getpid()}"
    staging.mkdir()
    try:
        for name, content in files.items():
            write_synced(staging / name, content)
        _swap(staging, folder / VECTORS)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Remove what killed runs left behind; give an old folder that was aside its name back."""
    for old in leftovers(folder, _STAGING, _ASIDE):
        if not (folder / VECTORS).exists():
            old.rename(folder / VECTORS)
    for path in leftovers(folder, _STAGING) + leftovers(folder, _STAGING, _ASIDE):
        shutil.rmtree(path, ignore_errors=True)


def _swap(new: Path, old: Path) -> None:
    """Let two folders change places; where there is no old one, let the new one take its."""
    if not old.exists():
        new.rename(old)
        return
    if not _exchange(new, old):
        # Not at once, and yet nothing is lost: for a moment the old folder has another name.
        aside = new.with_name(new.name + _ASIDE)
        old.rename(aside)
        try:
            new.rename(old)
        finally:
            if not old.exists():
                aside.rename(old)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step, which Linux does for most file systems."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _block(name: str, lines: list[str], brackets: str) -> str:
    body = ",\n".join(lines)
    return f"{_dump(name)}:" + (f"{brackets[0]}\n{body}\n{brackets[1]}" if lines else brackets)


def _lines(members: list[str]) -> bytes:
    return ("{\n" + ",\n".join(members) + "\n}\n").encode("utf-8")
