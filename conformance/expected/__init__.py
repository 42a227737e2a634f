"""Expected failures: what a framework is known not to do, in a file for its own CI.

A file holds entries, each with the cases that it is about and why they fail::

    [[expect]]
    case = "ce/*,bad=smoothing-nan"
    verdicts = ["accepts-invalid"]
    reason = "label_smoothing is not checked yet"
    link = "https://example.org/issues/1"

``case`` is a case's id or a pattern of ids (``*``, ``?``, ``[...]``), ``clause`` the id of a
clause or a pattern of those, and an entry with both is about the cases that both name.
``verdicts`` narrows down how they fail; without it they may fail in any way.
"""

from .entries import BadExpectFile, Entry, read
from .judge import Judgement, judge, show
from .write import update

__all__ = ["BadExpectFile", "Entry", "Judgement", "judge", "read", "show", "update"]
