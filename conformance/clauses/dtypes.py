"""Clauses on the element types of the target."""

from __future__ import annotations

from conformance.clauses.clause import Clause, every, on

CLAUSES = (
    Clause(
        id="dtype.target.long",
        sources=(
            *on("000", "The target data type is required to be long when using class indices."),
            *on("004", "当使用类别索引时,目标数据类型必须为 long。"),
        ),
        check="Class indices are 64-bit integers; floating-point or other integer indices raise.",
        target="index",
        applies=lambda case: case.target_dtype == "auto",
        breaks=("target-dtype", "target-float"),
        also=("unit",),
    ),
    Clause(
        id="dtype.target.float",
        sources=(
            *on(
                "000",
                "This means the target data type is required to be float when using class "
                "probabilities.",
            ),
            *on("004", "这意味着当使用类别概率时,目标数据类型必须为 float。"),
        ),
        check="Class probabilities are floating-point; an integer target of that shape raises.",
        target="prob",
        applies=every,
        breaks=("prob-dtype",),
        also=("unit",),
    ),
)
