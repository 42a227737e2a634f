"""Makes the helpers beside the tests importable, in the lanes' processes too."""

import sys
from pathlib import Path

import pytest

from conformance.environments import interpreters

sys.path.append(str(Path(__file__).parents[2]))

from tests.conformance import tiny


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Keep the environments that a person has built out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSENT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of adapters: one with a manifest, and no environment."""
    return tiny.furnish(tmp_path, monkeypatch)


@pytest.fixture
def stand_in(folder, monkeypatch):
    """The stand-in for Python, in place of whatever is installed."""
    python = folder / "stand-in"
    python.write_text(tiny.STAND_IN)
    python.chmod(0o755)
    monkeypatch.setenv("REAL_PYTHON", sys.executable)
    monkeypatch.setattr(
        interpreters, "find", lambda wanted: interpreters.Interpreter(str(python), f"{wanted}.9")
    )
    return python
