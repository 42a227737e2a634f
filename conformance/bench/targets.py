"""What the library is meant to reach, on a machine of two cores, in float32."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.bench.contestant import GRADIENT, LOSS
from conformance.bench.measuring import Timing, ratios
from conformance.bench.peers import OURS, OURS_CHUNKS, OURS_OUT
from conformance.bench.torch_peers import LINEAR_NONE, LINEAR_OPTIONS
from conformance.bench.workloads import INDEX, LINEAR, Workload

#: From so many classes on the loss should run at the speed of memory.
MANY = 1000
#: Megabytes that the large linear workload may need, and which that is.
MEGABYTES, LARGE = 64, (8192, 1024, 32000)


@dataclass(frozen=True)
class Goal:
    """A target: what it says, what was found, whether that meets it."""

    text: str
    found: str
    met: bool


def at_most(limit: float, measured: float) -> Goal:
    """Return the goal that a ratio to the base is no larger."""
    return Goal(f"≤ {limit:g} × base", f"{measured:.3g}", measured <= limit)


def slower(limit: float, measured: float) -> Goal:
    """Return the goal that a peer takes so many times as long as the library."""
    met = measured > 1 if limit == 1 else measured >= limit
    return Goal(f"{'>' if limit == 1 else '≥'} {limit:g} × crossent", f"{measured:.3g}", met)


def no_more_memory(own: float, best: Timing, memory: Mapping[str, float]) -> Goal:
    """Return the goal that the library needs no more memory than the best of torch's."""
    theirs = memory.get(best.contestant.name, math.nan)
    return Goal("extra MB ≤ torch's best", f"{own / 1e6:.1f} of {theirs / 1e6:.1f}", own <= theirs)


def goals(
    workload: Workload,
    timing: Timing,
    timings: Mapping[tuple[str, str], Timing],
    base: Timing,
    memory: Mapping[str, float],
) -> list[Goal]:
    """Return the goals that belong to one contestant's row.

    Parameters
    ----------
    timings
        All timings of the workload that have seconds, by task and name.
    base
        The base of the contestant's task.
    memory
        Extra bytes by contestant, for the linear loss.
    """
    if workload.small or workload.dtype != "float32":
        return []
    task, name = timing.contestant.key
    to_base = statistics.median(ratios(timing, base))
    if workload.kind == LINEAR:
        return _linear(workload, timing, timings, to_base, memory)
    if (task, name) == (LOSS, OURS) and workload.classes >= MANY:
        return [at_most(1.3, to_base)]
    if (task, name) == (GRADIENT, OURS_OUT):
        if workload.classes >= MANY:
            return [at_most(1.25, to_base)]
        return [at_most(3, to_base)] if workload.kind == INDEX else []
    limit = {"torch": 15, "torch.compile": 5}.get(name)
    ours = timings.get((GRADIENT, OURS_OUT))
    if limit is None or task != GRADIENT or ours is None or workload.classes < MANY:
        return []
    return [slower(limit, statistics.median(ratios(timing, ours)))]


def _linear(
    workload: Workload,
    timing: Timing,
    timings: Mapping[tuple[str, str], Timing],
    to_base: float,
    memory: Mapping[str, float],
) -> list[Goal]:
    name, large = timing.contestant.name, workload.shape == LARGE
    best = best_of_torch(list(timings.values()))
    own = memory.get(name, math.nan)
    if name == OURS and large:
        met = own < MEGABYTES * 1e6 and to_base <= 1.3
        text = f"≤ 1.3 × base with < {MEGABYTES} MB"
        return [Goal(text, f"{to_base:.3g} with {own / 1e6:.0f}", met)]
    # Longer chunks are faster where they are many; what is asked of both is asked of these.
    if name == (OURS_CHUNKS if large else OURS):
        found = [at_most(1.10, to_base)]
        return found if best is None else [*found, no_more_memory(own, best, memory)]
    ours = timings.get((GRADIENT, OURS))
    if ours is None or best is None or name != best.contestant.name:
        return []
    return [slower(1, statistics.median(ratios(timing, ours)))]


def best_of_torch(timings: Sequence[Timing]) -> Timing | None:
    """Return the fastest of torch's linear losses, without and with options."""
    theirs = [
        timing
        for timing in timings
        if timing.seconds
        and (
            timing.contestant.name == LINEAR_NONE
            or timing.contestant.name.startswith(LINEAR_OPTIONS)
        )
    ]
    return min(theirs, key=lambda timing: timing.median, default=None)
