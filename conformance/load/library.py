"""The library under many threads, forks, huge and distant arrays, and little memory."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import mmap
import os
import resource
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import crossent_spec

from .check import Check, Failed, Size, tally

Call = Callable[[], Any]
_SHAPE = (24, 40)


def calls() -> dict[str, Call]:
    """Return a call of every documented loss, with gradients, on shared inputs."""
    rng = np.random.default_rng(20)
    batch, classes = _SHAPE
    logits = rng.normal(size=_SHAPE)
    single = logits.astype(np.float32)
    target = rng.integers(0, classes, batch)
    probabilities = rng.dirichlet(np.ones(classes), batch)
    weight = rng.uniform(0.5, 2.0, classes)
    features, projection = rng.normal(size=(batch, 16)), rng.normal(size=(classes, 16))
    chunks = crossent_spec.LinearCrossEntropyOptions(batch_chunk_size=5)
    direction = rng.normal(size=_SHAPE)
    return {
        "index targets": lambda: crossent_spec.cross_entropy_value_and_grad(
            single, target, label_smoothing=0.1, ignore_index=3
        ),
        "probabilities": lambda: crossent_spec.cross_entropy_value_and_grad(
            logits, probabilities, weight, wrt=("input", "target", "weight")
        ),
        "linear": lambda: crossent_spec.linear_cross_entropy_value_and_grad(
            features, projection, target, options=chunks, wrt=("input", "linear_weight")
        ),
        "unit-scaled": lambda: crossent_spec.unit_scaled_cross_entropy_value_and_grad(
            single, target
        ),
        "Hessian": lambda: crossent_spec.cross_entropy_hvp(logits, target, tangent=direction),
    }


def digest(value: Any) -> str:
    """Return a digest of every bit of a result."""
    found = hashlib.sha256()
    for array in _arrays(value):
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _arrays(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    if dataclasses.is_dataclass(value):
        value = tuple(getattr(value, field.name) for field in dataclasses.fields(value))
    if isinstance(value, tuple):
        for part in value:
            yield from _arrays(part)
    elif value is not None:
        yield np.asarray(value)


def digests(made: dict[str, Call]) -> dict[str, str]:
    """Make every call once."""
    return {name: digest(call()) for name, call in made.items()}


def threads(size: Size) -> tuple[str, str]:
    """Call the library from many threads at once: every bit as from one."""
    made = calls()
    alone = digests(made)
    problems: list[str] = []
    gate = threading.Barrier(size.threads)

    def work(number: int) -> None:
        try:
            names = [*made][number % len(made) :] + [*made][: number % len(made)]
            gate.wait()
            for _ in range(size.rounds):
                problems.extend(
                    f"{name} gave other bits"
                    for name in names
                    if digest(made[name]()) != alone[name]
                )
        except Exception:
            problems.append(traceback.format_exc(limit=-1).strip().replace("\n", " "))

    sys.setswitchinterval(1e-5)
    with _busy([threading.Thread(target=work, args=(i,)) for i in range(size.threads)]):
        pass
    if problems:
        raise Failed(tally(problems))
    return f"{size.threads} threads, {size.threads * size.rounds * len(made):,} calls", "same bits"


@contextlib.contextmanager
def _busy(workers: list[threading.Thread]) -> Iterator[None]:
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.join()


def forks(size: Size) -> tuple[str, str]:
    """Fork while threads call the library: every child computes the same bits."""
    made = calls()
    alone = digests(made)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            digests(made)

    outcomes = []
    with _busy([threading.Thread(target=work) for _ in range(2)]):
        for _ in range(size.children):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # newer Pythons warn of what is tried here
                child = os.fork()
            if child == 0:
                signal.alarm(60)  # a lock that a thread of the parent held is never released
                same = digests(made) == alone
                os._exit(0 if same else 1)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            outcomes.append({0: "same bits", 1: "other bits", -signal.SIGALRM: "hang"}.get(
                status, f"exit code {status}"
            ))  # fmt: skip
        over.set()
    if set(outcomes) != {"same bits"}:
        raise Failed(tally(outcomes))
    return f"{size.children} children", "same bits"


def distant(size: Size) -> tuple[str, str]:  # noqa: ARG001
    """Call with views whose elements lie further apart than 2^31 elements."""
    count = 0
    batch, classes = 3, 5
    rng = np.random.default_rng(21)
    for dtype in (np.float16, np.float32, np.float64):
        item = np.dtype(dtype).itemsize
        # Address space only: of all its pages, those that are written to exist.
        reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | reserve
        reach = 2**31 + 2**20
        memory = mmap.mmap(-1, 2 * reach * item, flags=flags)
        base = np.frombuffer(memory, dtype)
        near = rng.normal(size=(batch, classes)).astype(dtype)
        target = np.array([4, 0, 2])
        for rows, columns in ((reach - 16, 1), (-(reach - 16), -3), (7, reach // 2 - 9)):
            start = sum(-step * (n - 1) for step, n in ((rows, 3), (columns, 5)) if step < 0)
            view = np.lib.stride_tricks.as_strided(
                base[start:], (batch, classes), (rows * item, columns * item)
            )
            view[...] = near
            for reduction in ("mean", "none"):
                for call in (
                    crossent_spec.cross_entropy_value_and_grad,
                    crossent_spec.unit_scaled_cross_entropy_value_and_grad,
                ):
                    far = call(view, target, reduction=reduction)
                    if digest(far) != digest(call(near, target, reduction=reduction)):
                        raise Failed(f"other bits in {np.dtype(dtype)}, strides {view.strides}")
                    count += 1
        del base, view
    return f"{count} calls", "same bits as from compact arrays"


def huge(size: Size) -> tuple[str, str]:
    """Call with 2^31 elements that are broadcast from one, and no room for a copy."""
    made = calls()
    alone = digests(made)
    outcomes = []
    shapes = ((2**31 - 1, 1), (1, 2**31), (2**16, 2**15), (2**26, 32), (2, 4, 2**28))
    with _room(size.headroom):
        for shape in shapes:
            logits = np.broadcast_to(np.float32(0), shape)
            labels = np.broadcast_to(np.int8(0), (shape[0], *shape[2:]))
            short = np.broadcast_to(np.int8(0), (shape[0] - 1, *shape[2:]))
            for wrong, expected in ((short, ValueError), (np.float32(0), ValueError)):
                outcomes.append(_outcome(lambda: _loss(logits, wrong), expected, np.nan))  # noqa: B023
            for target in (labels, logits):
                value = 0.0 if target is logits else np.log(shape[1])
                outcomes.append(_outcome(lambda: _loss(logits, target), MemoryError, value))  # noqa: B023
        if digests(made) != alone:
            raise Failed("afterwards, small calls give other bits")
    bad = [outcome for outcome in outcomes if outcome not in _GOOD]
    if bad:
        raise Failed(tally(bad))
    return f"{len(outcomes)} calls", tally(outcomes)


_GOOD = ("right", "MemoryError", "ValueError")


def _loss(logits: Any, target: Any) -> float:
    return float(crossent_spec.cross_entropy(logits, target))


def _outcome(call: Callable[[], float], error: type[Exception], value: float) -> str:
    try:
        got = call()
    except error:
        return error.__name__
    except Exception as other:
        return f"{type(other).__name__} ({other})"
    return "right" if np.isclose(got, value, rtol=1e-6) else f"wrong value {got!r}"


@contextlib.contextmanager
def _room(size: int) -> Iterator[None]:
    """Let the address space grow by so many bytes and no more."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def memory(size: Size) -> tuple[str, str]:
    """Run out of memory at many places: MemoryError or the right bits, and no harm done."""
    rng = np.random.default_rng(22)
    made = calls()
    logits = rng.normal(size=(size.samples, 256)).astype(np.float32)
    target = rng.integers(0, 256, size.samples)
    large: dict[str, Call] = {
        "index targets": lambda: crossent_spec.cross_entropy_value_and_grad(logits, target),
        "probabilities": lambda: crossent_spec.cross_entropy_value_and_grad(logits, logits),
    }
    # Not the linear loss: OpenBLAS ends the process where it gets no memory for a product.
    alone, whole = digests(made), digests(large)
    step = 8 * logits.nbytes // size.steps
    outcomes = []
    for number in range(size.steps):
        for name, call in large.items():
            try:
                with _room(number * step):
                    got = digest(call())
            except MemoryError:
                outcomes.append("MemoryError")
                continue
            outcomes.append("right" if got == whole[name] else f"other bits ({name})")
        if digests(made) != alone:
            raise Failed("afterwards, small calls give other bits")
    if set(outcomes) != {"MemoryError", "right"}:
        raise Failed(tally(outcomes))
    return f"{len(outcomes)} calls", tally(outcomes)


CHECKS = (
    Check("threads call every loss at once", threads),
    Check("forks while threads call", forks),
    Check("elements 2^31 apart", distant),
    Check("arrays of 2^31 elements, no room for a copy", huge),
    Check("memory runs out (RLIMIT_AS)", memory),
)
