"""A compiled kernel's PTX, read into instructions that :mod:`.machine` carries out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Bytes of a parameter and of an element, by the type's name.
_BYTES = re.compile(r"[busf](\d+)")
_LABEL = re.compile(r"^(\$[\w$]+):")
_INSTRUCTION = re.compile(r"^(?:@(!?)(%\w+)\s+)?([a-z][\w.:]*)\s*(.*?);$")
_SHARED = re.compile(r"\.shared\s+\.align\s+(\d+)\s+\.b8\s+(\w+)\[(\d+)\]")
_PARAMETER = re.compile(r"\.param\s+\.(\w+)\s+(\w+)")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes
    ----------
    name
        With its modifiers, split at the dots.
    operands
        As written: registers, numbers, addresses in brackets, several in braces.
    guard, negated
        The predicate that decides whether a thread carries it out, and whether that must be false.
    """

    name: tuple[str, ...]
    operands: tuple[str, ...]
    guard: str = ""
    negated: bool = False

    def __str__(self) -> str:
        return f"{'.'.join(self.name)} {', '.join(self.operands)}"


@dataclass
class Program:
    """A kernel.

    Attributes
    ----------
    parameters
        Names, in order, with their types.
    shared
        Where in a block's memory each of its arrays begins; ``shared_bytes`` is the size of all.
    code, labels
        Instructions, and the number of that which follows a label.
    """

    parameters: dict[str, str] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    shared_bytes: int = 0
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


def bytes_of(kind: str) -> int:
    """Return the bytes of a type such as ``f32``.

    >>> bytes_of("u64")
    8
    """
    found = _BYTES.fullmatch(kind)
    if found is None:
        raise ValueError(f"got {kind!r}, expected a type such as f32")
    return int(found[1]) // 8


def parse(text: str) -> Program:
    """Read the PTX of one kernel.

    Raises
    ------
    ValueError
        There is something that is no instruction.
    """
    program = Program()
    inside = False
    for raw in text.splitlines():
        line = raw.partition("//")[0].strip()
        if not inside:
            for kind, name in _PARAMETER.findall(line):
                program.parameters[name] = kind
            inside = line == "{"
        if found := _SHARED.search(line):
            align, size = int(found[1]), int(found[3])
            start = -(-program.shared_bytes // align) * align
            program.shared[found[2]], program.shared_bytes = start, start + size
            continue
        if not inside:
            continue
        if found := _LABEL.match(line):
            program.labels[found[1]] = len(program.code)
            line = line[found.end() :].strip()
        # Declarations, hints, and the braces of registers for a few instructions.
        if not line or line.startswith(".") or line in "{}":
            continue
        for part in _statements(line):
            program.code.append(_instruction(part))
    return program


def _statements(line: str) -> list[str]:
    """Split a line that holds several, as ``{ .reg .b32 %t; mov.b64 {%t, %r}, %d; }`` does."""
    if line.startswith("{"):
        line = line[1:].rstrip().removesuffix("}")
    parts = [f"{part.strip()};" for part in line.split(";") if part.strip()]
    return [part for part in parts if not part.startswith((".", "}"))]


def _instruction(line: str) -> Instruction:
    found = _INSTRUCTION.match(line)
    if found is None:
        raise ValueError(f"this is no instruction of PTX: {line!r}")
    negated, guard, name, rest = found.groups()
    operands = tuple(re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest))
    return Instruction(tuple(name.split(".")), operands, guard or "", bool(negated))
