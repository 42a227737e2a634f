"""Clauses that only the page of OneFlow's loss states."""

from __future__ import annotations

from conformance.case import Case
from conformance.clauses.clause import Clause, on
from conformance.clauses.predicates import has_weight


def _passes_an_argument(case: Case) -> bool:
    return (
        has_weight(case)
        or case.ignore_index is not None
        or case.reduction != "default"
        or case.smoothing is not None
    )


CLAUSES = (
    Clause(
        id="oneflow.signature",
        sources=on(
            "003",
            "class oneflow.nn.CrossEntropyLoss(weight: Optional[oneflow.Tensor] = None, "
            "ignore_index: int = - 100, reduction: str = 'mean', label_smoothing: float = 0.0)",
        ),
        check="weight, ignore_index, reduction and label_smoothing are accepted, in any mix.",
        applies=_passes_an_argument,
    ),
    Clause(
        id="oneflow.input.batched-only",
        sources=(
            *on(
                "003",
                r"input has to be a Tensor of size either \((minibatch, C)\) or "
                r"\((minibatch, C, d_1, d_2, ..., d_K)\) with \(K \geq 1\)",
            ),
            *on("003", r"Input: Shape :\((N, C)\) or \((N, C, d_1, d_2, ..., d_K)\)"),
        ),
        check="The input has a batch axis and a class axis: unbatched and scalar inputs raise.",
        breaks=("input-unbatched", "input-scalar"),
    ),
    Clause(
        id="oneflow.target.int32",
        sources=on("003", "target = flow.tensor(np.array([0, 1, 2]), dtype=flow.int32)"),
        check="Class indices may be 32-bit integers, as they are in the page's examples.",
        target="index",
        applies=lambda case: case.target_dtype == "int32",
    ),
    Clause(
        id="oneflow.provenance",
        sources=on(
            "003",
            "The documentation is referenced from: "
            "https://pytorch.org/docs/1.10/generated/torch.nn.CrossEntropyLoss.html.",
        ),
        check="The page follows the documentation of PyTorch 1.10.",
        observable=False,
        why="It tells where the text comes from, and nothing that a call could show.",
    ),
)
