"""Clauses on the loss of class probabilities."""

from __future__ import annotations

from conformance.clauses.clause import DEFINITION, LINEAR, Clause, on
from conformance.clauses.predicates import (
    averaged,
    summed,
    unreduced,
    unsmoothed,
    weight_matters,
)

CLAUSES = (
    Clause(
        id="prob.unreduced.formula",
        sources=(
            *on(
                "002",
                r"l_n = -\sum_{c=1}^C w_c \log \frac{\exp(x_{n,c})}"
                r"{\sum_{i=1}^C \exp(x_{n,i})} y_{n,c}",
            ),
            *on(
                "003 004",
                r"l_n = - \sum_{c=1}^C w_c \log \frac{\exp(x_{n,c})}"
                r"{\sum_{i=1}^C \exp(x_{n,i})} y_{n,c}",
            ),
        ),
        check=(
            "Unreduced, each sample's loss is the sum over the classes of weight times "
            "probability times negative log softmax."
        ),
        formula="l_n = −Σ_c w[c] · log( exp(x[n,c]) / Σ_i exp(x[n,i]) ) · y[n,c]",
        target="prob",
        applies=lambda case: unreduced(case) and unsmoothed(case),
        also=DEFINITION,
    ),
    Clause(
        id="prob.mean.formula",
        sources=(
            *on("002", r"\frac{\sum_{n=1}^N l_n}{N}, & \text{if reduction = 'mean'}"),
            *on("003", r"\frac{\sum_{n=1}^N l_n}{N}, & \text{if reduction} = \text{'mean';}"),
            *on("004", r"\frac{\sum_{n=1}^N l_n}{N}, & \text{if reduction} = \text{`mean';}"),
        ),
        check="The mean is the sum of the losses over the number of samples.",
        formula="ℓ = Σ_n l_n / N",
        target="prob",
        applies=averaged,
        also=LINEAR,
    ),
    Clause(
        id="prob.mean.divides-by-count-whatever-the-weights",
        sources=on("002 003 004", r"\frac{\sum_{n=1}^N l_n}{N}"),
        check=(
            "With probabilities the mean divides by N even when class weights are given, or when "
            "the probabilities do not sum to one. The words 'weighted mean' name no other divisor."
        ),
        formula="ℓ = Σ_n l_n / N, not Σ_n l_n / Σ_n Σ_c w[c] · y[n,c]",
        target="prob",
        applies=lambda case: (
            averaged(case)
            and (weight_matters(case) or case.probs in ("zeros", "unnormalised", "outside", "page"))
        ),
        also=LINEAR,
    ),
    Clause(
        id="prob.sum.formula",
        sources=(
            *on(
                "002",
                r"\frac{\sum_{n=1}^N l_n}{N}, & \text{if reduction = 'mean'}; "
                r"\\ \sum_{n=1}^N l_n, & \text{if reduction = 'sum'}.",
            ),
            *on(
                "003",
                r"\frac{\sum_{n=1}^N l_n}{N}, & \text{if reduction} = \text{'mean';}"
                r"\\ \sum_{n=1}^N l_n, & \text{if reduction} = \text{'sum'.}",
            ),
            *on(
                "004",
                r"\frac{\sum_{n=1}^N l_n}{N}, & \text{if reduction} = \text{`mean';}"
                r"\\ \sum_{n=1}^N l_n, & \text{if reduction} = \text{`sum'.}",
            ),
        ),
        check="The sum is the plain sum of the unreduced losses.",
        formula="ℓ = Σ_n l_n",
        target="prob",
        applies=summed,
        also=DEFINITION,
    ),
    Clause(
        id="prob.blended-labels",
        sources=(
            *on(
                "002 003",
                "Probabilities for each class; useful when labels beyond a single class per "
                "minibatch item are required, such as for blended labels, label smoothing, etc.",
            ),
            *on(
                "004",
                "每个类别的概率;当需要每个 minibatch 项的标签超出单个类别时很有用,"
                "例如用于混合标签、标签平滑等。",
            ),
        ),
        check="Every class with a probability contributes, not only the most probable one.",
        target="prob",
        applies=lambda case: case.probs not in ("onehot", "zeros"),
        also=DEFINITION,
    ),
    Clause(
        id="prob.range",
        sources=(
            *on("000", "each value should be between [0,1][0, 1]."),
            *on("001 003", r"each value should be between \([0, 1]\)."),
            *on("002", "each value should be between $[0, 1]$."),
            *on("004", "每个值应在 [0,1][0, 1] 之间。"),
        ),
        check="Probabilities anywhere in [0, 1], both ends included, are computed by the formula.",
        formula="0 ≤ y[n,c] ≤ 1",
        target="prob",
        applies=lambda case: case.probs not in ("outside", "page"),
    ),
    Clause(
        id="prob.constraints-not-enforced",
        sources=(
            *on(
                "000",
                "Note that PyTorch does not strictly enforce probability constraints on the "
                "class probabilities and that it is the user’s responsibility to ensure target "
                "contains valid probability distributions",
            ),
            *on("003", "[ 0.72356546, -0.1304398 , 0.4068744 ]], dtype=flow.float32)"),
        ),
        check=(
            "Values outside [0, 1] and rows that do not sum to one are computed by the formula "
            "as they stand: not refused, clipped or normalised."
        ),
        target="prob",
        applies=lambda case: case.probs in ("zeros", "unnormalised", "outside", "page"),
        also=("ce", "unit"),
    ),
    Clause(
        id="prob.performance",
        sources=(
            *on(
                "002",
                "The performance of this criterion is generally better when *target* contains "
                "class indices, as this allows for optimized computation. Consider providing "
                "*target* as class probabilities only when a single class label per minibatch "
                "item is too restrictive.",
            ),
            *on(
                "004",
                "当目标包含类别索引时,此标准的性能通常更好,因为这允许进行优化计算。只有在单个"
                "类标签对每个 minibatch 项过于限制时,才考虑将目标作为类别概率提供。",
            ),
        ),
        check="Class indices are generally faster than the same labels as probabilities.",
        observable=False,
        why="A statement about speed, with advice to the user; a case shows values only.",
    ),
)
