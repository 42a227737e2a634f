"""Text that a framework wrote, made fit for a terminal and for a file."""

from __future__ import annotations

import re

#: Longest text that is kept of what a framework says.
LIMIT = 10_000

# Control characters but for tab and newline, which would move a terminal's cursor; and halves of
# surrogate pairs, which JSON can spell and UTF-8 cannot.
_UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(value: object) -> str:
    r"""Return a value as text that any terminal and file takes, of limited length.

    >>> printable("red: \x1b[31m, half: \ud800")
    'red: \ufffd[31m, half: \ufffd'
    """
    try:
        text = str(value)
    except RecursionError:
        text = "(nested too deep to be shown)"
    if len(text) > LIMIT:
        text = f"{text[:LIMIT]} [... {len(text) - LIMIT:,} more characters]"
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))
