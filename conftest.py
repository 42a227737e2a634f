"""Keeps doctests out of the adapters whose framework is not installed here."""

import ast
from importlib.util import find_spec
from pathlib import Path

_ADAPTERS = Path(__file__).parent / "conformance" / "adapters"


def _importable(adapter: Path) -> bool:
    for node in ast.parse(adapter.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            modules = [node.module]
        else:
            continue
        for module in modules:
            package, _, shared = module.rpartition(".")
            if package == "conformance.adapters":
                if not _importable(_ADAPTERS / f"{shared}.py"):
                    return False
            elif find_spec(module.partition(".")[0]) is None:
                return False
    return True


collect_ignore = [str(path) for path in _ADAPTERS.glob("*.py") if not _importable(path)]
