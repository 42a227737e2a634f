"""Clauses on the unit-scaled cross entropy."""

from __future__ import annotations

from conformance.clauses.clause import Clause, every, on
from conformance.clauses.predicates import averaged, gradient_seen

CLAUSES = (
    Clause(
        id="unit.loss",
        sources=(
            *on(
                "001",
                "Computes the unit-scaled cross entropy loss between input logits and target.",
            ),
            *on("001", "See CrossEntropyLoss for details."),
        ),
        check=(
            "The loss is the cross entropy of the logits, as CrossEntropyLoss defines it; unit "
            "scaling leaves its value alone."
        ),
        formula="ℓ = CrossEntropyLoss(mult · x, y)",
        applies=every,
    ),
    Clause(
        id="unit.gradient.scaled",
        sources=on(
            "001", "Computes the unit-scaled cross entropy loss between input logits and target."
        ),
        check=(
            "The input gradient is scaled so that it has about unit variance whatever the batch "
            "size, the number of classes and mult. (The page is silent on the factor: that of "
            "release 0.3.5 decides, which for the mean divides no gradient by N.)"
        ),
        formula="input gradient [n,c] = g · C / √(C − 1) · (softmax(mult · x[n])[c] − y[n,c])",
        applies=gradient_seen,
    ),
    Clause(
        id="unit.mean.divides-by-output-elements",
        sources=on(
            "001",
            "'mean': the sum of the output will be divided by the number of elements in the output",
        ),
        check=(
            "The mean is the sum over the number of losses. (Where targets are ignored the same "
            "page also has the loss averaged over the non-ignored ones: ignore.mean-over-the-rest.)"
        ),
        formula="ℓ = Σ_n l_n / N",
        applies=averaged,
    ),
    Clause(
        id="unit.mult.default-is-one",
        sources=on("001", "mult: float = 1.0"),
        check="A call that leaves mult out does not change the shape of the softmax.",
        formula="ℓ = CrossEntropyLoss(x, y)",
        applies=lambda case: case.mult is None,
    ),
    Clause(
        id="unit.mult.multiplies",
        sources=on(
            "001",
            "mult (float?) – a multiplier to be applied to change the shape of a nonlinear "
            "function.",
        ),
        check="mult multiplies the logits before the softmax.",
        formula="ℓ = CrossEntropyLoss(mult · x, y)",
        applies=lambda case: case.mult is not None,
    ),
    Clause(
        id="unit.mult.above-one-sharpens",
        sources=on(
            "001",
            "Typically, high multipliers (> 1) correspond to a ‘sharper’ (low temperature) "
            "function",
        ),
        check="A mult above one acts as a temperature of 1 / mult below one.",
        formula="softmax(x / temperature), temperature = 1 / mult < 1",
        applies=lambda case: case.mult is not None and case.mult > 1,
    ),
    Clause(
        id="unit.mult.below-one-flattens",
        sources=on(
            "001",
            "while low multipliers (< 1) correspond to a ‘flatter’ (high temperature) function.",
        ),
        check="A mult below one acts as a temperature of 1 / mult above one.",
        formula="softmax(x / temperature), temperature = 1 / mult > 1",
        applies=lambda case: case.mult is not None and case.mult < 1,
    ),
    Clause(
        id="unit.unsupported.weight",
        sources=on(
            "001",
            "weight (Tensor?) – [not supported by unit-scaling] a manual rescaling weight given "
            "to each class. If given, has to be a Tensor of size C",
        ),
        check="A given weight is refused.",
        breaks=("unsupported-weight",),
    ),
    Clause(
        id="unit.unsupported.size-average",
        sources=on(
            "001",
            "size_average (bool?) – [not supported by unit-scaling] Deprecated (see reduction).",
        ),
        check="A given size_average is refused.",
        breaks=("unsupported-size-average",),
    ),
    Clause(
        id="unit.unsupported.reduce",
        sources=on(
            "001", "reduce (bool?) – [not supported by unit-scaling] Deprecated (see reduction)."
        ),
        check="A given reduce is refused.",
        breaks=("unsupported-reduce",),
    ),
    Clause(
        id="unit.unsupported.label-smoothing",
        sources=on(
            "001",
            "label_smoothing (float?) – [not supported by unit-scaling] A float in [0.0, 1.0].",
        ),
        check="A label_smoothing other than zero is refused.",
        breaks=("unsupported-smoothing",),
    ),
)
