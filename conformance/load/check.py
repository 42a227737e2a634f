"""What a check of the load table is, and how it is carried out."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes
    ----------
    threads, rounds
        Threads at once, and how often each makes every call.
    children
        Forked children.
    samples
        Samples of the problem that runs out of memory, of 256 classes: so many that their gradient
        is more than the 32 MiB that malloc may keep for later.
    steps
        Memory limits that are tried.
    headroom
        Bytes that remain where an array of 2^31 elements does not fit.
    kills
        How often a process is killed while it writes.
    """

    threads: int = 16
    rounds: int = 40
    children: int = 32
    samples: int = 40_000
    steps: int = 50
    headroom: int = 1 << 30
    kills: int = 50


SMALL = Size(4, 3, 4, 40_000, 6, 1 << 28, 4)


class Failed(Exception):  # noqa: N818 - what a check found
    """What should not have happened under load did."""


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes
    ----------
    what
        What is done.
    work
        Does it, in a process of its own; returns how much was done, and what came of it.
    limit
        Seconds after which it hangs.
    """

    what: str
    work: Callable[[Size], tuple[str, str]]
    limit: float = 300.0


@dataclass(frozen=True)
class Row:
    """What came of a check."""

    what: str
    amount: str
    result: str
    seconds: float
    ok: bool


def carry_out(check: Check, size: Size) -> Row:
    """Carry out a check in a process of its own, whose end is a result, too."""
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(far, check.work, size))
    process.start()
    far.close()
    amount, result, ok = "", f"not finished after {check.limit:g} s", False
    try:
        if near.poll(check.limit):
            amount, result, ok = near.recv()
            process.join(10.0)
    except EOFError:
        process.join(10.0)
        result = f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
        near.close()
    return Row(check.what, amount, result, time.monotonic() - started, ok)


def _work(far: Connection, work: Callable[[Size], tuple[str, str]], size: Size) -> None:
    try:
        amount, result = work(size)
        said = (amount, result, True)
    except Failed as error:
        said = ("", str(error), False)
    except Exception as error:
        said = ("", f"{type(error).__name__}: {error}", False)
    far.send(said)


def tally(outcomes: Sequence[str]) -> str:
    """Count what came out how often, in the order in which it first did.

    >>> tally(["right", "MemoryError", "right"])
    '2 right, 1 MemoryError'
    """
    return ", ".join(f"{outcomes.count(name)} {name}" for name in dict.fromkeys(outcomes))
