"""The families of the losses on logits: torch's, OneFlow's and the unit-scaled one."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from .combine import (
    DTYPES,
    FINITE_EXTREMES,
    REDUCTIONS,
    TARGETS,
    product,
    rotate,
)

#: Class counts beside powers of two and vector tails; the largest only where they matter.
CLASS_COUNTS = (1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129,
                255, 256, 257, 511, 512, 513, 1000, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096,
                4097)  # fmt: skip
LARGE_CLASS_COUNTS = (8191, 8192, 8193, 16384, 16385, 32000, 32767, 32768, 32769, 65536, 65537)
BATCH_SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255,
               256, 257, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096,
               4097)  # fmt: skip
K_DIMENSIONAL = ((2, 3, 4), (2, 5, 3, 3), (1, 10, 7), (3, 2, 16), (2, 21, 5, 5), (3, 3, 2, 2, 2),
                 (2, 1000, 3), (2, 3, 1, 1), (2, 2, 65), (1, 4, 33), (2, 1, 6), (1, 7, 1),
                 (2, 64, 17), (1, 3, 1025), (2, 2, 33, 31))  # fmt: skip
SMALL = ((4, 10), (3, 5), (5, 3), (7, 2), (6, 17))
NON_FINITE = ("neginf", "neginf-target", "neginf-row", "posinf", "posinf-target", "nan")


def cases(system: str) -> Iterator[Case]:
    """What is computed: modes, sizes, shapes, ignored samples, extreme numbers."""
    full = system == "ce"
    yield from modes(system, full)
    yield from sizes(system, full)
    yield from shapes(system, full)
    yield from ignoring(system, full)
    yield from extremes(system, full)


def modes(system: str, full: bool) -> Iterator[Case]:
    """Dtype, reduction, target, weight and smoothing against each other."""
    yield from product(
        system=[system],
        target=TARGETS,
        reduction=REDUCTIONS,
        shape=SMALL[:1],
        dtype=DTYPES if full else DTYPES[:3],
        weight=["absent", "mixed", "somezero"],
        smoothing=[None, 0.1, 1.0] if full else [None, 0.1],
    )
    plain = product(
        system=[system],
        target=TARGETS,
        reduction=["default", "mean", "sum"],
        shape=SMALL,
        weight=["absent", "ones", "large", "tiny"] if full else ["absent", "large"],
        smoothing=[None, 0.0, 0.5] if full else [0.0],
    )
    yield from rotate(plain, dtype=DTYPES, form=("module", "function"), seed=(1, 2, 3))
    yield from product(
        system=[system],
        target=["prob"],
        shape=[(4, 10), (3, 2, 5)],
        reduction=REDUCTIONS,
        probs=["onehot", "sparse", "zeros", "unnormalised", "outside"],
        weight=["absent", "mixed"] if full else ["absent"],
        smoothing=[None, 0.2] if full else [None],
    )


def sizes(system: str, full: bool) -> Iterator[Case]:
    """Class counts and batch sizes where loops change."""
    classes: tuple[int, ...] = CLASS_COUNTS if full else CLASS_COUNTS[::3]
    if system == "unit":
        classes = tuple(count for count in classes if count > 1)
    for count in classes:
        few = product(
            system=[system], target=TARGETS, shape=[(3, count)], reduction=["mean"],
            logits=["edge", "normal"],
        )  # fmt: skip
        yield from rotate(few, smoothing=(None, None, 0.1), dtype=("f32", "f64", "f32", "bf16"))
    if full:
        for count in LARGE_CLASS_COUNTS:
            yield from product(shape=[(2, count)], reduction=["sum"], logits=["edge", "peak"])
        for count in (32000, 32769):
            yield from product(target=["prob"], shape=[(1, count)], reduction=["mean"])
            yield from product(
                shape=[(2, count)], dtype=["f16", "bf16"], reduction=["mean"], logits=["edge"]
            )
            yield from product(shape=[(1, count)], reduction=["mean"], smoothing=[0.1])
        for count in (32769, 65537):
            yield from product(shape=[(count, 2)], reduction=["mean"], logits=["tail"])
        yield from product(
            target=TARGETS, shape=[(2, 1025)], reduction=["mean", "none"], weight=["mixed"],
            smoothing=[0.1],
        )  # fmt: skip
    else:
        yield from product(system=[system], shape=[(2, 32000)], reduction=["sum"], logits=["edge"])
    counts = BATCH_SIZES if full else BATCH_SIZES[::4]
    for count in counts:
        some = product(
            system=[system], target=TARGETS, shape=[(count, 3)], reduction=["mean", "sum"],
            logits=["tail"],
        )  # fmt: skip
        yield from rotate(some, weight=("absent", "mixed"), dtype=("f32", "f32", "f64"))
    yield from rotate(
        product(system=[system], shape=[(count, 2) for count in counts], reduction=["none"]),
        dtype=("f32", "f16"),
        ignored=("nowhere", "some", "first"),
    )


def shapes(system: str, full: bool) -> Iterator[Case]:
    """K-dimensional and empty shapes."""
    for number, shape in enumerate(K_DIMENSIONAL if full else K_DIMENSIONAL[::2]):
        if system == "unit" and shape[1] == 1:
            continue
        yield from rotate(
            product(system=[system], target=TARGETS, shape=[shape], reduction=REDUCTIONS),
            weight=("absent", "mixed", "absent"),
            dtype=("f32", "f64", "f32", "f16"),
            smoothing=(None, 0.1, None),
            layout=("c", "transposed", "strided"),
            form=("function", "module"),
            seed=(number,),
        )
    empty = [(0, 5), (0, 5, 3), (2, 5, 0)]
    yield from product(system=[system], target=TARGETS, shape=empty, reduction=REDUCTIONS)


def ignoring(system: str, full: bool) -> Iterator[Case]:
    """ignore_index inside and outside the class range, and how many samples carry it."""
    yield from product(
        system=[system],
        shape=[(6, 5)],
        reduction=REDUCTIONS,
        ignore_index=[None, -1, 0, 4, 5, 255] if full else [None, -1, 2, 5],
        ignored=["nowhere", "some"],
        weight=["absent", "mixed"] if full else ["absent"],
    )
    yield from product(
        system=[system],
        shape=[(6, 5), (2, 4, 3)],
        reduction=REDUCTIONS,
        ignored=["first", "last", "most", "all"],
        smoothing=[None, 0.1],
        weight=["absent", "mixed"] if full else ["absent"],
    )
    yield from product(
        system=[system],
        shape=[(5, 4)],
        reduction=REDUCTIONS,
        ignore_index=[-(2**31), 2**31 - 1, -(2**63), 2**63 - 1],
        ignored=["some"],
    )
    yield from product(
        system=[system],
        target=["prob"],
        shape=[(4, 3)],
        reduction=["mean", "sum"],
        ignore_index=[-1, 1, 7],
    )
    for dtype in DTYPES:
        yield from product(
            system=[system], shape=[(33, 7)], dtype=[dtype], reduction=["mean", "sum"],
            ignore_index=[3], ignored=["some"], smoothing=[0.25],
        )  # fmt: skip


def extremes(system: str, full: bool) -> Iterator[Case]:
    """Logits at the ends of the number range, and no numbers at all."""
    for kind in FINITE_EXTREMES:
        yield from rotate(
            product(
                system=[system],
                target=TARGETS if full else ["index"],
                shape=[(5, 9), (2, 100)],
                logits=[kind],
                dtype=DTYPES if full else DTYPES[:2],
            ),
            reduction=("none", "mean", "sum", "mean", "none"),
            smoothing=(None, None, 0.1),
        )
    for kind in NON_FINITE:
        yield from product(
            system=[system], shape=[(5, 4)], logits=[kind], dtype=DTYPES if full else DTYPES[:1],
            reduction=REDUCTIONS, grad=["ones" if kind == "posinf" else "default"],
        )  # fmt: skip
    yield from product(
        system=[system],
        shape=[(5, 4)],
        logits=["neginf-target", "nan"],
        reduction=REDUCTIONS,
        smoothing=[0.1],
    )
    yield from product(
        system=[system],
        target=["prob"],
        shape=[(5, 4)],
        logits=["neginf", "nan"],
        probs=["soft", "sparse"],
        reduction=REDUCTIONS,
    )
    yield from product(
        system=[system], shape=[(6, 4)], logits=["nan-ignored"], ignored=["some"],
        reduction=REDUCTIONS, smoothing=[None, 0.1],
    )  # fmt: skip
    if system != "unit":
        yield from product(
            system=[system], shape=[(6, 4)], weight=["zeros"], reduction=REDUCTIONS,
            target=TARGETS,
        )  # fmt: skip
