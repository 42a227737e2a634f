"""Cases that faults showed to be missing, written by someone who had not seen the corpus.

Each family names the mistakes that no other case kills.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from .combine import TARGETS, product


def cases() -> Iterator[Case]:
    """All families."""
    yield from ends_of_exp()
    yield from windows()
    yield from negative_weights()
    yield from infinite_weights()
    yield from half_counts()
    yield from odd_arguments()
    yield from bias_layouts()
    yield from beside_other_arguments()
    yield from wrong_in_new_ways()


def ends_of_exp() -> Iterator[Case]:
    """No maximum subtracted where "it is small enough"; a maximum that starts at a number."""
    yield from product(
        shape=[(4, 9)], dtype=["f32", "f64", "f16", "bf16"], reduction=["sum"],
        logits=["brink", "masked"],
    )  # fmt: skip
    yield from product(target=["prob"], shape=[(4, 9)], reduction=["none"], logits=["brink"])
    yield from product(shape=[(3, 65), (2, 1025)], reduction=["none"], logits=["masked"])
    for system in ("oneflow", "unit"):
        yield from product(
            system=[system], shape=[(4, 9)], reduction=["sum"], logits=["brink", "masked"]
        )


def windows() -> Iterator[Case]:
    """Whole blocks of classes at -inf, before, after and between the others; ignored rows too."""
    yield from product(
        shape=[(3, count) for count in (17, 33, 65, 130, 257)], reduction=["sum"], logits=["window"]
    )
    yield from product(shape=[(2, 1025), (2, 2049)], reduction=["none"], logits=["window"])
    yield from product(shape=[(2, 33)], dtype=["f64", "f16"], reduction=["sum"], logits=["window"])
    for system in ("oneflow", "unit"):
        yield from product(system=[system], shape=[(2, 1025)], reduction=["sum"], logits=["window"])
    yield from product(
        shape=[(6, 9)], reduction=["none", "mean"], ignored=["some"], logits=["window"]
    )


def negative_weights() -> Iterator[Case]:
    """Negative weights, cut off or made positive."""
    yield from product(
        target=TARGETS, shape=[(6, 5)], reduction=["none", "mean"], weight=["signed"]
    )
    yield from product(
        shape=[(6, 5)], reduction=["mean"], weight=["signed"], smoothing=[0.1], dtype=["f64", "f16"]
    )
    yield from product(system=["oneflow"], shape=[(6, 5)], reduction=["mean"], weight=["signed"])
    yield from product(
        system=["linear"], shape=[(6, 5)], classes=[(4,)], reduction=["mean"], weight=["signed"],
        options=["absent", "chunk2"],
    )  # fmt: skip


def infinite_weights() -> Iterator[Case]:
    """Infinity times a logit's distance from itself.

    Not of plain indices, whose gradient at the target is ∞·(p − 1) or ∞·p − ∞.
    """
    yield from product(
        target=["prob"], shape=[(6, 3), (4, 300)], reduction=["none"], weight=["infinite"],
        smoothing=[None, 0.1],
    )  # fmt: skip
    yield from product(
        shape=[(6, 3), (4, 300)], reduction=["none"], weight=["infinite"], smoothing=[0.1]
    )
    yield from product(
        shape=[(4, 3, 5)], dtype=["f64", "f16"], reduction=["none"], weight=["infinite"],
        smoothing=[0.1],
    )  # fmt: skip


def half_counts() -> Iterator[Case]:
    """What leaves float16 although the result does not, and sums of many chunks in 16 bits."""
    yield from product(target=["prob"], shape=[(70001, 2)], dtype=["f16"], reduction=["mean"])
    yield from product(shape=[(1, 70001)], dtype=["f16"], reduction=["mean"], logits=["zeros"])
    yield from product(
        system=["linear"], shape=[(4097, 2)], classes=[(7,)], dtype=["f16"], reduction=["sum"],
        bias=["yes"], options=["absent", "chunk2"],
    )  # fmt: skip


def odd_arguments() -> Iterator[Case]:
    """A small smoothing that is dropped, NaN that is masked, a fifth axis, the deprecated pair."""
    yield from product(
        shape=[(4, 9)], reduction=["mean"], smoothing=[1e-06], logits=["target"],
    )  # fmt: skip
    yield from product(
        target=["prob"], shape=[(4, 9)], dtype=["f64"], reduction=["mean"], smoothing=[1e-09],
        logits=["target"], probs=["onehot"],
    )  # fmt: skip
    yield from product(target=["prob"], shape=[(5, 4)], reduction=["none", "mean"], probs=["nan"])
    yield from product(target=TARGETS, shape=[(2, 3, 2, 1, 3, 2)], reduction=["none"])
    yield from product(shape=[(6, 5)], ignored=["some"], size_average=["true"])
    yield from product(shape=[(6, 5)], ignored=["some"], reduce=["true"], reduction=["sum"])


def bias_layouts() -> Iterator[Case]:
    """A bias that is no contiguous array."""
    yield from product(
        system=["linear"], shape=[(6, 5)], classes=[(4,), (4, 2)], reduction=["mean"], bias=["yes"],
        weight_layout=["strided", "reversed"],
    )  # fmt: skip


def beside_other_arguments() -> Iterator[Case]:
    """Requirements that are not checked where some other argument takes another way.

    Each call is one of many: a check that is missing for any of its arguments lets it through.
    """
    ranges, weights = ("target-too-large", "target-negative"), ("weight-short", "weight-long")
    requirements = (*ranges, "target-length", "target-shape-of-input", *weights)
    for turn, bad in enumerate(requirements):
        turned = [("mean", "sum", "none")[(turn + step) % 3] for step in range(3)]
        # float16, a module, smoothing, weights and an ignored class beside them
        yield from product(
            shape=[(4, 10)], dtype=["f16"], reduction=[turned[0]], form=["module"],
            weight=["mixed"], ignore_index=[1], ignored=["first"], smoothing=[0.1], bad=[bad],
        )  # fmt: skip
        # float64, a single sample, no gradient
        yield from product(
            shape=[(1, 10)], dtype=["f64"], reduction=[turned[1]], grad=["skip"], bad=[bad]
        )
        # bfloat16, a single class; weights alone
        yield from product(
            shape=[(4, 1)], dtype=["bf16"], reduction=[turned[2]], weight=["mixed"], bad=[bad]
        )
    yield from product(shape=[(10,)], reduction=["mean"], bad=[*ranges, *weights])
    yield from product(
        system=["unit"], shape=[(4, 10)], reduction=["sum"], mult=[0.5], ignore_index=[1],
        ignored=["first"], bad=ranges,
    )  # fmt: skip
    yield from product(
        system=["linear"], shape=[(6, 5)], classes=[(4,)], reduction=["sum"], ignore_index=[1],
        ignored=["first"], bad=ranges, options=["absent", "chunk2"],
    )  # fmt: skip


def wrong_in_new_ways() -> Iterator[Case]:
    """Arrays that broadcast, ranks that are squeezed, names that are folded, integers that wrap."""
    # No target names the class whose weight is missing.
    yield from product(shape=[(2, 10)], reduction=["sum"], ignored=["first"], bad=["weight-short"])
    yield from product(shape=[(5,)], reduction=["mean"], bad=["target-extra-axis"])
    yield from product(shape=[(1, 5)], reduction=["mean"], bad=["target-missing-axis"])
    for system, classes in (("ce", ()), ("oneflow", ()), ("unit", ()), ("linear", (10,))):
        yield from product(
            system=[system], target=["prob"], shape=[(4, 10)], classes=[classes],
            reduction=["mean"], bad=["prob-broadcast"],
        )  # fmt: skip
        yield from product(
            system=[system], shape=[(4, 10)], classes=[classes], reduction=["mean"],
            bad=["target-wraps"],
        )  # fmt: skip
        yield from product(
            system=[system], shape=[(4, 10)], classes=[classes], bad=["reduction-case"],
            form=["module"],
        )  # fmt: skip
    yield from product(shape=[(0, 5)], bad=["reduction-name"])
