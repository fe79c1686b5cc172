"""Whatever the Usage API answers, a sync says what became of it, and no decision gets worse for it."""

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
from tests.client.both_ways import HTTP, create_job, done
from tests.openai_api.usage_api import UsageApi, bucket, page, row

pytestmark = pytest.mark.anyio

CORE = importlib.import_module(HTTP.__name__.replace("httpx", "httpcore"))
"""What speaks HTTP below the SDK's library: its errors are those of a real network."""

DAY = timedelta(days=1)
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


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body whose connection is cut in the middle."""

    def __iter__(self):
        yield b'{"object": "page", "data": ['
        raise CORE.ReadError("reset by peer")

    async def __aiter__(self):
        for part in self:
            yield part


class Api:
    """The API in the network's place.

    Attributes:
        usage: What it tells about the organization's usage.
        answers: Other answers to the requests of it, by their number: a body, a response, an error, or
            a function that makes one of the request.
        slug: The organization that it names.
        asked: The queries of those requests.
    """

    def __init__(self, wire):
        self.usage = UsageApi([(ONE, "proj_1", OLD), (TWO, "proj_2", NEW)], now=NOW)
        self.answers = {}
        self.slug = SLUG
        self.asked = []
        self.requests = []
        wire.route().mock(side_effect=self._serve)

    def posted(self, path):
        return sum((request.method, request.url.path) == ("POST", path) for request in self.requests)

    def _serve(self, request):
        self.requests.append(request)
        if request.url.path == "/v1/organization/usage/completions":
            answer = self._usage(request)
        else:
            answer = {"id": "x", "object": "list", "data": []}
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer, headers={"openai-organization": self.slug})

    def _usage(self, request):
        query = request.url.params
        asked = dict(query, group_by=query.get_list("group_by[]") or query.get_list("group_by"))
        asked.update(
            (name, int(query[name])) for name in ("start_time", "end_time", "limit") if name in query
        )
        self.asked.append(asked)
        scripted = self.answers.get(len(self.asked))
        if scripted is None:
            return self.usage(ApiCall("get", request.url.path, query=asked)).body
        return scripted(request) if callable(scripted) else scripted


def failing(status, code=None, **headers):
    """An error of the API that repeats the key that it was asked with, as it has been seen to do."""

    def answer(request):
        message = f"Something is wrong with {request.headers['authorization']}."
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        return httpx.Response(status, json={"error": error}, headers={"openai-organization": SLUG, **headers})

    return answer


def plain(text):
    return lambda _: httpx.Response(200, text=text, headers={"openai-organization": SLUG})


FAILURES = {
    "401": (failing(401, "invalid_api_key"), openai.AuthenticationError, "401 invalid_api_key"),
    "403": (failing(403), openai.PermissionDeniedError, "403"),
    "404": (failing(404), openai.NotFoundError, "404"),
    "429": (
        failing(429, "rate_limit_exceeded", **{"retry-after": "7"}),
        openai.RateLimitError,
        "429 rate_limit_exceeded",
    ),
    "500": (failing(500), openai.InternalServerError, "500"),
    "html": (lambda _: httpx.Response(502, text="<html>"), openai.InternalServerError, "502"),
    "timeout": (lambda _: CORE.ReadTimeout("too slow"), openai.APITimeoutError, "no answer in time"),
    "refused": (lambda _: CORE.ConnectError("refused"), openai.APIConnectionError, "no connection"),
    "cut": (
        lambda _: httpx.Response(200, stream=Broken(), headers={"content-type": "application/json"}),
        openai.APIConnectionError,
        "the connection was lost",
    ),
}
by_failure = pytest.mark.parametrize(("failure", "kind", "said"), FAILURES.values(), ids=FAILURES)
ANSWERED = {name: failure for name, failure in FAILURES.items() if failure[2] != "no connection"}
by_answer = pytest.mark.parametrize(("failure", "kind", "said"), ANSWERED.values(), ids=ANSWERED)

UNREADABLE = {
    "no JSON": lambda _: plain("<html>a gateway's page</html>"),
    "an object": lambda _: {},
    "one bad bucket among good": lambda start: page(bucket(start, row(ONE, 3)), None),
    "too early": lambda start: page(bucket(start - DAY, row(ONE))),
}
by_unreadable = pytest.mark.parametrize("unreadable", UNREADABLE.values(), ids=UNREADABLE)


@pytest.fixture(autouse=True)
def _at(clock):
    clock.set(NOW)


@pytest.fixture
def api(wire):
    return Api(wire)


@pytest.fixture
def at_the_wire(way, closing, api, clock, store):
    """Makes guarded clients of the API."""

    def make(config=None, **options):
        fields = {"store": store, "clock": clock, "admin_api_key": ADMIN_KEY, **(config or {})}
        options = {"api_key": KEY, "max_retries": 0, **options}
        return closing(way.guarded(guard=GuardConfig(**fields), **options))

    return make


@pytest.fixture
def client(at_the_wire):
    return at_the_wire()


def texts(error, caplog):
    """All that is said: by the error itself, to a person and in a debugger, and in the log."""
    return "\n".join([str(error), repr(error), str(error.remedy), repr(vars(error)), caplog.text])


async def sync_error(client, **options):
    with pytest.raises(UsageSyncError) as caught:
        await done(client.guard.sync(**options))
    return caught.value


async def assert_nothing_recorded(client):
    history = await done(client.guard.history())
    assert ({}, {}, None, ()) == (
        history.models,
        history.daily,
        history.last_inference,
        history.evidence.usage_read,
    )


async def upload(client):
    return await done(client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune"))


# Where nothing can be read.


@by_failure
async def test_a_failure_at_once(client, api, caplog, failure, kind, said):
    """It is one error, which says what the API said in short, is chained to the SDK's, and shows no key."""
    caplog.set_level(logging.DEBUG, "finetune_guard")
    api.answers[1] = failure
    error = await sync_error(client)
    assert type(error) is UsageSyncError
    assert isinstance(error.__cause__, kind)
    assert f"({said})" in str(error)
    assert error.remedy
    for secret in (KEY, ADMIN_KEY):
        assert secret not in texts(error, caplog)
    assert 1 == len(api.asked)
    await assert_nothing_recorded(client)


