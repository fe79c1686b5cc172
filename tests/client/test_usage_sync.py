"""Reading the whole organization's usage with an admin key."""

from __future__ import annotations

import inspect
import logging
from datetime import date, datetime, timedelta, timezone

import openai
import pytest

from finetune_guard import (
    OPENAI_SELF_SERVE,
    FineTuneGuardError,
    GuardConfigError,
    UsageSyncError,
    Verdict,
    guard,
)
from finetune_guard.domain.facts import Source
from finetune_guard.simulator import Fault, Simulator, UsageFlaw
from tests.client.flavours import create_job, done
from tests.support.constants import BASE, DAY, MESSAGES, TRAINING_DATA
from tests.support.redis_server import free_port
from tests.support.stores import Elsewhere

pytestmark = pytest.mark.anyio

ADMIN_KEY = "sk-admin-of-acme"
OTHER_ADMIN_KEY = "sk-admin-of-other"
USAGE = "/v1/organization/usage/completions"
RAN_AT = datetime(2026, 8, 3, 17, 42, 31, tzinfo=timezone.utc)
NOW = datetime(2026, 9, 20, 12, 34, 56, tzinfo=timezone.utc)


@pytest.fixture
def api_options():
    return {}


@pytest.fixture
def sim(clock, api_options):
    with Simulator(clock=clock, admin_key=ADMIN_KEY, **api_options) as simulator:
        yield simulator


@pytest.fixture
def other(sim):
    """Another organization, with an admin key of its own and a model that it has just run."""
    return sim.add_organization(
        slug="other-1", api_key="sk-other", admin_key=OTHER_ADMIN_KEY, models=["gpt-4.1-2025-04-14"]
    )


@pytest.fixture
def billing(sim, connect_bare):
    """A program without a guard, in another project of the organization."""
    sim.add_project(sim.organization().slug, "sk-billing")
    return connect_bare(api_key="sk-billing")


@pytest.fixture
async def ran_elsewhere(billing, infer, clock):
    """An inference of the other program weeks ago; the clock stands at ``NOW`` afterwards."""
    clock.set(RAN_AT)
    await infer(billing)
    clock.set(NOW)
    return RAN_AT.replace(second=0)


@pytest.fixture
def requests():
    """The requests that watched clients have made."""
    return []


@pytest.fixture
def watched(flavour, connect, requests):
    """Makes guarded clients whose requests can be looked at."""

    async def note_later(request):
        requests.append(request)

    hook = note_later if flavour.is_async else requests.append

    def make(config=None, **options):
        return connect(config, http_client=flavour.http_client(event_hooks={"request": [hook]}), **options)

    return make


@pytest.fixture
def admin_client(watched):
    """A guarded client whose configuration holds the admin key."""
    return watched({"admin_api_key": ADMIN_KEY})


@pytest.fixture
def usage_requests(sim):
    """Counts the usage requests since the last look."""

    def count():
        number = sum(call.path == USAGE for call in sim.calls)
        sim.clear_calls()
        return number

    return count


def keys_used(requests, *, usage):
    """The keys of the requests of usage, or of all others."""
    return {
        request.headers["authorization"].removeprefix("Bearer ")
        for request in requests
        if (request.url.path == USAGE) == usage
    }


def first_seconds(requests):
    """From when on the daily usage was asked for, for each reading that began."""
    return [
        datetime.fromtimestamp(int(request.url.params["start_time"]), timezone.utc)
        for request in requests
        if request.url.path == USAGE
        and request.url.params["bucket_width"] == "1d"
        and "page" not in request.url.params
    ]


async def sync_error(client, **options):
    with pytest.raises(UsageSyncError) as caught:
        await done(client.guard.sync(**options))
    return caught.value


async def can_create_job(client):
    """Whether a job gets as far as the API."""
    with pytest.raises(openai.OpenAIError) as caught:
        await create_job(client)
    return type(caught.value) is openai.BadRequestError


@pytest.fixture
def own_policy(sim):
    """A policy whose own host is the simulated API."""
    return OPENAI_SELF_SERVE.model_copy(update={"hosts": (sim.host,)})


