"""Which alerts are due, their thresholds and their texts."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.errors import KeepAliveError, ShortLivedModelError, StoreError
from finetune_guard.domain.facts import Inference, Served
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.idle_policy import SHIPPED
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.openai_api.requests import JobCreation
from finetune_guard.rules import endings, events
from finetune_guard.rules.alerts import alerts_due, deployment_alerts_due
from finetune_guard.rules.deployments import deployments_of
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.endings import MODEL, Ending, window_end
from tests.support.constants import DAY, NOW, utc
from tests.support.facts import ORGANIZATION, decided, known

START = utc(2026, 8, 3, 9)
MODELS = ("ft:a:acme::1", "ft:b:acme::2")


class Watch:
    """Remembers what was told, as a store does, unless it could not be delivered."""

    def __init__(self):
        self.told = {}

    def keep(self, due, *, delivered=True):
        for state in (due.updates, *(alert.state for alert in due.alerts if delivered)):
            self.told |= state
        self.told = {subject: text for subject, text in self.told.items() if text is not None}

    def run(self, now, last=START, failed_at=None, ends=(), delivered=True):
        """Return the kinds of the alerts that are due, with their threshold or verdict."""
        evidence = known(last, keep_alive_failed_at=failed_at)
        eligibility = decide(OPENAI_SELF_SERVE, evidence, now)
        due = alerts_due(eligibility, evidence, [*filter(None, [window_end(eligibility)]), *ends], self.told)
        self.keep(due, delivered=delivered)
        events = [alert.event for alert in due.alerts]
        assert all(ORGANIZATION == event.organization and event.message for event in events)
        assert len(events) == len({alert.id for alert in due.alerts})
        return [
            (event.kind, getattr(event, "within_days", getattr(event, "verdict", None))) for event in events
        ]


@pytest.fixture
def watch():
    return Watch()


def test_each_threshold_alerts_once_until_the_window_is_renewed(watch):
    assert ([], {}) == (watch.run(START + DAY), watch.told)  # what is open for long is nothing to tell
    kinds = [kind for hours in range(0, 61 * 24, 6) for kind in watch.run(START + timedelta(hours=hours))]
    closing = [("window_closing", days) for days in (30, 15, 7, 1)]
    assert [*closing, ("verdict_changed", "unknown")] == kinds
    renewed = START + 61 * DAY
    assert [("verdict_changed", "eligible")] == watch.run(renewed, last=renewed)
    assert [("window_closing", 30)] == watch.run(renewed + 31 * DAY, last=renewed)


def test_rare_runs_alert_only_the_nearest_threshold(watch):
    """An inference that renews by little repeats nothing."""
    assert [("window_closing", 30)] == watch.run(START + 31 * DAY)
    assert [("window_closing", 7)] == watch.run(START + 54 * DAY)
    assert [] == watch.run(START + 54 * DAY, last=START + 4 * DAY)
    assert [("window_closing", 7)] == watch.run(START + 58 * DAY, last=START + 4 * DAY)


def test_undelivered_alert_is_due_again(watch):
    assert [("window_closing", 30)] == watch.run(START + 31 * DAY, delivered=False)
    assert [("window_closing", 30)] == watch.run(START + 31 * DAY)
    assert [] == watch.run(START + 31 * DAY)


def test_first_run_alerts_an_ineligible_or_unknown_verdict(watch):
    assert [("verdict_changed", "unknown")] == watch.run(START, last=None)
    closed = utc(2027, 1, 8)
    assert [("verdict_changed", "ineligible")] == watch.run(closed, last=closed - DAY)
    assert [] == watch.run(closed, last=closed - DAY)


def test_failed_keep_alive_alerts_once_until_an_inference(watch):
    failed = START + 2 * DAY
    assert [("keep_alive_failed", None)] == watch.run(failed, failed_at=failed)
    assert [] == watch.run(failed + DAY, failed_at=failed + DAY)
    assert [] == watch.run(failed + DAY, last=failed + DAY, failed_at=failed + DAY)
    assert [("keep_alive_failed", None)] == watch.run(failed + 9 * DAY, failed_at=failed + 9 * DAY)


def test_models_with_the_same_shutdown_are_one_alert(watch):
    """A new model with the same date is alerted alone; one that left the history is forgotten."""
    both = [Ending(MODEL, model, date(2026, 8, 20)) for model in MODELS]
    other = Ending("deployment", "d" * 600, date(2026, 8, 20))
    assert [("model_ending", 30)] == watch.run(START, ends=both[:1])
    assert [("model_ending", 30)] == watch.run(START, ends=both)
    assert [("model_ending", 15), ("model_ending", 15)] == watch.run(START + 5 * DAY, ends=[*both, other])
    assert [] == watch.run(START + 5 * DAY, ends=[other])
    assert [f"deployment/{'d' * 501}"] == list(watch.told)
    assert [] == watch.run(START + 29 * DAY, ends=[other])


def test_deployment_alerts_before_its_end_and_retirement(watch):
    """Seven days and one day before, each once; a call begins anew."""
    azure, fireworks = SHIPPED[:2]
    served = Served(model="gpt-4.1-mini-2025-04-14.ft-0a1b", at=START)

    def told(now, last=START, policy=azure):
        inference = Inference(organization="east", model="support", at=last, served=served)
        history = History(evidence=Evidence(organization="east"), models={"support": inference})
        due = deployment_alerts_due(
            deployments_of("east", history, policy, now, ["support"]), watch.told, now
        )
        watch.keep(due)
        assert all("support" in alert.event.message for alert in due.alerts)
        return [(alert.event.cause, alert.event.within_days) for alert in due.alerts]

    first = [days_before for days in range(20) for days_before in told(START + days * DAY)]
    assert [("idle", 7), ("idle", 1)] == first
    called = START + 20 * DAY
    assert [] == told(called, last=called)
    assert [("idle", 7)] == told(called + 10 * DAY, last=called)
    watch.told.clear()
    assert [("idle", 1)] == [
        days_before
        for days in range(7)
        for days_before in told(called + days * DAY, last=called, policy=fireworks)
    ]
    retired = utc(2027, 9, 20)
    assert [("deployment_retirement", 30)] == told(retired, last=retired)


@pytest.mark.parametrize(
    ("ends", "days_left", "threshold"),
    [
        (NOW + 30 * DAY + timedelta(seconds=1), 31, None),
        (NOW + 30 * DAY, 30, 30),
        (NOW + 6.5 * DAY, 7, 7),
        (NOW + timedelta(seconds=1), 1, 1),
        (NOW, 0, None),
        (date(2026, 12, 23), 31, None),
        (date(2026, 12, 22), 30, 30),
        (date(2026, 11, 24), 2, 7),
        (date(2026, 11, 23), 1, 1),
        (date(2026, 11, 22), 0, 1),
        (date(2026, 11, 21), -1, None),
    ],
)
def test_threshold_is_crossed_to_the_second_or_after_the_published_day(ends, days_left, threshold):
    ending = Ending("model", "m", ends)
    assert (days_left, threshold) == (ending.days_left(NOW), ending.threshold(NOW))


def test_models_are_sorted_by_shutdown_and_unknown_dates_left_out():
    dates = ShutdownDates(published_catalog())
    endings_found = endings.model_ends(
        ["ft:gpt-4o-mini-2024-07-18:a::1", "ft:o4-mini-2025-04-16:a::1", "ft:x:a::1"], dates
    )
    assert [date(2026, 10, 23), date(2027, 1, 14)] == [ending.ends for ending in endings_found]


@pytest.mark.parametrize(("days", "seconds"), [(None, None), (0, 60 * 86400), (61, 0)])
def test_remaining_window_is_measured_until_it_closes(days, seconds):
    last = NOW - days * DAY if days is not None else None
    assert seconds == endings.seconds_open(decided(NOW, last))


def test_text_names_three_models_and_the_event_all():
    event = events.model_ending("acme", list("abcde"), date(2026, 11, 23), 1, NOW)
    assert event.message.startswith("a, b, c and 2 more end on 2026-11-23, tomorrow")
    assert tuple("abcde") == event.models


def test_events_have_a_text_with_reasons_and_the_decision():
    stopped = events.job_stopped(JobCreation("m"), ShortLivedModelError("too short", model="m"), NOW)
    assert ("ShortLivedModelError", None, None) == (stopped.error, stopped.organization, stopped.verdict)
    sent = events.keep_alive_sent("acme", "ft:a:b::c", NOW)
    failed = events.keep_alive_failed("acme", KeepAliveError("nobody", attempts={"ft:a:b::c": "404"}), NOW)
    unusable = events.history_unavailable("/var/lib/guard", StoreError("the disk is full"), NOW)
    assert ("ft:a:b::c", {"ft:a:b::c": "404"}) == (sent.model, failed.attempts)
    assert "ft:a:b::c answered it" in sent.message
    assert ("/var/lib/guard", True) == (unusable.location, "the disk is full" in unusable.message)
