"""A case as a script for a bug report: the framework's own API, NumPy, and nothing of this suite.

The script writes out what the caller passes, makes the calls, and prints for the loss and for
every gradient where the result is farthest from the exact one, by what is allowed there::

    print(script(Case.parse("ce/index/4x10/f32/mean"), resolve("torch")))

Arrays keep the caller's memory layout.  Up to :data:`LITERAL_LIMIT` elements are written as
numbers, larger arrays compressed.
"""

from __future__ import annotations

import base64
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.case import SYSTEMS, Case
from conformance.driver import START_LIMIT, Hello, Program, Unavailable, Worker, WorkerFailure
from conformance.expect import Expected, expect
from conformance.protocol import Adapter, Array, Call, Unsupported
from conformance.request import Request, build
from conformance.source import (
    WIDTH,
    axes_of,
    break_line,
    literal,
    offset,
    sorted_imports,
    two_digits,
)
from conformance.through import Through

#: Arrays up to this many elements are written as numbers.
LITERAL_LIMIT = 300

_BFLOAT16 = '''\
def bfloat16(values):
    """Return the bit patterns of float32 values that bfloat16 holds exactly."""
    return np.array(values.view(np.uint32) >> 16, np.uint16)
'''

_UNPACK = """\
def unpack(text, dtype, *shape):
    data = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(data, dtype).reshape(shape).copy()
"""

_REPORT = '''\
def report(name, got, dtype, allowed, *exact):
    """Print the worst element, as a multiple of the allowed error, against the nearest reading."""
    got, found = np.asarray(got), []
    if got.dtype != dtype or got.shape != exact[0].shape:
        print(f"{name}: got {got.dtype}{got.shape}, expected {dtype}{exact[0].shape}")
    for expected in exact:
        if got.shape == expected.shape and got.size:
            same = (got == expected) | (np.isnan(got) & np.isnan(expected))
            with np.errstate(all="ignore"):
                error = np.where(same, 0, np.abs(got.astype(float) - expected))
                times = np.where(same, 0, error / allowed)
            times[np.isnan(times)] = np.inf
            worst = np.unravel_index(np.argmax(times), times.shape)
            found.append((times[worst], error[worst], worst, float(expected[worst])))
    if found:
        times, error, worst, expected = min(found, key=lambda item: item[0])
        place = f" at {[int(i) for i in worst]}" if worst else ""
        print(f"{name}: got {got[worst]!s}{place}, expected {expected}")
        print(f"    error {error:.3g}, {times:.3g} times the allowed error")
'''


def script(case: Case, program: Program) -> str:
    """Return the script that shows what a framework makes of a case.

    The framework's own process writes the calls, so it need not be importable here.  An adapter
    that writes none is called by the script itself.

    Raises
    ------
    conformance.protocol.Unsupported
        The adapter is no Python file, or its framework has no such call.
    conformance.driver.Unavailable
        The program cannot be run.
    """
    return next(scripts([case], program))


def scripts(cases: Sequence[Case], program: Program) -> Iterator[str]:
    """Yield the script of each case, all written by one process; raise as :func:`script` does."""
    if program.adapter is None:
        raise Unsupported("only adapters that are Python files write scripts")
    worker = Worker(program)
    try:
        hello = worker.start()
        for case in cases:
            request = build(case)
            expected = expect(case, request)
            try:
                remote = _Remote(worker, hello, request)
                yield compose(case, request, expected, remote, program.name)
            except NotImplementedError:
                if SYSTEMS[case.system] not in hello.systems:
                    text = f"{program.name} does not drive {SYSTEMS[case.system]}"
                    raise Unsupported(text) from None
                through = Through(program, hello.versions)
                yield compose(case, request, expected, through, program.name)
    finally:
        worker.close()


class _Remote(Adapter):
    """An adapter in its worker, as far as scripts go."""

    def __init__(self, worker: Worker, hello: Hello, request: Request) -> None:
        self.worker = worker
        self.hello = hello
        message = request.message()
        self.common = {key: message[key] for key in ("case", "system", "form", "arguments", "wrt")}
        self.encoded = {
            id(array.view): message["arrays"][name] for name, array in request.arrays.items()
        }

    def describe(self) -> dict[str, Any]:
        return {"versions": self.hello.versions}

    def script(self, call: Call, step: dict[str, Any]) -> str:
        seed = step.get("grad_array")
        self.worker.send(
            {
                **self.common,
                "op": "script",
                "arrays": {
                    name: self.encoded[id(array.data)] for name, array in call.arrays.items()
                },
                "step": {key: value for key, value in step.items() if key != "grad_array"},
                "grad_array": None if seed is None else self.encoded[id(seed.data)],
            }
        )
        reply = self.worker.receive(START_LIMIT)
        if isinstance(reply, WorkerFailure):
            raise Unavailable(reply.detail)
        if "error" in reply:
            raise Unavailable(reply["error"])
        if "unwritten" in reply:
            raise NotImplementedError
        if "unsupported" in reply:
            raise Unsupported(reply["unsupported"])
        source: str = reply["source"]
        return source


