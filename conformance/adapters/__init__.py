"""The adapters that come with the suite: one file each, found by looking into this folder.

Workers import this package too, so it keeps to Python 3.8.
"""

import ast
import os
from typing import Dict


def registered() -> Dict[str, str]:
    """Return the path of every registered adapter by its name, ``embedded`` first.

    The name is the file's, with ``-`` for ``_``; a file whose name begins with ``_`` is shared
    between adapters and is none itself.
    """
    folder = os.path.dirname(os.path.abspath(__file__))
    names = sorted(
        (
            entry[: -len(".py")]
            for entry in os.listdir(folder)
            if entry.endswith(".py") and not entry.startswith("_")
        ),
        key=lambda name: (name != "embedded", name),
    )
    return {name.replace("_", "-"): os.path.join(folder, name + ".py") for name in names}


def find(spec: str) -> str:
    """Return the path of an adapter: a registered name, or a file whose name ends in ``.py``.

    Raises
    ------
    LookupError
        Neither; the message lists the registered names.
    """
    if spec.endswith(".py"):
        if not os.path.isfile(spec):
            raise LookupError(f"no adapter file {spec}")
        return os.path.abspath(spec)
    adapters = registered()
    if spec not in adapters:
        raise LookupError(
            f"no adapter named {spec!r}; registered are {', '.join(adapters)}, "
            "and a path that ends in .py names a file"
        )
    return adapters[spec]


def summary(path: str) -> str:
    """Return the first line of an adapter's docstring, without importing its framework."""
    with open(path, encoding="utf-8") as file:
        documentation = ast.get_docstring(ast.parse(file.read())) or ""
    return documentation.split("\n")[0]