@by_unreadable
async def test_an_unreadable_page_at_once(client, api, unreadable):
    """An answer that is no page of usage is an error, and nothing in it counts."""
    api.answers[1] = unreadable(FIRST)
    error = await sync_error(client)
    assert "not a page of usage as it is documented" in str(error)
    assert isinstance(error.__cause__, UsageSyncError)
    assert 1 == len(api.asked)
    await assert_nothing_recorded(client)
    api.answers.clear()
    assert (await done(client.guard.sync())).complete


# Where the reading breaks off.


async def assert_first_page_alone(client, done_so_far):
    assert (False, SECOND, 1, ("proj_1",)) == (
        done_so_far.complete,
        done_so_far.covered_until,
        done_so_far.models,
        done_so_far.projects,
    )
    assert (ONE, FIRST + 3 * DAY, "day") == (
        done_so_far.last_inference.model,
        done_so_far.last_inference.at,
        done_so_far.precision.value,
    )
    history = await done(client.guard.history())
    assert (Span(start=FIRST, end=SECOND),) == history.evidence.usage_read
    assert {ONE: FIRST + 3 * DAY} == {model: inference.at for model, inference in history.models.items()}
    assert {OLD.date(): {Source.USAGE_API: 1}} == history.daily
    eligibility = await done(client.guard.check())
    assert ("eligible", "local", SECOND) == (
        eligibility.verdict.value,
        eligibility.coverage.value,
        eligibility.covered_until,
    )


async def assert_all_read(client, synced):
    assert (True, None, NOW.replace(microsecond=0), 2) == (
        synced.complete,
        synced.failure,
        synced.covered_until,
        synced.models,
    )
    assert (TWO, NEW, "minute") == (
        synced.last_inference.model,
        synced.last_inference.at,
        synced.precision.value,
    )
    history = await done(client.guard.history())
    assert (Span(start=FIRST, end=NOW),) == history.evidence.usage_read
    assert NEW == history.last_inference.at
    assert {day.date(): {Source.USAGE_API: 1} for day in (OLD, NEW)} == history.daily


@pytest.mark.parametrize(("failure", "kind", "said"), [FAILURES["429"], FAILURES["cut"]], ids=["429", "cut"])
async def test_a_failure_in_the_middle(client, api, caplog, failure, kind, said):
    """What was read is kept and said to be a part; the next sync reads the rest."""
    api.answers[2] = failure
    part = await done(client.guard.sync())
    assert said == part.failure
    for secret in (KEY, ADMIN_KEY):
        assert secret not in f"{part!r}{part.model_dump_json()}{caplog.text}"
    await assert_first_page_alone(client, part)
    await assert_all_read(client, await done(client.guard.sync()))


