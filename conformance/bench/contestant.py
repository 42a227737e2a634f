"""Who takes part: something to call, and how to read what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

#: What a contestant computes.
LOSS, GRADIENT = "loss", "loss and gradient"


@dataclass(frozen=True)
class Values:
    """A loss and its gradients by argument, as NumPy arrays."""

    loss: float
    gradients: dict[str, Array]


@dataclass(frozen=True)
class Contestant:
    """One way to do a task.

    Attributes
    ----------
    name
        What the table calls it.
    task
        'loss' or 'loss and gradient'.
    call
        What is timed; it takes nothing and reads inputs that never change.
    values
        Turns what ``call`` returned into values to compare; for a base, which computes no loss,
        it returns what is wrong with the result, or nothing.
    note
        What a reader should know about it.
    """

    name: str
    task: str
    call: Callable[[], Any]
    values: Callable[[Any], Values | str]
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Task and name, which no two contestants of a workload share."""
        return self.task, self.name
