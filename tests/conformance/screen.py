"""A terminal for progress bars, and what was last seen on it."""

import io
import re

import pytest
from rich.console import Console

from conformance import terminal


class Screen(io.StringIO):
    """Stands for stderr; where it is no terminal, nothing is shown."""

    def __init__(self, is_terminal=True):
        super().__init__()
        self.is_terminal = is_terminal

    def __call__(self, *, stderr):
        assert stderr
        return Console(
            file=self, force_terminal=self.is_terminal, color_system=None, width=100, height=20
        )

    def last_line(self):
        """Return the words of the line that was shown last, without the bar and what is left."""
        lines = re.split(r"\x1b\[[^m]*?[A-Za-z]|[\r\n]", self.getvalue())
        words = [line for line in lines if line.strip()][-1]
        words = re.sub(r"\s*[━╸╺ ]{9,}\s*", " | ", words)
        return re.sub(r" [-0-9]+:[-0-9]+:[-0-9]+$", "", words)


@pytest.fixture
def screen(monkeypatch):
    made = Screen()
    monkeypatch.setattr(terminal, "Console", made)
    return made
