"""Times that are comparable: all sides take turns in one process."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long is measured.

    Args:
        rounds: turns of each side.
        seconds: at least so long is a turn; short calls are repeated.
        pause: seconds between turns. Threads of OpenMP and ONNX Runtime go on spinning for some
            milliseconds after their work, and would take time from the next side.
    """

    rounds: int
    seconds: float = 0.25
    pause: float = 0.05


def take_turns(sides: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, list[float]]:
    """Seconds of one call of each side, in each round.

    Two calls of each warm up, and the second tells how many calls make a turn. Every second round
    goes the other way round, so that no side always follows the same one. A turn of several calls
    begins with one that does not count, for the caches.
    """
    calls = {}
    for name, run in sides.items():
        run()
        calls[name] = max(1, math.ceil(effort.seconds / max(_seconds(run, 1), 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(effort.rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            time.sleep(effort.pause)
            if calls[name] > 1:
                sides[name]()
            times[name].append(_seconds(sides[name], calls[name]))
    return times


def _seconds(run: Callable[[], object], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - began) / calls


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median of some rounds and their quartiles, for JSON."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def ratio(rival: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """How many times as fast ours is, round by round."""
    return spread([theirs / own for theirs, own in zip(rival, ours, strict=True)])
