"""Manifests: what the environment of an adapter is made of.

A manifest is a TOML file beside the adapter, with the same stem::

    version = "0.9.0"                     # of the framework, unless another is asked for
    python = "3.10"
    packages = ["oneflow=={version}", "numpy<2"]
    without-dependencies = []             # installed after those, by pip install --no-deps
    npm = []                              # installed by npm install --ignore-scripts
    command = ["node", "{adapter}"]       # for an adapter that is no Python file

    [variables]                           # environment variables of the worker
    GLOG_v = "4"

    [versions."0.8.0"]                    # what differs for that version: any of the keys above
    python = "3.8"

or only ``shares = "torch"``, which names the adapter whose environment it is run in.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import adapters
from conformance.versions import Pin, plain_name

_LISTS = ("packages", "without-dependencies", "npm", "command")
_DIFFERING = ("python", *_LISTS, "variables")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]*")
_PYTHON = re.compile(r"3\.\d+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What the worker needs, whatever the framework does.
_NUMPY = "numpy>=1.21"


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Manifest:
    """What an environment is made of, for one version of its framework.

    Attributes
    ----------
    name
        The environment's name, which is the adapter's.
    spec
        What names the adapter on a command line: its name or, if nobody registered it, its path.
    pin
        The framework's version, and the names under which its worker may report it.
    python
        The Python that is wanted, such as ``3.10``; empty where none is.
    packages, without_dependencies, npm
        What is installed.
    command
        The program of an adapter that is no Python file; empty for one that is.
    variables
        Environment variables of the worker.
    default
        Whether the version is the one that is meant where none is asked for.
    """

    name: str
    spec: str
    pin: Pin
    python: str = ""
    packages: tuple[str, ...] = ()
    without_dependencies: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    default: bool = True

    @property
    def version(self) -> str:
        """The framework's version."""
        return self.pin.version

    @property
    def label(self) -> str:
        """The name with the version."""
        return f"{self.spec}=={self.version}"

    @property
    def asked(self) -> str:
        """What a caller has to type who means this version."""
        return self.spec if self.default else self.label

    @property
    def contents(self) -> dict[str, Any]:
        """What makes one environment another: all that is not said anew at every start."""
        return {
            "version": self.version,
            "python": self.python,
            "packages": list(self.packages),
            "without-dependencies": list(self.without_dependencies),
            "npm": list(self.npm),
        }


def split(spec: str) -> tuple[str, str | None]:
    """Split ``NAME==VERSION``.

    >>> split("torch==1.13.1"), split("torch")
    (('torch', '1.13.1'), ('torch', None))
    """
    name, equals, version = spec.partition("==")
    if equals and not _VERSION.fullmatch(version):
        raise ManifestError(f"{spec}: {version!r} is no version, expected as in {name}==1.2.3")
    return name, version or None


def manifest_of(spec: str, version: str | None = None) -> Manifest | None:
    """Return the manifest of an adapter, or None if it has none.

    Parameters
    ----------
    spec
        A registered name, or the path of an adapter's file.
    version
        The framework's version; by default the manifest's.

    Raises
    ------
    LookupError
        There is no such adapter.
    ManifestError
        The manifest cannot be used.
    """
    adapter = Path(adapters.find(spec))
    file = adapter.with_suffix(".toml")
    if not file.is_file():
        return None
    data = _read(file)
    if "shares" in data:
        try:
            shared = Path(adapters.find(data["shares"]))
        except LookupError as error:
            raise ManifestError(f"{file}: shares: {error.args[0]}") from None
        file, adapter = shared.with_suffix(".toml"), shared
        data = _read(file) if file.is_file() else {"shares": ""}
        if "shares" in data:
            raise ManifestError(f"{file}: {adapter.stem} has no environment that could be shared")
    return _make(file, adapter, data, version)


def all_manifests() -> list[Manifest]:
    """Return the manifest of every registered adapter that has one of its own."""
    found = {}
    for name in adapters.registered():
        manifest = manifest_of(name)
        if manifest is not None:
            found[manifest.name] = manifest
    return list(found.values())


