"""What a KeepAlive takes, when one is due, to which model it goes, and how it is sent."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta

import pytest

from finetune_guard.clock import countdown
from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.errors import GuardConfigError, KeepAliveError
from finetune_guard.domain.facts import Activity
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.verdict import Reason
from finetune_guard.openai_api.flow import give_up
from finetune_guard.rules.eligibility import decide, explained
from finetune_guard.rules.keep_alive import KeepAlive, candidates, is_due, limited_to, usable_models
from finetune_guard.rules.keep_alive_attempts import Attempts, smallest_call
from tests.openai_api.flow_scripts import NOW, connection_error, error, reply, run
from tests.support.constants import DAY, START, utc
from tests.support.facts import known, ran

A, B, C = (f"ft:gpt-4o-mini-2024-07-18:acme::{name}" for name in "ABC")
DEAD = "ft:gpt-4-0613:acme::Dead"
DEADLINE = timedelta(seconds=60)
TODAY = date(2026, 11, 22)


def at(day: int) -> datetime:
    return START + day * DAY


def evidence(last: datetime | None) -> Evidence:
    return known(last, fine_tuned_by=at(-100))


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (None, at(0), True),
        (at(0), at(46) - timedelta(seconds=1), False),
        (at(0), at(46), True),
        (at(0), at(60), True),
        (None, utc(2026, 6, 1), False),
        (None, utc(2026, 1, 1), False),
        (at(0), utc(2027, 2, 1), False),
        (at(150), utc(2027, 1, 6), False),
        (at(100), utc(2027, 1, 6), True),
        (at(101), utc(2026, 12, 30), False),
        (at(100), utc(2026, 12, 30), True),
    ],
)
def test_keep_alive_is_due_when_the_window_is_lapsed_unknown_or_closing(last, now, due):
    assert due is is_due(KeepAlive(), decide(OPENAI_SELF_SERVE, evidence(last), now))


def test_short_window_makes_it_due_after_half_the_window():
    short = OPENAI_SELF_SERVE.phases[2].model_copy(update={"window": timedelta(days=10)})
    policy = OPENAI_SELF_SERVE.model_copy(update={"phases": (OPENAI_SELF_SERVE.phases[0], short)})
    due = [is_due(KeepAlive(), decide(policy, evidence(at(0)), at(day))) for day in (0, 4, 5, 9, 10)]
    assert [False, False, True, True, True] == due


@pytest.mark.parametrize(
    "reason", [Reason.REFUSED, Reason.CLOSED, Reason.HISTORY_UNAVAILABLE, Reason.NOT_GUARDED]
)
def test_keep_alive_is_never_due_where_it_cannot_help(reason):
    assert not is_due(KeepAlive(), explained(OPENAI_SELF_SERVE, evidence(None), at(0), reason))


def test_candidates_are_preferred_then_used_last_without_shut_down_ones():
    history = History(evidence=evidence(None))
    for day, model in enumerate([C, DEAD, A, B]):
        history = history.recorded(Activity(inference=ran(at(day), model)))
    dates = ShutdownDates(published_catalog())
    assert (B, A, C) == candidates(history, None, dates, TODAY)
    assert (C, B, A) == candidates(history, C, dates, TODAY)
    assert (B, A, DEAD, C) == candidates(history, None, dates, date(2026, 10, 1))
    many = [f"ft:gpt-4o-mini-2024-07-18:acme::{number}" for number in range(50)]
    assert tuple(many[:10]) == usable_models([*many, "gpt-4o"], dates, TODAY)


@pytest.mark.parametrize(
    ("operation", "at", "path", "field"),
    [
        ("chat.completions", None, "/chat/completions", "messages"),
        ("responses", None, "/responses", "input"),
        ("completions", None, "/completions", "prompt"),
        ("chat.completions", "https://x", "https://x/deployments/d/chat/completions", "messages"),
        ("responses", "https://x", "https://x/responses", "input"),
    ],
)
def test_keep_alive_request_is_minimal_and_counts(operation, at, path, field):
    call = smallest_call("d", DEADLINE, operation, at)
    assert ("post", path, DEADLINE, False) == (call.method, call.path, call.timeout, call.retry)
    limits = {"messages": "max_completion_tokens", "input": "max_output_tokens", "prompt": "max_tokens"}
    limit = {limits[field]: 16 if field == "input" else 1}
    assert {"model": "d", field: call.json[field], **limit} == call.json


def send(known, find_more=None):
    return Attempts(known, lambda: DEADLINE, find_more).send()


def find_more(more):
    return more.newest_first


def completion(model):
    return reply({"model": model, "choices": [{"index": 0}]})


def listed(*models):
    return reply({"data": [{"id": model, "created": 1_750_000_000} for model in models]})


def called_models(calls) -> list[str]:
    return [call.json["model"] if call.json else call.path for call in calls]


LIMITED, BROKEN = error(429, retry_after="20"), connection_error("ReadError")


@pytest.mark.parametrize(
    ("flow", "answers", "expected", "seconds"),
    [
        (send([A, B]), [completion(A)], [A], []),
        *((send([A, B]), [error(status), completion(B)], [A, B], []) for status in (400, 403, 404, 422)),
        *((send([A]), [error(status), completion(A)], [A, A], [...]) for status in (408, 409, 429, 500, 503)),
        (send([A], find_more), [error(404), listed(A, B), completion(B)], [A, "/models", B], []),
        (send([A], find_more), [LIMITED, listed(A), completion(A)], [A, "/models", A], [20]),
        # A model that only the list knows comes before another is tried again.
        (send([A], find_more), [LIMITED, listed(A, B), completion(B)], [A, "/models", B], [...]),
        (send([A], find_more), [error(503), listed(A, B), completion(B)], [A, "/models", B], [...]),
        (send([A], find_more), [BROKEN, listed(A, B), completion(B)], [A, "/models", B], [...]),
    ],
)
def test_next_candidate_or_retry_after_each_error(flow, answers, expected, seconds):
    sent, calls, pauses = run(flow, *answers)
    assert (expected, expected[-1], NOW) == (called_models(calls), sent.model, sent.reply.at)
    assert len(seconds) == len(pauses)
    assert all(pause <= timedelta(seconds=8) for pause in pauses if seconds == [...])
    assert seconds in ([], [...], [pause.total_seconds() for pause in pauses])


NO_COMPLETION = "its answer was not a completion of this model"
NO_COMPLETIONS = [None, {}, {"error": {"message": "no"}}, {"model": A, "choices": []}]
NO_COMPLETIONS += [{"model": model, "choices": [{"index": 0}]} for model in ("gpt-4o-mini-2024-07-18", B)]


@pytest.mark.parametrize(
    ("known", "answer", "attempts"),
    [
        ([A], error(429, retry_after="3600"), {A: "429"}),
        ([A, B], error(401, "invalid_api_key"), {A: "401 invalid_api_key"}),
        ([A, B], error(429, "insufficient_quota"), {A: "429 insufficient_quota"}),
        ([A, B], error(400, "billing_hard_limit_reached"), {A: "400 billing_hard_limit_reached"}),
        *(([A], reply(other), {A: NO_COMPLETION}) for other in NO_COMPLETIONS),
    ],
)
def test_deadline_and_fatal_errors_end_a_keep_alive(known, answer, attempts):
    with pytest.raises(KeepAliveError) as caught:
        run(send(known), answer)
    assert attempts == caught.value.attempts
    assert (answer if isinstance(answer, Exception) else None) is caught.value.__cause__


@pytest.mark.parametrize("name", [A, f"openai/{A}", A.upper().replace("FT:", "ft:"), f"{A}:ckpt-step-7"])
def test_candidates_are_deduplicated_by_model_not_spelling(name):
    assert A == run(send([A]), completion(name))[0].model


@pytest.mark.parametrize(
    ("failing", "unknown"),
    [
        (error(404), 0),
        (connection_error("ConnectError"), 0),
        (connection_error("LocalProtocolError"), 0),
        (connection_error("ReadError"), 1),
        (connection_error("ReadTimeout", timeout=True), 1),
    ],
    ids=["answered", "no connection", "not sendable", "broken off", "no answer"],
)
def test_failure_says_whether_an_inference_may_have_run(failing, unknown):
    attempts = Attempts([A, B], lambda: DEADLINE)
    run(attempts.send(), failing, completion(B))
    assert unknown == attempts.unknown_outcomes


@pytest.mark.parametrize(("end", "unknown"), [(lambda flow: flow.close(), 1), (give_up, 0)])
def test_abandoned_keep_alive_may_have_run_if_it_was_sent(end, unknown):
    attempts = Attempts([A], lambda: DEADLINE)
    flow = attempts.send()
    next(flow)
    end(flow)
    assert unknown == attempts.unknown_outcomes


def test_timeout_of_a_call_limits_its_keep_alive():
    two, four = timedelta(seconds=2), timedelta(seconds=4)
    assert two == limited_to(KeepAlive(deadline=four), two).deadline
    assert two == limited_to(KeepAlive(deadline=two), four).deadline
    assert two == limited_to(KeepAlive(deadline=two), None).deadline
    with pytest.raises(KeepAliveError, match="longer timeout"):
        limited_to(KeepAlive(), timedelta(0))


def test_error_lists_each_models_status_without_the_apis_words():
    with pytest.raises(KeepAliveError) as caught:
        run(send([A, B]), error(404, "model_not_found"), error(403))
    assert {A: "404 model_not_found", B: "403"} == caught.value.attempts
    assert "secret" not in str(caught.value)
    assert f"{A}: 404 model_not_found; {B}: 403" in str(caught.value)
    assert caught.value.remedy in str(caught.value)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (reply({"data": []}), "No fine-tuned model that is still alive"),
        (reply("<html>"), "would not list them all"),
        (error(403, "unsupported_country"), "could not be listed: 403 unsupported_country"),
        (error(401), r": 401\. Check the API key"),
        (error(503), r": 503\. Try again later\."),
        (connection_error("ConnectError"), r": no connection\. Check the API key"),
        (connection_error("LocalProtocolError"), "a character that no header can have"),
    ],
)
def test_error_without_candidates_says_why(models, expected):
    flow = send([], find_more)
    with pytest.raises(KeepAliveError, match=expected):
        run(flow, models, reply({"data": [], "has_more": False}))


@pytest.fixture
def takes(monkeypatch):
    """Makes an answer that takes so many seconds of the machine's monotonic time, which is turned by hand."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(seconds, answer):
        def give(_call):
            now[0] += seconds
            return answer

        return give

    return slow