@pytest.fixture
def sdks_key(flavour):
    """What gives an admin key to a client of the SDK; nothing where this release takes none."""
    takes_one = "admin_api_key" in inspect.signature(flavour.bare).parameters
    return lambda key: {"admin_api_key": key} if takes_one else {}


# The key.


@pytest.fixture(params=["configuration", "guard's environment", "client", "environment"])
def with_admin_key(request, sdks_key, watched, monkeypatch, own_policy):
    """A client that got the admin key in one of the possible ways."""
    own_host = {"policy": own_policy, "hosts": []}
    if request.param == "configuration":
        return watched({"admin_api_key": ADMIN_KEY})
    if request.param == "guard's environment":
        monkeypatch.setenv("FINETUNE_GUARD_ADMIN_API_KEY", ADMIN_KEY)
        return watched()
    if request.param == "client":
        if not sdks_key(ADMIN_KEY):
            pytest.skip("this release of openai takes no admin_api_key")
        return watched(own_host, **sdks_key(ADMIN_KEY))
    monkeypatch.setenv("OPENAI_ADMIN_KEY", ADMIN_KEY)
    return watched(own_host)


async def test_admin_key_is_sent_with_usage_requests_only(
    with_admin_key, infer, ran_elsewhere, requests, sim
):
    synced = await done(with_admin_key.guard.sync())
    assert (True, ran_elsewhere) == (synced.complete, synced.last_inference.at)
    await done(with_admin_key.guard.check(refresh=True))
    await done(with_admin_key.guard.models(refresh=True))
    await done(with_admin_key.guard.keep_alive(force=True))
    await infer(with_admin_key)
    assert await can_create_job(with_admin_key)
    await done(with_admin_key.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))
    assert {ADMIN_KEY} == keys_used(requests, usage=True)
    assert {sim.organization().api_key} == keys_used(requests, usage=False)
    assert {"GET"} == {request.method for request in requests if request.url.path == USAGE}
    assert all(ADMIN_KEY not in str(request.url) for request in requests)


async def test_gateway_gets_only_the_configurations_admin_key(watched, sdks_key, monkeypatch, requests):
    monkeypatch.setenv("OPENAI_ADMIN_KEY", ADMIN_KEY)
    for client in (watched(), watched(**sdks_key(ADMIN_KEY))):
        assert "FINETUNE_GUARD_ADMIN_API_KEY" in (await sync_error(client)).remedy
        await done(client.guard.check(refresh=True))
        assert not await can_create_job(client)
    assert ADMIN_KEY not in keys_used(requests, usage=False) | keys_used(requests, usage=True)
    assert USAGE not in {request.url.path for request in requests}


async def test_usage_is_not_limited_to_the_clients_project(watched, requests):
    client = watched(
        {"admin_api_key": ADMIN_KEY}, default_headers={"openai-Project": "proj_mine"}, project="proj_mine"
    )
    await done(client.guard.sync())
    for request in requests:
        usage = request.url.path == USAGE
        assert usage == ("openai-project" not in request.headers)


async def test_order_of_admin_keys(watched, sdks_key, monkeypatch, requests, own_policy):
    """The configuration's comes before the client's, and that before the environment's."""
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-environment")
    configured, clients = {"admin_api_key": "sk-configured"}, sdks_key("sk-client")
    for config, options, key in (
        (configured, clients, "sk-configured"),
        ({"policy": own_policy}, clients, "sk-client" if clients else "sk-environment"),
        ({"policy": own_policy}, {}, "sk-environment"),
    ):
        requests.clear()
        await sync_error(watched(config, **options))
        assert {key} == keys_used(requests, usage=True)


async def test_sync_without_an_admin_key_is_an_error(client, sim):
    error = await sync_error(client)
    for where in ("OPENAI_ADMIN_KEY", "admin_api_key", "GuardConfig(admin_api_key=...)"):
        assert where in error.remedy
    assert error.remedy in str(error)
    assert () == sim.calls


