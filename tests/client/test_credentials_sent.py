"""Which organization a client's evidence belongs to: by its host, its credentials and the responses."""

from __future__ import annotations

import inspect
import json
from contextlib import nullcontext

import openai
import pytest
import respx

from finetune_guard import GuardConfig, NotEligibleError
from finetune_guard.client.sdk_compat import omitted_header
from tests.client.flavours import HTTP, create_job, done
from tests.support.constants import BASE, MESSAGES

pytestmark = pytest.mark.anyio

MODEL = f"ft:{BASE}:acme::AbC123xY"
EVERY_HOST = ("api.openai.com", "gateway.example", "other.example")


class Signer(HTTP.Auth):
    """Puts a key into a request while it is sent, as workload identities do."""

    def __init__(self, key):
        self.key = key

    def auth_flow(self, request):
        request.headers["Authorization"] = f"Bearer {self.key}"
        yield request


@pytest.fixture
def open_client(flavour, closing, clock, store):
    """Makes clients that share a history; ``signs_with`` names the key that the HTTP client puts in."""

    def make(*, signs_with=None, **options):
        if signs_with is not None:
            options["http_client"] = flavour.http_client(auth=Signer(signs_with))
        guard = GuardConfig(store=store, clock=clock, hosts=EVERY_HOST)
        return closing(flavour.guarded(**{"api_key": "sk-1", "max_retries": 0, "guard": guard, **options}))

    return make


