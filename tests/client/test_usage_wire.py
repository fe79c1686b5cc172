"""Wrong responses of the Usage API: a sync reports them, and no decision gets worse."""

from __future__ import annotations

import importlib
import logging
from datetime import datetime, timedelta, timezone

import httpx
import openai
import pytest

from finetune_guard import GuardConfig, InferenceWindowExpiredError, NeverFineTunedError, UsageSyncError
from finetune_guard.domain.facts import Source, Span
from finetune_guard.openai_api.flow import ApiCall
from tests.client.flavours import HTTP, create_job, done
from tests.openai_api.usage_api import UsageApi, bucket, page, row
from tests.support.constants import DAY

pytestmark = pytest.mark.anyio

CORE = importlib.import_module(HTTP.__name__.replace("httpx", "httpcore"))
"""What speaks HTTP below the SDK's library: its errors are those of a real network."""

NOW = datetime(2026, 9, 20, 12, 34, 56, tzinfo=timezone.utc)
FIRST = datetime(2026, 7, 22, tzinfo=timezone.utc)
"""The start of the day on which the window that ends now began."""
SECOND = FIRST + 31 * DAY
"""Where the second page begins."""
OLD, NEW = FIRST + timedelta(days=3, hours=7, minutes=8), SECOND + timedelta(days=4, hours=5, minutes=6)
ONE = "ft:gpt-4o-mini-2024-07-18:acme:one:AbC123xY"
TWO = "ft:gpt-4.1-2025-04-14:acme:two:AbC456xY"
KEY, ADMIN_KEY = "sk-the-project-secret", "sk-admin-the-owners-secret"
SLUG = "acme-28gund"
JOBS = "/v1/fine_tuning/jobs"


class Api:
    """The API in the network's place, with other ``answers`` to the requests of usage, by their number."""

    def __init__(self, wire):
        self.usage = UsageApi([(ONE, "proj_1", OLD), (TWO, "proj_2", NEW)], now=NOW)
        self.answers, self.asked, self._wire = {}, [], wire
        wire.route().mock(side_effect=self._serve)

    def posted(self, path):
        requests = [call.request for call in self._wire.calls]
        return sum((request.method, request.url.path) == ("POST", path) for request in requests)

    def _serve(self, request):
        answer = {"id": "x", "object": "list", "data": []}
        if request.url.path == "/v1/organization/usage/completions":
            query = request.url.params
            asked = dict(query, group_by=query.get_list("group_by[]") or query.get_list("group_by"))
            asked |= {name: int(query[name]) for name in ("start_time", "end_time", "limit") if name in query}
            self.asked.append(asked)
            scripted = self.answers.get(len(self.asked))
            if callable(scripted):
                answer = scripted(request)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            answer = scripted or self.usage(ApiCall("get", request.url.path, query=asked)).body
        return httpx.Response(200, json=answer, headers={"openai-organization": SLUG})


def failing(status, code=None, **headers):
    """An error of the API that repeats the key that it was asked with, as it has been seen to do."""

    def answer(request):
        message = f"Something is wrong with {request.headers['authorization']}."
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        return httpx.Response(status, json={"error": error}, headers={"openai-organization": SLUG, **headers})

    return answer


FAILURES = {
    "401": (failing(401, "invalid_api_key"), openai.AuthenticationError, "401 invalid_api_key"),
    "403": (failing(403), openai.PermissionDeniedError, "403"),
    "429": (
        failing(429, "rate_limit_exceeded", **{"retry-after": "7"}),
        openai.RateLimitError,
        "429 rate_limit_exceeded",
    ),
    "500": (failing(500), openai.InternalServerError, "500"),
    "timeout": (lambda _: CORE.ReadTimeout("too slow"), openai.APITimeoutError, "no answer in time"),
    "refused": (lambda _: CORE.ConnectError("refused"), openai.APIConnectionError, "no connection"),
}


@pytest.fixture(autouse=True)
def _at(clock):
    clock.set(NOW)


@pytest.fixture
def api(wire):
    return Api(wire)


@pytest.fixture
def at_the_wire(flavour, closing, api, clock, store):
    """Makes guarded clients of the API."""

    def make(config=None, **options):
        fields = {"store": store, "clock": clock, "admin_api_key": ADMIN_KEY, **(config or {})}
        options = {"api_key": KEY, "max_retries": 0, **options}
        return closing(flavour.guarded(guard=GuardConfig(**fields), **options))

    return make


@pytest.fixture
def client(at_the_wire):
    return at_the_wire()


def assert_no_key_in(*texts):
    for secret in (KEY, ADMIN_KEY):
        assert secret not in repr(texts)


async def sync_error(client, **options):
    with pytest.raises(UsageSyncError) as caught:
        await done(client.guard.sync(**options))
    return caught.value


