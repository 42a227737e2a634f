"""Clauses on the deprecated ``size_average`` and ``reduce`` of CrossEntropyLoss."""

from __future__ import annotations

from conformance.clauses.clause import Clause, on
from conformance.clauses.predicates import averaged, legacy_absent, spatial, summed, unreduced


def _overrides(reduction: str, effective: str) -> bool:
    return ("mean" if reduction == "default" else reduction) != effective


CLAUSES = (
    Clause(
        id="legacy.absent-leaves-reduction",
        sources=(
            *on("002", "size_average=None, ignore_index=- 100, reduce=None"),
            *on("004", "size_average=None, ignore_index=-100, reduce=None"),
            *on("001", "size_average: bool | None = None"),
            *on("001", "reduce: bool | None = None"),
        ),
        check="With size_average and reduce left out (None), reduction alone decides.",
        applies=lambda case: legacy_absent(case) and case.reduction in ("none", "sum"),
    ),
    Clause(
        id="legacy.size-average.default-is-true",
        sources=(
            *on(
                "002",
                "By default, the losses are averaged over each loss element in the batch.",
            ),
            *on(
                "002",
                "Ignored when <code>reduce</code> is <code>False</code>. "
                "Default: <code>True</code>",
            ),
            *on("004", "默认情况下,损失会在批次的每个损失元素上平均。"),
            *on("004", "当 reduceFalse 时,将被忽略。默认: True"),
        ),
        check="A call that leaves size_average out averages, unless reduction or reduce says else.",
        applies=lambda case: (
            case.size_average == "absent"
            and averaged(case)
            and (case.reduce == "true" or case.reduction == "default")
        ),
    ),
    Clause(
        id="legacy.size-average.true",
        sources=(
            *on("002", "the losses are averaged over each loss element in the batch."),
            *on("004", "损失会在批次的每个损失元素上平均。"),
        ),
        check="size_average=True gives the mean.",
        applies=lambda case: case.size_average == "true" and averaged(case),
    ),
    Clause(
        id="legacy.size-average.counts-every-element",
        sources=(
            *on("002", "Note that for some losses, there are multiple elements per sample."),
            *on("004", "注意,对于某些损失,每个样本可能有多个元素。"),
        ),
        check=(
            "In the K-dimensional case size_average=True averages over each loss element, of "
            "which a sample of the batch has several, and not over the batch alone."
        ),
        applies=lambda case: case.size_average == "true" and averaged(case) and spatial(case),
    ),
    Clause(
        id="legacy.size-average.false",
        sources=(
            *on(
                "002",
                "If the field <code>size_average</code> is set to <code>False</code>, the losses "
                "are instead summed for each minibatch.",
            ),
            *on("004", "如果字段 size_average 设置为 False ,则损失将改为对每个 minibatch 求和。"),
        ),
        check="size_average=False gives the sum.",
        applies=lambda case: case.size_average == "false" and summed(case),
    ),
    Clause(
        id="legacy.reduce.default-is-true",
        sources=(
            *on(
                "002",
                "By default, the losses are averaged or summed over observations for each "
                "minibatch depending on <code>size_average</code>.",
            ),
            *on("002", "ignores <code>size_average</code>. Default: <code>True</code>"),
            *on(
                "004",
                "默认情况下,损失会在每个 minibatch 的观测上平均或求和,具体取决于 size_average 。",
            ),
            *on("004", "并忽略 size_average 。默认: True"),
        ),
        check="A call that leaves reduce out is reduced as size_average says.",
        applies=lambda case: (
            case.reduce == "absent"
            and (case.size_average != "absent" or case.reduction == "default")
        ),
    ),
    Clause(
        id="legacy.reduce.true",
        sources=(
            *on(
                "002",
                "the losses are averaged or summed over observations for each minibatch "
                "depending on <code>size_average</code>.",
            ),
            *on("004", "损失会在每个 minibatch 的观测上平均或求和,具体取决于 size_average 。"),
        ),
        check="reduce=True gives the mean or the sum as size_average says.",
        applies=lambda case: case.reduce == "true",
    ),
    Clause(
        id="legacy.reduce.false",
        sources=(
            *on(
                "002",
                "When <code>reduce</code> is <code>False</code>, returns a loss per batch element "
                "instead and ignores <code>size_average</code>.",
            ),
            *on("004", "当 reduceFalse 时,将返回每个批次的损失,并忽略 size_average 。"),
        ),
        check="reduce=False gives one loss for each sample.",
        applies=lambda case: case.reduce == "false" and unreduced(case),
    ),
    Clause(
        id="legacy.reduce.false-ignores-size-average",
        sources=(
            *on("002", "Ignored when <code>reduce</code> is <code>False</code>."),
            *on(
                "002",
                "returns a loss per batch element instead and ignores <code>size_average</code>.",
            ),
            *on("004", "当 reduceFalse 时,将被忽略。"),
            *on("004", "并忽略 size_average 。"),
        ),
        check="With reduce=False, size_average makes no difference, be it True or False.",
        applies=lambda case: case.reduce == "false" and case.size_average != "absent",
    ),
    Clause(
        id="legacy.size-average.overrides-reduction",
        sources=(
            *on(
                "002",
                "specifying either of those two args will override <code>reduction</code>.",
            ),
            *on("004", "指定这两个参数之一将覆盖 reduction 。"),
        ),
        check="size_average, when passed, decides against what reduction says.",
        applies=lambda case: (
            case.size_average != "absent"
            and case.reduce != "false"
            and _overrides(case.reduction, case.effective_reduction)
        ),
    ),
    Clause(
        id="legacy.reduce.overrides-reduction",
        sources=(
            *on(
                "002",
                "specifying either of those two args will override <code>reduction</code>.",
            ),
            *on("004", "指定这两个参数之一将覆盖 reduction 。"),
        ),
        check="reduce, when passed, decides against what reduction says.",
        applies=lambda case: (
            case.reduce != "absent"
            and (case.reduce == "false" or case.size_average == "absent")
            and _overrides(case.reduction, case.effective_reduction)
        ),
    ),
    Clause(
        id="legacy.deprecated",
        sources=(
            *on("002", "Deprecated (see <code>reduction</code>)."),
            *on(
                "002",
                "Note: <code>size_average</code> and <code>reduce</code> are in the process of "
                "being deprecated",
            ),
            *on("004", "已弃用(参见 reduction )。"),
            *on("004", "size_averagereduce 正在被弃用"),
        ),
        check="size_average and reduce are on their way out; reduction replaces them.",
        observable=False,
        why="A plan for later releases; until then both arguments work, which other clauses check.",
    ),
)
