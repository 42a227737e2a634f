"""Reproduction scripts for adapters that write none: the script calls the adapter itself.

It needs the suite's sources beside the framework, but nothing that the suite itself needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import adapters
from .driver import Program
from .environments.store import ISOLATION
from .protocol import Adapter, Array, Call

_LOAD = """\
def load(path):
    \"\"\"Return the adapter in a file.\"\"\"
    spec = importlib.util.spec_from_file_location("adapter", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Adapter()
"""

_VALUES = """\
def values(array):
    \"\"\"Return a result; bfloat16 as float32.\"\"\"
    data = np.asarray(array.data)
    if array.dtype != "bfloat16":
        return data
    return np.left_shift(data.astype(np.uint32), 16).view(np.float32)
"""


class Through(Adapter):
    """Writes the calls of an adapter's own methods.

    Parameters
    ----------
    program
        The adapter's.
    versions
        What takes part.
    """

    def __init__(self, program: Program, versions: dict[str, str]) -> None:
        assert program.adapter is not None
        self.versions = versions
        self._file = Path(program.adapter)
        self._name = program.name
        self._variables = program.variables

    @property
    def preface(self) -> str:
        """What a person must know who runs the script."""
        lines = [
            "The framework is called through its adapter, which writes no calls of its own: run",
            "this with the framework's Python and with the sources of crossent-spec in PYTHONPATH.",
        ]
        given = [
            f"{name}={value}"
            for name, value in self._variables.items()
            if name not in ISOLATION and "/" not in value
        ]
        if given:
            lines.append(f"In the environment: {' '.join(given)}")
        return "\n".join(lines)

    @property
    def helpers(self) -> list[str]:
        """What the lines of :meth:`script` call."""
        if self._registered:
            return [_VALUES, "adapter = Adapter()\n"]
        return [_LOAD, _VALUES, f"adapter = load({self._name!r})\n"]

    @property
    def _registered(self) -> bool:
        return str(self._file) in adapters.registered().values()

    def describe(self) -> dict[str, Any]:
        """Return the versions."""
        return {"versions": self.versions}

    def script(self, call: Call, step: dict[str, Any]) -> str:
        """Write one step as calls of the adapter's methods."""
        lines = ["from conformance.protocol import Array, Call"]
        if step["do"] == "backward":
            state = step["of"]
            seed = "None"
            if step.get("grad_output") is not None:
                seed = _array(step["grad_output"], step["grad_array"])
            lines += [
                f"gradients_{state} = adapter.backward(state_{state}, {seed}, {step['retain']})",
                f"grads = {{name: values(array) for name, array in gradients_{state}.items()}}",
            ]
            return "\n".join(lines)
        state = step["as"]
        if self._registered:
            lines.append(f"from conformance.adapters.{self._file.stem} import Adapter")
        else:
            lines.append("import importlib.util")
        arrays = {name: _array(text, call.arrays[name]) for name, text in step["arrays"].items()}
        scalars = {name: repr(value) for name, value in call.arguments.items()}
        given = [repr(call.system), repr(call.form), _dict(scalars), _dict(arrays), repr(call.wrt)]
        lines += [
            f"call_{state} = Call({', '.join(given)})",
            f"loss_{state}, state_{state} = adapter.forward(call_{state})",
            f"loss = values(loss_{state})",
        ]
        return "\n".join(lines)


def _array(variable: str, array: Array) -> str:
    return f"Array({variable}, {array.dtype!r})"


def _dict(members: dict[str, str]) -> str:
    return f"dict({', '.join(f'{name}={text}' for name, text in members.items())})"
