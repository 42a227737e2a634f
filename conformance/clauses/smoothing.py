"""Clauses on ``label_smoothing``."""

from __future__ import annotations

from conformance.clauses.clause import Clause, on
from conformance.clauses.predicates import smoothed

_MIXTURE = (
    "The targets become a mixture of the original ground truth and a uniform distribution as "
    "described in Rethinking the Inception Architecture for Computer Vision."
)
_MIXTURE_ZH = (
    "目标值成为原始真实值和均匀分布的混合,如 Rethinking the Inception Architecture for "
    "Computer Vision 中所述。"
)
_RANGE = (
    *on("000 003", "A float in [0.0, 1.0]."),
    *on("002", "A float in $[0.0, 1.0]$."),
    *on("004", "一个位于[0.0, 1.0]之间的浮点数。"),
)

CLAUSES = (
    Clause(
        id="smoothing.default-is-zero",
        sources=(
            *on("000 002 004", "label_smoothing=0.0"),
            *on("001 003", "label_smoothing: float = 0.0"),
            *on("000", "Default: 0.00.0."),
            *on("002", "Default: <code>0.0</code>."),
            *on("001 003", r"Default: \(0.0\)."),
            *on("004", "默认值: 0.00.0"),
        ),
        check="A call that leaves label_smoothing out does not smooth.",
        applies=lambda case: case.smoothing is None,
    ),
    Clause(
        id="smoothing.zero-means-none",
        sources=(
            *on("000 002 003", "where 0.0 means no smoothing."),
            *on("004", "其中 0.0 表示无平滑。"),
        ),
        check="label_smoothing=0.0 gives the unsmoothed loss.",
        applies=lambda case: case.smoothing == 0,
    ),
    Clause(
        id="smoothing.range",
        sources=_RANGE,
        check="A label_smoothing below 0, above 1 or NaN raises.",
        formula="0 ≤ ε ≤ 1",
        breaks=("smoothing-negative", "smoothing-above-one", "smoothing-nan"),
    ),
    Clause(
        id="smoothing.one-is-allowed",
        sources=_RANGE,
        check="label_smoothing=1.0 is accepted and leaves the uniform distribution alone.",
        formula="y'[n,c] = 1 / C",
        applies=lambda case: case.smoothing == 1,
    ),
    Clause(
        id="smoothing.index.mixture",
        sources=(*on("000 002 003", _MIXTURE), *on("004", _MIXTURE_ZH)),
        check=(
            "With class indices the loss is that of the mixture of the one-hot target and the "
            "uniform distribution over all C classes."
        ),
        formula="l_n = −Σ_c w[c] · ((1 − ε) · 1{c = y_n} + ε / C) · log softmax(x[n])[c]",
        target="index",
        applies=smoothed,
    ),
    Clause(
        id="smoothing.prob.mixture",
        sources=(*on("000 002 003", _MIXTURE), *on("004", _MIXTURE_ZH)),
        check=(
            "With probabilities the loss is that of the mixture of the given probabilities and "
            "the uniform distribution over all C classes."
        ),
        formula="l_n = −Σ_c w[c] · ((1 − ε) · y[n,c] + ε / C) · log softmax(x[n])[c]",
        target="prob",
        applies=smoothed,
    ),
)
