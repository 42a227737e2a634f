"""Timing by turns: every contestant in every round, so that what disturbs one disturbs all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from conformance.bench.contestant import Contestant, Values
from conformance.bench.reference import departure
from conformance.bench.workloads import Workload

Clock = Callable[[Contestant, int], float]

#: Seconds that one measurement should at least take: short calls are repeated.
LONG_ENOUGH = 0.02
#: Most calls of one measurement.
MOST = 1000
#: Calls that take longer need none before them that are not measured.
SETTLED = 0.5


@dataclass
class Timing:
    """What was measured of one contestant: seconds of a call, one number for each round.

    ``failure`` says why there is none.
    """

    contestant: Contestant
    seconds: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)


def ratios(over: Timing, under: Timing) -> list[float]:
    """Return what the one took in each round, by what the other took in the same round."""
    return [a / b for a, b in zip(over.seconds, under.seconds, strict=True)]


def measure(
    workload: Workload,
    contestants: Sequence[Contestant],
    wanted: Values,
    rounds: int,
    on_step: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
) -> list[Timing]:
    """Check what every contestant returns, then time those that are right.

    Parameters
    ----------
    wanted
        What they should return.
    rounds
        How often every contestant has its turn.
    on_step
        Called before every turn, with the contestant's name.
    clock
        Returns the seconds of a call, over so many of them; by default this process's.
    """
    seconds = _seconds if clock is None else clock
    timings = [Timing(contestant) for contestant in contestants]
    for timing in timings:
        on_step(timing.contestant.name)
        timing.failure = check(workload, timing.contestant, wanted)
    running = [timing for timing in timings if not timing.failure]
    once = {timing.contestant.key: seconds(timing.contestant, 1) for timing in running}
    for number in range(rounds):
        # Who comes after whom should not always be the same.
        first = number % max(1, len(running))
        for timing in running[first:] + running[:first]:
            on_step(timing.contestant.name)
            likely = once[timing.contestant.key]
            calls = max(1, min(MOST, round(LONG_ENOUGH / likely)))
            if likely < SETTLED:
                # The threads of whoever came before spin for a while, and its data fill caches.
                seconds(timing.contestant, calls)
            timing.seconds.append(seconds(timing.contestant, calls))
    return timings


def check(workload: Workload, contestant: Contestant, wanted: Values) -> str:
    """Call a contestant once; return what is wrong with it, or nothing."""
    try:
        found = contestant.values(contestant.call())
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {lines[0]}"
    if isinstance(found, str):
        return found and f"wrong result: {found}"
    wrong = departure(workload, found, wanted)
    return wrong and f"wrong result: {wrong}"


def _seconds(contestant: Contestant, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        contestant.call()
    return (time.perf_counter() - start) / calls
