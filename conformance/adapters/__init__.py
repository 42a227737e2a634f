"""The adapters that come with the suite: one file each, found by looking into this folder.

Workers import this package too, so it keeps to Python 3.8.
"""

import ast
import os
from typing import Dict

FOLDER = os.path.dirname(os.path.abspath(__file__))


def registered() -> Dict[str, str]:
    """Return the path of every registered adapter by its name, ``embedded`` first.

    The name is the file's, with ``-`` for ``_``; a file whose name begins with ``_`` is shared
    between adapters and is none itself.  A file in another language than Python is an adapter if
    a manifest is beside it, which tells how to run it (:mod:`conformance.environments.manifest`).
    """
    files = {}
    entries = sorted(os.listdir(FOLDER))
    for entry in entries:
        stem, suffix = os.path.splitext(entry)
        described = suffix not in ("", ".toml") and stem + ".toml" in entries
        if not stem.startswith(("_", ".")) and (suffix == ".py" or described):
            files[stem.replace("_", "-")] = os.path.join(FOLDER, entry)
    return dict(sorted(files.items(), key=lambda item: (item[0] != "embedded", item[0])))


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
    """Return the first line of an adapter's docstring, without importing its framework.

    In another language than Python that is the first line with words, which is a comment.
    """
    with open(path, encoding="utf-8") as file:
        source = file.read()
    if path.endswith(".py"):
        return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
    lines = (line.strip("/*#-;% \t") for line in source.split("\n") if not line.startswith("#!"))
    return next(filter(None, lines), "")
