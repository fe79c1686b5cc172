"""All tries of a keep-alive end by its deadline: the right to send it alone is held hardly longer."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from finetune_guard.clock import countdown
from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.rules.keep_alive_attempts import Attempts
from tests.openai_api.flow_scripts import error, reply, run

A = "ft:gpt-4o-mini-2024-07-18:acme::A"
DEADLINE = timedelta(seconds=60)


class Stopwatch:
    """The machine's monotonic time, turned by hand."""

    def __init__(self):
        self.seconds = 1_000.0

    def __call__(self):
        return self.seconds

    def after(self, seconds, answer):
        """An answer that takes ``seconds``."""

        def give(_call):
            self.seconds += seconds
            return answer

        return give


@pytest.fixture
def stopwatch(monkeypatch):
    stopwatch = Stopwatch()
    monkeypatch.setattr(time, "monotonic", stopwatch)
    return stopwatch


def test_a_later_try_has_only_the_time_that_is_left(stopwatch):
    """A second try begun after fifty seconds is given up after ten, not after another sixty."""
    flow = Attempts([A], countdown(DEADLINE)).send()
    _, calls, _ = run(flow, stopwatch.after(50, error(503)), reply({"model": A, "choices": [{"index": 0}]}))
    assert [timedelta(seconds=60), timedelta(seconds=10)] == [call.timeout for call in calls]


def test_nothing_is_sent_after_the_deadline(stopwatch):
    """When the search for a model took all the time, no inference follows it."""
    listed = reply({"data": [{"id": A, "created": 1_750_000_000}]})
    flow = Attempts([], countdown(DEADLINE), lambda found: found.newest_first).send()
    with pytest.raises(KeepAliveError, match="no time was left") as caught:
        run(flow, stopwatch.after(70, listed))
    assert {A: "no time was left"} == caught.value.attempts