def _make(file: Path, adapter: Path, data: dict[str, Any], version: str | None) -> Manifest:
    default = version in (None, data["version"])
    version = version or data["version"]
    data = {**data, **data.get("versions", {}).get(version, {})}
    lists = {
        key: tuple(item.replace("{version}", version) for item in data.get(key, ()))
        for key in _LISTS
    }
    pinned = [
        _project(item) for key in _LISTS[:3] for item in data.get(key, ()) if "{version}" in item
    ]
    packages, command = lists["packages"], lists["command"]
    if (adapter.suffix == ".py") == bool(command):
        raise ManifestError(
            f"{file}: command: {adapter.name} is "
            + ("a Python file, which the worker runs" if command else "no Python file; say what")
        )
    if not command and not data.get("python"):
        raise ManifestError(f'{file}: python: missing; say which one it needs, as in "3.11"')
    if packages and not data.get("python"):
        raise ManifestError(f"{file}: packages: they need a python, which is missing")
    everything = (*packages, *lists["without-dependencies"])
    if not command and "numpy" not in [plain_name(_project(item)) for item in everything]:
        packages = (*packages, _NUMPY)
    name = adapter.stem.replace("_", "-")
    registered = str(adapter) == adapters.registered().get(name)
    if not registered:
        name += "-" + hashlib.sha256(os.fsencode(adapter)).hexdigest()[:8]
    return Manifest(
        name=name,
        spec=name if registered else str(adapter),
        pin=Pin(version, tuple(dict.fromkeys([*pinned, adapter.stem.replace("_", "-")]))),
        python=data.get("python", ""),
        packages=packages,
        without_dependencies=lists["without-dependencies"],
        npm=lists["npm"],
        command=tuple(part.replace("{adapter}", str(adapter)) for part in command),
        variables=data.get("variables", {}),
        default=default,
    )


def _project(requirement: str) -> str:
    """Return the name in a requirement of pip or npm.

    >>> _project("numpy<2"), _project("@tensorflow/tfjs@{version}")
    ('numpy', '@tensorflow/tfjs')
    """
    match = re.match(r"@?[\w./-]+", requirement)
    return match.group() if match else requirement


def _read(file: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: {error}") from None
    if "shares" in data:
        _check(file, data, ("shares",))
        return data
    _check(file, data, ("version", *_DIFFERING, "versions"))
    if "version" not in data:
        raise ManifestError(f"{file}: version: missing; it is the framework's, where none is asked")
    for version, differing in data.get("versions", {}).items():
        where = f"versions.{version!r}"
        if not isinstance(differing, dict) or not _VERSION.fullmatch(version):
            raise ManifestError(f"{file}: {where}: expected a version and a table of what differs")
        _check(file, differing, _DIFFERING, f"{where}.")
    return data


def _check(file: Path, data: Mapping[str, Any], allowed: tuple[str, ...], prefix: str = "") -> None:
    """Refuse a table with a key that is not allowed, or with a value of the wrong form."""
    for key, value in data.items():
        where = f"{file}: {prefix}{key}"
        if key not in allowed:
            only = " beside shares" if allowed == ("shares",) else ""
            raise ManifestError(f"{where}: unknown{only}; allowed are {', '.join(allowed)}")
        expected = _expected(key, value)
        if expected:
            raise ManifestError(f"{where}: got {value!r}, expected {expected}")


def _expected(key: str, value: Any) -> str:
    """Return what a key's value must be, if it is not."""
    if key in _LISTS:
        good = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
        return "" if good else "a list of texts"
    if key == "variables":
        good = isinstance(value, dict) and all(
            isinstance(item, str) and _VARIABLE.fullmatch(name) for name, item in value.items()
        )
        return "" if good else 'a table of texts, as in GLOG_v = "4"'
    if key == "versions":
        return "" if isinstance(value, dict) else 'tables, as in [versions."1.13.1"]'
    text = value if isinstance(value, str) else ""
    if key == "python":
        return "" if _PYTHON.fullmatch(text) else 'a minor version of Python, as in "3.11"'
    if key == "version":
        return "" if _VERSION.fullmatch(text) else 'a version, as in "2.13.0"'
    return "" if text else "the name of an adapter"
