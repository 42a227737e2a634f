"""An example: a case, or a relation between calls that start from a case; both have an id.

The id of a relation is its name, a colon, and the case's id::

    permute:ce/index/4x10/f32/mean,weight=mixed
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.case import Case


@dataclass(frozen=True)
class Example:
    """What a search judges.

    Attributes
    ----------
    case
        The case, or what the relation starts from.
    relation
        Name of the relation, empty for the case itself.
    """

    case: Case
    relation: str = ""

    @property
    def id(self) -> str:
        """The id, from which :func:`parse` rebuilds the example."""
        return f"{self.relation}:{self.case.id}" if self.relation else self.case.id


def parse(text: str) -> Example:
    """Read an id.

    Raises
    ------
    ValueError
        It is none.
    """
    from .metamorphic import RELATIONS

    relation, colon, case = text.strip().rpartition(":")
    if colon and relation not in RELATIONS:
        raise ValueError(f"relation: got {relation!r}, allowed are {', '.join(RELATIONS)}")
    return Example(Case.parse(case), relation)