def test_retry_has_only_the_remaining_time(takes):
    _, calls, _ = run(Attempts([A], countdown(DEADLINE)).send(), takes(50, error(503)), completion(A))
    assert [timedelta(seconds=60), timedelta(seconds=10)] == [call.timeout for call in calls]


def test_no_inference_is_sent_after_the_deadline(takes):
    flow = Attempts([], countdown(DEADLINE), find_more).send()
    with pytest.raises(KeepAliveError, match="no time was left") as caught:
        run(flow, takes(70, listed(A)))
    assert {A: "no time was left"} == caught.value.attempts


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model": "gpt-4o-mini"}, "KeepAlive.model is 'gpt-4o-mini': a fine-tuned model's id is required"),
        ({"renew_within": timedelta(0)}, "KeepAlive.renew_within is datetime.timedelta(0): a time longer"),
        ({"deadline": "soon"}, "KeepAlive.deadline is 'soon': a time longer than zero"),
        ({"renew_in": "14d"}, "KeepAlive.renew_in does not exist; did you mean renew_within? Allowed: back"),
    ],
)
def test_wrong_value_is_named_with_what_is_allowed(values, expected):
    with pytest.raises(GuardConfigError) as caught:
        KeepAlive(**values)
    assert str(caught.value).startswith(expected)
    assert KeepAlive(model=A, deadline=timedelta(seconds=30)) == KeepAlive(model=A, deadline="30s")