async def test_usage_of_another_organization_is_not_kept(watched, connect, connect_bare, sim, other, store):
    stranger = connect_bare(api_key=other.api_key)
    theirs = [item.id for item in (await done(stranger.models.list())).data if item.id.startswith("ft:")]
    await done(stranger.chat.completions.create(model=theirs[0], messages=MESSAGES))
    client = watched({"admin_api_key": OTHER_ADMIN_KEY})
    error = await sync_error(client)
    for slug in ("other-1", sim.organization().slug):
        assert slug in str(error)
    assert sim.organization().slug in error.remedy
    for key in (OTHER_ADMIN_KEY, other.api_key, sim.organization().api_key):
        assert key not in f"{error}{error.remedy}"
    for each_client in (client, connect(api_key=other.api_key)):
        await done(each_client.guard.check(refresh=True))
        await done(each_client.guard.flush())
        history = await done(each_client.guard.history())
        assert ({}, {}, None) == (history.models, history.daily, history.last_inference)
        assert () == history.evidence.usage_read
    # The other organization's own key has just listed its models; nothing of them is told of ours.
    others = [name for name in store.organizations() if name != "other-1"]
    assert not any(theirs[0] in repr(store.history(name)) for name in others)


async def test_moved_key_reads_no_usage_of_its_old_organization(sim, clock, connect, tmp_path):
    """The usage of the organization that the history still names says nothing about the key's new one."""
    folder, key, admin = tmp_path / "history", "sk-moving", {"admin_api_key": OTHER_ADMIN_KEY}
    sim.add_organization(slug="other-1", api_key=key, fine_tuned_before=True)
    before = connect({"store": Elsewhere(folder)}, api_key=key)
    await done(before.guard.check(refresh=True))
    await done(before.guard.flush())
    sim.stop()
    with Simulator(clock=clock, port=sim.port) as moved:
        moved.add_project(moved.organization().slug, key)
        moved.add_organization(slug="other-1", api_key="sk-other", admin_key=OTHER_ADMIN_KEY)
        after = connect({"store": Elsewhere(folder), **admin}, api_key=key)
        assert moved.organization().slug in str(await sync_error(after))
        assert Verdict.UNKNOWN is (await done(after.guard.check())).verdict


# When it is read without being asked for.


async def test_check_reads_usage_only_with_refresh(admin_client, ran_elsewhere, usage_requests):
    before = await done(admin_client.guard.check())
    assert ("unknown", 0) == (before.verdict.value, usage_requests())
    after = await done(admin_client.guard.check(refresh=True))
    assert ("eligible", ran_elsewhere) == (after.verdict.value, after.last_inference.at)
    assert ("organization", NOW) == (after.coverage.value, after.covered_until)
    assert Source.USAGE_API is after.last_inference.source
    assert 4 == usage_requests()  # two pages of days, the hours of one, the minutes of one
    await done(admin_client.guard.check(refresh=True))
    assert await can_create_job(admin_client)
    assert 0 == usage_requests()


# How much is read, and how exactly.


async def test_second_sync_reads_what_is_new_and_a_month_before(admin_client, ran_elsewhere, clock, requests):
    """Usage may appear late."""
    await done(admin_client.guard.sync())
    clock.advance(2 * DAY)
    second = await done(admin_client.guard.sync())
    midnight = NOW.replace(hour=0, minute=0, second=0)
    assert [midnight - 60 * DAY, midnight - 31 * DAY] == first_seconds(requests)
    assert (True, NOW + 2 * DAY, midnight - 58 * DAY) == (second.complete, second.covered_until, second.start)
    assert (None, None, 0) == (second.last_inference, second.precision, second.models)  # none in that month
    (span,) = (await done(admin_client.guard.history())).evidence.usage_read
    assert (midnight - 60 * DAY, NOW + 2 * DAY) == (span.start, span.end)
    assert ran_elsewhere == (await done(admin_client.guard.check())).last_inference.at


