"""Whether ours was slower than the bare client's: by more than two bare clients differ from each other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

_DRAWN = 1_000
_CERTAINTY = 0.999
_ALLOWED = 1e-4


class Difference(NamedTuple):
    """One figure of the two bare clients, in the mean, and of ours, in seconds.

    Attributes:
        noise: What two bare clients differ by at most, in 999 of 1,000 cases.
        allowed: What a guard may cost where nothing is wrong.
    """

    bare: float
    ours: float
    noise: float
    allowed: float

    @property
    def is_slower(self) -> bool:
        """Whether ours is slower by more than the noise, and than without any fault."""
        return self.ours - self.bare > max(self.noise, self.allowed)

    def told(self) -> str:
        """Return it as people read it, in milliseconds."""
        return f"{_digits(self.bare)} → {_digits(self.ours)} ms (±{_digits(self.noise)})"


def p99(seconds: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


def differences(
    bare: Sequence[float], again: Sequence[float], ours: Sequence[float]
) -> tuple[Difference, Difference]:
    """Return how ours differs from the bare client's: the 99th percentile, and all calls together.

    The three were taken by turns, so that a call of each belongs together. For the noise two bare clients
    are compared 1,000 times: for the percentile two that are drawn anew from the calls of both, and for the
    sum the two themselves, with other pairs of their calls swapped.
    """
    chance, both = random.Random(len(bare)), [*bare, *again]

    def drawn() -> float:
        one, other = (p99(chance.choices(both, k=len(bare))) for _ in range(2))
        return one - other

    def swapped() -> float:
        return sum(chance.choice((b - a, a - b)) for a, b in zip(bare, again, strict=True))

    of_one, of_all = (p99(bare), p99(again)), (sum(bare), sum(again))
    return (
        Difference(sum(of_one) / 2, p99(ours), _bound(drawn, of_one[0] - of_one[1]), _ALLOWED),
        Difference(sum(of_all) / 2, sum(ours), _bound(swapped, of_all[0] - of_all[1]), _ALLOWED * len(bare)),
    )


def differences_by_rounds(
    rounds: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]],
) -> tuple[Difference, Difference]:
    """Return the same of rounds with new clients each, where calls are made at once.

    There the calls of a round hang together: one client's wait for each other, and not for another's. So
    for the noise it is whole rounds that are swapped.
    """
    chance, calls = random.Random(len(rounds)), sum(len(ours) for _, _, ours in rounds)

    def difference(figure: Callable[[Sequence[float]], float], share: int, allowed: float) -> Difference:
        bare, again, ours = (
            [figure(each) / share for each in client] for client in zip(*rounds, strict=True)
        )
        apart = [b - a for b, a in zip(bare, again, strict=True)]
        noise = _bound(lambda: sum(chance.choice((each, -each)) for each in apart), sum(apart))
        return Difference((sum(bare) + sum(again)) / 2, sum(ours), noise, allowed)

    return difference(p99, len(rounds), _ALLOWED), difference(sum, 1, _ALLOWED * calls)


def _bound(difference: Callable[[], float], found: float) -> float:
    noise = sorted([abs(found), *(abs(difference()) for _ in range(_DRAWN))])
    return noise[math.ceil(_CERTAINTY * len(noise)) - 1]


def _digits(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"
