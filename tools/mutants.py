"""One change at a time in the text of a Python file; see :mod:`mutation`.

The mutations are mutmut's: a comparison turned, a number plus one, an argument dropped, a value
None, and so on.  They reach the whole file: module constants and decorated functions, too.  Prose
(a string with a space), annotations, docstrings, decorators and guards against mistakes in the
code itself are left alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import (
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    WhitespaceInclusivePositionProvider,
)
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal

#: Arguments for which None stands: numpy's default type is float64.
SAME_AS_NONE = m.Name("None") | m.Attribute(m.Name("np"), m.Name("float64"))
#: What only a checker or a reader reads, and what only guards against mistakes in the code itself.
UNTOUCHED = (
    m.Annotation()
    | m.Decorator()
    | m.Import()
    | m.ImportFrom()
    | m.Expr(m.SimpleString())
    | m.Assign(value=m.Subscript(m.Name("NDArray") | m.Name("dict") | m.Name("Callable")))
    | m.Call(m.Name("isinstance") | m.Name("len") | m.Name("cast"))
    | m.Call(m.Attribute(attr=m.Name("errstate")))
    | m.Arg(keyword=m.Name("strict"))
    | m.Call(m.Name("TypeVar"))
)


@dataclass(frozen=True)
class Mutant:
    """One change; ``function``, ``was`` and ``now`` name it in the list of survivors."""

    function: str
    lines: tuple[int, ...]
    was: str
    now: str
    code: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    places = wrapper.resolve(PositionProvider)
    spans = wrapper.resolve(WhitespaceInclusivePositionProvider)
    parents = wrapper.resolve(ParentNodeProvider)
    starts = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]
    seen = set()
    for node in _nodes(wrapper.module):
        operators = [turn for kind, turn in OPERATORS if isinstance(node, kind)]
        for changed in itertools.chain.from_iterable(turn(node) for turn in operators):
            if _is_prose(node, changed):
                continue
            first, last = (
                starts[at.line - 1] + at.column for at in (spans[node].start, spans[node].end)
            )
            if source[first:last] != wrapper.module.code_for_node(node):
                continue  # a whole block, which is written with its indentation
            code = source[:first] + wrapper.module.code_for_node(changed) + source[last:]
            if code != source and code not in seen:
                seen.add(code)
                lines, scope = _surroundings(node, parents, places)
                yield Mutant(scope, lines, *_changed_line(source, code), code)


def _arguments(node: cst.Call) -> Iterator[cst.Call]:
    """Put None for an argument by position, and drop one by name."""
    for at, argument in enumerate(node.args):
        if argument.keyword and argument.keyword.value == "strict":
            continue
        if argument.keyword:
            yield node.with_changes(args=[*node.args[:at], *node.args[at + 1 :]])
        elif not argument.star and not m.matches(argument.value, SAME_AS_NONE):
            none = argument.with_changes(value=cst.Name("None"))
            yield node.with_changes(args=[*node.args[:at], none, *node.args[at + 1 :]])


#: mutmut's, but that its own of arguments makes mostly calls that raise TypeError at once.
OPERATORS = [
    (kind, _arguments if turn is operator_arg_removal else turn)
    for kind, turn in mutation_operators
]


def _nodes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield what may be changed."""
    if m.matches(node, UNTOUCHED):
        return
    yield node
    for child in node.children:
        yield from _nodes(child)


def _surroundings(node: Any, parents: Any, places: Any) -> tuple[tuple[int, ...], str]:
    """Return the lines of the node's statement, and the dotted name of its function."""
    names, lines = [], set()
    whole = False
    while not isinstance(node, cst.Module):
        if not whole and (isinstance(node, cst.BaseExpression | cst.SimpleStatementLine)):
            lines |= set(range(places[node].start.line, places[node].end.line + 1))
        whole |= isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement)
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            names.append(node.name.value)
        node = parents[node]
    return tuple(sorted(lines)), ".".join(reversed(names)) or "(module)"


def _is_prose(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    if not isinstance(node, cst.SimpleString):
        return False
    return " " in node.value or not changed.value.strip("rbRB\"'").startswith("XX")


def _changed_line(source: str, code: str) -> tuple[str, str]:
    for was, now in zip(source.splitlines(), code.splitlines(), strict=False):
        if was != now:
            return was.strip(), now.strip()
    return source.splitlines()[-1].strip(), ""
