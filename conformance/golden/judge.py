"""A framework against the files alone: inputs, results and tolerances are what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..case import Case
from ..expect import ExactOutput, Expected, ExpectedStep, Reading
from ..result import Result
from ..runner import Ask
from ..verdict import judge
from .make import make_request
from .read import read_folder
from .vector import Output, Vector


@dataclass(frozen=True)
class Examiner:
    """Puts vectors to a framework; see :func:`conformance.runner.examine`.

    Attributes
    ----------
    folder
        The golden folder.
    """

    folder: Path

    def __call__(self, case: Case, ask: Ask) -> Result:
        """Put one vector to a framework and judge the answer."""
        vector = _vectors(self.folder)[case.id]
        request = make_request(vector)
        answer = ask(request.message())
        return judge(request, make_expected(vector), answer())


def make_expected(vector: Vector) -> Expected:
    """Return what a vector says that each step must give."""
    if vector.loss is None:
        return Expected((ExpectedStep("must"),))
    forward = ExpectedStep(vector.raises, {"loss": _exact(vector.loss)})
    if not vector.gradients:
        return Expected((forward,))
    backward = ExpectedStep("no", {name: _exact(x) for name, x in vector.gradients.items()})
    if vector.calls == "again":
        return Expected((forward, forward, backward, backward))
    if vector.calls == "twice":
        second = ExpectedStep("must") if vector.second_backward == "raises" else backward
        return Expected((forward, backward, second))
    return Expected((forward, backward))


def _exact(output: Output) -> ExactOutput:
    readings = tuple(
        Reading(answer.reading, answer.values, np.zeros_like(answer.values))
        for answer in output.answers
    )
    return ExactOutput(output.dtype, output.tolerance.shape, readings, output.tolerance)


@lru_cache(maxsize=1)
def _vectors(folder: Path) -> dict[str, Vector]:
    return {vector.id: vector for vector in read_folder(folder)}
