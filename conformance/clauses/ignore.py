"""Clauses on ``ignore_index``."""

from __future__ import annotations

from conformance.clauses.clause import DEFINITION, Clause, on
from conformance.clauses.predicates import (
    averaged,
    gradient_seen,
    reduced,
    some_counted,
    some_ignored,
    spatial,
    unreduced,
)

_IGNORED = "a target value that is ignored and does not contribute to the input gradient."
_ZERO = r"\cdot \mathbb{1}\{y_n \not= "

CLAUSES = (
    Clause(
        id="ignore.default-is-minus-100",
        sources=(
            *on("001", "ignore_index: int = -100"),
            *on("002", "ignore_index=- 100"),
            *on("003", "ignore_index: int = - 100"),
            *on("004", "ignore_index=-100"),
            *on("001", "Default: -100"),
        ),
        check="A call that leaves ignore_index out ignores targets of −100.",
        target="index",
        applies=lambda case: case.ignore_index is None and some_ignored(case),
    ),
    Clause(
        id="ignore.may-lie-outside-the-class-range",
        sources=(
            *on(
                "002",
                "if *ignore_index* is specified, this loss also accepts this class index (this "
                "index may not necessarily be in the class range).",
            ),
            *on(
                "003",
                "if ignore_index is specified, this loss also accepts this class index (this "
                "index may not necessarily be in the class range).",
            ),
            *on(
                "004", "如果指定了 ignore_index,此损失也接受此类别索引(此索引不一定在类别范围内)。"
            ),
        ),
        check="Targets equal to a given ignore_index outside [0, C) are accepted.",
        applies=lambda case: (
            case.ignore_index is not None
            and some_ignored(case)
            and not 0 <= case.ignored_value < case.num_classes
        ),
        also=DEFINITION,
    ),
    Clause(
        id="ignore.may-be-a-class",
        sources=(
            *on("002", "(this index may not necessarily be in the class range)"),
            *on("003", "(this index may not necessarily be in the class range)"),
            *on("004", "(此索引不一定在类别范围内)"),
        ),
        check=(
            "An ignore_index inside [0, C) is one of the classes: targets of that class are "
            "ignored, and its logit stays in every softmax."
        ),
        target="index",
        applies=lambda case: (
            case.ignore_index is not None and 0 <= case.ignored_value < case.num_classes
        ),
        also=DEFINITION,
    ),
    Clause(
        id="ignore.loss-is-zero",
        sources=(
            *on("002", r"\cdot 1\{y_n \neq \text{ignore_index}\}"),
            *on("003", _ZERO + r"\text{ignore_index}\}"),
            *on("004", _ZERO + r"\text{ignore\_index}\}"),
            *on("000 001 003", "Specifies a target value that is ignored"),
        ),
        check=(
            "Unreduced, an ignored target's loss is exactly zero, whatever its logits. (Where "
            "their log softmax is NaN, NaN·0 = NaN is acceptable too.)"
        ),
        formula="l_n = 0 where y_n = ignore_index",
        applies=lambda case: some_ignored(case) and unreduced(case),
    ),
    Clause(
        id="ignore.adds-nothing-to-the-total",
        sources=(
            *on("002", r"\cdot 1\{y_n \neq \text{ignore_index}\}"),
            *on("003", _ZERO + r"\text{ignore_index}\}"),
            *on("004", _ZERO + r"\text{ignore\_index}\}"),
            *on("000 001 003", "Specifies a target value that is ignored"),
        ),
        check="An ignored target adds nothing to the sum or to the mean's numerator.",
        formula="ℓ · divisor = Σ_n l_n over the n with y_n ≠ ignore_index",
        applies=lambda case: some_ignored(case) and reduced(case),
    ),
    Clause(
        id="ignore.gradient-is-zero",
        sources=(
            *on("000 001 002 003", "Specifies " + _IGNORED),
            *on("004", "指定一个被忽略的目标值,它不会对输入梯度做出贡献。"),
        ),
        check=(
            "An ignored target contributes nothing to the gradient: its row of the input "
            "gradient is exactly zero. (Where the log softmax of its logits is NaN, it may be "
            "NaN·0 = NaN, as through LogSoftmax and NLLLoss, to which the page calls the loss "
            "equivalent.)"
        ),
        formula="∂ℓ/∂x[n,c] = 0 where y_n = ignore_index",
        applies=lambda case: some_ignored(case) and gradient_seen(case),
    ),
    Clause(
        id="ignore.mean-over-the-rest",
        sources=(
            *on(
                "002",
                "When <code>size_average</code> is <code>True</code>, the loss is averaged over "
                "non-ignored targets.",
            ),
            *on("001", "When size_average is True, the loss is averaged over non-ignored targets."),
            *on("003", "When reduction is mean, the loss is averaged over non-ignored targets."),
            *on("004", "当 size_averageTrue 时,损失将在非忽略的目标上平均。"),
        ),
        check=(
            "The mean divides by the non-ignored targets only: by their number, or with class "
            "weights by the sum of their weights."
        ),
        formula="ℓ = Σ_n l_n / Σ_n w[y_n] · 1{y_n ≠ ignore_index}",
        applies=lambda case: some_ignored(case) and averaged(case),
        also=("linear",),
    ),
    Clause(
        id="ignore.each-position-by-itself",
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
        check="In the K-dimensional case single positions are ignored, not whole samples.",
        applies=lambda case: some_ignored(case) and some_counted(case) and spatial(case),
        also=DEFINITION,
    ),
    Clause(
        id="ignore.not-for-probabilities",
        sources=(
            *on(
                "000 001 003",
                "Note that ignore_index is only applicable when the target contains class indices.",
            ),
            *on(
                "002",
                "Note that <code>ignore_index</code> is only applicable when the target contains "
                "class indices.",
            ),
            *on("004", "注意, ignore_index 仅适用于目标包含类别索引时。"),
        ),
        check=(
            "With probabilities a given ignore_index is not applied: no sample and no class is "
            "left out of the loss."
        ),
        target="prob",
        applies=lambda case: case.ignore_index is not None,
    ),
)
