"""Clauses on ``reduction`` itself: its names, its default, and what N counts."""

from __future__ import annotations

from conformance.clauses.clause import DEFINITION, Clause, on
from conformance.clauses.predicates import legacy_absent, reduced, spatial


def _named(name: str, case_reduction: str, effective: str) -> bool:
    return case_reduction == name == effective


CLAUSES = (
    Clause(
        id="reduction.default-is-mean",
        sources=(
            *on("000 002 004", "reduction='mean'"),
            *on("001 003", "reduction: str = 'mean'"),
        ),
        check="A call that leaves reduction out gives the mean.",
        applies=lambda case: case.reduction == "default" and legacy_absent(case),
    ),
    Clause(
        id="reduction.none",
        sources=(
            *on("000 001 003", "'none': no reduction will be applied"),
            *on("002", "<code>'none'</code>: no reduction will be applied"),
            *on("004", "'none' :不应用缩减"),
        ),
        check="reduction='none' applies no reduction: one loss for each sample.",
        applies=lambda case: _named("none", case.reduction, case.effective_reduction),
    ),
    Clause(
        id="reduction.mean",
        sources=(
            *on("000 003", "'mean': the weighted mean of the output is taken"),
            *on("002", "<code>'mean'</code>: the weighted mean of the output is taken"),
            *on("004", "'mean' :取输出加权平均值"),
        ),
        check=(
            "reduction='mean' gives the mean; the formulas of index.mean and prob.mean say "
            "what it divides by."
        ),
        applies=lambda case: _named("mean", case.reduction, case.effective_reduction),
    ),
    Clause(
        id="reduction.sum",
        sources=(
            *on("000 001 003", "'sum': the output will be summed."),
            *on("002", "<code>'sum'</code>: the output will be summed."),
            *on("004", "'sum' :输出将被求和。"),
        ),
        check="reduction='sum' sums the losses.",
        applies=lambda case: _named("sum", case.reduction, case.effective_reduction),
    ),
    Clause(
        id="reduction.names",
        sources=(
            *on(
                "000 001 003",
                "Specifies the reduction to apply to the output: 'none' | 'mean' | 'sum'.",
            ),
            *on(
                "002",
                "Specifies the reduction to apply to the output: <code>'none'</code> "
                "<code>'mean'</code> <code>'sum'</code>.",
            ),
            *on("004", "指定应用于输出的缩减方式: 'none' | 'mean' | 'sum'"),
        ),
        check="Any other name for reduction raises.",
        breaks=("reduction-name", "reduction-case"),
    ),
    Clause(
        id="reduction.counts-every-position",
        sources=(
            *on(
                "002",
                r"N spans the minibatch dimension as well as d_1, \dots, d_k for the "
                "K -dimensional case.",
            ),
            *on(
                "003",
                r"\(N\) spans the minibatch dimension as well as \(d_1, ..., d_k\) for the "
                "K-dimensional case.",
            ),
            *on("004", "NN 跨越 minibatch 维度,以及 d1,...,dkd_1, ..., d_k 在 K 维情况下的维度。"),
        ),
        check=(
            "In the K-dimensional case every position is a sample of its own: the sum runs over "
            "the minibatch and d1 to dK together, and the mean divides by all of them."
        ),
        formula="N = minibatch · d1 · … · dK",
        applies=lambda case: spatial(case) and reduced(case),
        also=DEFINITION,
    ),
)
