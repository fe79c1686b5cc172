"""When a keep-alive is due, to which model it goes, and how it is sent."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.errors import GuardConfigError, KeepAliveError
from finetune_guard.domain.history import Activity, Evidence, History, Inference, Source
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.verdict import Reason
from finetune_guard.rules.eligibility import decide, explained
from finetune_guard.rules.keep_alive import KeepAlive, candidates, is_due, live, send, smallest_call
from tests.openai_api.flow_scripts import NOW, error, reply, run

A, B, C = (f"ft:gpt-4o-mini-2024-07-18:acme::{name}" for name in "ABC")
DEAD = "ft:gpt-4-0613:acme::Dead"
DEADLINE = timedelta(seconds=60)
TODAY = date(2026, 11, 22)


def at(day: int) -> datetime:
    return datetime(2026, 8, 1, tzinfo=timezone.utc) + timedelta(days=day)


def evidence(last: datetime | None) -> Evidence:
    known = Evidence(organization="acme-28gund", fine_tuned_by=at(-100))
    return known if last is None else known.recorded(Inference(organization="acme-28gund", model=A, at=last))


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (None, at(0), True),
        (at(0), at(1), False),
        (at(0), at(46) - timedelta(seconds=1), False),
        (at(0), at(46), True),
        (at(0), at(59), True),
        (at(0), at(60), True),
        (at(0), at(100), True),
        (None, datetime(2026, 6, 1, tzinfo=timezone.utc), False),
        (None, datetime(2026, 1, 1, tzinfo=timezone.utc), False),
        (at(0), datetime(2027, 2, 1, tzinfo=timezone.utc), False),
        (at(150), datetime(2027, 1, 6, tzinfo=timezone.utc), False),
        (at(100), datetime(2027, 1, 6, tzinfo=timezone.utc), True),
        (at(101), datetime(2026, 12, 30, tzinfo=timezone.utc), False),
        (at(100), datetime(2026, 12, 30, tzinfo=timezone.utc), True),
    ],
)
def test_when_it_is_due(last, now, due):
    """Due when the window is lapsed, unknown or closes within fourteen days, while jobs can be created."""
    assert due is is_due(KeepAlive(), decide(OPENAI_SELF_SERVE, evidence(last), now))


@pytest.mark.parametrize(
    "reason", [Reason.REFUSED, Reason.CLOSED, Reason.HISTORY_UNAVAILABLE, Reason.NOT_GUARDED]
)
def test_where_it_would_not_help_it_is_never_due(reason):
    """After a refusal, after the end, without a readable history: nothing is sent unasked."""
    assert not is_due(KeepAlive(), explained(OPENAI_SELF_SERVE, evidence(None), at(0), reason))


def test_the_model_used_last_comes_first():
    """A preferred model leads, then those used last; models shut down are left out."""
    history = History(evidence=evidence(None))
    for day, model in enumerate([C, DEAD, A, B]):
        inference = Inference(organization="acme-28gund", model=model, at=at(day), source=Source.OBSERVED)
        history = history.recorded(Activity(inference=inference))
    dates = ShutdownDates(published_catalog())
    assert (B, A, C) == candidates(history, None, dates, TODAY)
    assert (C, B, A) == candidates(history, C, dates, TODAY)
    assert (B, A, DEAD, C) == candidates(history, None, dates, date(2026, 10, 1))


def test_at_most_ten_models_are_tried():
    """An organization with thousands of models doesn't make a keep-alive endless."""
    models = [f"ft:gpt-4o-mini-2024-07-18:acme::{number}" for number in range(50)]
    assert tuple(models[:10]) == live(models, ShutdownDates(published_catalog()), TODAY)


def test_the_smallest_call():
    """One token in and one out, by the parameter that every chat model takes, without the SDK's retries."""
    call = smallest_call(A, DEADLINE)
    assert ("post", "/chat/completions", DEADLINE, False) == (
        call.method,
        call.path,
        call.timeout,
        call.retry,
    )
    assert {"model", "messages", "max_completion_tokens"} == set(call.json)
    assert (A, 1) == (call.json["model"], call.json["max_completion_tokens"])


def asked(calls) -> list[str]:
    return [call.json["model"] if call.json else call.path for call in calls]


