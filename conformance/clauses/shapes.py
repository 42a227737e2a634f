"""Clauses on the shapes of input, target and output."""

from __future__ import annotations

from conformance.clauses.clause import DEFINITION, Clause, every, on
from conformance.clauses.predicates import batched, reduced, spatial, unbatched, unreduced

_INPUT_002 = r"(N, C) or $(N, C, d_1, d_2, \dots, d_K)$ with $K \geq 1$"
_INPUT_001 = r"\((N, C)\) or \((N, C, d_1, d_2, ..., d_K)\) with \(K \geq 1\)"
_INDEX_000 = "If containing class indices, shape ()(), (N)(N) or (N,outfeatures)(N, *out_features)"
_INDEX_001 = r"If containing class indices, shape \(()\), \((N)\) or \((N, d_1, d_2, ..., d_K)\)"
_INDEX_002 = r"If containing class indices, shape $()$, (N) or $(N, d_1, d_2, \dots, d_K)$"
_INDEX_003 = r"If containing class indices, shape \((N)\) or \((N, d_1, d_2, ..., d_K)\)"
_INDEX_004 = "如果包含类别索引,形状 ()()(N)(N)(N,d1,d2,...,dK)(N, d_1, d_2, ..., d_K)"
_OUTPUT_000 = (
    "If reduction is ‘none’, shape ()(), (N)(N) or (N,outfeatures)(N, *out_features) depending "
    "on the shape of the input."
)
_OUTPUT_004 = "如果 reduction 为‘none’,则形状为 ()()(N)(N)(N,d1,d2,...,dK)(N, d_1, d_2, ..., d_K)"

