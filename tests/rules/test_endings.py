"""What ends when, the thresholds before it, and what is said then."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.errors import KeepAliveError, ShortLivedModelError, StoreError
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.openai_api.requests import JobCreation
from finetune_guard.rules import endings, events
from finetune_guard.rules.endings import Ending
from tests.support.constants import DAY, NOW
from tests.support.facts import decided


@pytest.mark.parametrize(
    ("ends", "days_left", "threshold"),
    [
        (NOW + 30 * DAY + timedelta(seconds=1), 31, None),
        (NOW + 30 * DAY, 30, 30),
        (NOW + 15 * DAY, 15, 15),
        (NOW + 6.5 * DAY, 7, 7),
        (NOW + timedelta(seconds=1), 1, 1),
        (NOW, 0, None),
        (NOW - DAY, -1, None),
        (date(2026, 12, 23), 31, None),
        (date(2026, 12, 22), 30, 30),
        (date(2026, 11, 24), 2, 7),
        (date(2026, 11, 23), 1, 1),
        (date(2026, 11, 22), 0, 1),
        (date(2026, 11, 21), -1, None),
    ],
)
def test_thresholds(ends, days_left, threshold):
    """A time is over to the second; a published day counts until it has passed."""
    ending = Ending("model", "m", ends)
    assert (days_left, threshold) == (ending.days_left(NOW), ending.threshold(NOW))


def test_models_are_sorted_by_their_end():
    """The first to end comes first; a model whose end nobody knows is left out."""
    dates = ShutdownDates(published_catalog())
    found = endings.models(
        ["ft:gpt-4o-mini-2024-07-18:a::1", "ft:o4-mini-2025-04-16:a::1", "ft:x:a::1"], dates
    )
    assert [date(2026, 10, 23), date(2027, 1, 14)] == [ending.ends for ending in found]


@pytest.mark.parametrize(("days", "seconds"), [(None, None), (0, 60 * 86400), (61, 0)])
def test_a_window_is_measured_until_it_has_closed(days, seconds):
    """Where none is known there is nothing to measure; one that has closed is open for no time."""
    last = NOW - days * DAY if days is not None else None
    assert seconds == endings.seconds_open(decided(NOW, last))


def test_many_models_are_named_by_three():
    """The words stay short, and the event names all."""
    event = events.model_ending("acme", list("abcde"), date(2026, 11, 23), 1, NOW)
    assert event.message.startswith("a, b, c and 2 more end on 2026-11-23, tomorrow")
    assert tuple("abcde") == event.models


def test_what_became_of_calls_and_of_our_own_parts_is_told_in_words():
    """Events say what happened, with every model's reason, and with a decision where there is one."""
    stopped = events.job_stopped(JobCreation("m"), ShortLivedModelError("too short", model="m"), NOW)
    assert ("ShortLivedModelError", None, None) == (stopped.error, stopped.organization, stopped.verdict)
    sent = events.keep_alive_sent("acme", "ft:a:b::c", NOW)
    failed = events.keep_alive_failed("acme", KeepAliveError("nobody", attempts={"ft:a:b::c": "404"}), NOW)
    unusable = events.history_unavailable("/var/lib/guard", StoreError("the disk is full"), NOW)
    assert ("ft:a:b::c", {"ft:a:b::c": "404"}) == (sent.model, failed.attempts)
    assert "ft:a:b::c answered it" in sent.message
    assert ("/var/lib/guard", True) == (unusable.location, "the disk is full" in unusable.message)