async def test_an_unreadable_page_in_the_middle(client, api):
    """Nothing of it counts, and the time that it should have told of isn't taken for read."""
    api.answers[2] = page(bucket(SECOND, row(ONE, 3)), None)
    part = await done(client.guard.sync())
    assert "not a page of usage as it is documented" in part.failure
    await assert_first_page_alone(client, part)
    await assert_all_read(client, await done(client.guard.sync()))


async def test_a_page_of_another_organization_in_the_middle(client, api):
    """It is left out, though the pages before it are kept."""
    api.answers[2] = lambda _: httpx.Response(
        200, json=page(bucket(SECOND, row(ONE))), headers={"openai-organization": "other-1"}
    )
    part = await done(client.guard.sync())
    assert "belongs to the organization other-1" in part.failure
    await assert_first_page_alone(client, part)


async def test_a_restart_goes_on_where_the_last_program_ended(at_the_wire, api, tmp_path):
    """A year's reading that broke off is resumed by another process: only its last month is read again."""
    api.usage.inferences = [(ONE, "proj_1", NOW - 350 * DAY), (TWO, "proj_2", NEW)]
    api.answers[7] = failing(500)
    on_disk = {"config": {"store": tmp_path / "history"}}
    first = at_the_wire(**on_disk)
    part = await done(first.guard.sync(days=365))
    read_until = (NOW - 365 * DAY).replace(hour=0, minute=0, second=0) + 6 * 31 * DAY
    assert (False, read_until) == (part.complete, part.covered_until)
    await done(first.close())

    api.asked.clear()
    api.answers.clear()
    second = at_the_wire(**on_disk)
    whole = await done(second.guard.sync(days=365))
    assert (read_until - 31 * DAY).timestamp() == api.asked[0]["start_time"]
    assert (True, NOW, NEW) == (whole.complete, whole.covered_until, whole.last_inference.at)
    history = await done(second.guard.history())
    assert {ONE, TWO} == set(history.models)
    (span,) = history.evidence.usage_read
    assert (NOW - 365 * DAY).date() == span.start.date()


@pytest.mark.parametrize("width", ["1h", "1m"])
@pytest.mark.parametrize("answer", [failing(500), page(), lambda _: CORE.ReadTimeout("")])
async def test_a_failure_while_the_time_is_refined(client, api, width, answer):
    """The bucket that is known stands; the reading is complete all the same."""
    api.answers[3 if width == "1h" else 4] = answer
    synced = await done(client.guard.sync())
    known = NEW.replace(hour=0, minute=0) if width == "1h" else NEW.replace(minute=0)
    assert (True, None, known) == (synced.complete, synced.failure, synced.last_inference.at)
    assert {"1h": "day", "1m": "hour"}[width] == synced.precision.value


async def test_the_sdk_tries_again_by_its_own_rules(at_the_wire, api):
    """A rate limit is waited for as the SDK's ``max_retries`` says, and nobody notices."""
    api.answers[2] = failing(429, **{"retry-after-ms": "1"})
    client = at_the_wire(max_retries=1)
    await assert_all_read(client, await done(client.guard.sync()))


@pytest.mark.parametrize(
    ("endless", "days"),
    [
        (lambda number: page(following=f"page_{number}"), 0),
        (lambda _: page(bucket(FIRST, row(ONE)), following="again"), 1),
    ],
    ids=["ever new cursors", "the same page again"],
)
async def test_pages_without_end(client, api, endless, days):
    """They are followed for a while and no longer, and what they didn't tell isn't taken for read."""
    for number in range(1, 1_000):
        api.answers[number] = endless(number)
    part = await done(client.guard.sync())
    assert len(api.asked) < 70
    assert (False, FIRST + days * DAY) == (part.complete, part.covered_until)
    spans = (await done(client.guard.history())).evidence.usage_read
    assert [FIRST + DAY] * days == [span.end for span in spans]


# Decisions.


