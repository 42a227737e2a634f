"""What a compiled kernel shows in its PTX and in the assembler's report, and what it should."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

#: 32-bit registers of a multiprocessor, which a block must find there.
REGISTERS = 65536
#: Most registers of a thread.
MOST = 255


@dataclass(frozen=True)
class Meant:
    """What a kernel is meant to show.

    Attributes
    ----------
    threads
        Threads that share a result, and so exchange numbers.
    load_bits, store_bits
        Width of the widest access to global memory; 0 where any will do.
    integer_atomics
        Whether it has any: the smallest of integers is the same in any order.
    """

    threads: int
    load_bits: int = 0
    store_bits: int = 0
    integer_atomics: bool = False


@dataclass(frozen=True)
class Figures:
    """What was found of a kernel.

    Attributes
    ----------
    registers, shared, stack, spill_stores, spill_loads, barriers
        As ``ptxas -v`` reports; bytes, but for registers and barriers.
    loads, stores
        Number of instructions on global memory by their width in bits.
    local
        Number of accesses to local memory, and of its declarations.
    shuffles
        Number of exchanges between lanes of a warp.
    atomics
        Kinds of atomic operations.
    """

    registers: int
    shared: int
    stack: int
    spill_stores: int
    spill_loads: int
    barriers: int
    loads: dict[int, int]
    stores: dict[int, int]
    local: int
    shuffles: int
    atomics: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what is recorded."""
        return asdict(self)


def read(ptx: str, report: str) -> Figures:
    """Read the PTX of one kernel and the assembler's report on it.

    Raises
    ------
    ValueError
        The report is not of one kernel.
    """
    frames = re.findall(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report
    )
    used = re.findall(r"Used (\d+) registers(?:, used (\d+) barriers)?[^\n]*", report)
    if len(frames) != 1 or len(used) != 1:
        raise ValueError(f"expected the report of one kernel, got {report!r}")
    smem = re.search(r"(\d+) bytes smem", report)
    stack, stores, loads = map(int, frames[0])
    return Figures(
        registers=int(used[0][0]),
        shared=int(smem[1]) if smem else 0,
        stack=stack,
        spill_stores=stores,
        spill_loads=loads,
        barriers=int(used[0][1] or 0),
        loads=_widths(ptx, "ld"),
        stores=_widths(ptx, "st"),
        local=len(re.findall(r"__local_depot|\b(?:ld|st)\.local\b", ptx)),
        shuffles=len(re.findall(r"^\s*(?:@\S+\s+)?shfl\.sync", ptx, re.MULTILINE)),
        atomics=tuple(sorted(set(re.findall(r"\b(?:atom|red)\.(?:[\w:]+\.)*\w+", ptx)))),
    )


def _widths(ptx: str, kind: str) -> dict[int, int]:
    found: Counter[int] = Counter()
    pattern = rf"\b{kind}\.global(?:\.(?:ca|cg|cs|lu|nc|wb|wt|volatile))*(?:\.v(\d))?\.[a-z](\d+)"
    for count, bits in re.findall(pattern, ptx):
        found[int(count or 1) * int(bits)] += 1
    return dict(sorted(found.items()))


def problems(block: int, meant: Meant, found: Figures) -> list[str]:
    """Say what is not as it should be, on any version of the compiler."""
    said = []
    if found.spill_stores or found.spill_loads:
        said.append(f"spills {found.spill_stores} bytes, reloads {found.spill_loads}")
    if found.stack or found.local:
        said.append(f"uses local memory: {found.stack} bytes, {found.local} times in the PTX")
    if found.registers * block > REGISTERS or found.registers > MOST:
        said.append(f"{found.registers} registers in a block of {block} threads")
    for name, wanted, widths in (
        ("loads", meant.load_bits, found.loads),
        ("stores", meant.store_bits, found.stores),
    ):
        if wanted and max(widths, default=0) < wanted:
            said.append(f"{name} of at most {max(widths, default=0)} bits, not {wanted}")
    if (found.shuffles > 0) != (meant.threads > 1):
        said.append(f"{found.shuffles} shuffles for {meant.threads} threads")
    if meant.threads > 32 and not (found.barriers and found.shared):
        said.append("threads of several warps that do not wait for each other")
    floating = [one for one in found.atomics if re.search(r"\.(?:b?f\d+\w*)$", one)]
    if floating:
        said.append(f"atomic operations on floating-point numbers: {', '.join(floating)}")
    if bool(found.atomics) != meant.integer_atomics:
        said.append(f"atomic operations: {', '.join(found.atomics) or 'none'}")
    return said
