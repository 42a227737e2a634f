"""A machine that carries out the PTX of compiled kernels, and tells what a GPU would not.

All threads of a launch go forward together, those that are furthest behind first, one instruction
at a time for all that have come to it.  What Numba's simulator cannot show, since it runs the
Python of a kernel and not what the compiler made of it, is a :class:`FaultError` here: an access
off its alignment or outside of all arrays, the reading of what nobody has written, two threads that
meet at a place without a barrier between them, and a barrier or an exchange of lanes that not all
reach.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.gpu import arithmetic
from conformance.gpu.arena import FaultError, Memory, Shadow
from conformance.gpu.ptx import Instruction, Program, bytes_of, parse

Array = NDArray[Any]
Mask = NDArray[np.bool_]

WARP = 32
_ADDRESS = re.compile(r"\[([%$\w]+)(?:\+(-?\d+))?\]")
_FLOATS = {"0f": (8, np.uint32), "0d": (16, np.uint64)}


@cache
def parsed(text: str) -> Program:
    """Read PTX, once."""
    return parse(text)


def launch(
    text: str, grid: tuple[int, int], threads: int, arguments: Sequence[Any], memory: Memory
) -> None:
    """Run a kernel.

    Parameters
    ----------
    text
        Its PTX.
    grid, threads
        Blocks in x and y, and threads of each in x.
    arguments
        A number for each parameter.
    memory
        The GPU's.

    Raises
    ------
    FaultError
        It does what a GPU would not, or not always.
    """
    _Launch(parsed(text), grid, threads, arguments, memory).run()


class _Launch:
    """The state of all threads: registers, shared memory, and who waits where."""

    def __init__(
        self,
        program: Program,
        grid: tuple[int, int],
        threads: int,
        arguments: Sequence[Any],
        memory: Memory,
    ) -> None:
        if len(arguments) != len(program.parameters):
            raise FaultError(f"{len(arguments)} arguments for {len(program.parameters)} parameters")
        self.program, self.memory = program, memory
        blocks = grid[0] * grid[1]
        self.threads, self.count = threads, blocks * threads
        number = np.arange(self.count)
        self.block = number // threads
        within = number % threads
        # Warps of different blocks are different, the last of a block may lack lanes.
        self.warps_of_block = -(-threads // WARP)
        self.warp = self.block * self.warps_of_block + within // WARP
        self.lane = within % WARP
        self.block_size = np.full(blocks, threads)
        self.warp_size = np.bincount(self.warp)
        self.special = {
            "%tid.x": within, "%ctaid.x": self.block % grid[0], "%ctaid.y": self.block // grid[0],
            "%ntid.x": threads, "%nctaid.x": grid[0], "%nctaid.y": grid[1], "%laneid": self.lane,
        }  # fmt: skip
        self.arguments = {
            name: _argument(value, kind)
            for (name, kind), value in zip(program.parameters.items(), arguments, strict=True)
        }
        self.registers: dict[str, Array] = {}
        places = Shadow(self.block, self.warp)
        self.shadow = places
        self.global_memory = memory.during(places)
        # Every block's memory behind the other's, at addresses that are its own alone.
        self.shared_size = -(-max(program.shared_bytes, 1) // 256) * 256
        self.shared = Memory(self.shared_size * blocks, base=0)
        self.shared.allocate(self.shared_size * blocks)
        self.shared_memory = self.shared.during(places)
        self.parked: dict[int, Mask] = {}

    def run(self) -> None:
        """Carry everything out."""
        code = self.program.code
        groups: dict[int, Mask] = {0: np.ones(self.count, bool)}

        def join(at: int, mask: Mask) -> None:
            groups[at] = groups[at] | mask if at in groups else mask

        with np.errstate(all="ignore"):
            while groups:
                at = min(groups)
                mask = groups.pop(at)
                limit = min(groups, default=len(code))
                everyone = bool(mask.all())
                while at < limit:
                    one = code[at]
                    kind = one.name[0]
                    active = mask
                    if one.guard:
                        active = mask & (self.registers[one.guard] != one.negated)
                    if kind in ("bra", "ret", "exit"):
                        stay = mask & ~active
                        if kind == "bra" and active.any():
                            join(self.program.labels[one.operands[0]], active)
                        if stay.any():
                            join(at + 1, stay)
                        break
                    if kind in ("bar", "barrier", "shfl", "vote"):
                        if one.guard:
                            raise FaultError(f"{one}: only some threads are to carry it out")
                        through = self._wait(at, one, mask)
                        if through.any():
                            join(at + 1, through)
                        break
                    self._do(one, active, everyone and not one.guard)
                    at += 1
                else:
                    if at < len(code):
                        join(at, mask)
        for at, waiting in self.parked.items():
            if waiting.any():
                raise FaultError(
                    f"{code[at]}: {waiting.sum()} threads wait for others that never come"
                )

    def _wait(self, at: int, one: Instruction, mask: Mask) -> Mask:
        """Have threads wait for their block or their warp; return those that wait no more."""
        waiting = self.parked.get(at, np.zeros(self.count, bool)) | mask
        of_warp = one.name[0] in ("shfl", "vote") or one.name[:2] == ("bar", "warp")
        group, size = (self.warp, self.warp_size) if of_warp else (self.block, self.block_size)
        complete = np.bincount(group[waiting], minlength=size.size) == size
        through = waiting & complete[group]
        self.parked[at] = waiting & ~through
        if one.name[0] not in ("shfl", "vote"):
            self.shadow.ordered(group[through], of_warp)
        elif through.any():
            # Neither orders what is done to memory.
            self._members(one, through)
            (self._exchange if one.name[0] == "shfl" else self._vote)(one, through)
        return through

    def _members(self, one: Instruction, mask: Mask) -> None:
        if (self._read(one.operands[-1], "b32")[mask] != 0xFFFFFFFF).any():
            raise FaultError(f"{one}: not all lanes are members")
        if (self.warp_size[self.warp[mask]] != WARP).any():
            raise FaultError(f"{one}: a warp of less than {WARP} threads")

    def _vote(self, one: Instruction, mask: Mask) -> None:
        """``vote.sync.any.pred d, p, members``."""
        if one.name != ("vote", "sync", "any", "pred"):
            raise NotImplementedError(str(one))
        to, holds, _ = one.operands
        any_does = np.bincount(self.warp, self._read(holds, "pred") & mask) > 0
        self._write(to, any_does[self.warp], "pred", mask, False)

    def _exchange(self, one: Instruction, mask: Mask) -> None:
        """``shfl.sync.bfly.b32 d|p, a, distance, c, members``."""
        if one.name[:3] != ("shfl", "sync", "bfly"):
            raise NotImplementedError(str(one))
        to, value, distance, limits, _ = one.operands
        to, _, valid = to.partition("|")
        if (self._read(limits, "b32")[mask] != 31).any():
            raise NotImplementedError(f"{one}: exchanges within a part of a warp")
        other = np.arange(self.count) - self.lane
        other = other + (self.lane ^ self._read(distance, "s32").astype(np.int64))
        # Lanes that are not there are not asked, since all of a warp take part.
        found = self._read(value, "b32")[np.where(mask, other, 0)]
        self._write(to, found, "b32", mask, False)
        if valid:
            self._write(valid, np.ones(self.count, bool), "pred", mask, False)

    def _do(self, one: Instruction, mask: Mask, everyone: bool) -> None:
        name, operands = one.name, one.operands
        if name[0] == "ld" and name[1] == "param":
            found = self.arguments[operands[1][1:-1]]
            self._write(operands[0], np.full(self.count, found), name[-1], mask, everyone)
        elif name[0] in ("ld", "st"):
            self._access(one, mask)
        elif name[0] == "atom":
            self._atomic(one, mask)
        elif name[0] == "cvta" or (name[0] == "mov" and operands[1] in self.program.shared):
            source = operands[1]
            value = (
                self.block * self.shared_size + self.program.shared[source]
                if source in self.program.shared
                else self._read(source, "u64")
            )
            self._write(operands[0], value, "u64", mask, everyone)
        elif name[0] == "mov" and "{" in operands[0] + operands[1]:
            self._pack(operands[0], operands[1], bytes_of(name[1]), mask, everyone)
        else:
            kinds, work = arithmetic.operation(name)
            values = [self._read(o, k) for o, k in zip(operands[1:], kinds[1:], strict=True)]
            self._write(operands[0], work(*values), kinds[0], mask, everyone)

    def _pack(self, to: str, source: str, size: int, mask: Mask, everyone: bool) -> None:
        inside = [part.strip() for part in (to + source).strip("{}").split(",")]
        if to.startswith("{"):
            names = [part.strip() for part in to.strip("{}").split(",")]
            part = f"b{8 * size // len(names)}"
            whole = np.ascontiguousarray(self._read(source, f"b{8 * size}"))
            split = whole.view(arithmetic.TYPES[part]).reshape(self.count, len(names))
            for number, name in enumerate(names):
                self._write(name, split[:, number], part, mask, everyone)
            return
        inside = [part.strip() for part in source.strip("{}").split(",")]
        part = f"b{8 * size // len(inside)}"
        columns = [self._read(name, part) for name in inside]
        whole = np.ascontiguousarray(np.stack(columns, axis=1))
        joined = whole.view(arithmetic.TYPES[f"b{8 * size}"])[:, 0]
        self._write(to, joined, f"b{8 * size}", mask, everyone)

    def _access(self, one: Instruction, mask: Mask) -> None:
        name = one.name
        loads = name[0] == "ld"
        address, values = one.operands[::-1] if loads else one.operands
        registers = [part.strip() for part in values.strip("{}").split(",")]
        kind = name[-1]
        if any(part.startswith("v") and part[1:].isdigit() for part in name) != (
            len(registers) > 1
        ):
            raise ValueError(f"{one}: not as many registers as elements")
        memory = self.global_memory if name[1] == "global" else self.shared_memory
        if name[1] not in ("global", "shared"):
            raise NotImplementedError(str(one))
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise NotImplementedError(str(one))
        begin = self._read(found[1], "s64") + int(found[2] or 0)
        who = np.flatnonzero(mask)
        if not who.size:
            return
        dtype = arithmetic.TYPES[kind]
        if loads:
            got = memory.load(begin[who], who, dtype, len(registers))
            for number, register in enumerate(registers):
                full = np.zeros(self.count, dtype)
                full[who] = got[:, number]
                self._write(register, full, kind, mask, False)
            return
        given = np.stack([self._read(register, kind)[who] for register in registers], axis=1)
        memory.store(begin[who], who, np.ascontiguousarray(given.astype(dtype)))

    def _atomic(self, one: Instruction, mask: Mask) -> None:
        found = _ADDRESS.fullmatch(one.operands[1])
        if one.name[1] != "global" or found is None:
            raise NotImplementedError(str(one))
        work: Callable[[Any, Any], Any] = {"add": np.add, "min": np.minimum}[one.name[2]]
        kind = one.name[-1]
        begin = self._read(found[1], "s64") + int(found[2] or 0)
        value = self._read(one.operands[2], kind)
        who = np.flatnonzero(mask)
        dtype = arithmetic.TYPES[kind]
        before = np.zeros(self.count, dtype)
        before[who] = self.global_memory.combine(begin[who], value[who], work)
        self._write(one.operands[0], before, kind, mask, False)

    def _read(self, operand: str, kind: str) -> Array:
        """Return a register's or a number's value in all threads, as of a type."""
        dtype = arithmetic.TYPES[kind]
        if operand.startswith("%"):
            if operand in self.special:
                return np.broadcast_to(np.asarray(self.special[operand], dtype), (self.count,))
            held = self.registers.get(operand)
            if held is None:
                # A register that only other threads have written yet, or a value of no matter.
                return np.zeros(self.count, dtype)
            if held.dtype == np.bool_ or dtype == np.bool_:
                return held
            if held.itemsize == np.dtype(dtype).itemsize:
                return held.view(dtype)
            return held.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
        if operand in self.program.shared:
            return self.block * self.shared_size + self.program.shared[operand]
        if operand[:2] in _FLOATS:
            digits, bits = _FLOATS[operand[:2]]
            assert len(operand) == 2 + digits
            return np.full(self.count, bits(int(operand[2:], 16))).view(dtype)
        if kind == "pred":
            return np.full(self.count, int(operand, 0) != 0)
        bits_of = 8 * np.dtype(dtype).itemsize
        number = int(operand, 0) % 2**bits_of
        return np.full(self.count, number, f"u{bits_of // 8}").view(dtype)

    def _write(self, name: str, value: Any, kind: str, mask: Mask, everyone: bool) -> None:
        if name == "_":
            return
        dtype = np.dtype(arithmetic.TYPES[kind])
        # What is narrower than a register is widened by its sign.
        if kind == "pred":
            stored: Array = np.asarray(value, np.bool_)
        elif dtype.itemsize == 1:
            stored = np.asarray(value).astype(np.int16 if kind == "s8" else np.uint16)
            stored = stored.view(np.uint16)
        else:
            stored = np.ascontiguousarray(np.asarray(value).astype(dtype, copy=False))
            stored = stored.view(f"u{dtype.itemsize}")
        held = self.registers.get(name)
        if everyone or held is None:
            self.registers[name] = np.array(stored)
        elif held.dtype == stored.dtype:
            np.copyto(held, stored, where=mask)
        else:
            # A narrow result in a wide register.
            np.copyto(held, stored.astype(held.dtype), where=mask)


def _argument(value: Any, kind: str) -> Any:
    """Return an argument as a parameter of a type holds it."""
    dtype = np.dtype(arithmetic.TYPES[kind])
    if dtype.kind in "iu":
        bits = 8 * dtype.itemsize
        return np.array(int(value) % 2**bits, f"u{dtype.itemsize}").view(dtype)[()]
    return dtype.type(value)
