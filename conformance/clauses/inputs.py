"""Clauses on what ``input`` and ``target`` hold."""

from __future__ import annotations

from conformance.clauses.clause import Clause, every, on
from conformance.clauses.predicates import some_counted

CLAUSES = (
    Clause(
        id="input.raw-scores",
        sources=(
            *on(
                "002", "The *input* is expected to contain raw, unnormalized scores for each class."
            ),
            *on("003", "The input is expected to contain raw, unnormalized scores for each class."),
            *on("004", "输入应包含每个类别的未归一化 logits(通常不需要为正或总和为 1)。"),
            *on("001", "input (Tensor) – Predicted unnormalized logits"),
        ),
        check=(
            "The input is taken as raw scores: negative scores and rows that do not sum to one "
            "are computed by the formula, never refused, taken as probabilities or normalised."
        ),
        applies=lambda case: case.logits not in ("zeros", "equal"),
        also=("linear",),
    ),
    Clause(
        id="target.indices-or-probabilities",
        sources=(
            *on("002", "The *target* that this criterion expects should contain either:"),
            *on("003", "The target that this criterion expects should contain either:"),
            *on("004", "该准则期望的目标应包含以下内容:"),
            *on("001", "target (Tensor) – Ground truth class indices or class probabilities"),
        ),
        check=(
            "The same call takes class indices or class probabilities as its target and tells "
            "them apart; a target that is neither raises."
        ),
        applies=every,
        breaks=("target-float",),
        also=("linear",),
    ),
    Clause(
        id="target.class-range",
        sources=(
            *on("002", "Class indices in the range $[0, C)$ where C is the number of classes"),
            *on(
                "003", r"Class indices in the range \([0, C)\) where \(C\) is the number of classes"
            ),
            *on("004", "在 [0,C)[0, C) 范围内的类别索引,其中 CC 是类别的数量"),
            *on("002", "each value should be between $[0, C)$."),
            *on("000", "where each value should be between [0,C)[0, C)."),
            *on("001 003", r"where each value should be between \([0, C)\)."),
        ),
        check=(
            "Classes are numbered from 0 to C − 1; a target outside that range, other than "
            "ignore_index, raises."
        ),
        formula="0 ≤ y_n < C, or y_n = ignore_index",
        target="index",
        applies=some_counted,
        breaks=("target-too-large", "target-negative", "target-wraps"),
    ),
)
