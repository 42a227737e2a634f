"""Reading golden files without trusting them.

Nothing is taken on its word: a file is opened by a plain name inside its folder, its size and
hash are checked before it is parsed, every shape before it is multiplied, every number before it
is used.  Whatever is not exactly what the README describes raises :class:`GoldenFileError`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .parse import (
    GoldenFileError,
    parse_vector,
    read_count,
    read_object,
    read_text,
    read_texts,
    refuse,
)
from .vector import INDEX_SCHEMA, MODES, SCHEMA, Vector
from .write import INDEX, VECTORS

#: The largest file that is read.
LARGEST_FILE = 16 << 20

_NAME = re.compile(r"[a-z][a-z_]{0,60}\.json")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """What the index says of a file."""

    sha256: str
    size: int
    vectors: int


def read_folder(folder: Path) -> list[Vector]:
    """Read all vectors of a golden folder, sorted by id.

    Parameters
    ----------
    folder
        The folder that holds ``vectors/index.json``.

    Raises
    ------
    GoldenFileError
        A file is missing, strange to the index, or not what it must be.
    """
    place = folder / VECTORS
    index = read_index(place)
    try:
        found = set(os.listdir(place))
    except OSError as error:
        raise GoldenFileError(f"{place}: {error.strerror}") from None
    strange = sorted(found - set(index) - {INDEX})
    if strange:
        raise GoldenFileError(f"{place / strange[0]}: the index does not name this file")
    vectors: dict[str, Vector] = {}
    for name, entry in index.items():
        for vector in read_file(place, name, entry):
            vectors[vector.id] = vector  # ids of two files differ, because their modes do
    return [vectors[key] for key in sorted(vectors)]


def read_index(place: Path) -> dict[str, Entry]:
    """Read the index: the files by name."""
    path = place / INDEX
    document = read_object(_parse(path, _load(path)), str(path), ("schema", "files"))
    if document["schema"] != INDEX_SCHEMA:
        refuse(f"{path}: schema", document["schema"], INDEX_SCHEMA)
    files = document["files"]
    if not isinstance(files, dict):
        refuse(f"{path}: files", files, "an object")
    entries = {}
    for name, value in files.items():
        where = f"{path}: files: {name!r:.80}"
        if not _NAME.fullmatch(name) or name.removesuffix(".json") not in MODES:
            raise GoldenFileError(f"{where}: expected a plain name, one of {', '.join(MODES)}")
        entry = read_object(value, where, ("sha256", "bytes", "vectors"))
        if not (isinstance(entry["sha256"], str) and _HASH.fullmatch(entry["sha256"])):
            refuse(f"{where}: sha256", entry["sha256"], "64 hexadecimal digits")
        size = read_count(entry["bytes"], f"{where}: bytes", LARGEST_FILE)
        count = read_count(entry["vectors"], f"{where}: vectors", LARGEST_FILE)
        entries[name] = Entry(entry["sha256"], size, count)
    return entries


def read_file(place: Path, name: str, entry: Entry) -> list[Vector]:
    """Read the file of one mode, which the index describes."""
    path = place / name
    content = _load(path)
    if len(content) != entry.size:
        raise GoldenFileError(f"{path}: has {len(content)} bytes, the index says {entry.size}")
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise GoldenFileError(f"{path}: its SHA-256 is not the one in the index")
    document = read_object(_parse(path, content), str(path), ("schema", "mode", "notes", "vectors"))
    mode = name.removesuffix(".json")
    for key, expected in (("schema", SCHEMA), ("mode", mode)):
        if document[key] != expected:
            refuse(f"{path}: {key}", document[key], expected)
    notes = _notes(document["notes"], f"{path}: notes")
    listed = document["vectors"]
    if not isinstance(listed, list) or len(listed) != entry.vectors:
        raise GoldenFileError(f"{path}: expected {entry.vectors} vectors, as the index says")
    vectors: list[Vector] = []
    for number, value in enumerate(listed):
        label = value.get("id") if isinstance(value, dict) else None
        vector = parse_vector(value, f"{path}: vector {number} ({label!r:.100})", notes)
        if vector.mode != mode:
            raise GoldenFileError(f"{path}: {vector.id} belongs to {vector.mode}.json")
        if vectors and vectors[-1].id >= vector.id:
            raise GoldenFileError(f"{path}: {vector.id} stands twice or out of order")
        vectors.append(vector)
    return vectors


def _load(path: Path) -> bytes:
    """Read a regular file, following no link, that is no larger than allowed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else error.strerror
        raise GoldenFileError(f"{path}: {reason}") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise GoldenFileError(f"{path}: is not a regular file")
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise GoldenFileError(f"{path}: is larger than {LARGEST_FILE} bytes")
    return content


def _parse(path: Path, content: bytes) -> Any:
    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        if len(made) != len(members):
            names = [name for name, _ in members]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the member {twice!r:.80} stands twice in one object")
        return made

    def constant(text: str) -> NoReturn:
        raise ValueError(f'{text} is not JSON; special numbers are strings, such as "NaN"')

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text:.40} is beyond float64")
        return value

    def whole(text: str) -> int:
        if len(text) > 20:
            raise ValueError(f"{text:.40}... is beyond 64 bits")
        return int(text)

    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_float=finite,
            parse_int=whole,
        )
    except UnicodeDecodeError:
        raise GoldenFileError(f"{path}: is not UTF-8") from None
    except RecursionError:
        raise GoldenFileError(f"{path}: is nested too deeply") from None
    except ValueError as error:
        raise GoldenFileError(f"{path}: {error}") from None


def _notes(value: object, where: str) -> Collection[str]:
    if not isinstance(value, dict):
        refuse(where, value, "an object")
    for name, note in value.items():
        place = f"{where}: {name!r:.80}"
        members = read_object(note, place, ("catches",), ("threads",))
        read_text(members["catches"], place)
        for thread in read_texts(members.get("threads", []), place):
            if not thread.startswith("https://"):
                refuse(place, thread, "an https address")
    return value
