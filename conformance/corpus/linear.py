"""The families of cases of the linear loss."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from .combine import (
    DTYPES,
    INVALID_SMOOTHING,
    INVALID_WEIGHT,
    REDUCTIONS,
    TARGETS,
    product,
    rotate,
)


def cases() -> Iterator[Case]:
    """All cases of ``torch.nn.LinearCrossEntropyLoss``."""
    yield from modes()
    yield from chunks()
    yield from sizes()
    yield from k_dimensional()
    yield from ignoring()
    yield from specials()
    yield from scripts()
    yield from fallback()
    yield from memory()
    yield from invalid()


def modes() -> Iterator[Case]:
    """Dtype, reduction, target, weight, smoothing and bias against each other."""
    yield from product(
        system=["linear"],
        target=TARGETS,
        shape=[(6, 8)],
        classes=[(10,)],
        reduction=REDUCTIONS,
        dtype=DTYPES,
        bias=["no", "yes"],
        weight=["absent", "mixed"],
    )
    yield from rotate(
        product(
            system=["linear"],
            target=TARGETS,
            shape=[(5, 3)],
            classes=[(4,)],
            reduction=["default", *REDUCTIONS],
            smoothing=[0.0, 0.1, 1.0],
            weight=["absent", "somezero"],
        ),
        dtype=("f32", "f64", "f16"),
        bias=("no", "yes"),
        form=("module", "function"),
    )
    yield from product(
        system=["linear"],
        target=TARGETS,
        shape=[(8,)],
        classes=[(10,), (2,)],
        reduction=["default", *REDUCTIONS],
        bias=["no", "yes"],
        form=["function", "module"],
    )
    # The page's example.
    yield from product(
        system=["linear"], target=TARGETS, shape=[(2, 5)], classes=[(10, 4, 3)], form=["module"]
    )
    yield from product(
        system=["linear"],
        target=["prob"],
        shape=[(6, 8)],
        classes=[(10,)],
        probs=["onehot", "sparse", "zeros", "unnormalised", "outside"],
        reduction=["mean", "none"],
    )


def chunks() -> Iterator[Case]:
    """Chunking options: the result must not depend on them."""
    options = ("auto", "chunk1", "chunk2", "chunk3", "chunk5", "chunk64", "whole", "aspect",
               "aspect4", "accurate", "balanced", "compact")  # fmt: skip
    yield from product(
        system=["linear"],
        shape=[(13, 8)],
        classes=[(20,)],
        reduction=REDUCTIONS,
        options=options,
        dtype=DTYPES,
    )
    # One rotation through all options: of one for each, none would come to the last values.
    yield from rotate(
        product(
            system=["linear"],
            shape=[(13, 8), (16, 4)],
            classes=[(20,)],
            reduction=REDUCTIONS,
            options=options,
        ),
        weight=("mixed", "absent"),
        bias=("yes", "no", "yes"),
        ignored=("some", "nowhere", "first", "last"),
        ignore_index=(None, -1, 3, None),
        form=("module", "function"),
    )
    # Options beside what torch runs without chunks; only a K-dimensional bias is documented to.
    yield from product(
        system=["linear"],
        target=TARGETS,
        shape=[(13, 8)],
        classes=[(20,), (5, 3)],
        reduction=["mean", "none"],
        smoothing=[None, 0.1],
        bias=["no", "yes"],
        options=["chunk3"],
    )
    yield from product(
        system=["linear"], shape=[(8,)], classes=[(20,)], options=["auto", "chunk3"],
        reduction=REDUCTIONS,
    )  # fmt: skip


def sizes() -> Iterator[Case]:
    """Batches, features and classes beside powers of two and chunk boundaries."""
    for batch in (1, 2, 63, 64, 65, 127, 129, 257):
        yield from rotate(
            product(
                system=["linear"],
                shape=[(batch, 4)],
                classes=[(7,)],
                options=["absent", "auto", "chunk64", "aspect"],
                reduction=["mean", "sum"],
                logits=["normal", "tail"],
            ),
            dtype=("f32", "f32", "f64", "bf16"),
        )
    for width in (1, 2, 7, 8, 9, 31, 33, 64, 65, 127, 129, 257):
        yield from product(
            system=["linear"], target=TARGETS, shape=[(3, width)], classes=[(5,)],
            reduction=["mean"],
        )  # fmt: skip
    for count in (1, 2, 3, 33, 127, 129, 1000, 1025):
        yield from rotate(
            product(
                system=["linear"],
                target=TARGETS,
                shape=[(3, 4)],
                classes=[(count,)],
                reduction=["mean"],
                options=["absent", "chunk2"],
            ),
            dtype=("f32", "f32", "f16"),
        )
    yield from product(
        system=["linear"],
        shape=[(2, 8)],
        classes=[(8192,)],
        reduction=["sum"],
        options=["absent", "chunk1"],
    )


def k_dimensional() -> Iterator[Case]:
    """out_features."""
    for classes in ((4, 3), (2, 1), (5, 2, 3), (3, 17), (10, 4, 3)):
        yield from rotate(
            product(
                system=["linear"],
                target=TARGETS,
                shape=[(3, 6)],
                classes=[classes],
                reduction=REDUCTIONS,
                bias=["no", "yes"],
            ),
            form=("function", "module"),
            dtype=("f32", "f32", "f64", "f16"),
            weight=("absent", "mixed", "absent"),
            smoothing=(None, 0.1),
            ignored=("nowhere", "some"),
        )


def ignoring() -> Iterator[Case]:
    """ignore_index, whose default here is None."""
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        reduction=REDUCTIONS,
        ignore_index=[None, -100, -1, 0, 3, 4],
        ignored=["nowhere", "some"],
        options=["absent", "chunk2"],
    )
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        reduction=REDUCTIONS,
        ignored=["first", "last", "most", "all"],
        options=["absent", "chunk2"],
        weight=["absent", "mixed"],
    )
    yield from product(
        system=["linear"], target=["prob"], shape=[(6, 5)], classes=[(4,)], ignore_index=[-100, 2]
    )


def specials() -> Iterator[Case]:
    """Large, equal, missing and repeated numbers."""
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        logits=["wide", "zeros", "nan", "tail"],
        reduction=REDUCTIONS,
        options=["absent", "chunk2"],
    )
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        logits=["nan-ignored"],
        ignored=["some"],
        reduction=REDUCTIONS,
        options=["absent", "chunk2"],
    )
    yield from product(
        system=["linear"],
        target=TARGETS,
        shape=[(0, 5)],
        classes=[(4,), (4, 2)],
        reduction=REDUCTIONS,
        bias=["yes"],
    )
    yield from product(
        system=["linear"], shape=[(0, 5)], classes=[(4,)], reduction=REDUCTIONS, options=["auto"]
    )
    yield from product(
        system=["linear"], shape=[(6, 5)], classes=[(4,)], weight=["zeros"], reduction=REDUCTIONS,
        options=["absent", "chunk2"],
    )  # fmt: skip
    yield from product(
        system=["linear"], target=TARGETS, shape=[(6, 5)], classes=[(4,)], grad=["skip"],
        reduction=REDUCTIONS, options=["absent", "chunk2"], bias=["no", "yes"],
    )  # fmt: skip
    for grad in ("mixed", "negative", "zero", "large", "small"):
        yield from rotate(
            product(
                system=["linear"],
                shape=[(6, 5)],
                classes=[(4,)],
                grad=[grad],
                reduction=REDUCTIONS,
                options=["absent", "chunk2"],
                bias=["yes"],
            ),
            dtype=("f32", "f64", "f16", "f32", "bf16"),
            grad_layout=("c", "strided", "reversed", "broadcast"),
        )


def scripts() -> Iterator[Case]:
    """Repeated calls; with options a second backward raises unless the graph may be retained."""
    yield from rotate(
        product(
            system=["linear"],
            target=TARGETS,
            shape=[(6, 5)],
            classes=[(4,)],
            reduction=REDUCTIONS,
            script=["again", "stale", "twice"],
        ),
        bias=("no", "yes"),
        form=("module", "function"),
    )
    yield from rotate(
        product(
            system=["linear"],
            shape=[(6, 5)],
            classes=[(4,)],
            reduction=REDUCTIONS,
            script=["again", "stale", "twice"],
            options=["auto", "chunk2", "whole", "compact"],
            retain=["no", "yes"],
        ),
        bias=("no", "yes", "no"),
        grad=("ones", "mixed"),
        form=("module", "function"),
        dtype=("f32", "f32", "f16"),
    )


def fallback() -> Iterator[Case]:
    """A K-dimensional bias falls back to the reference, which may go backward again."""
    yield from product(
        system=["linear"], shape=[(6, 5)], classes=[(4, 3)], bias=["yes"], options=["chunk2"],
        script=["twice"], reduction=REDUCTIONS,
    )  # fmt: skip


def memory() -> Iterator[Case]:
    """Layouts of the caller's arrays."""
    for layout in ("transposed", "strided", "offset", "broadcast", "readonly", "reversed"):
        yield from rotate(
            product(
                system=["linear"],
                target=TARGETS,
                shape=[(6, 5)],
                classes=[(4,)],
                layout=[layout],
                reduction=["mean", "none"],
            ),
            target_layout=("c", "strided", "reversed", "readonly"),
            dtype=("f32", "f64", "f32", "f16"),
        )
        yield from product(
            system=["linear"],
            shape=[(6, 5)],
            classes=[(4,)],
            layout=[layout],
            options=["chunk2"],
            reduction=["sum", "none"],
        )


