"""How a problem's samples are laid out over threads."""

from __future__ import annotations

from typing import NamedTuple

from .rows import Place, Plan
from .target import SIMULATED, WARP, WIDE

#: Elements that a thread holds: more would not leave the registers of a block of 1024 threads.
HOLD, HOLD_WIDE = 32, 8
#: Threads of a sample that has a whole block.
BLOCKS = (128, 256, 512, 1024)
#: Threads of a sample that is read twice, and elements that each then holds at a time.
LONG_THREADS, LONG_HOLD, LONG_HOLD_WIDE = 512, 8, 4
#: Threads of a block of several samples; the simulator is slow with many.
BLOCK = 32 if SIMULATED else 256
#: Fewer classes than this are not worth accesses of 16 bytes that would have to be split at both
#: ends of a sample.
SPLIT_FROM = 256


class Layout(NamedTuple):
    """What decides about the layout.

    Attributes
    ----------
    samples, classes, spatial
        Number of samples and classes, and whether samples have positions.
    x_size, q_size
        Bytes of an element of logits and of probabilities, 0 without these.
    x, q, out
        Where the logits, probabilities and the logits' gradient are; ``None`` if there are none.
    wide
        Whether to compute in float64.
    """

    samples: int
    classes: int
    spatial: bool
    x_size: int
    q_size: int
    x: Place
    q: Place | None
    out: Place | None
    wide: bool


class Shape(NamedTuple):
    """Threads of a sample, elements of an access, accesses held; a part of a :class:`Plan`."""

    threads: int
    vector: int
    vector_target: int
    chunks: int
    resident: bool
    whole: bool

    def block(self, samples: int) -> int:
        """Threads of a block: several samples', whole warps of them if they exchange anything.

        Samples of more than a warp have a block each, through whose memory they exchange.
        """
        if self.threads > WARP:
            return self.threads
        least = WARP if self.threads > 1 else 1
        return max(self.threads, least, min(BLOCK, self.threads * _power_of_two(samples)))


def choose(layout: Layout) -> Shape:
    """Choose the layout.

    Neighbouring threads read neighbouring elements: classes where these lie side by side, samples
    otherwise.
    """
    hold = HOLD_WIDE if layout.wide else HOLD
    long_hold = LONG_HOLD_WIDE if layout.wide else LONG_HOLD
    if layout.q is not None:
        # Coefficients are held beside the logits.
        hold //= 2
    across = layout.x.position if layout.spatial else layout.x.item
    if layout.x.step != 1 and layout.classes > 1 and across in (0, 1):
        chunks = _power_of_two(layout.classes)
        resident = chunks <= hold
        return Shape(1, 1, 1, chunks if resident else long_hold, resident, True)
    vector = _vector(layout)
    aligned = vector == 1 or _is_multiple(layout.x, vector)
    whole = aligned and layout.classes % vector == 0
    units = -(-(layout.classes + (0 if aligned else vector - 1)) // vector)
    most = hold // vector
    target = 1 if layout.q is None else vector_beside(layout, vector, layout.q, layout.q_size)
    if units <= WARP * most:
        threads = min(WARP, _power_of_two(units))
        return Shape(threads, vector, target, _power_of_two(-(-units // threads)), True, whole)
    for threads in BLOCKS:
        chunks = -(-units // threads)
        if chunks <= (most if threads == BLOCKS[-1] else most // 2):
            return Shape(threads, vector, target, _power_of_two(chunks), True, whole)
    return Shape(LONG_THREADS, vector, target, max(1, long_hold // vector), False, whole)


def vector_beside(layout: Layout, vector: int, place: Place, size: int) -> int:
    """Elements of an access to an array that is read beside the logits, as they are or 1."""
    usable = size == layout.x_size and _same_phase(layout.x, place, vector)
    return vector if vector > 1 and usable else 1


def planned(shape: Shape, **rest: bool) -> Plan:
    """Return the kernel of a layout."""
    return Plan(**shape._asdict(), **rest)


def _vector(layout: Layout) -> int:
    """Elements of an access of 16 bytes, or 1 where these cannot be used."""
    vector = WIDE // layout.x_size
    whole = layout.classes % vector == 0 or layout.classes >= SPLIT_FROM
    usable = layout.x.step == 1 and whole and (layout.x_size == 8) == layout.wide
    if usable and layout.out is not None:
        usable = layout.out.step == 1 and _same_phase(layout.x, layout.out, vector)
    return vector if usable else 1


def _is_multiple(place: Place, vector: int) -> bool:
    """Tell whether every sample starts at a multiple of 16 bytes."""
    starts = (place.start + place.phase, place.item, place.position)
    return all(start % vector == 0 for start in starts)


def _same_phase(one: Place, other: Place, vector: int) -> bool:
    """Tell whether every sample is as far from a multiple of 16 bytes in both."""
    starts = (
        one.start + one.phase - other.start - other.phase,
        one.item - other.item,
        one.position - other.position,
    )
    return other.step == 1 and all(start % vector == 0 for start in starts)


def _power_of_two(count: int) -> int:
    """Return the smallest power of two that is not below a count."""
    return 1 << max(0, count - 1).bit_length()