NO_PAGE = {
    "no JSON": lambda _: httpx.Response(200, text="<html>", headers={"openai-organization": SLUG}),
    "too early": page(bucket(FIRST - DAY, row(ONE))),
}


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        *((failure, kind, f"({code})") for failure, kind, code in FAILURES.values()),
        *((answer, UsageSyncError, "not a page of usage as it is documented") for answer in NO_PAGE.values()),
    ],
    ids=[*FAILURES, *NO_PAGE],
)
async def test_failed_first_page_is_one_error_without_the_key(client, api, caplog, failure, kind, code):
    caplog.set_level(logging.DEBUG, "finetune_guard")
    api.answers[1] = failure
    error = await sync_error(client)
    assert type(error) is UsageSyncError
    assert isinstance(error.__cause__, kind)
    assert code in str(error)
    may_not = getattr(error.__cause__, "status_code", None) in (401, 403)
    assert may_not == ("OPENAI_ADMIN_KEY" in error.remedy)
    assert_no_key_in(str(error), repr(error), error.remedy, vars(error), caplog.text)
    history = await done(client.guard.history())
    assert ({}, {}, None) == (history.models, history.daily, history.last_inference)
    assert () == history.evidence.usage_read
    assert 1 == len(api.asked)
    assert (await done(client.guard.sync())).complete


# Where the reading breaks off.


IN_THE_MIDDLE = {
    "429": (FAILURES["429"][0], "429 rate_limit_exceeded"),
    "no page": (page(bucket(SECOND, row(ONE, 3)), None), "not a page of usage as it is documented"),
    "another organization's": (
        lambda _: httpx.Response(
            200, json=page(bucket(SECOND, row(ONE))), headers={"openai-organization": "other-1"}
        ),
        "belongs to the organization other-1",
    ),
}


@pytest.mark.parametrize(("failure", "code"), IN_THE_MIDDLE.values(), ids=IN_THE_MIDDLE)
async def test_failure_on_a_later_page_keeps_a_part(client, api, caplog, failure, code):
    """The next sync reads the rest."""
    api.answers[2] = failure
    part = await done(client.guard.sync())
    assert code in part.failure
    assert_no_key_in(part, part.model_dump_json(), caplog.text)
    assert (False, SECOND) == (part.complete, part.covered_until)
    assert (1, ("proj_1",), "day") == (part.models, part.projects, part.precision.value)
    assert (ONE, FIRST + 3 * DAY) == (part.last_inference.model, part.last_inference.at)
    history = await done(client.guard.history())
    assert (Span(start=FIRST, end=SECOND),) == history.evidence.usage_read
    assert {ONE: FIRST + 3 * DAY} == {model: inference.at for model, inference in history.models.items()}
    assert {OLD.date(): {Source.USAGE_API: 1}} == history.daily
    eligibility = await done(client.guard.check())
    assert ("eligible", "local") == (eligibility.verdict.value, eligibility.coverage.value)
    assert SECOND == eligibility.covered_until
    synced = await done(client.guard.sync())
    assert (True, None, NOW) == (synced.complete, synced.failure, synced.covered_until)
    assert (2, "minute") == (synced.models, synced.precision.value)
    assert (TWO, NEW) == (synced.last_inference.model, synced.last_inference.at)
    history = await done(client.guard.history())
    assert (Span(start=FIRST, end=NOW),) == history.evidence.usage_read
    assert NEW == history.last_inference.at
    assert {day.date(): {Source.USAGE_API: 1} for day in (OLD, NEW)} == history.daily


# Decisions.


@pytest.mark.parametrize("name", ["401", "500", "timeout"])
async def test_failed_usage_reading_changes_no_verdict(at_the_wire, api, caplog, name):
    failure, _, code = FAILURES[name]
    client = at_the_wire()
    api.answers = dict.fromkeys(range(1, 9), failure)
    with pytest.raises(NeverFineTunedError) as caught:
        await create_job(client)
    error = caught.value
    assert f"\nUsage: {error.__cause__}\n" in str(error)
    assert f"({code})" in str(error)
    assert ("unknown", "local") == (error.eligibility.verdict.value, error.eligibility.coverage.value)
    assert_no_key_in(str(error), repr(error), error.remedy, vars(error), caplog.text)
    assert (0, 1) == (api.posted(JOBS), len(api.asked))
    await done(client.guard.record(ONE, at=NOW - 61 * DAY))
    with pytest.raises(InferenceWindowExpiredError) as caught:
        await done(client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune"))
    assert "window_expired" == caught.value.eligibility.reason.value
    assert f"\nUsage: {caught.value.__cause__}\n" in str(caught.value)
    await create_job(at_the_wire({"on_unknown": "allow"}))
    assert (1, 0) == (api.posted(JOBS), api.posted("/v1/files"))


async def test_job_is_sent_when_the_api_cannot_be_reached(client, api):
    api.answers = {1: FAILURES["refused"][0]}
    await create_job(client)
    assert (1, 1) == (api.posted(JOBS), len(api.asked))


async def test_open_window_reads_no_usage(client, api):
    await done(client.guard.record(ONE, at=NOW - 59 * DAY))
    api.answers[1] = failing(500)
    await create_job(client)
    assert (1, []) == (api.posted(JOBS), api.asked)


async def test_interrupted_reading_proves_no_lapse(at_the_wire, api):
    api.usage.inferences = [(ONE, "proj_1", FIRST + timedelta(hours=1)), (TWO, "proj_2", NEW)]
    api.answers[2] = failing(500)
    client = at_the_wire({"on_unknown": "allow"})
    await create_job(client)
    assert 1 == api.posted(JOBS)
    eligibility = await done(client.guard.check())
    assert ("unknown", "no_inference_recorded") == (eligibility.verdict.value, eligibility.reason.value)
    assert {ONE} == set((await done(client.guard.history())).models)
    assert "eligible" == (await done(client.guard.check(refresh=True))).verdict.value