@pytest.fixture
def slugs(wire):
    """The slug in the API's answers for each key's organization; none where headers are stripped."""
    known = {}

    def answer(request):
        if request.url.path.endswith("/token"):
            token = f"of-{json.loads(request.content)['subject_token']}"
            issued = {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
            return respx.MockResponse(200, json=issued)
        slug = known.get(request.headers["authorization"].removeprefix("Bearer "))
        body = {"object": "list", "data": [], "id": "x", "created": 1, "choices": [{}]}
        return respx.MockResponse(200, json=body, headers={"openai-organization": slug} if slug else {})

    wire.route().mock(side_effect=answer)
    return known


async def infer(client, **options):
    await done(client.chat.completions.create(model=MODEL, messages=MESSAGES, **options))


async def is_eligible(client):
    return "eligible" == (await done(client.guard.check())).verdict.value


@pytest.mark.parametrize(
    "other",
    [
        {"base_url": "https://other.example/v1"},
        {"base_url": "https://gateway.example:8443/v1"},
        {"base_url": "https://gateway.example/team-b/v1"},
        {"default_headers": {"X-Portkey-Virtual-Key": "vk-2"}},
        {"organization": "org-Else"},
    ],
)
async def test_same_key_at_two_hosts_has_two_histories(open_client, slugs, other):
    """A placeholder may stand for another key at each gateway."""
    usual = {"base_url": "https://gateway.example/v1"}
    here, there = open_client(**usual), open_client(**{**usual, **other})
    await infer(here)
    assert await is_eligible(here)
    assert not await is_eligible(there)
    await infer(there)
    await done(there.guard.flush())
    assert await is_eligible(there)
    assert await is_eligible(open_client(**{**usual, **other}))


async def test_headers_without_credentials_share_one_history(open_client, slugs):
    await infer(open_client(), extra_headers={"Idempotency-Key": "1", "X-Trace": "a"})
    assert await is_eligible(open_client(base_url="https://API.openai.com:443/v1/"))


@pytest.mark.parametrize("by_copy", [False, True])
async def test_key_in_another_header_is_another_organizations(open_client, slugs, by_copy):
    client = open_client(default_headers={"X-Trace": "a"})
    await infer(client)
    if by_copy:
        await infer(client.with_options(set_default_headers={"X-Api-Key": "k-2"}))
    else:
        await infer(client, extra_headers={"X-Trace": omitted_header(), "X-Api-Key": "k-2"})
    assert await is_eligible(open_client(default_headers={"X-Api-Key": "k-2"}))


async def test_error_of_an_own_request_names_the_organization(open_client, slugs, wire):
    """A key that may not list models still gets its job through."""
    slugs["sk-1"] = "acme-1"
    await infer(open_client())
    stranger = open_client(api_key="sk-2")
    wire.routes.clear()
    forbidden = {"status_code": 403, "json": {"error": {}}, "headers": {"openai-organization": "acme-1"}}
    wire.get().respond(**forbidden)
    wire.post(path="/v1/fine_tuning/jobs").respond(200, json={"id": "ftjob-1"})
    job = await done(stranger.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
    assert "ftjob-1" == job.id


async def test_record_before_the_first_answer_counts_for_the_organizations_other_keys(open_client, slugs):
    """Once an answer names the organization, its other keys find what was recorded for one of them."""
    slugs.update({"sk-1": "acme-1", "sk-2": "acme-1"})
    client, colleague = open_client(), open_client(api_key="sk-2")
    await done(client.guard.record(MODEL))
    await done(client.guard.flush())
    for each in (client, colleague):
        await done(each.models.list())
        await done(each.guard.flush())
    assert await is_eligible(colleague)


@pytest.mark.parametrize("answer", ["an inference", "a list", "an error"])
async def test_moved_key_counts_for_its_new_organization(open_client, slugs, wire, answer):
    """Neither cached nor stored evidence of the former one counts."""
    slugs["sk-1"] = "acme-1"
    client = open_client()
    await infer(client)
    await done(client.guard.flush())
    assert await is_eligible(client)
    slugs["sk-1"] = "globex-2"
    if answer == "an inference":
        await infer(client)
    elif answer == "a list":
        await done(client.models.list())
    else:
        wire.routes.clear()
        wire.route().respond(429, json={"error": {}}, headers={"openai-organization": "globex-2"})
        with pytest.raises(openai.RateLimitError):
            await infer(client)
    eligibility = await done(client.guard.check())
    assert ("globex-2", answer == "an inference") == (
        eligibility.organization,
        eligibility.verdict.value == "eligible",
    )


async def test_refused_admin_key_does_not_replace_the_clients_key(flavour, open_client, slugs, wire):
    """An error of the administration's API, which is sent with another key, hides no evidence."""
    if "admin_api_key" not in inspect.signature(flavour.bare).parameters:
        pytest.skip("this release of openai has no admin keys")
    client = open_client(admin_api_key="sk-admin")
    await infer(client)
    wire.routes.clear()
    wire.get(path="/v1/organization/usage/completions").respond(401, json={"error": {}})
    with pytest.raises(openai.AuthenticationError):
        await done(client.admin.organization.usage.completions(start_time=1))
    assert await is_eligible(client)


# Keys that are put in while a request is sent.


async def test_workload_identities_have_separate_histories(flavour, open_client, slugs):
    if "workload_identity" not in inspect.signature(flavour.bare).parameters:
        pytest.skip("this release of openai has no workload identities")

    def working_as(name):
        provider = {"token_type": "jwt", "get_token": lambda: name}
        identity = {"identity_provider_id": "idp", "service_account_id": name, "provider": provider}
        return open_client(api_key=None, workload_identity=identity)

    slugs.update({"of-acme": "acme-1", "of-globex": "globex-2"})
    acme, globex = working_as("acme"), working_as("globex")
    await done(acme.guard.record(MODEL))
    assert [True, False] == [await is_eligible(each_client) for each_client in (acme, globex)]
    for each_client in (globex, acme):
        await done(each_client.models.list())
    assert [True, False] == [await is_eligible(each_client) for each_client in (acme, globex)]
    assert ["acme-1", "globex-2"] == [
        (await done(each_client.guard.check())).organization for each_client in (acme, globex)
    ]


async def test_record_before_the_key_is_known_joins_its_organization_later(open_client, slugs):
    slugs.update({"sk-acme": "acme-1", "sk-globex": "globex-2"})
    acme, globex = open_client(signs_with="sk-acme"), open_client(signs_with="sk-globex")
    await done(acme.guard.record(MODEL))
    await done(acme.guard.flush())
    assert [True, False] == [await is_eligible(each_client) for each_client in (acme, globex)]
    for each_client in (acme, globex):
        await done(each_client.models.list())
        await done(each_client.guard.flush())
    assert [True, False] == [await is_eligible(each_client) for each_client in (acme, globex)]
    assert await is_eligible(open_client(signs_with="sk-acme")) is False  # whose key nobody has seen yet
    named = open_client(api_key="sk-acme")
    assert "acme-1" == (await done(named.guard.check(refresh=True))).organization
    assert await is_eligible(named)


async def test_job_is_decided_by_the_key_that_is_sent(open_client, slugs):
    slugs.update({"sk-acme": "acme-1", "sk-globex": "globex-2"})
    await infer(open_client(api_key="sk-acme"))
    for key, goes_through in (("sk-acme", True), ("sk-globex", False)):
        with nullcontext() if goes_through else pytest.raises(NotEligibleError):
            await create_job(open_client(signs_with=key))


async def test_each_request_counts_for_its_own_key(open_client, slugs):
    slugs.update({"sk-acme": "acme-1", "sk-globex": "globex-2"})
    client = open_client(signs_with="sk-acme")
    signer = client._client.auth
    await infer(client)
    for key, slug in (("sk-globex", "globex-2"), ("sk-acme", "acme-1"), ("sk-globex", "globex-2")):
        signer.key = key
        await done(client.models.list())
        eligibility = await done(client.guard.check())
        assert (slug, key == "sk-acme") == (eligibility.organization, eligibility.verdict.value == "eligible")
