"""Compares contestants in one process, in turns, by the median of many rounds.

A round runs one block of calls of every contestant and then the same blocks in reverse order (bare, ours,
ours, bare), so that a machine that gets slower or faster affects all of them. The order changes from round
to round, and the garbage collector runs between rounds only. The result is the median over the rounds, with
its 95 % confidence interval.

The first two contestants are both the bare client: their difference is noise.
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
"""A function that makes a number of calls."""


@dataclass(frozen=True)
class Estimate:
    """A median and its 95 % confidence interval."""

    median: float
    low: float
    high: float

    def text(self, digits: int, *, factor: float = 1.0, unit: str = "") -> str:
        """Format the estimate."""
        median, low, high = (f"{value * factor:.{digits}f}" for value in (self.median, self.low, self.high))
        return f"{median}{unit} ({low} to {high})"


@dataclass(frozen=True)
class Comparison:
    """The times of all contestants.

    Attributes:
        seconds: The seconds of one call, by contestant and round.
    """

    seconds: Mapping[str, tuple[float, ...]]

    def each(self, name: str) -> Estimate:
        """Return the seconds of one call."""
        return estimate(self.seconds[name])

    def ratio(self, name: str, to: str = BARE) -> Estimate:
        """Return the ratio of the time of ``name`` to that of ``to``."""
        return estimate(a / b for a, b in self._pairs(name, to))

    def difference(self, name: str, to: str = BARE) -> Estimate:
        """Return the difference between the times of ``name`` and ``to`` in seconds."""
        return estimate(a - b for a, b in self._pairs(name, to))

    def least_difference(self, name: str, to: str = BARE) -> float:
        """Return the difference between the fastest rounds, which an otherwise idle machine would show."""
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
    """Run ``rounds`` rounds of two blocks of ``calls`` calls per contestant, after one round to warm up."""
    return compare_by((clock,), contestants, calls=calls, rounds=rounds)[0]


def compare_by(
    clocks: Sequence[Callable[[], float]], contestants: Mapping[str, Block], *, calls: int, rounds: int
) -> tuple[Comparison, ...]:
    """The same as ``compare`` with several clocks; return one comparison for each."""

    def take(name: str) -> list[float]:
        block = contestants[name]
        began = [clock() for clock in clocks]
        block(calls)
        return [(clock() - at) / calls for clock, at in zip(clocks, began, strict=True)]

    gc.collect()
    gc.freeze()  # existing objects need not be collected after every round
    gc.disable()
    try:
        return take_turns(contestants, take, rounds=rounds, before_round=gc.collect)
    finally:
        gc.enable()
        gc.unfreeze()


def take_turns(
    names: Iterable[str],
    take: Callable[[str], Sequence[float]],
    *,
    rounds: int,
    before_round: Callable[[], object] = lambda: None,
) -> tuple[Comparison, ...]:
    """Run the rounds, after one to warm up; ``take`` runs a contestant and returns its time by each clock."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in names}
    for number, turns in enumerate(turn_orders(seconds, rounds + 1)):
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


def turn_orders(names: Iterable[str], count: int) -> Iterator[tuple[str, ...]]:
    """Yield the order of turns in each of ``count`` rounds: all names forward and back."""
    order = tuple(names)
    for _ in range(count):
        yield (*order, *reversed(order))
        order = (*order[1:], order[0])


def estimate(values: Iterable[float]) -> Estimate:
    """Return the median of ``values`` and its distribution-free 95 % confidence interval."""
    ordered = sorted(values)
    count = len(ordered)
    below = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return Estimate(statistics.median(ordered), ordered[below], ordered[count - 1 - below])