CLAUSES = (
    Clause(
        id="shape.input.unbatched",
        sources=(
            *on("002", "*input* has to be a Tensor of size (C) for unbatched input"),
            *on("002", "Input: Shape (C), " + _INPUT_002),
            *on("001", r"Input: Shape \((C)\), " + _INPUT_001),
            *on("004", "对于未批处理的输入,input 必须是一个大小为 (C)(C) 的 Tensor"),
        ),
        check="An unbatched input of shape (C) is one sample.",
        applies=unbatched,
    ),
    Clause(
        id="shape.input.batched",
        sources=(
            *on("002", "$(minibatch, C)$"),
            *on("002", "Input: Shape (C), " + _INPUT_002),
            *on("001", r"Input: Shape \((C)\), " + _INPUT_001),
            *on("003", r"input has to be a Tensor of size either \((minibatch, C)\)"),
            *on("003", r"Input: Shape :" + _INPUT_001),
            *on("004", "输入:形状 (C)(C)(N,C)(N, C)"),
        ),
        check="In an input of shape (N, C) the second axis is the class axis.",
        applies=batched,
    ),
    Clause(
        id="shape.input.k-dimensional",
        sources=(
            *on(
                "002",
                r"or $(minibatch, C, d_1, d_2, \dots, d_K)$ with $K \geq 1$ for the "
                "K -dimensional case.",
            ),
            *on("001", r"Input: Shape \((C)\), " + _INPUT_001),
            *on(
                "003",
                r"or \((minibatch, C, d_1, d_2, ..., d_K)\) with \(K \geq 1\) for the "
                "K-dimensional case",
            ),
            *on("004", "(N,C,d1,d2,...,dK)(N, C, d_1, d_2, ..., d_K) ,在 K 维损失的情况下"),
        ),
        check=(
            "In an input of shape (N, C, d1, ..., dK), for any K from 1, the second axis is the "
            "class axis."
        ),
        applies=spatial,
    ),
    Clause(
        id="shape.input.images",
        sources=(
            *on(
                "002",
                "The last being useful for higher dimension inputs, such as computing cross "
                "entropy loss per-pixel for 2D images.",
            ),
            *on("004", "对于高维输入很有用,例如计算 2D 图像的每个像素的交叉熵损失。"),
        ),
        check="An input of shape (N, C, height, width) has one loss for each pixel.",
        applies=lambda case: len(case.logits_shape) == 4,
        also=("unit",),
    ),
    Clause(
        id="shape.input.no-other",
        sources=(
            *on("002", "*input* has to be a Tensor of size (C) for unbatched input"),
            *on("002", "Input: Shape (C), " + _INPUT_002),
            *on("001", r"Input: Shape \((C)\), " + _INPUT_001),
            *on("004", "input 必须是一个大小为 (C)(C) 的 Tensor"),
        ),
        check="An input without a class axis raises.",
        breaks=("input-scalar",),
    ),
    Clause(
        id="shape.target.index.unbatched",
        sources=(
            *on("000", _INDEX_000),
            *on("001", _INDEX_001),
            *on("002", _INDEX_002),
            *on("004", _INDEX_004),
        ),
        check="For one unbatched sample the class index is a scalar tensor.",
        target="index",
        applies=unbatched,
    ),
    Clause(
        id="shape.target.index.batched",
        sources=(
            *on("000", _INDEX_000),
            *on("001", _INDEX_001),
            *on("002", _INDEX_002),
            *on("003", _INDEX_003),
            *on("004", _INDEX_004),
        ),
        check="For logits of shape (N, C) the class indices have shape (N).",
        target="index",
        applies=batched,
    ),
    Clause(
        id="shape.target.index.k-dimensional",
        sources=(
            *on("000", _INDEX_000),
            *on("001", _INDEX_001 + r" with \(K \geq 1\) in the case of K-dimensional loss"),
            *on("002", _INDEX_002 + r" with $K \geq 1$ in the case of K-dimensional loss"),
            *on("003", _INDEX_003 + r" with \(K \geq 1\) in the case of K-dimensional loss"),
            *on("004", _INDEX_004 + " ,在 K 维损失的情况下"),
        ),
        check="For logits of shape (N, C, d1, ..., dK) the indices have shape (N, d1, ..., dK).",
        target="index",
        applies=spatial,
    ),
    Clause(
        id="shape.target.index.no-other",
        sources=(
            *on("000", _INDEX_000),
            *on("001", _INDEX_001),
            *on("002", _INDEX_002),
            *on("003", _INDEX_003),
            *on("004", _INDEX_004),
        ),
        check="Class indices of any other shape raise; none is broadcast.",
        target="index",
        breaks=(
            "target-length",
            "target-extra-axis",
            "target-missing-axis",
            "target-shape-of-input",
            "target-spatial",
        ),
    ),
    Clause(
        id="shape.target.prob.same-as-logits",
        sources=(
            *on("001 002 003", "If containing class probabilities, same shape as the input"),
            *on("004", "如果包含类别概率,目标必须与输入形状相同"),
            *on(
                "000",
                "If containing class probabilities, the target must have shape (C)(C) or "
                "(N,C,outfeatures)(N, C, *out_features)",
            ),
        ),
        check="Class probabilities have the shape of the logits; any other shape raises.",
        target="prob",
        applies=every,
        breaks=(
            "prob-shape",
            "prob-broadcast",
            "target-length",
            "target-extra-axis",
            "target-missing-axis",
            "target-spatial",
        ),
    ),
    Clause(
        id="shape.output.scalar",
        sources=(*on("000 002 003", "Otherwise, scalar."), *on("004", "否则,为标量。")),
        check="The mean and the sum are zero-dimensional.",
        applies=reduced,
        also=("unit",),
    ),
    Clause(
        id="shape.output.same-as-target",
        sources=on("002 003", "Output: If reduction is ‘none’, same shape as the target."),
        check=(
            "Unreduced, the output has the shape of the class indices. (With probabilities the "
            "same page's formula, one l_n for each n, decides: the shape without its class axis.)"
        ),
        target="index",
        applies=unreduced,
        also=DEFINITION,
    ),
    Clause(
        id="shape.output.unbatched",
        sources=(*on("000", _OUTPUT_000), *on("004", _OUTPUT_004)),
        check="Unreduced, one unbatched sample gives a zero-dimensional output.",
        applies=lambda case: unreduced(case) and unbatched(case),
        also=("unit",),
    ),
    Clause(
        id="shape.output.batched",
        sources=(
            *on("000", _OUTPUT_000),
            *on("004", _OUTPUT_004),
            *on("002", r"L = \{l_1, \dots, l_N\}^\top"),
            *on("003", r"L = \{l_1,\dots,l_N\}^\top"),
        ),
        check="Unreduced, logits of shape (N, C) give an output of shape (N), for both targets.",
        applies=lambda case: unreduced(case) and batched(case),
        also=("unit",),
    ),
    Clause(
        id="shape.output.k-dimensional",
        sources=(
            *on("000", _OUTPUT_000),
            *on("004", _OUTPUT_004 + " ,在 K 维损失的情况下,取决于输入的形状。"),
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
        ),
        check=(
            "Unreduced, logits of shape (N, C, d1, ..., dK) give an output of shape "
            "(N, d1, ..., dK), for both kinds of target."
        ),
        applies=lambda case: unreduced(case) and spatial(case),
        also=("unit",),
    ),
)
