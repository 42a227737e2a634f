"""Keeps doctests out of the adapters whose framework is not installed here."""

import ast
from importlib.util import find_spec
from pathlib import Path


def _importable(adapter: Path) -> bool:
    imports = [
        alias.name.partition(".")[0]
        for node in ast.parse(adapter.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    return all(find_spec(name) is not None for name in imports)


_ADAPTERS = Path(__file__).parent / "conformance" / "adapters"
collect_ignore = [str(path) for path in _ADAPTERS.glob("*.py") if not _importable(path)]