def compose(case: Case, request: Request, expected: Expected, adapter: Adapter, spec: str) -> str:
    """Write the script of a request and what is expected of it."""
    writer = _Writer(request, expected, adapter)
    body = writer.body()
    told = adapter.describe()
    preface = f"{adapter.preface}\n\n" if isinstance(adapter, Through) else ""
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    head = (
        f'"""{SYSTEMS[case.system]} against its documentation.\n\n'
        "The exact results are correctly rounded; the allowed errors follow from the dtypes.\n\n"
        f"{preface}{versions}\n"
        f"crossent repro '{case.id}' --adapter {spec}\n"
        '"""\n\n'
    )
    imports = "\n".join(sorted_imports(writer.imports))
    parts = [head + imports, *map(str.rstrip, writer.helpers), "\n\n".join(body)]
    return "\n\n\n".join(parts) + "\n"


class _Writer:
    """Collects what the script's parts need of each other: imports, helpers, names."""

    def __init__(self, request: Request, expected: Expected, adapter: Adapter) -> None:
        self.request = request
        self.expected = expected
        self.adapter = adapter
        self.imports = ["import numpy as np"]
        self.helpers = adapter.helpers.copy() if isinstance(adapter, Through) else []
        self.names = {name: re.sub(r"\W", "_", name) for name in request.arrays}
        forwards = [step["as"] for step in request.steps if step["do"] == "forward"]
        # One forward call: its tensors are input_t, target_t, ...
        only = len(forwards) == 1
        self.tags = {name: "t" if only else name for name in forwards}

    def body(self) -> list[str]:
        """Return the script's blocks after its head."""
        arrays = [self.array(name) for name in self.request.arrays]
        watch = ", ".join(f"{name}={name}" for name in self.names.values())
        blocks = [
            "\n".join(["# What the caller passes.", *arrays]),
            "\n".join(
                [
                    *break_line(f"arrays = dict({watch})"),
                    "before = {name: array.tobytes() for name, array in arrays.items()}",
                ]
            ),
        ]
        calls: dict[str, Call] = {}
        for number, (step, outcome) in enumerate(
            zip(self.request.steps, self.expected.steps, strict=True)
        ):
            forward = step["do"] == "forward"
            state = step["as"] if forward else step["of"]
            if forward:
                calls[state] = self.request.call(step)
            source = self.hoist(self.adapter.script(calls[state], self.step(step)))
            if outcome.raises == "must":
                blocks.append(self.must_raise(source, number))
            else:
                comment = [self.comment(number)]
                if outcome.raises == "may":
                    comment.append("# The page leaves open whether this call is refused.")
                blocks.append("\n".join([*comment, *source]))
                blocks.append("\n".join(self.reports(number, outcome.outputs)))
        blocks.append(
            "for name, array in arrays.items():\n"
            "    if array.tobytes() != before[name]:\n"
            '        print(f"{name}: the caller\'s array was overwritten")'
        )
        return blocks

    def view(self, name: str) -> Array:
        """Return an array of the request as an adapter gets it."""
        view = self.request.arrays[name]
        return Array(view.view, view.dtype)

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        """Return a step in the script's own names."""
        if step["do"] == "forward":
            arrays = {argument: self.names[name] for argument, name in step["arrays"].items()}
            return {**step, "as": self.tags[step["as"]], "arrays": arrays}
        name = step["grad_output"]
        return {
            **step,
            "of": self.tags[step["of"]],
            "grad_output": None if name is None else self.names[name],
            "grad_array": None if name is None else self.view(name),
        }

    def title(self, number: int) -> str:
        """Return what tells one step from the others."""
        steps = self.request.steps
        step = steps[number]
        if sum(other["do"] == step["do"] for other in steps) == 1:
            return ""
        if step["do"] == "forward":
            return f" of call {self.tags[step['as']]}"
        again = sum(
            other["do"] == "backward" and other["of"] == step["of"] for other in steps[:number]
        )
        title = f" of call {self.tags[step['of']]}" if len(self.tags) > 1 else ""
        return title + (", second time" if again else "")

    def comment(self, number: int) -> str:
        """Return the line above a step."""
        return f"# The {self.request.steps[number]['do']} pass{self.title(number)}."

    def hoist(self, source: str) -> list[str]:
        """Take the imports out of an adapter's lines, and break the long ones."""
        lines = source.split("\n")
        for line in lines:
            if line.startswith(("import ", "from ")) and line not in self.imports:
                self.imports.append(line)
        kept = [line for line in lines if not line.startswith(("import ", "from "))]
        return list(itertools.chain.from_iterable(map(break_line, kept)))

    def must_raise(self, source: list[str], number: int) -> str:
        """Write a step that the page forbids."""
        what = f"{self.request.steps[number]['do']} pass{self.title(number)}"
        result = "loss" if self.request.steps[number]["do"] == "forward" else "grads"
        return "\n".join(
            [
                f"# The {what}, which must raise.",
                "try:",
                *(f"    {line}" for line in source),
                "except Exception as error:",
                f'    print(f"{what}: raised {{type(error).__name__}}: {{error}}")',
                "else:",
                f'    print(f"{what}: expected an exception, got {{{result}}}")',
            ]
        )

    def reports(self, number: int, outputs: dict[str, Any]) -> list[str]:
        """Write what is expected of a step, and the comparison."""
        if _REPORT not in self.helpers:
            self.helpers.append(_REPORT)
        lines = []
        for name, output in outputs.items():
            label = name if name == "loss" else f"grad.{name}"
            got = name if name == "loss" else f"grads[{name!r}]"
            dtype = "float32" if output.dtype == "bfloat16" else output.dtype
            exact = [f"exact_{label.replace('.', '_')}"]
            if len(output.readings) > 1:
                exact = [f"{exact[0]}_{i}" for i in range(1, len(output.readings) + 1)]
            for variable, reading in zip(exact, output.readings, strict=True):
                value = reading.high
                if value.size > LITERAL_LIMIT and dtype != "float64":
                    with np.errstate(over="ignore"):
                        value = value.astype(np.float32)
                if reading.name:
                    lines.append(f"# One acceptable reading: {reading.name}.")
                lines.append(f"{variable} = {self.values(value)}")
            lines.append(f"allowed = {self.values(two_digits(output.allowed))}")
            title = f"{label}{self.title(number)}"
            given = f"{title!r}, {got}, {dtype!r}, allowed, {', '.join(exact)}"
            lines += break_line(f"report({given})")
        return lines

    def array(self, name: str) -> str:
        """Write an array with its memory layout."""
        given = self.request.arrays[name]
        view, base, variable = given.view, given.base, self.names[name]
        turned = [stride < 0 for stride in view.strides]
        signs: list[Any] = [slice(None, None, -1 if back else 1) for back in turned]
        forward = view[(..., *signs)]
        axes = axes_of(forward, base)
        if axes is not None:
            text = self.stored(forward.transpose(axes), given.dtype)
            if axes != sorted(axes):
                inverse = tuple(int(axis) for axis in np.argsort(axes))
                text += ".T" if view.ndim == 2 else f".transpose{inverse}"
            if any(turned):
                text += f"[{', '.join('::-1' if back else ':' for back in turned)}]"
            lines = [f"{variable} = {text}"]
        else:
            buffer = f"{variable}_buffer"
            start = offset(view, base)
            lines = [f"{buffer} = {self.stored(base, given.dtype)}"]
            if view.flags.c_contiguous:
                lines.append(
                    f"{variable} = {buffer}[{start}:{start + view.size}].reshape{view.shape}"
                )
            else:
                steps = [stride // view.itemsize for stride in view.strides]
                strides = f"[{buffer}.itemsize * step for step in {steps}]"
                lines += [
                    f"{variable} = np.lib.stride_tricks.as_strided(",
                    f"    {buffer}[{start}:], {view.shape}, {strides}",
                    ")",
                ]
        if not view.flags.writeable:
            lines.append(f"{variable}.flags.writeable = False")
        return "\n".join(lines)

    def stored(self, data: np.ndarray, dtype: str) -> str:
        """Write stored values, which for bfloat16 are bit patterns."""
        if dtype != "bfloat16" or data.size > LITERAL_LIMIT or not data.size:
            return self.values(data)
        if _BFLOAT16 not in self.helpers:
            self.helpers.append(_BFLOAT16)
        wide = (np.ascontiguousarray(data).astype(np.uint32) << 16).view(np.float32)
        return f"bfloat16({self.values(wide.reshape(data.shape))})"

    def values(self, data: np.ndarray) -> str:
        """Write values that a C-contiguous array is to hold."""
        if not data.size:
            return f"np.zeros({data.shape}, {data.dtype.name!r})"
        if data.size <= LITERAL_LIMIT:
            return literal(data)
        self.imports += [
            line for line in ("import base64", "import zlib") if line not in self.imports
        ]
        if _UNPACK not in self.helpers:
            self.helpers.append(_UNPACK)
        little = np.ascontiguousarray(data).astype(data.dtype.newbyteorder("<"))
        text = base64.b64encode(zlib.compress(little.tobytes(), 9)).decode("ascii")
        lines = "\n".join(text[i : i + WIDTH] for i in range(0, len(text), WIDTH))
        shape = "".join(f", {extent}" for extent in data.shape)
        return f'unpack(\n    """\n{lines}\n""",\n    {little.dtype.str!r}{shape},\n)'
