"""Which kernels are examined: every kernel function, in the layouts of real sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numba import types

from conformance.gpu.figures import Meant
from crossent_spec.cuda import copying, moving, reductions
from crossent_spec.cuda.directions import DirectionPlan, along
from crossent_spec.cuda.geometry import Layout, choose, planned
from crossent_spec.cuda.rows import Place, Plan, rows
from crossent_spec.cuda.steep import THREADS, SteepPlan, steep

#: Sizes that users have, and what is so laid out: see :func:`crossent_spec.cuda.geometry.choose`.
SIZES: dict[str, tuple[int, ...]] = {
    "few classes": (65536, 10),
    "ImageNet": (8192, 1000),
    "a block of 128 threads": (8192, 2048),
    "a block of 256 threads": (4096, 4096),
    "a block of 512 threads": (4096, 8192),
    "BERT, rows not aligned": (4096, 30522),
    "Llama 2": (2048, 32000),
    "Llama 3, read twice": (1024, 128256),
    "GPT-2, read twice, rows not aligned": (2048, 50257),
    "segmentation": (8, 21, 512, 512),
    "segmentation, read twice": (8, 150, 512, 512),
}
#: Of these sizes, all layouts but of blocks between, other dtypes than float32 are recorded.
_RECORDED = ("few classes", "ImageNet", "Llama 2", "Llama 3, read twice", "segmentation",
             "segmentation, read twice")  # fmt: skip
#: Types of elements in kernels; bfloat16 is the bits of its numbers.
STORED = {"float32": "float32", "float16": "float16", "bfloat16": "uint16", "float64": "float64"}
#: What is asked for: fields of a plan.
MODES: dict[str, dict[str, bool]] = {
    "loss": {},
    "gradient": {"gradient": True},
    "smoothing, weights": {
        "gradient": True,
        "smooth": True,
        "weighted": True,
        "remember": True,
        "scaled": True,
    },
    "probabilities": {
        "gradient": True,
        "smooth": True,
        "weighted": True,
        "probabilities": True,
        "target_gradient": True,
    },
}
#: The same of directions.
_PLAIN = dict.fromkeys(("probabilities", "smooth", "weighted"), False)
DIRECTION_MODES: dict[str, dict[str, bool]] = {
    "of the loss": {**_PLAIN, "product": False},
    "of the gradient": {**_PLAIN, "product": True},
    "of the gradient, all": {**dict.fromkeys(_PLAIN, True), "product": True},
}


@dataclass(frozen=True)
class Kernel:
    """One kernel for one set of argument types.

    Attributes
    ----------
    name
        Unique; for a person.
    make
        Returns Numba's dispatcher.
    signature
        Types of the arguments.
    block
        Most threads of a block.
    meant
        What the compiled kernel has to show.
    """

    name: str
    make: Callable[[], Any]
    signature: Any
    block: int
    meant: Meant


def table(full: bool = False) -> list[Kernel]:
    """Return those that are recorded, or every mode of every size and dtype besides."""
    found = [*_rows(full), *_directions(full), *_others()]
    assert len({kernel.name for kernel in found}) == len(found)
    return found


def plan_of(shape: tuple[int, ...], dtype: str, q_dtype: str = "", **fields: bool) -> Plan:
    """Return the plan of contiguous arrays of a shape (N, C, d1, ...), as the engine chooses it."""
    samples, classes, positions = shape[0], shape[1], math.prod(shape[2:])
    size = np.dtype(STORED[dtype]).itemsize
    q_size = np.dtype(STORED[q_dtype or dtype]).itemsize if fields.get("probabilities") else 0
    wide = 8 in (size, q_size)
    place = Place(0, classes * positions, positions, int(positions > 1), 0)
    layout = Layout(
        samples * positions, classes, positions > 1, size, q_size, place,
        place if q_size else None, place if fields.get("gradient") else None, wide,
    )  # fmt: skip
    every = dict.fromkeys(Plan._fields[Plan._fields.index("probabilities") :], False)
    rest = {
        **every,
        **fields,
        "spatial": positions > 1,
        "twice": wide and size == 2,
        # As where nothing is known of weights and probabilities.
        "watch": fields.get("gradient", False)
        and (fields.get("weighted", False) or fields.get("probabilities", False)),
    }
    return planned(choose(layout), wide=wide, **rest)


def direction_plan_of(
    shape: tuple[int, ...], dtype: str, probabilities: bool, **fields: bool
) -> DirectionPlan:
    """Return the plan of a direction of logits of a shape, as :mod:`crossent_spec.cuda.moving`."""
    samples, classes, positions = shape[0], shape[1], math.prod(shape[2:])
    size = np.dtype(STORED[dtype]).itemsize
    place = Place(0, classes * positions, positions, int(positions > 1), 0)
    layout = Layout(
        samples * positions, classes, positions > 1, size, size, place, place,
        place if fields["product"] else None, size == 8,
    )  # fmt: skip
    beside = (place, size) if probabilities else None
    short = {"short": fields["product"] and size == 2, "short_losses": False}
    return moving.planned(layout, beside, **fields, **short)[0]


def _array(dtype: str) -> Any:
    return types.Array(getattr(types, dtype), 1, "C")


PLACE = types.NamedUniTuple(types.int64, 5, Place)
INTEGER, TRUTH, DOUBLE = types.int64, types.boolean, types.float64
NOTHING = _array("float64")


def rows_kernel(name: str, plan: Plan, dtype: str, q_dtype: str = "") -> Kernel:
    """Return a kernel of :mod:`crossent_spec.cuda.rows`."""
    real = "float64" if plan.wide else "float32"
    x = _array(STORED[dtype])
    q = _array(STORED[q_dtype or dtype]) if plan.probabilities else NOTHING
    y = NOTHING if plan.probabilities else _array("int64")
    w = x if plan.weighted else NOTHING
    number = getattr(types, real)
    own = _array(real) if plan.remember else NOTHING
    signature = types.void(
        x, PLACE, y, PLACE, q, PLACE, w, TRUTH, INTEGER, INTEGER, INTEGER, INTEGER,
        number, number, number, number, NOTHING, NOTHING, INTEGER, _array(real),
        x if plan.gradient else NOTHING, PLACE, q if plan.target_gradient else NOTHING, PLACE,
        own, own, _array(real) if plan.watch else NOTHING,
    )  # fmt: skip
    meant = Meant(
        threads=plan.threads,
        load_bits=_bits(plan.vector, dtype),
        store_bits=_bits(plan.vector, dtype) if plan.gradient else 0,
    )
    return Kernel(name, partial(rows, plan), signature, plan.block, meant)


def directions_kernel(name: str, plan: DirectionPlan, dtype: str) -> Kernel:
    """Return a kernel of :mod:`crossent_spec.cuda.directions`."""
    number = types.float64 if plan.wide else types.float32
    x = _array(STORED[dtype])
    signature = types.void(
        x, PLACE, NOTHING if plan.probabilities else _array("int64"), PLACE,
        x if plan.probabilities else NOTHING, PLACE, x, PLACE, x if plan.weighted else NOTHING,
        TRUTH, INTEGER, INTEGER, INTEGER, INTEGER, number, number, NOTHING, NOTHING, INTEGER,
        NOTHING, x if plan.product else NOTHING, PLACE,
    )  # fmt: skip
    bits = _bits(plan.vector, dtype)
    meant = Meant(plan.threads, load_bits=bits, store_bits=bits if plan.product else 0)
    return Kernel(name, partial(along, plan), signature, plan.block, meant)


def _bits(vector: int, dtype: str) -> int:
    return 8 * vector * np.dtype(STORED[dtype]).itemsize


def _is_recorded(size: str, dtype: str, mode: str) -> bool:
    if dtype == "float32":
        return mode != "smoothing, weights" or size in ("ImageNet", "Llama 2")
    return mode in ("gradient", "probabilities") and size in _RECORDED


def _rows(full: bool) -> Iterator[Kernel]:
    seen: set[tuple[Plan, str, str]] = set()

    def once(name: str, shape: tuple[int, ...], dtype: str, q: str, mode: str) -> Iterator[Kernel]:
        plan = plan_of(shape, dtype, q, **MODES[mode])
        # Sizes may share a kernel.
        if (plan, dtype, q) not in seen:
            seen.add((plan, dtype, q))
            size = "x".join(map(str, shape))
            yield rows_kernel(f"rows {size} {dtype}{name}: {mode}", plan, dtype, q)

    # First the recorded ones, which so keep their names where sizes share a kernel.
    for every in (False, True) if full else (False,):
        for size, shape in SIZES.items():
            for dtype in STORED:
                for mode in MODES:
                    if every or _is_recorded(size, dtype, mode):
                        yield from once("", shape, dtype, "", mode)
    # Probabilities of another dtype than the logits.
    for dtype, q in (("float16", "float64"), ("float32", "float64"), ("float64", "float32"),
                     ("bfloat16", "float32")):  # fmt: skip
        for size in ("ImageNet", "Llama 2") if full else ("ImageNet",):
            shape = SIZES[size]
            yield from once(f" with {q}", shape, dtype, q, "probabilities")


def _directions(full: bool) -> Iterator[Kernel]:
    seen: set[tuple[DirectionPlan, str]] = set()
    for every in (False, True) if full else (False,):
        for size, dtype, mode in product(SIZES, STORED, DIRECTION_MODES):
            recorded = size in _RECORDED if dtype == "float32" else size in _RECORDED[1:4]
            if not every and not (recorded and (dtype == "float32" or mode != "of the loss")):
                continue
            plan = direction_plan_of(SIZES[size], dtype, **DIRECTION_MODES[mode])
            if (plan, dtype) not in seen:
                seen.add((plan, dtype))
                sizes = "x".join(map(str, SIZES[size]))
                yield directions_kernel(f"direction {sizes} {dtype}: {mode}", plan, dtype)


def _copy_of(source: str, to: str) -> Any:
    steps = types.UniTuple(INTEGER, 3)
    return types.void(_array(source), INTEGER, steps, _array(to), INTEGER, steps, steps, INTEGER)


def _others() -> Iterator[Kernel]:
    warp, whole = 32, reductions.THREADS
    y = _array("int64")
    for threads in (warp, whole):
        for weighted in (False, True):
            yield Kernel(
                f"survey of {'weights' if weighted else 'counts'}, {threads} threads",
                partial(reductions.survey, threads, weighted),
                types.void(
                    y, PLACE, TRUTH, INTEGER, INTEGER, INTEGER, INTEGER,
                    _array("float32") if weighted else NOTHING, NOTHING, y,
                ),
                threads,
                Meant(threads, integer_atomics=True),
            )  # fmt: skip
        yield Kernel(
            f"prepare, {threads} threads",
            partial(reductions.prepare, threads),
            types.void(
                NOTHING, INTEGER, TRUTH, DOUBLE, DOUBLE, TRUTH, _array("float32"), TRUTH, INTEGER,
                DOUBLE, NOTHING,
            ),
            threads,
            Meant(threads),
        )  # fmt: skip
        yield Kernel(
            f"sum of losses, {threads} threads",
            partial(reductions.sum_losses, threads),
            types.void(_array("float32"), INTEGER, NOTHING),
            threads,
            Meant(threads),
        )
    for dtype in ("float32", "float64"):
        yield Kernel(
            f"zero rows, {dtype}",
            copying.zeroes,
            types.void(_array(dtype), INTEGER, y, PLACE, INTEGER, INTEGER, INTEGER),
            copying.THREADS,
            Meant(1),
        )
    for dtype, stored in STORED.items():
        short = np.dtype(stored).itemsize == 2
        yield Kernel(
            f"mean of losses, {dtype}",
            partial(reductions.finish_loss, whole, short),
            types.void(NOTHING, INTEGER, TRUTH, NOTHING, _array(stored)),
            whole,
            Meant(whole),
        )
        yield Kernel(
            f"gradient of weights, {dtype}",
            partial(reductions.finish_classes, short),
            types.void(NOTHING, INTEGER, INTEGER, TRUTH, NOTHING, _array(stored)),
            whole,
            Meant(1),
        )
        yield Kernel(
            f"copy, {dtype}",
            partial(copying.copies, False, False),
            _copy_of(stored, stored),
            copying.THREADS,
            Meant(1),
        )
        if dtype != "float32":
            for one, other in ((stored, "float32"), ("float32", stored)):
                yield Kernel(
                    f"copy, {dtype} {'from' if one == 'float32' else 'to'} float32",
                    partial(copying.copies, True, False),
                    _copy_of(one, other),
                    copying.THREADS,
                    Meant(1),
                )
        if short:
            yield Kernel(
                f"copy, {dtype} from float64",
                partial(copying.copies, True, True),
                _copy_of("float64", stored),
                copying.THREADS,
                Meant(1),
            )
        for probabilities, every in ((False, False), (False, True), (True, True)):
            wide = stored == "float64"
            given = probabilities, every, every, every
            plan = SteepPlan(wide, *given, True, probabilities, False, False)
            number = types.float64 if wide else types.float32
            mode = "probabilities" if probabilities else "indices"
            yield Kernel(
                f"steep gradients, {dtype}, {mode}{', all' if every else ''}",
                partial(steep, plan),
                types.void(
                    _array(stored), PLACE, NOTHING if probabilities else y, PLACE,
                    _array(stored) if probabilities else NOTHING, PLACE,
                    _array(stored) if every else NOTHING, INTEGER, INTEGER, INTEGER, number,
                    number, number, number, NOTHING, NOTHING, INTEGER, _array(stored), PLACE,
                    _array(stored) if probabilities else NOTHING, PLACE, _array(str(number)),
                ),
                THREADS,
                Meant(THREADS),
            )  # fmt: skip
        for probabilities, smooth in ((False, False), (False, True), (True, True)):
            real = "float64" if stored == "float64" else "float32"
            kind = "probabilities" if probabilities else "indices"
            yield Kernel(
                f"sums by class, {dtype}, {kind}{', smoothing' if smooth else ''}",
                partial(reductions.class_sums, probabilities, smooth),
                types.void(
                    _array(stored), PLACE, NOTHING if probabilities else y, PLACE,
                    _array(stored) if probabilities else NOTHING, PLACE, TRUTH, INTEGER, INTEGER,
                    INTEGER, INTEGER, DOUBLE, DOUBLE, DOUBLE, NOTHING, NOTHING, INTEGER,
                    _array(real), _array(real), NOTHING,
                ),
                whole,
                Meant(1),
            )  # fmt: skip
