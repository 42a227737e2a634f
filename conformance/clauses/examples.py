"""Clauses for the code examples of the pages: each runs as it is printed."""

from __future__ import annotations

from conformance.case import Case
from conformance.clauses.clause import Clause, on
from conformance.clauses.predicates import all_defaults, legacy_absent

_ONEFLOW_INPUT = (
    "[[-0.1664078, -1.7256707, -0.14690138], ... [-0.21474946, 0.53737473, 0.99684894], "
    "... [-1.135804, -0.50371903, 0.7645404]], dtype=flow.float32)"
)


def _random(case: Case, *shape: int) -> bool:
    """The page draws float32 logits of this shape and calls the loss with defaults only."""
    return (
        all_defaults(case)
        and case.shape == shape
        and case.dtype == "f32"
        and case.logits == "normal"
        and (case.is_index or case.probs == "soft")
        and case.target_dtype == "auto"
        and case.ignored == "nowhere"
        and case.script == "once"
        and case.grad == "default"
    )


def _printed(
    case: Case, reduction: str, ignore_index: int | None = None, smoothing: float | None = None
) -> bool:
    """The page prints float32 logits of shape (3, 3), the call and its result."""
    return (
        case.shape == (3, 3)
        and case.dtype == "f32"
        and case.logits == "page"
        and case.effective_reduction == reduction
        and legacy_absent(case)
        and case.weight == "absent"
        and case.ignore_index == ignore_index
        and case.smoothing == smoothing
    )


