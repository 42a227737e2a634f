"""Cases that were found to be missing.

By seeded faults, each for a fault that no other case kills; and by searches, for what `crossent
fuzz` found in a framework or in the suite.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from .combine import TARGETS, product

#: Far indices that fall on class 4 of 5 where they are cut to 8, 16 or 32 bits.
WRAPPING = (-252, 260, -65532, 65540, 4 - 2**32, 2**32 + 4)
#: Seeds for which one class, the last of C, lies so far above all others that exp overflows
#: where the maximum is taken without it.
LAST_ON_TOP = {33: 21, 65: 11, 129: 108, 257: 152}

#: What searches found: mistakes of the suite, and departures of PyTorch 2.13.0.
SEARCHED = (
    "ce/index/1x1/f32/sum,ignored=first,logits=neginf-row",
    "linear/index/2x1-1/f32/default,ignored=some,logits=nan",
    "ce/prob/4x8/f32/default,smoothing=0.192,logits=wide,probs=outside,seed=1",
    "linear/index/0x2-3x2/f32/sum,ignored=first,logits=nan-ignored",
    "ce/index/2x2x7/f32/default,bad=weight-2d",
    "linear/index/2x2-2x7/f32/default,bad=weight-2d",
    "linear/prob/1x1-1/f32/default,script=twice,options=auto",
    "linear/index/1x1-1/f32/default,smoothing=0.1,script=twice,options=auto",
    "ce/index/1x2/f32/default,smoothing=1.0,logits=neginf-target",
    # 0 times log(0/0), not 0·log 0: NaN, although no class has a probability.
    "unit/prob/1x2/f32/default,logits=neginf-row,probs=zeros",
    "ce/prob/5x4/f32/sum,logits=nan,probs=zeros",
    # mult · x is beyond the range of float16, and the loss of it is not.
    "unit/index/3x2/f16/default,logits=wide,mult=6.7",
)


def cases() -> Iterator[Case]:
    """All families."""
    yield from wrapping()
    yield from square()
    yield from far_classes()
    yield from masked()
    yield from map(Case.parse, SEARCHED)


def wrapping() -> Iterator[Case]:
    """``ignore_index`` that no class equals, unless it is cut to fewer bits."""
    for system, shape, classes in (("ce", (6, 5), ()), ("linear", (6, 4), (5,))):
        yield from product(
            system=[system], shape=[shape], classes=[classes], reduction=["sum"],
            ignore_index=WRAPPING, ignored=["nowhere", "some"],
        )  # fmt: skip


def square() -> Iterator[Case]:
    """Axes of the same length, which no shape tells from each other."""
    for system, shapes in (
        ("ce", ((5, 5), (4, 4, 3), (2, 4, 4), (3, 3, 3), (2, 3, 5, 3), (3, 3, 3, 3))),
        ("oneflow", ((2, 4, 4), (3, 3, 3))),
        ("unit", ((2, 4, 4), (3, 3, 3))),
    ):
        yield from product(
            system=[system], target=TARGETS, shape=shapes, reduction=["none"], weight=["mixed"]
        )
    for input_shape, classes in (((6, 5), (5,)), ((5, 5), (5,)), ((4, 3), (3, 3)), ((3,), (3,))):
        yield from product(
            system=["linear"], target=TARGETS, shape=[input_shape], classes=[classes],
            reduction=["none", "mean"], bias=["yes"],
        )  # fmt: skip
    yield from product(
        system=["linear"], shape=[(5, 5)], classes=[(5,)], reduction=["sum"], options=["chunk2"]
    )


def far_classes() -> Iterator[Case]:
    """The last of many classes dominates, or alone keeps exp from overflowing."""
    yield from product(
        shape=[(2, count) for count in (1025, 4097, 8193, 32000, 32768, 32769, 65537)],
        reduction=["sum"],
        logits=["last"],
    )
    for count, seed in LAST_ON_TOP.items():
        yield from product(shape=[(1, count)], reduction=["sum"], logits=["wide"], seed=[seed])
    yield from product(
        system=["unit"],
        shape=[(2, count) for count in (9, 17, 65, 1025, 4097, 32769)],
        reduction=["sum"],
        logits=["last"],
        mult=[64.0],
    )


def masked() -> Iterator[Case]:
    """Classes at -inf side by side."""
    yield from product(
        shape=[(24, 3), (16, 4), (12, 9)], reduction=["sum"], logits=["neginf"], seed=[1, 2]
    )
