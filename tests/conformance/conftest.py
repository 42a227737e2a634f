"""Makes the helpers beside the tests importable, in the lanes' processes too."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the environments that a person has built out of the tests."""
    monkeypatch.setenv("CROSSENT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
