"""What a run produces: one result a case, and the run around them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

#: Verdicts in the order in which reports list them.
VERDICTS = (
    "pass",
    "fail",  # wrong value, shape or dtype, or an input overwritten
    "error",  # raised on documented input
    "accepts-invalid",  # did not raise on documented-invalid input
    "unsupported",  # the adapter or framework says so
    "crash",
    "timeout",
)

#: Verdicts that leave a run's exit code at 0.
HARMLESS = frozenset({"pass", "unsupported"})


@dataclass(frozen=True)
class OutputResult:
    """Judgement of one output of one step: the loss, or the gradient of one argument.

    Attributes
    ----------
    name
        ``loss`` or ``grad.<argument>``, or ``call`` where the page leaves open whether the call
        is refused and it was; ``step`` tells of which step.
    ok
        Whether it agrees with one of the acceptable readings.
    ulps
        The worst error in units in the last place of the output's dtype; NaN where there is none
        to measure, because the output is missing or has another shape or dtype.
    bound_fraction
        The worst error as a fraction of the allowed error; NaN likewise.
    reading
        Which of several acceptable readings the framework chose, where a page leaves it open.
    detail
        For a disagreement: where, expected and got.
    """

    name: str
    step: int
    ok: bool
    ulps: float = 0.0
    bound_fraction: float = 0.0
    reading: str = ""
    detail: str = ""

    @property
    def misfit(self) -> str:
        """Why there is no error to measure: ``missing``, ``shape`` or ``dtype``; else empty.

        >>> OutputResult("loss", 0, False, math.nan, math.nan, "", "has shape (1,)").misfit
        'shape'
        """
        if not math.isnan(self.ulps):
            return ""
        return next(
            (word for word in ("shape", "dtype") if f"has {word} " in self.detail), "missing"
        )


@dataclass(frozen=True)
class Result:
    """Verdict on one case; its first clause is the one that the case is about."""

    case: str
    clauses: tuple[str, ...]
    verdict: str
    message: str = ""
    outputs: tuple[OutputResult, ...] = ()
    seconds: float = 0.0

    @property
    def ulps(self) -> float:
        """The worst error of any output that has one, in ulps of its dtype."""
        return max((output.ulps for output in self.outputs if not output.misfit), default=0.0)

    @property
    def bound_fraction(self) -> float:
        """The worst error of any output that has one, as a fraction of what is allowed."""
        return max(
            (output.bound_fraction for output in self.outputs if not output.misfit), default=0.0
        )

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data; an unbounded error is the string ``"inf"``."""
        return {
            "case": self.case,
            "clauses": list(self.clauses),
            "verdict": self.verdict,
            "message": self.message,
            "seconds": round(self.seconds, 6),
            "outputs": [
                {
                    "name": output.name,
                    "step": output.step,
                    "ok": output.ok,
                    "ulps": _number(output.ulps),
                    "bound_fraction": _number(output.bound_fraction),
                    "reading": output.reading,
                    "detail": output.detail,
                }
                for output in self.outputs
            ],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """Return the result of which :meth:`to_json` gave the data."""
        if data["verdict"] not in VERDICTS:
            raise ValueError(f"verdict: got {data['verdict']!r}, allowed are {', '.join(VERDICTS)}")
        outputs = tuple(
            OutputResult(
                name=str(output["name"]),
                step=int(output["step"]),
                ok=bool(output["ok"]),
                ulps=float(output["ulps"]),
                bound_fraction=float(output["bound_fraction"]),
                reading=str(output["reading"]),
                detail=str(output["detail"]),
            )
            for output in data["outputs"]
        )
        return cls(
            case=str(data["case"]),
            clauses=tuple(map(str, data["clauses"])),
            verdict=data["verdict"],
            message=str(data["message"]),
            outputs=outputs,
            seconds=float(data["seconds"]),
        )


@dataclass
class Run:
    """All results of one adapter, and what was tested.

    Attributes
    ----------
    complete
        Whether every case was judged.
    fingerprint
        Digests of what the verdicts depend on beside the versions, where they are known.
    """

    adapter: str
    versions: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = True
    fingerprint: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when nothing but pass and unsupported occurred, else 1."""
        return int(any(result.verdict not in HARMLESS for result in self.results))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Run:
        """Return the run that a result file holds; raise KeyError, TypeError or ValueError."""
        for name in data["summary"].keys() - {"ulps", "bound_fraction", "cases", *VERDICTS}:
            raise ValueError(f"summary: got {name!r}, which is no verdict")
        return cls(
            adapter=str(data["adapter"]),
            versions={str(name): str(text) for name, text in data["versions"].items()},
            results=[Result.from_json(item) for item in data["results"]],
            seconds=float(data["seconds"]),
            complete=bool(data["complete"]),
            fingerprint={
                str(name): str(text) for name, text in data.get("fingerprint", {}).items()
            },
        )


def _number(value: float) -> float | str:
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)
