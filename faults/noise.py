"""Decides whether the guarded client was slower by more than two bare clients differ."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

_DRAWN = 1_000
_CERTAINTY = 0.999
_ALLOWED = 1e-4


class Difference(NamedTuple):
    """A time in seconds: the mean of the two bare clients, and that of the guarded client.

    Attributes:
        noise: The largest difference of two bare clients in 99.9 % of the cases.
        allowed: What the guard may cost without a fault.
    """

    bare: float
    ours: float
    noise: float
    allowed: float

    @property
    def is_slower(self) -> bool:
        """Whether the guarded client is slower by more than ``noise`` and ``allowed``."""
        return self.ours - self.bare > max(self.noise, self.allowed)

    def text(self) -> str:
        """Format it in milliseconds."""
        return f"{_digits(self.bare)} → {_digits(self.ours)} ms (±{_digits(self.noise)})"


def p99(seconds: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


def differences(
    bare: Sequence[float], again: Sequence[float], ours: Sequence[float]
) -> tuple[Difference, Difference]:
    """Compare the guarded client with the bare one: the 99th percentile, and the sum of all calls.

    The calls were made in turns, so calls with the same index belong together. The noise is that of 1,000
    comparisons of two bare clients: for the percentile with random samples of their calls, for the sum with
    random pairs of calls swapped.
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
    """Compare rounds of concurrent calls, each with new clients.

    Calls of one client in a round wait for each other, so for the noise whole rounds are swapped.
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
