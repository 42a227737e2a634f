"""The families about how the losses on logits are called, and draws across everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from .. import streams
from ..case import Case
from .combine import (
    FINITE_EXTREMES,
    INVALID_INDEX,
    INVALID_SMOOTHING,
    INVALID_WEIGHT,
    LAYOUTS,
    REDUCTIONS,
    TARGETS,
    mend,
    product,
    rotate,
)


def cases(system: str) -> Iterator[Case]:
    """How it is called: grad_output, memory, repeated calls, calls that must raise."""
    full = system == "ce"
    yield from upstream(system, full)
    yield from forward_only(system)
    yield from memory(system, full)
    yield from scripts(system, full)
    yield from invalid(system)


def special() -> Iterator[Case]:
    """What only some of the systems document, and the random crossing."""
    yield from unbatched()
    yield from legacy()
    yield from half_ranges()
    yield from unit_multipliers()
    yield from pages()
    yield from crossed()


def upstream(system: str, full: bool) -> Iterator[Case]:
    """Gradients of the loss other than one."""
    for grad in ("ones", "mixed", "negative", "zero", "large", "small"):
        yield from rotate(
            product(
                system=[system],
                target=TARGETS,
                shape=[(4, 10), (3, 4, 5)],
                reduction=REDUCTIONS if full else ["none", "mean"],
                grad=[grad],
            ),
            dtype=("f32", "f64", "bf16", "f32", "f16"),
            grad_layout=(
                "c",
                "strided",
                "broadcast",
                "offset",
                "transposed",
                "reversed",
                "readonly",
            ),
            weight=("absent", "mixed", "absent"),
        )


def forward_only(system: str) -> Iterator[Case]:
    """Nothing asks for a gradient."""
    yield from rotate(
        product(
            system=[system],
            target=TARGETS,
            shape=[(4, 10), (2, 3, 5)],
            reduction=REDUCTIONS,
            grad=["skip"],
        ),
        dtype=("f32", "f64", "bf16", "f16"),
        ignored=("some", "nowhere"),
        form=("function", "module"),
    )


def memory(system: str, full: bool) -> Iterator[Case]:
    """Layouts of each of the caller's arrays."""
    for layout in LAYOUTS:
        yield from rotate(
            product(
                system=[system],
                target=TARGETS,
                shape=[(5, 9), (3, 4, 5)] if full else [(5, 9)],
                reduction=["none", "mean"],
                layout=[layout],
            ),
            dtype=("f32", "f32", "f64", "f16", "bf16"),
            target_layout=("c", "readonly", "strided", "reversed", "offset"),
        )
        yield from product(
            system=[system],
            target=TARGETS,
            shape=[(5, 9)],
            reduction=["sum"],
            target_layout=[layout],
        )
        if layout != "transposed" and system != "unit":
            yield from product(
                system=[system], target=TARGETS, shape=[(5, 9)], reduction=["mean"],
                weight=["mixed"], weight_layout=[layout],
            )  # fmt: skip


def scripts(system: str, full: bool) -> Iterator[Case]:
    """Several calls on the same objects: stale state and overwritten inputs show."""
    yield from rotate(
        product(
            system=[system],
            target=TARGETS,
            shape=[(4, 10), (2, 3, 6)] if full else [(4, 10)],
            reduction=REDUCTIONS,
            script=["again", "stale", "twice"],
        ),
        dtype=("f32", "f32", "f64", "f16"),
        form=("module", "function"),
        smoothing=(None, 0.1),
        grad=("ones", "mixed"),
        weight=("absent", "mixed", "absent"),
    )


def invalid(system: str) -> Iterator[Case]:
    """Calls that break a documented requirement."""
    yield from product(system=[system], shape=[(4, 10)], reduction=REDUCTIONS, bad=INVALID_INDEX)
    yield from product(
        system=[system],
        shape=[(2, 5, 3)],
        reduction=["mean"],
        bad=[
            "target-missing-axis",
            "target-spatial",
            "target-too-large",
            "target-negative",
            "target-length",
        ],
    )
    yield from product(system=[system], target=TARGETS, shape=[(4, 10)], bad=["reduction-name"])
    yield from product(
        system=[system],
        target=["prob"],
        shape=[(4, 10), (2, 5, 3)],
        reduction=["none", "mean"],
        bad=["prob-shape", "prob-dtype"] if system == "ce" else ["prob-shape"],
    )
    if system == "oneflow":
        yield from product(system=[system], shape=[(3, 5)], bad=["input-unbatched", "input-scalar"])
    if system == "unit":
        yield from product(
            system=[system], shape=[(4, 10)], target=TARGETS, reduction=["mean", "sum"],
            bad=["unsupported-weight", "unsupported-size-average", "unsupported-reduce",
                 "unsupported-smoothing"],
        )  # fmt: skip
        return
    yield from product(
        system=[system], target=TARGETS, shape=[(4, 10)], reduction=["none", "mean"],
        bad=(*INVALID_SMOOTHING, *INVALID_WEIGHT), form=["function", "module"],
    )  # fmt: skip
    yield from product(
        system=[system], shape=[(4, 10)], bad=["target-too-large", "target-negative"],
        smoothing=[0.1], weight=["absent", "mixed"], reduction=REDUCTIONS,
    )  # fmt: skip
    if system == "ce":
        yield from product(
            system=[system], shape=[(4, 10)], bad=["target-dtype"], reduction=["mean"],
            target_dtype=["int8", "int16", "int32", "uint8", "bool"], smoothing=[None, 0.1],
        )  # fmt: skip
        yield from product(
            system=[system], target=TARGETS, shape=[(4, 10)], bad=["weight-dtype"],
            reduction=["mean", "none"],
        )  # fmt: skip
        yield from product(system=[system], shape=[(3, 5)], bad=["input-scalar"])