def invalid() -> Iterator[Case]:
    """Calls that break a documented requirement."""
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        options=["absent", "chunk2"],
        reduction=["mean", "none"],
        bad=[
            "input-3d",
            "input-features",
            "target-length",
            "target-extra-axis",
            "target-shape-of-input",
            "target-too-large",
            "target-negative",
            "target-float",
            *INVALID_WEIGHT,
            *INVALID_SMOOTHING,
        ],
    )
    yield from product(
        system=["linear"], shape=[(6, 5)], classes=[(4,)], options=["absent", "chunk2"],
        bad=["reduction-name"],
    )  # fmt: skip
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        options=["absent", "chunk2"],
        bad=["target-dtype"],
        target_dtype=["int8", "int16", "int32", "uint8", "bool"],
    )
    yield from product(
        system=["linear"],
        target=["prob"],
        shape=[(6, 5)],
        classes=[(4,), (4, 2)],
        bad=["prob-shape", "prob-dtype"],
    )
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,), (4, 2)],
        bias=["yes"],
        bad=["bias-shape"],
    )
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4, 2)],
        bad=["target-missing-axis", "target-spatial"],
    )
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        bad=["options-chunk", "options-method", "options-policy"],
    )
    yield from product(
        system=["linear"],
        shape=[(6, 5)],
        classes=[(4,)],
        form=["module"],
        bad=[*INVALID_WEIGHT, *INVALID_SMOOTHING],
    )
