"""What a framework wrote, as a terminal and a file take it."""

import pytest

from conformance.text import LIMIT, printable


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\r\nb\tc\rd", "a\nb\tc\N{REPLACEMENT CHARACTER}d"),
        ("\0\x1b[2J\x7f\x9f\ud800é", "\N{REPLACEMENT CHARACTER}" * 2
         + "[2J" + "\N{REPLACEMENT CHARACTER}" * 3 + "é"),
        (None, "None"),
        ("x" * LIMIT, "x" * LIMIT),
        ("x" * LIMIT + "y" * 1234, "x" * LIMIT + " [... 1,234 more characters]"),
    ],
    ids=["lines", "controls", "no text", "as long as may be", "longer"],
)  # fmt: skip
def test_text_is_shown_without_what_moves_a_cursor_and_not_at_any_length(given, shown):
    assert printable(given) == shown


def test_what_is_nested_without_end_is_named():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert printable(nested) == "(nested too deep to be shown)"