def unbatched() -> Iterator[Case]:
    """Input of shape (C)."""
    for count in (1, 2, 3, 10, 65, 1000):
        yield from rotate(
            product(target=TARGETS, shape=[(count,)], reduction=REDUCTIONS),
            weight=("absent", "mixed"),
            dtype=("f32", "f64", "f16", "bf16", "f32"),
            smoothing=(None, 0.1, None),
        )
    yield from product(shape=[(5,)], reduction=REDUCTIONS, ignored=["first"])
    yield from product(shape=[(5,)], reduction=REDUCTIONS, layout=["strided", "reversed", "offset"])
    yield from product(
        system=["unit"], target=TARGETS, shape=[(2,), (10,), (65,)], reduction=REDUCTIONS
    )


def legacy() -> Iterator[Case]:
    """The deprecated pair, which overrides reduction."""
    for size_average, reduce in itertools.product(("absent", "true", "false"), repeat=2):
        if size_average == reduce == "absent":
            continue
        yield from rotate(
            product(
                target=TARGETS,
                shape=[(4, 10)],
                size_average=[size_average],
                reduce=[reduce],
                reduction=["default", *REDUCTIONS],
            ),
            form=("function", "module"),
            weight=("mixed", "absent"),
            ignored=("some", "nowhere"),
        )
    yield from product(
        target=TARGETS, shape=[(2, 3, 4)], size_average=["true", "false"], weight=["mixed"]
    )


def half_ranges() -> Iterator[Case]:
    """16-bit results that fit their type, although some natural intermediate does not."""
    yield from product(
        target=TARGETS, shape=[(4096, 3)], dtype=["f16", "bf16"], reduction=["mean"],
        logits=["against"],
    )  # fmt: skip
    yield from product(
        shape=[(4096, 3)], dtype=["f16"], reduction=["mean"], logits=["against"], smoothing=[0.1]
    )
    yield from product(
        shape=[(2, 8192)], dtype=["f16"], reduction=["mean", "none"], logits=["first"],
        smoothing=[0.1],
    )  # fmt: skip
    yield from product(
        target=TARGETS, shape=[(200, 3)], dtype=["f16"], reduction=["mean"], weight=["large"]
    )
    yield from product(shape=[(70001, 2)], dtype=["f16"], reduction=["mean"])
    # The sum itself does not fit: infinity is the right answer.
    yield from product(
        target=TARGETS, shape=[(4096, 3)], dtype=["f16"], reduction=["sum"], logits=["against"]
    )


def unit_multipliers() -> Iterator[Case]:
    """``mult`` of the unit-scaled loss."""
    yield from rotate(
        product(
            system=["unit"],
            target=TARGETS,
            shape=[(4, 10), (3, 65), (2, 4, 3)],
            reduction=REDUCTIONS,
            mult=[1.0, 0.5, 4.0, 0.3],
        ),
        dtype=("f32", "f64", "f32", "f16", "bf16"),
        ignored=("nowhere", "some", "nowhere"),
    )
    yield from product(system=["unit"], shape=[(4, 10)], mult=[0.0, -1.0], reduction=["mean"])


def pages() -> Iterator[Case]:
    """The code examples of the pages."""
    for system in ("ce", "unit"):
        yield from product(
            system=[system], target=TARGETS, shape=[(3, 5)], form=["function", "module"]
        )
    index: dict[str, Any] = {
        "system": ["oneflow"], "shape": [(3, 3)], "logits": ["page"], "target_dtype": ["int32"],
    }  # fmt: skip
    yield from product(**index, reduction=["none", "sum", "mean"])
    yield from product(**index, reduction=["none"], ignore_index=[0])
    yield from product(**index, reduction=["none"], smoothing=[0.5])
    yield from product(
        system=["oneflow"], target=["prob"], shape=[(3, 3)], logits=["page"], probs=["page"]
    )


def crossed() -> Iterator[Case]:
    """Everything against everything, drawn at random."""
    choices: dict[str, tuple[Any, ...]] = {
        "target": TARGETS,
        "shape": ((1, 2), (2, 3), (5, 4), (9, 17), (3, 33), (2, 130), (3, 5, 2), (2, 7, 3, 3),
                  (1, 300), (12, 12), (6,), (19, 6)),
        "dtype": ("f32", "f32", "f64", "f16", "bf16"),
        "reduction": ("default", *REDUCTIONS),
        "form": ("function", "module"),
        "weight": ("absent", "absent", "mixed", "somezero", "large", "tiny"),
        "ignore_index": (None, None, -7, 1),
        "ignored": ("nowhere", "nowhere", "some", "first", "last"),
        "smoothing": (None, None, 0.05, 0.3, 0.9),
        "logits": ("normal", "normal", *FINITE_EXTREMES),
        "probs": ("soft", "soft", "onehot", "sparse", "unnormalised"),
        "layout": ("c", "c", *LAYOUTS),
        "target_layout": ("c", "c", *LAYOUTS),
        "grad": ("default", "mixed", "negative", "large"),
        "grad_layout": ("c", "strided", "broadcast", "reversed"),
        "script": ("once", "once", "once", "again", "stale", "twice"),
    }  # fmt: skip
    for number in range(700):
        system = ("ce", "ce", "ce", "ce", "ce", "oneflow", "unit")[number % 7]
        draws = streams.uniform(f"crossed/{number}", (len(choices),))
        fields = {
            name: values[int(draw * len(values))]
            for (name, values), draw in zip(choices.items(), draws, strict=True)
        }
        if system == "oneflow" and len(fields["shape"]) == 1:
            fields["shape"] = (2, 6)
        if fields["target"] == "prob":
            fields["ignore_index"] = None
        yield mend(Case(system=system, seed=number, **fields))
