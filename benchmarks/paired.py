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

    def take(name: str) -> list[float]:
        block = contestants[name]
        began = [clock() for clock in clocks]
        block(calls)
        return [(clock() - at) / calls for clock, at in zip(clocks, began, strict=True)]

    gc.collect()
    gc.freeze()  # what is there already need not be looked at again after every round
    gc.disable()
    try:
        return in_turns(contestants, take, rounds=rounds, before_round=gc.collect)
    finally:
        gc.enable()
        gc.unfreeze()


def in_turns(
    names: Iterable[str],
    take: Callable[[str], Sequence[float]],
    *,
    rounds: int,
    before_round: Callable[[], object] = lambda: None,
) -> tuple[Comparison, ...]:
    """Let everyone have turns, in one round more to warm up; ``take`` returns what one took by each clock."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in names}
    for number, turns in enumerate(rounds_of(seconds, rounds + 1)):
        before_round()
        taken: dict[str, list[Sequence[float]]] = {name: [] for name in seconds}
        for name in turns:
            taken[name].append(take(name))
        if number:
            for name, both in taken.items():
                seconds[name].append([statistics.mean(each) for each in zip(*both, strict=True)])
    by_name = {name: list(zip(*each, strict=True)) for name, each in seconds.items()}
    clocks = range(len(next(iter(by_name.values()))))
    return tuple(Comparison({name: each[clock] for name, each in by_name.items()}) for clock in clocks)


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