async def test_sync_of_365_days_reports_each_page(admin_client, billing, infer, clock, model, requests):
    days = (date(2025, 9, 20), date(2025, 10, 21), date(2026, 3, 9), date(2026, 8, 30))
    for day in days:
        clock.set(datetime(day.year, day.month, day.day, 9, 30, tzinfo=timezone.utc))
        await infer(billing)
    clock.set(NOW)
    progress = []
    synced = await done(admin_client.guard.sync(days=365, progress=progress.append))
    assert [datetime(2025, 9, 20, tzinfo=timezone.utc)] == first_seconds(requests)
    assert [(31 * page, 366) for page in range(1, 12)] + [(366, 366)] == [
        (step.days_read, step.days) for step in progress
    ]
    assert (1, days[-1]) == (synced.models, synced.last_inference.at.date())
    history = await done(admin_client.guard.history())
    assert {day: {Source.USAGE_API: 1} for day in days} == history.daily
    assert {model: datetime(2026, 8, 30, 9, 30, tzinfo=timezone.utc)} == {
        name: inference.at for name, inference in history.models.items()
    }


async def test_invalid_days_are_refused(admin_client, sim):
    for days in (0, 3651, True):
        with pytest.raises(GuardConfigError, match="from 1 to 3650"):
            await done(admin_client.guard.sync(days=days))
    assert () == sim.calls


# Whose history it is.


@pytest.mark.parametrize(("named", "expected"), [("other-1", "other-1"), ("", "does not name")])
async def test_usage_page_of_another_organization_is_not_used(
    admin_client, infer, clock, sim, named, expected
):
    await infer(admin_client)
    clock.advance(61 * DAY)
    sim.fault(Fault(path=USAGE, method="GET", headers={"openai-organization": named}, times=None))
    error = await sync_error(admin_client)
    assert expected in str(error)
    eligibility = await done(admin_client.guard.check(refresh=True))
    assert ("local", None) == (eligibility.coverage.value, eligibility.covered_until)
    assert () == (await done(admin_client.guard.history())).evidence.usage_read


# What is never told.


async def test_no_secret_is_logged_raised_or_stored(
    flavour, watched, billing, model, infer, clock, caplog, tmp_path, sim
):
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "history"
    prompt = "a very private question"
    clock.set(RAN_AT)
    chat = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    answer = (await done(billing.chat.completions.create(**chat))).choices[0].message.content
    clock.set(NOW)
    client = watched({"admin_api_key": ADMIN_KEY, "store": folder})
    await done(client.chat.completions.create(**chat))
    synced = await done(client.guard.sync(days=365, progress=print))
    eligibility = await done(client.guard.check(refresh=True))
    wrong = [
        await sync_error(watched({"admin_api_key": key, "store": folder}))
        for key in ("sk-nobodys-at-all", sim.organization().api_key)
    ]
    texts = [repr(client.guard.config), repr(synced), repr(eligibility), synced.model_dump_json()]
    texts += [text for error in wrong for text in (str(error), repr(error), repr(vars(error)))]
    await done(client.close())
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert any(model.encode() in content for content in written)
    keys = (ADMIN_KEY, sim.organization().api_key, "sk-billing", "sk-nobodys-at-all")
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name == "finetune_guard")
    for secret in (*keys, prompt, answer):
        assert secret not in "\n".join(texts)
        assert secret not in ours
        assert not any(secret.encode() in content for content in written), secret
    for key in (ADMIN_KEY, "sk-nobodys-at-all"):
        assert key not in caplog.text


async def test_partial_reading_gives_no_verdict(flavour, connect, infer, billing, clock):
    clock.set(datetime(2026, 9, 1, 20, tzinfo=timezone.utc))
    await infer(billing)
    clock.set(datetime(2026, 10, 31, 1, tzinfo=timezone.utc))
    client = connect({"admin_api_key": ADMIN_KEY})

    class CutOffError(Exception):
        pass

    def cut_off(progress):
        if progress.days_read == progress.days:
            raise CutOffError

    with pytest.raises(CutOffError):
        await done(client.guard.sync(progress=cut_off))
    assert "unknown" == (await done(client.guard.check())).verdict.value
    await done(client.guard.sync())
    assert "eligible" == (await done(client.guard.check())).verdict.value


@pytest.mark.parametrize(
    ("key", "readings_expected"), [(ADMIN_KEY, 2), ("sk-unknown", 1)], ids=["none ran", "may not"]
)
async def test_usage_is_read_at_most_once_a_minute(watched, clock, usage_requests, key, readings_expected):
    client = watched({"admin_api_key": key})
    for seconds, expected in ((0, readings_expected), (0, 0), (59, 0), (1, readings_expected)):
        clock.advance(timedelta(seconds=seconds))
        assert not await can_create_job(client)
        assert expected == usage_requests()
    if key == ADMIN_KEY:
        assert "no_recent_inference" == (await done(client.guard.check(refresh=True))).reason.value
        assert 0 == usage_requests()


