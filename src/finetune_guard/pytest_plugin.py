"""The pytest fixtures of ``finetune_guard.testing``; imported by pytest only (PYTEST_DONT_REWRITE).

pytest always imports this module if the package is installed, so the fixtures import what they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from finetune_guard.simulator import SimulatedClock, Simulator

_OTHER_ORGANIZATION = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY")
"""Variables that would make a client use another organization than the simulator's."""

_MARKER = "finetune_guard"
_FIRST_DATE = "2026-08-01"  # without the marker: in the phase with the 60-day rule


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", f'{_MARKER}(date="2026-12-01"): the initial time of the simulator of finetune-guard'
    )


@pytest.fixture
def finetune_guard_clock(request: pytest.FixtureRequest) -> SimulatedClock:
    """The simulator's clock; it stands still until it is set.

    It starts at noon UTC on 2026-08-01, or on the date of ``@pytest.mark.finetune_guard(date=...)``.
    """
    from finetune_guard.simulator import SimulatedClock  # noqa: PLC0415 -- on use

    marker = request.node.get_closest_marker(_MARKER)
    return SimulatedClock(_start_time(_FIRST_DATE) if marker is None else _time_of(marker))


@pytest.fixture
def finetune_guard_simulator(
    finetune_guard_clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    """A running simulator, and environment variables that make every client use it.

    The history is in the test's own folder, so clients share it, including those in other processes.
    """
    from finetune_guard.simulator import Simulator  # noqa: PLC0415 -- on use
    from finetune_guard.testing import simulator_environment  # noqa: PLC0415 -- on use

    with Simulator(clock=finetune_guard_clock) as simulator:
        for name in _OTHER_ORGANIZATION:
            monkeypatch.delenv(name, raising=False)
        for name, value in simulator_environment(simulator, tmp_path / "finetune-guard").items():
            monkeypatch.setenv(name, value)
        yield simulator


def _time_of(marker: pytest.Mark) -> datetime:
    """Return the time in a marker."""
    if marker.args or set(marker.kwargs) != {"date"}:
        keywords = (f"{key}={each!r}" for key, each in marker.kwargs.items())
        arguments = ", ".join((*map(repr, marker.args), *keywords))
        raise pytest.UsageError(f"@pytest.mark.{_MARKER}({arguments}): date=... is the only argument")
    try:
        return _start_time(marker.kwargs["date"])
    except (TypeError, ValueError):
        raise pytest.UsageError(
            f"@pytest.mark.{_MARKER}(date={marker.kwargs['date']!r}): a date as in '2026-12-01', or a time "
            "with its zone as in '2026-12-01T09:30:00+00:00', is required"
        ) from None


def _start_time(value: object) -> datetime:
    """Return noon UTC of a date, or a time with a time zone unchanged."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == len(_FIRST_DATE) else datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(timezone.utc)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(12), timezone.utc)
    raise ValueError
