"""How one way of doing a thing is compared with another: in one process, in turns, by medians.

A round runs one block of calls of every contestant and then the same blocks backwards (bare, ours, ours,
bare), so that a machine that gets slower or faster meanwhile does so for all of them; who begins changes
from round to round. The garbage collector runs between rounds and not inside blocks. What
is told is the median over the rounds, with the interval that holds the true one with 95 % certainty.

The first contestant is the bare client, and so is the second one: how far these two lie apart is noise.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

BARE = "bare"
AGAIN = "bare again"

Block = Callable[[int], object]
"""Makes so many calls."""


@dataclass(frozen=True)
class Estimate:
    """A median, and the interval that holds the true one with 95 % certainty."""

    median: float
    low: float
    high: float

    def told(self, digits: int, *, factor: float = 1.0, unit: str = "") -> str:
        """Return the estimate as people read it."""
        median, low, high = (f"{value * factor:.{digits}f}" for value in (self.median, self.low, self.high))
        return f"{median}{unit} ({low} to {high})"


@dataclass(frozen=True)
class Comparison:
    """What each contestant took.

    Attributes:
        seconds: For each contestant the seconds of one call, round by round.
    """

    seconds: Mapping[str, tuple[float, ...]]

    def each(self, name: str) -> Estimate:
        """Return the seconds that one call took."""
        return estimate(self.seconds[name])

    def ratio(self, name: str, to: str = BARE) -> Estimate:
        """Return how many times as long as a call of ``to`` one of ``name`` took."""
        return estimate(a / b for a, b in self._pairs(name, to))

    def difference(self, name: str, to: str = BARE) -> Estimate:
        """Return how many seconds longer than a call of ``to`` one of ``name`` took."""
        return estimate(a - b for a, b in self._pairs(name, to))

    def least_difference(self, name: str, to: str = BARE) -> float:
        """Return the same of the quickest rounds: closest to what a machine of one's own would show."""
        return min(self.seconds[name]) - min(self.seconds[to])

    def _pairs(self, name: str, to: str) -> Iterable[tuple[float, float]]:
        return zip(self.seconds[name], self.seconds[to], strict=True)


def compare(
    contestants: Mapping[str, Block],
    *,
    calls: int,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Run ``rounds`` rounds of the contestants, two blocks of ``calls`` calls each, and one to warm up."""
    return compare_by((clock,), contestants, calls=calls, rounds=rounds)[0]


def compare_by(
    clocks: Sequence[Callable[[], float]], contestants: Mapping[str, Block], *, calls: int, rounds: int
) -> tuple[Comparison, ...]:
    """Do so by several clocks at once; return what each of them says."""
    seconds: list[dict[str, list[float]]] = [{name: [] for name in contestants} for _ in clocks]
    gc.collect()
    gc.freeze()  # what is there already need not be looked at again after every round
    for number, turns in enumerate(rounds_of(contestants, rounds + 1)):
        taken = [dict.fromkeys(contestants, 0.0) for _ in clocks]
        gc.collect()
        gc.disable()
        try:
            for name in turns:
                block = contestants[name]
                began = [clock() for clock in clocks]
                block(calls)
                for clock, at, total in zip(clocks, began, taken, strict=True):
                    total[name] += clock() - at
        finally:
            gc.enable()
        if number:
            for kept, total in zip(seconds, taken, strict=True):
                for name in contestants:
                    kept[name].append(total[name] / (2 * calls))
    gc.unfreeze()
    return tuple(Comparison({name: tuple(each) for name, each in kept.items()}) for kept in seconds)


def rounds_of(names: Iterable[str], count: int) -> Iterator[tuple[str, ...]]:
    """Yield who has a turn in each of ``count`` rounds: everyone twice, there and back."""
    order = tuple(names)
    for _ in range(count):
        yield (*order, *reversed(order))
        order = (*order[1:], order[0])


def estimate(values: Iterable[float]) -> Estimate:
    """Return the median of ``values`` and its 95 % interval, which assumes nothing of their distribution."""
    ordered = sorted(values)
    count = len(ordered)
    below = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return Estimate(statistics.median(ordered), ordered[below], ordered[count - 1 - below])