@by_answer
async def test_a_decision_does_not_change(client, api, caplog, failure, kind, said):
    """A job about which nothing is known is stopped as without an admin key; the error names the failure."""
    api.answers = dict.fromkeys(range(1, 9), failure)
    with pytest.raises(NeverFineTunedError) as caught:
        await create_job(client)
    error = caught.value
    assert f"\nUsage: {error.__cause__}\n" in str(error)
    assert f"({said})" in str(error)
    assert ("unknown", "local") == (error.eligibility.verdict.value, error.eligibility.coverage.value)
    for secret in (KEY, ADMIN_KEY):
        assert secret not in texts(error, caplog)
    assert (0, 1) == (api.posted(JOBS), len(api.asked))


async def test_a_lapsed_window_stays_lapsed(client, api):
    """So is one whose window has lapsed by the history, and the upload for it."""
    await done(client.guard.record(ONE, at=NOW - 61 * DAY))
    api.answers = dict.fromkeys(range(1, 9), failing(500))
    for call in (create_job, upload):
        with pytest.raises(InferenceWindowExpiredError) as caught:
            await call(client)
        assert "window_expired" == caught.value.eligibility.reason.value
        assert f"\nUsage: {caught.value.__cause__}\n" in str(caught.value)
    assert 0 == api.posted(JOBS) + api.posted("/v1/files")


async def test_where_nobody_is_reached_the_call_goes_out(client, api):
    """The user's own call then fails as it would without a guard, or succeeds after all."""
    api.answers = {1: FAILURES["refused"][0]}
    await create_job(client)
    assert (1, 1) == (api.posted(JOBS), len(api.asked))


async def test_what_may_go_through_goes_through(at_the_wire, api):
    """Where the API is to decide about what is unknown, it still does."""
    api.answers = dict.fromkeys(range(1, 9), failing(500))
    await create_job(at_the_wire({"on_unknown": "allow"}))
    assert (1, 1) == (api.posted(JOBS), len(api.asked))


async def test_an_open_window_asks_nothing(client, api):
    """Where the history suffices, the usage isn't read, whatever would come of it."""
    await done(client.guard.record(ONE, at=NOW - 59 * DAY))
    api.answers[1] = failing(500)
    await create_job(client)
    assert (1, []) == (api.posted(JOBS), api.asked)


async def test_a_reading_that_breaks_off_can_open_the_window(client, api):
    """An inference on the pages that were read counts, whatever became of the others."""
    api.answers[2] = failing(500)
    await create_job(client)
    assert 1 == api.posted(JOBS)


async def test_a_reading_that_breaks_off_proves_nothing(client, api):
    """Pages without an inference aren't taken for a usage without any."""
    api.usage.inferences = []
    api.answers[2] = failing(500)
    with pytest.raises(NeverFineTunedError) as caught:
        await create_job(client)
    assert "unknown" == caught.value.eligibility.verdict.value
    assert "never_fine_tuned" == (await done(client.guard.check())).reason.value


async def test_a_reading_that_breaks_off_closes_no_window(at_the_wire, api):
    """An inference that is too old says nothing about those on the pages that could not be read."""
    api.usage.inferences = [(ONE, "proj_1", FIRST + timedelta(hours=1)), (TWO, "proj_2", NEW)]
    api.answers[2] = failing(500)
    client = at_the_wire({"on_unknown": "allow"})
    await create_job(client)
    assert 1 == api.posted(JOBS)
    eligibility = await done(client.guard.check())
    assert ("unknown", "no_inference_recorded") == (eligibility.verdict.value, eligibility.reason.value)
    assert {ONE} == set((await done(client.guard.history())).models)
    assert "eligible" == (await done(client.guard.check(refresh=True))).verdict.value


async def test_a_year_that_breaks_off_closes_no_window(at_the_wire, api, tmp_path):
    """Neither does one of a year ago; only when all is read it is the latest, and too old."""
    lapsed = NOW - 300 * DAY
    api.usage.inferences = [(ONE, "proj_1", lapsed)]
    api.answers[5] = failing(500)
    client = at_the_wire({"store": tmp_path / "history"})
    part = await done(client.guard.sync(days=365))
    assert (False, lapsed.date()) == (part.complete, part.last_inference.at.date())
    assert "unknown" == (await done(client.guard.check())).verdict.value
    assert {ONE} == set((await done(client.guard.history())).models)

    whole = await done(client.guard.sync(days=365))
    assert whole.complete
    eligibility = await done(client.guard.check())
    assert ("ineligible", NOW) == (eligibility.verdict.value, eligibility.covered_until)
