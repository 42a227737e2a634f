"""What the library is meant to reach, on a machine of two cores, in float32."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.bench.contestant import GRADIENT, LOSS
from conformance.bench.measuring import Timing, ratios
from conformance.bench.peers import OURS, OURS_OUT
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


def at_most(limit: float, measured: float, what: str) -> Goal:
    """Return the goal that a ratio is no larger."""
    return Goal(f"≤ {limit:g} × {what}", f"{measured:.3g}", measured <= limit)


def faster(limit: float, measured: float) -> Goal:
    """Return the goal that the library is so many times as fast as a peer."""
    met = measured > 1 if limit == 1 else measured >= limit
    return Goal(f"crossent {'>' if limit == 1 else '≥'} {limit:g} × faster", f"{measured:.3g}", met)


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
    base_name = base.contestant.name
    if workload.kind == LINEAR:
        return _linear(workload, timing, timings, to_base, base_name, memory)
    if (task, name) == (LOSS, OURS) and workload.classes >= MANY:
        return [at_most(1.3, to_base, base_name)]
    if (task, name) == (GRADIENT, OURS_OUT):
        if workload.classes >= MANY:
            return [at_most(1.25, to_base, base_name)]
        return [at_most(3, to_base, base_name)] if workload.kind == INDEX else []
    limit = {"torch": 15, "torch.compile": 5}.get(name)
    ours = timings.get((GRADIENT, OURS_OUT))
    if limit is None or task != GRADIENT or ours is None or workload.classes < MANY:
        return []
    return [faster(limit, statistics.median(ratios(timing, ours)))]


def _linear(
    workload: Workload,
    timing: Timing,
    timings: Mapping[tuple[str, str], Timing],
    to_base: float,
    base_name: str,
    memory: Mapping[str, float],
) -> list[Goal]:
    name = timing.contestant.name
    ours = timings.get((GRADIENT, OURS))
    best = best_of_torch(list(timings.values()))
    if name == OURS:
        found = [at_most(1.10, to_base, base_name)]
        own = memory.get(OURS, math.nan)
        if best is not None:
            theirs = memory.get(best.contestant.name, math.nan)
            found.append(
                Goal(
                    f"memory ≤ {best.contestant.name}",
                    f"{own / 1e6:.0f} of {theirs / 1e6:.0f} MB",
                    own <= theirs,
                )
            )
        if workload.shape == LARGE:
            found.append(
                Goal(
                    f"< {MEGABYTES} MB within 1.3 × {base_name}",
                    f"{own / 1e6:.0f} MB at {to_base:.3g}",
                    own < MEGABYTES * 1e6 and to_base <= 1.3,
                )
            )
        return found
    if ours is None or best is None or name != best.contestant.name:
        return []
    return [faster(1, statistics.median(ratios(timing, ours)))]


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
