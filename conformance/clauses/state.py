"""Clauses on what a backward pass of the linear loss leaves behind."""

from __future__ import annotations

from conformance.case import Case
from conformance.clauses.clause import Clause, on
from conformance.clauses.predicates import k_dimensional_bias

_CONSUMES = "With non-None options, the chunked path consumes its precomputed gradients in-place"


def _chunked(case: Case) -> bool:
    return case.has_options and not k_dimensional_bias(case)


CLAUSES = (
    Clause(
        id="state.second-backward-raises",
        sources=on(
            "000",
            _CONSUMES + ", so any second backward() call raises (even with retain_graph=True).",
        ),
        check=(
            "With options the first backward gives the gradients; a second one from the same "
            "forward raises, even when the first was told to retain the graph, and never gives "
            "other values."
        ),
        applies=lambda case: _chunked(case) and case.retain == "no" and case.script == "twice",
    ),
    Clause(
        id="state.allow-retain-graph",
        sources=on(
            "000",
            "Use LinearCrossEntropyOptions(allow_retain_graph=True) to allow repeated backward",
        ),
        check="With allow_retain_graph=True the same backward again gives the same gradients.",
        applies=lambda case: case.retain == "yes" and case.script == "twice",
    ),
    Clause(
        id="state.reference-repeats",
        sources=on(
            "000",
            _CONSUMES + ", so any second backward() call raises (even with retain_graph=True).",
        ),
        check=(
            "Only the chunked path consumes its gradients: without options, and in the fallback "
            "of a K-dimensional bias, the same backward again gives the same gradients."
        ),
        applies=lambda case: not _chunked(case) and case.script == "twice",
    ),
    Clause(
        id="state.gradients-of-their-own-forward",
        sources=on("000", _CONSUMES),
        check=(
            "The gradients of a forward call are its own: another forward call before its "
            "backward, on the same or on other arrays, does not change or consume them."
        ),
        applies=lambda case: case.script in ("again", "stale"),
    ),
    Clause(
        id="state.retain-allocates",
        sources=on(
            "000",
            "to allow repeated backward (one extra gradient-sized allocation per call).",
        ),
        check="allow_retain_graph=True costs one more allocation of the gradients' size per call.",
        observable=False,
        why="A statement about memory use; a case shows values only.",
    ),
)