CLAUSES = (
    Clause(
        id="example.ce.index",
        sources=(
            *on(
                "002 004",
                ">>> # Example of target with class indices >>> loss = nn.CrossEntropyLoss() >>> "
                "input = torch.randn(3, 5, requires_grad=True) >>> target = torch.empty(3, "
                "dtype=torch.long).random_(5) >>> output = loss(input, target) >>> "
                "output.backward()",
            ),
        ),
        check="The example with class indices runs forward and backward.",
        target="index",
        applies=lambda case: _random(case, 3, 5),
    ),
    Clause(
        id="example.ce.prob",
        sources=on(
            "002 004",
            ">>> # Example of target with class probabilities >>> input = torch.randn(3, 5, "
            "requires_grad=True) >>> target = torch.randn(3, 5).softmax(dim=1) >>> output = "
            "loss(input, target) >>> output.backward()",
        ),
        check="The example with class probabilities runs forward and backward.",
        target="prob",
        applies=lambda case: _random(case, 3, 5),
    ),
    Clause(
        id="example.linear.index",
        sources=on(
            "000",
            ">>> # Example of target with class indices >>> loss = nn.LinearCrossEntropyLoss(5, "
            "10, out_features=(4, 3)) >>> input = torch.randn(2, 5, requires_grad=True) >>> target "
            "= torch.randint(0, 10, (2, 4, 3)) >>> output = loss(input, target) >>> "
            "output.backward()",
        ),
        check="The example with class indices runs forward and backward.",
        target="index",
        applies=lambda case: _random(case, 2, 5) and case.classes == (10, 4, 3),
    ),
    Clause(
        id="example.linear.prob",
        sources=on(
            "000",
            ">>> # Example of target with class probabilities >>> input = torch.randn(2, 5, "
            "requires_grad=True) >>> target = torch.randn(2, 10, 4, 3).softmax(dim=1) >>> output "
            "= loss(input, target) >>> output.backward()",
        ),
        check="The example with class probabilities runs forward and backward.",
        target="prob",
        applies=lambda case: _random(case, 2, 5) and case.classes == (10, 4, 3),
    ),
    Clause(
        id="example.unit.index",
        sources=on(
            "001",
            ">>> # Example of target with class indices >>> input = torch.randn(3, 5, "
            "requires_grad=True) >>> target = torch.randint(5, (3,), dtype=torch.int64) >>> loss = "
            "F.cross_entropy(input, target) >>> loss.backward()",
        ),
        check="The example with class indices runs forward and backward.",
        target="index",
        applies=lambda case: _random(case, 3, 5),
    ),
    Clause(
        id="example.unit.prob",
        sources=on(
            "001",
            ">>> # Example of target with class probabilities >>> input = torch.randn(3, 5, "
            "requires_grad=True) >>> target = torch.randn(3, 5).softmax(dim=1) >>> loss = "
            "F.cross_entropy(input, target) >>> loss.backward()",
        ),
        check="The example with class probabilities runs forward and backward.",
        target="prob",
        applies=lambda case: _random(case, 3, 5),
    ),
    Clause(
        id="example.oneflow.none",
        sources=on(
            "003",
            '>>> out = flow.nn.CrossEntropyLoss(reduction="none")(input, target) >>> out '
            "tensor([0.8020, 1.1167, 0.3583], dtype=oneflow.float32)",
        ),
        check="The printed logits give the printed unreduced losses, in float32.",
        formula="ℓ = (0.8020, 1.1167, 0.3583)",
        target="index",
        applies=lambda case: _printed(case, "none"),
    ),
    Clause(
        id="example.oneflow.sum",
        sources=on(
            "003",
            '>>> out_sum = flow.nn.CrossEntropyLoss(reduction="sum")(input, target) >>> out_sum '
            "tensor(2.2769, dtype=oneflow.float32)",
        ),
        check="The printed logits give the printed sum, in float32.",
        formula="ℓ = 2.2769",
        target="index",
        applies=lambda case: _printed(case, "sum"),
    ),
    Clause(
        id="example.oneflow.mean",
        sources=on(
            "003",
            '>>> out_mean = flow.nn.CrossEntropyLoss(reduction="mean")(input, target) >>> out_mean '
            "tensor(0.7590, dtype=oneflow.float32)",
        ),
        check="The printed logits give the printed mean, in float32.",
        formula="ℓ = 0.7590",
        target="index",
        applies=lambda case: _printed(case, "mean"),
    ),
    Clause(
        id="example.oneflow.ignore-index",
        sources=on(
            "003",
            '>>> out_ignore_0 = flow.nn.CrossEntropyLoss(reduction="none", ignore_index=0)(input, '
            "target) >>> out_ignore_0 tensor([0.0000, 1.1167, 0.3583], dtype=oneflow.float32)",
        ),
        check="With ignore_index=0 the first of the printed losses is zero, in float32.",
        formula="ℓ = (0.0000, 1.1167, 0.3583)",
        target="index",
        applies=lambda case: _printed(case, "none", ignore_index=0),
    ),
    Clause(
        id="example.oneflow.label-smoothing",
        sources=on(
            "003",
            '>>> out_label_smoothing = flow.nn.CrossEntropyLoss(reduction="none", '
            "label_smoothing=0.5)(input, target) >>> out_label_smoothing "
            "tensor([1.0586, 1.1654, 0.8864], dtype=oneflow.float32)",
        ),
        check="With label_smoothing=0.5 the printed logits give the printed losses, in float32.",
        formula="ℓ = (1.0586, 1.1654, 0.8864)",
        target="index",
        applies=lambda case: _printed(case, "none", smoothing=0.5),
    ),
    Clause(
        id="example.oneflow.probs",
        sources=(
            *on(
                "003",
                ">>> probs = flow.tensor([[ 0.99495536, 0.28255007, -0.2775054 ], ... "
                "[ 0.42397153, 0.01075112, 0.56527734], ... "
                "[ 0.72356546, -0.1304398 , 0.4068744 ]], dtype=flow.float32)",
            ),
            *on(
                "003",
                ">>> out = flow.nn.CrossEntropyLoss()(input, probs) >>> out "
                "tensor(1.3305, dtype=oneflow.float32)",
            ),
            *on("003", _ONEFLOW_INPUT),
        ),
        check="The printed logits and probabilities give the printed mean, in float32.",
        formula="ℓ = 1.3305",
        target="prob",
        applies=lambda case: _printed(case, "mean") and case.probs == "page",
    ),
)