async def test_admin_key_of_a_copy_and_of_a_guarded_client(
    watched, sdks_key, connect_bare, configured, ran_elsewhere, other, own_policy
):
    twins = [guard(connect_bare(), configured(admin_api_key=ADMIN_KEY))]
    if sdks_key(ADMIN_KEY):
        client = watched({"policy": own_policy}, admin_api_key=OTHER_ADMIN_KEY)
        assert "other-1" in str(await sync_error(client))
        twins += [client.copy(admin_api_key=ADMIN_KEY)]
        twins += [guard(connect_bare(admin_api_key=ADMIN_KEY), configured(policy=own_policy))]
    for copied in twins:
        assert (await done(copied.guard.sync())).complete
        assert ran_elsewhere == (await done(copied.guard.check())).last_inference.at


async def test_missing_usage_proves_nothing(admin_client, watched, billing, infer, clock, sim, posts):
    clock.set(NOW - 70 * DAY)
    for days in (0, 20, 20, 29):  # a base model, so that rows are there
        clock.advance(days * DAY)
        await infer(billing, on="gpt-4o-mini")
    clock.set(NOW)
    sim.fault(Fault(path=USAGE, method="GET", usage=UsageFlaw(leaves_out=(12, 13)), times=None))
    synced = await done(admin_client.guard.sync())
    assert (False, None, NOW) == (synced.complete, synced.last_inference, synced.end)
    assert "do not show all usage of" in synced.failure
    assert "unknown" == (await done(admin_client.guard.check())).verdict.value
    read = (await done(admin_client.guard.history())).evidence.usage_read
    assert len(read) != 1 or read[0].start > synced.start or read[0].end < NOW
    await can_create_job(watched({"admin_api_key": ADMIN_KEY, "on_unknown": "allow"}))
    assert 1 == posts("/fine_tuning/jobs")


@pytest.mark.parametrize("api_options", [{"usage_lag": timedelta(hours=3)}], ids=["lag"])
async def test_late_usage_is_found_by_a_later_sync(admin_client, ran_elsewhere, clock):
    clock.set(RAN_AT + timedelta(hours=1))
    early = await done(admin_client.guard.sync())
    assert (True, None) == (early.complete, early.last_inference)
    eligibility = await done(admin_client.guard.check())
    assert "no_recent_inference" == eligibility.reason.value
    assert "Usage appears with a lag" in eligibility.remedy
    clock.advance(timedelta(hours=3))
    assert await can_create_job(admin_client)
    assert ran_elsewhere == (await done(admin_client.guard.check())).last_inference.at


@pytest.mark.parametrize("api_options", [{"strip_headers": True}], ids=["stripped"])
async def test_usage_without_an_organization_is_not_used(admin_client, ran_elsewhere, usage_requests):
    error = await sync_error(admin_client)
    assert "no answer of the API names it" in str(error)
    assert "gateway" in error.remedy
    eligibility = await done(admin_client.guard.check(refresh=True))
    assert ("unknown", "local") == (eligibility.verdict.value, eligibility.coverage.value)
    with pytest.raises(FineTuneGuardError, match="\nUsage: Which organization"):
        await create_job(admin_client)
    assert 0 == usage_requests()


@pytest.mark.parametrize("both_guarded", [False, True], ids=["one host guarded", "both guarded"])
async def test_other_hosts_get_no_admin_key(watched, sim, requests, both_guarded):
    other = f"127.0.0.1:{free_port()}"
    config = {"admin_api_key": ADMIN_KEY, "hosts": [sim.host, other] if both_guarded else [sim.host]}
    client = watched(config, base_url=f"http://{other}/v1")
    with pytest.raises(FineTuneGuardError):
        await done(client.post(f"{sim.base_url}/fine_tuning/jobs", cast_to=object, body={"model": BASE}))
    assert [] == requests
