"""The pytest fixtures of ``finetune_guard.testing``; imported by pytest only (PYTEST_DONT_REWRITE).

pytest imports this module at its start wherever the package is installed, so that what the fixtures need
is imported when one is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from finetune_guard.simulator import SimulatedClock, Simulator

_ELSEWHERE = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY")
"""Variables that would make a client speak for another organization than the simulator's."""

_MARKER = "finetune_guard"
_FIRST_DATE = "2026-08-01"  # without the marker: in the phase of the 60 days


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", f'{_MARKER}(date="2026-12-01"): when a test with the simulator of finetune-guard begins'
    )


@pytest.fixture
def finetune_guard_clock(request: pytest.FixtureRequest) -> SimulatedClock:
    """The simulator's clock; it stands until turned.

    It begins at noon of 2026-08-01 in UTC, or at the date of ``@pytest.mark.finetune_guard(date=...)``.
    """
    from finetune_guard.simulator import SimulatedClock  # noqa: PLC0415 -- see above

    marker = request.node.get_closest_marker(_MARKER)
    return SimulatedClock(_beginning(_FIRST_DATE) if marker is None else _marked(marker))


@pytest.fixture
def finetune_guard_simulator(
    finetune_guard_clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    """A simulator that serves, and an environment in which every client made from it uses it.

    The history is in a folder of this test's own, so clients share it, in other processes as well.
    """
    from finetune_guard.simulator import Simulator  # noqa: PLC0415 -- see above
    from finetune_guard.testing import simulator_environment  # noqa: PLC0415 -- too

    with Simulator(clock=finetune_guard_clock) as simulator:
        for name in _ELSEWHERE:
            monkeypatch.delenv(name, raising=False)
        for name, value in simulator_environment(simulator, tmp_path / "finetune-guard").items():
            monkeypatch.setenv(name, value)
        yield simulator


def _marked(marker: pytest.Mark) -> datetime:
    """Return the time that a marker names."""
    if marker.args or set(marker.kwargs) != {"date"}:
        named = (f"{key}={each!r}" for key, each in marker.kwargs.items())
        given = ", ".join((*map(repr, marker.args), *named))
        raise pytest.UsageError(f"@pytest.mark.{_MARKER}({given}): date=... is required, and nothing else")
    try:
        return _beginning(marker.kwargs["date"])
    except (TypeError, ValueError):
        raise pytest.UsageError(
            f"@pytest.mark.{_MARKER}(date={marker.kwargs['date']!r}): a date as in '2026-12-01', or a time "
            "with its zone as in '2026-12-01T09:30:00+00:00', is required"
        ) from None


def _beginning(given: object) -> datetime:
    """Return noon in UTC of a date, and a time with a zone as it is."""
    if isinstance(given, str):
        given = date.fromisoformat(given) if len(given) == len(_FIRST_DATE) else datetime.fromisoformat(given)
    if isinstance(given, datetime) and given.tzinfo is not None:
        return given.astimezone(timezone.utc)
    if isinstance(given, date) and not isinstance(given, datetime):
        return datetime.combine(given, time(12), timezone.utc)
    raise ValueError
