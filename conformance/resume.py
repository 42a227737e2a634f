"""Going on with a run that was stopped: which results of a file still hold, and keeping them.

While a run goes on, its results are kept in ``FILE.partial`` beside the file that is asked for,
which is itself written at the end only.  Both are result files, so either can be resumed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from conformance import report, runner
from conformance.case import Case
from conformance.driver import Hello, Program
from conformance.result import Result, Run

_PACKAGES = (Path(__file__).parent, Path(__file__).parents[1] / "crossent_spec")
#: A checkpoint is written so many seconds after the last, and at most in such a part of the time.
_INTERVAL, _SHARE = 5.0, 0.05
_PARTIAL = ".partial"


class NotResumable(Exception):  # noqa: N818 - the file is what it is
    """A file's results cannot be part of this run; the text says why."""


def fingerprint(program: Program, basis: str) -> dict[str, str]:
    """Return what the verdicts depend on beside versions and cases, as digests.

    Parameters
    ----------
    program
        What is judged.
    basis
        What it is judged by: the command's name, and the digest of its files if it has any.
    """
    sources = [path for package in _PACKAGES for path in sorted(package.rglob("*.py"))]
    digests = {"basis": basis, "suite": digest(sources)}
    if program.adapter is not None:
        digests["adapter"] = digest([Path(program.adapter)])
    return digests


def digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 of files' names and contents."""
    found = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        found.update(f"{path.name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        found.update(content)
    return found.hexdigest()


def read(path: Path, run: Run, cases: Sequence[Case]) -> Run:
    """Return the run that a file holds, less what was not judged.

    Parameters
    ----------
    path
        A file that ``--json`` wrote.
    run, cases
        The run that shall go on from it, of which the adapter and the fingerprint are known.

    Raises
    ------
    NotResumable
        It is no such file, or its results cannot be part of this run.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        beside = partial(path)
        hint = f"; there is {beside}" if beside.is_file() else ""
        raise NotResumable(f"{path} cannot be read: {error.strerror}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise NotResumable(f"{path} is not JSON: {error}") from None
    try:
        if data["schema"] != report.SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}")
        earlier = Run.from_json(data)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise NotResumable(
            f"{path} is not a result file ({report.SCHEMA}): {type(error).__name__}: {error}"
        ) from None
    if earlier.adapter != run.adapter:
        raise NotResumable(f"{path} has results of {earlier.adapter}, not of {run.adapter}")
    if not earlier.fingerprint:
        raise NotResumable(f"{path} does not say by what its results were judged")
    words = {
        "basis": f"{path} was judged by {earlier.fingerprint.get('basis')}, "
        f"this is {run.fingerprint['basis']}",
        "suite": f"{path} was judged by other sources of this suite",
        "adapter": f"the adapter is not the one that gave the results of {path}",
    }
    for name, text in words.items():
        if earlier.fingerprint.get(name) != run.fingerprint.get(name):
            raise NotResumable(f"{text}; run without --resume")
    known = {case.id for case in cases}
    if strange := [result.case for result in earlier.results if result.case not in known]:
        raise NotResumable(
            f"{path} has results of {len(strange)} cases that are not chosen now, such as "
            f"{strange[0]}; choose at least the cases that it has"
        )
    asked = [item for item in earlier.results if not item.message.startswith(runner.NEVER_ASKED)]
    return replace(earlier, results=asked)


def partial(path: Path) -> Path:
    """Return where the results are kept until ``path`` is written."""
    return path.with_name(path.name + _PARTIAL)


def whole(path: Path) -> Path:
    """Return the file that is written at the end of a run that goes on from ``path``."""
    return path.with_name(path.name.removesuffix(_PARTIAL))


class Record:
    """The results of a run as they come, kept against a kill that cannot be caught.

    Parameters
    ----------
    run
        The run; its adapter and fingerprint are known.
    cases
        All of its cases, in order.
    file
        The file that will be written at the end, or None for none.
    earlier
        The file to go on from, or None.

    Attributes
    ----------
    results
        What is known, by the ids of the cases.

    Raises
    ------
    NotResumable
        The results of ``earlier`` cannot be part of this run.
    """

    def __init__(
        self, run: Run, cases: Sequence[Case], *, file: Path | None, earlier: Path | None
    ) -> None:
        self._run = run if earlier is None else read(earlier, run, cases)
        self.results = {result.case: result for result in self._run.results}
        self._order = [case.id for case in cases]
        self._file, self._earlier = file, earlier
        # What is no file, such as a pipe, has nothing beside it.
        keeps = file is not None and (file.is_file() or not file.exists())
        self._partial = partial(file) if file is not None and keeps else None
        self._started = time.monotonic()
        self._next = self._started + _INTERVAL

    def on_start(self, hello: Hello) -> None:
        """Note what is judged; refuse to go on with other versions of anything."""
        versions, before = runner.versions(hello), self._run.versions
        if self._earlier is not None:
            changes = [
                f"{name} {before.get(name, '(none)')}, now {versions.get(name, '(none)')}"
                for name in sorted(before.keys() | versions.keys())
                if before.get(name) != versions.get(name)
            ]
            if changes:
                raise NotResumable(
                    f"{self._earlier} has results of other versions: {'; '.join(changes)}"
                )
        self._run.versions = versions

    def on_result(self, result: Result) -> None:
        """Note a result, and now and then write all."""
        self.results[result.case] = result
        now = time.monotonic()
        if self._partial is None or now < self._next:
            return
        run = replace(
            self._run,
            results=[self.results[case] for case in self._order if case in self.results],
            seconds=self._run.seconds + now - self._started,
            complete=False,
        )
        # A full disk is no reason to stop: there may be room again at the end.
        with contextlib.suppress(OSError):
            report.write_json(run, self._partial)
        took = time.monotonic() - now
        self._next = now + took + max(_INTERVAL, took / _SHARE)

    def save(self, run: Run) -> str:
        """Add to a run that ended what was known before it, and write it.

        Returns what went wrong, or nothing.
        """
        run.fingerprint = self._run.fingerprint
        run.seconds += self._run.seconds
        if self._file is None:
            return ""
        try:
            report.write_json(run, self._file)
        except OSError as error:
            return f"--json: {self._file} cannot be written: {error.strerror}"
        if self._partial is not None:
            with contextlib.suppress(OSError):
                self._partial.unlink()
        return ""
