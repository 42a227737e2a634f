"""Requests and verdicts for tests of the machinery, where no loss is computed."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from conformance.case import Case
from conformance.driver import Program, WorkerFailure
from conformance.protocol import Array, encode_view
from conformance.result import OutputResult, Result

HERE = Path(__file__).parent
HOSTILE = HERE / "adapters" / "hostile.py"

#: What a case makes the hostile adapter do: a case says it by its seed.
DEEDS = ("nothing", "abort", "exit", "hang", "garbage", "raise", "refuse", "print", "overwrite")


def hostile(python=None):
    return Program.of_adapter("hostile", str(HOSTILE), python)


def message(case="the case", do="nothing", backward=True, dtype="<f4", name="float32", **more):
    base = np.arange(10, dtype=dtype)
    steps = [{"do": "forward", "as": "a", "arrays": {"input": "x"}}]
    if backward:
        steps.append({"do": "backward", "of": "a", "grad_output": None, "retain": False})
    return {
        "op": "call",
        "case": case,
        "system": "torch.nn.CrossEntropyLoss",
        "form": "function",
        "arguments": {"do": do},
        "arrays": {"x": encode_view(Array(base, name), base[1:9:2])},
        "wrt": ["input"],
        "steps": steps,
        **more,
    }


def case(do="nothing", **fields):
    return Case(seed=DEEDS.index(do), **fields)


def examine(case, ask):
    """Turn what the hostile adapter did into a verdict."""
    answer = ask(message(case.id, DEEDS[case.seed % len(DEEDS)]))
    reply = answer()
    clauses = ("shape.any", "mean.divides")
    if isinstance(reply, WorkerFailure):
        return Result(case.id, clauses, reply.kind, reply.detail)
    outcome = reply["steps"][0]["outcome"]
    if outcome == "unsupported":
        return Result(case.id, clauses, "unsupported", reply["steps"][0]["reason"])
    if outcome == "raised":
        return Result(case.id, clauses, "error", reply["steps"][0]["message"])
    if reply["modified"]:
        return Result(case.id, clauses, "fail", f"overwrites {reply['modified']}")
    outputs = (OutputResult("loss", 0, True, 0.5, 0.25, reading="nan" if case.seed else ""),)
    return Result(case.id, clauses[:1], "pass", outputs=outputs)


def defect_in_third(case, ask):
    """Fail as the suite itself might, in one case."""
    result = examine(case, ask)
    if case.shape == (3, 10):
        raise ZeroDivisionError("a defect of ours")
    return result


def slow(case, ask):
    """Take so long that a test can interrupt."""
    result = examine(case, ask)
    time.sleep(0.05)
    return replace(result, message="slow")


def die(*_):
    """End the lane's process as nothing of Python's could."""
    os._exit(7)
