"""Where an adapter is run: in its environment, or where the suite is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from conformance import adapters
from conformance.driver import Program
from conformance.environments.manifest import Manifest, manifest_of, split
from conformance.environments.store import ISOLATION, USABLE, Environment


def resolve(spec: str, python: str | None = None) -> Program:
    """Return the program of ``NAME`` or ``NAME==VERSION``.

    It is run by the Python that is given, else in the adapter's environment if that has been
    built, else by this Python, whose framework may fit.  Where none does, the program's ``remedy``
    is what to type.

    Parameters
    ----------
    spec
        A registered name, or the path of an adapter's file; perhaps with a version.
    python
        The Python that has the framework.

    Raises
    ------
    LookupError
        There is no such adapter.
    ValueError
        The version or the manifest cannot be used, or ``python`` does not go with the adapter.
    """
    name, version = split(spec)
    path = adapters.find(name)
    manifest = manifest_of(name, version)
    if manifest is None:
        if version is not None:
            raise ValueError(
                f"{spec}: {name} has no versions to choose from, which a manifest "
                f"{Path(path).stem}.toml beside it would allow"
            )
        return Program.of_adapter(spec, path, python)
    if manifest.command:
        if python is not None:
            raise ValueError(f"--python: {name} is no Python program, but {manifest.command[0]}'s")
        program = Program(spec, manifest.command)
    else:
        program = Program.of_adapter(spec, path, python)
    program = replace(
        program,
        variables=dict(manifest.variables),
        pin=manifest.pin if version is not None else None,
    )
    if python is not None:
        return program
    environment = Environment.of(manifest)
    state = environment.state()
    if state in USABLE:
        program = _within(environment, program)
        again = f"crossent env create --rebuild {manifest.asked}"
        outdated = f"the environment of {manifest.label} is out of date; build it again: {again}"
        return replace(
            program,
            note=outdated if state == "out of date" else "",
            remedy=f"it ran in {environment.path}; build that again: {again}",
        )
    return replace(program, remedy=_remedy(manifest, state))


def _within(environment: Environment, program: Program) -> Program:
    """Return a program as it is run in an environment."""
    if program.adapter is None:
        modules = {"NODE_PATH": str(environment.path / "node_modules")}
        return replace(program, variables={**program.variables, **modules})
    inside = Program.of_adapter(program.name, program.adapter, str(environment.python))
    return replace(program, command=inside.command, variables={**ISOLATION, **program.variables})


def _remedy(manifest: Manifest, state: str) -> str:
    why = "" if state == "missing" else f" ({state})"
    return f"build its environment{why}: crossent env create {manifest.asked}"
