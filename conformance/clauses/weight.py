"""Clauses on ``weight``."""

from __future__ import annotations

from conformance.clauses.clause import LINEAR, Clause, on
from conformance.clauses.predicates import has_weight, smoothed, weight_matters

CLAUSES = (
    Clause(
        id="weight.default-is-none",
        sources=(
            *on("000 002 004", "weight=None"),
            *on("001", "weight: Tensor | None = None"),
            *on("003", "weight: Optional[oneflow.Tensor] = None"),
        ),
        check="A call that leaves weight out weighs every class by one.",
        formula="w[c] = 1",
        applies=lambda case: not has_weight(case),
    ),
    Clause(
        id="weight.one-per-class",
        sources=(
            *on(
                "002",
                "If provided, the optional argument `weight` should be a 1D *Tensor* assigning "
                "weight to each of the classes.",
            ),
            *on(
                "003",
                "If provided, the optional argument weight should be a 1D Tensor assigning "
                "weight to each of the classes.",
            ),
            *on("004", "如果提供,可选参数 weight 应该是一个分配给每个类别的权重的 1D Tensor。"),
            *on("000 002 003", "If given, has to be a Tensor of size C"),
            *on("004", "如果提供,必须是一个大小为 C 的浮点型张量。"),
        ),
        check="weight is a 1D tensor of size C; another rank or size raises.",
        applies=has_weight,
        breaks=("weight-short", "weight-long", "weight-2d", "weight-scalar"),
    ),
    Clause(
        id="weight.floating",
        sources=on("004", "如果提供,必须是一个大小为 C 的浮点型张量。"),
        check="weight is a floating-point tensor; an integer one raises.",
        applies=has_weight,
        breaks=("weight-dtype",),
        also=LINEAR,
    ),
    Clause(
        id="weight.index.rescales-target-class",
        sources=(
            *on("000", "a manual rescaling weight given to each class."),
            *on("002 003", "a manual rescaling weight given to each class."),
            *on("002", r"l_n = -w_{y_n} \log"),
            *on("003 004", r"l_n = - w_{y_n} \log"),
            *on("004", "每个类别给出的手动缩放权重。"),
        ),
        check="Each sample's loss is multiplied by the weight of its target class.",
        formula="l_n = −w[y_n] · log softmax(x[n])[y_n]",
        target="index",
        applies=lambda case: weight_matters(case) and not smoothed(case),
    ),
    Clause(
        id="weight.prob.rescales-each-class",
        sources=(
            *on("000 002 003", "a manual rescaling weight given to each class."),
            *on("002", r"l_n = -\sum_{c=1}^C w_c \log"),
            *on("003 004", r"l_n = - \sum_{c=1}^C w_c \log"),
            *on("004", "每个类别给出的手动缩放权重。"),
        ),
        check="Each class's term of the sum is multiplied by the weight of that class.",
        formula="l_n = −Σ_c w[c] · y[n,c] · log softmax(x[n])[c]",
        target="prob",
        applies=weight_matters,
    ),
    Clause(
        id="weight.smoothing.rescales-each-class",
        sources=(
            *on("002", r"l_n = -\sum_{c=1}^C w_c \log"),
            *on("003 004", r"l_n = - \sum_{c=1}^C w_c \log"),
        ),
        check=(
            "Smoothed class indices have a probability in every class, so each class's term has "
            "its own weight, the uniform part included."
        ),
        formula="l_n = −Σ_c w[c] · ((1 − ε) · 1{c = y_n} + ε / C) · log softmax(x[n])[c]",
        target="index",
        applies=lambda case: weight_matters(case) and smoothed(case),
        also=LINEAR,
    ),
)