def test_the_first_model_that_answers_is_enough():
    """One call, no waiting, and nothing else is asked."""
    sent, calls, pauses = run(send([A, B], left=lambda: DEADLINE, find_more=None), reply({}))
    assert (A, NOW) == (sent.model, sent.reply.at)
    assert ([A], []) == (asked(calls), pauses)


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_model_that_does_not_answer_is_left_for_the_next_at_once(status):
    """A model that is gone or not allowed costs one call and no waiting."""
    sent, calls, pauses = run(
        send([A, B], left=lambda: DEADLINE, find_more=None),
        error(status, "model_not_found"),
        reply({}),
    )
    assert (B, [A, B]) == (sent.model, asked(calls))
    assert [timedelta(0)] == pauses


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_may_pass_is_tried_again_after_a_pause(status):
    """Rate limits and server errors are waited out, and the same model is asked again."""
    sent, calls, pauses = run(send([A], left=lambda: DEADLINE, find_more=None), error(status), reply({}))
    assert (A, [A, A]) == (sent.model, asked(calls))
    assert 1 == len(pauses)


def test_retry_after_is_respected():
    """The API's own waiting time is never undercut."""
    limited = error(429, retry_after="20")
    _, _, pauses = run(send([A], left=lambda: DEADLINE, find_more=None), limited, reply({}))
    assert [timedelta(seconds=20)] <= pauses


def test_a_waiting_time_beyond_the_deadline_ends_it():
    """What the API asks to wait for longer than the deadline isn't waited for."""
    with pytest.raises(KeepAliveError, match="429") as caught:
        run(
            send([A], left=lambda: DEADLINE, find_more=None),
            error(429, retry_after="3600"),
        )
    assert {A: "429"} == caught.value.attempts


@pytest.mark.parametrize(
    "refusal",
    [
        error(401, "invalid_api_key"),
        error(429, "insufficient_quota"),
        error(400, "billing_hard_limit_reached"),
    ],
)
def test_what_no_model_can_answer_is_not_tried_again(refusal):
    """A wrong key or no money ends it at the first model."""
    with pytest.raises(KeepAliveError) as caught:
        run(send([A, B], left=lambda: DEADLINE, find_more=None), refusal)
    assert [A] == list(caught.value.attempts)
    assert refusal is caught.value.__cause__


def test_when_no_candidate_is_left_the_api_is_asked_for_more():
    """Models that the API tells of come after those known, and none is tried twice."""
    listed = reply({"data": [{"id": model, "created": 1_750_000_000} for model in (A, B)]})
    sent, calls, _ = run(
        send([A], left=lambda: DEADLINE, find_more=lambda found: found.newest_first),
        error(404),
        listed,
        reply({}),
    )
    assert (B, [A, "/models", B]) == (sent.model, asked(calls))


def test_an_error_tells_model_by_model_and_no_secret():
    """Each model's status and code is told; the API's own wording, which can hold parts of a key, is not."""
    with pytest.raises(KeepAliveError) as caught:
        run(
            send([A, B], left=lambda: DEADLINE, find_more=None),
            error(404, "model_not_found"),
            error(403),
        )
    assert {A: "404 model_not_found", B: "403"} == caught.value.attempts
    assert "secret" not in str(caught.value)
    assert f"{A}: 404 model_not_found; {B}: 403" in str(caught.value)
    assert caught.value.remedy in str(caught.value)


@pytest.mark.parametrize(
    ("models", "told"),
    [(reply({"data": []}), "No fine-tuned model that is still alive"), (error(403), "would not list")],
)
def test_no_candidate_at_all(models, told):
    """Without any model it says whether there are none or the API would not tell."""
    flow = send([], left=lambda: DEADLINE, find_more=lambda found: found.newest_first)
    with pytest.raises(KeepAliveError, match=told):
        run(flow, models, reply({"data": [], "has_more": False}))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"renew_within": timedelta(0)},
            "KeepAlive.renew_within is datetime.timedelta(0): a timedelta",
        ),
        ({"deadline": "soon"}, "KeepAlive.deadline is 'soon': a timedelta longer than zero"),
        ({"model": "gpt-4o"}, "KeepAlive.model is 'gpt-4o': a fine-tuned model's id is required"),
        ({"renew": 1}, "KeepAlive.renew does not exist; allowed: background, deadline, model"),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(wrong, told):
    """A wrong policy is refused where it is made, by field and value."""
    with pytest.raises(GuardConfigError) as caught:
        KeepAlive(**wrong)
    assert str(caught.value).startswith(told)
