"""Whose inferences count for whom, as responses, bodies and gateways tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import openai
import pytest
import respx

from finetune_guard import FineTuningRefusedError, GuardConfig, Inference, NotEligibleError
from finetune_guard.domain.facts import Activity
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from tests.client.flavours import done
from tests.support.constants import BASE, MESSAGES
from tests.support.stores import Elsewhere

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "org-Acme", "org-Globex"


def model(name):
    return f"ft:{BASE}:{name}::AbC123xY"


@dataclass
class Api:
    """An API, or a gateway before it, whose answers name the slug and the id of each key's organization."""

    organizations: dict[str, tuple[str, str]]
    project: str | None = None
    strips: bool = False
    has_models: bool = False
    refuses: set[str] = field(default_factory=set)

    def __call__(self, request):
        slug, own_id = self.organizations[request.headers["authorization"].removeprefix("Bearer ")]
        job = {"id": "ftjob-1", "object": "fine_tuning.job", "created_at": 1_700_000_000, "model": BASE}
        job["organization_id"] = own_id
        headers = {} if self.strips else {"openai-organization": slug}
        if self.project is not None and not self.strips:
            headers["openai-project"] = self.project
        if request.method == "POST" and request.url.path.endswith("/jobs") and slug in self.refuses:
            error = {"code": "training_not_available", "message": "No longer available."}
            return respx.MockResponse(403, json={"error": error}, headers=headers)
        if request.url.path.endswith("/fine_tuning/jobs"):
            body = job if request.method == "POST" else {"object": "list", "data": [job], "has_more": False}
        elif request.url.path.endswith("/models"):
            tuned = {"id": model("one"), "object": "model", "created": 1_700_000_000}
            body = {"object": "list", "data": [tuned] if self.has_models else []}
        else:
            body = {"id": "x", "object": "chat.completion", "created": 1, "choices": [{}]}
        return respx.MockResponse(200, json=body, headers=headers)


@pytest.fixture
def api(wire):
    served = Api(
        {"sk-acme": ("acme-1", ACME), "sk-acme-2": ("acme-1", ACME), "sk-globex": ("globex-2", GLOBEX)}
    )
    wire.route().mock(side_effect=served)
    return served


@pytest.fixture
def open_client(flavour, closing, clock, tmp_path):
    """Makes clients that share a folder of histories, and nothing in memory where ``elsewhere``."""

    def make(key, *, elsewhere=False, **options):
        store = (Elsewhere if elsewhere else DiskStore)(tmp_path / "history")
        guard = GuardConfig(store=store, clock=clock)
        return closing(flavour.guarded(api_key=key, max_retries=0, guard=guard, **options))

    return make


@pytest.fixture
def stored_models(tmp_path):
    """The models in each stored history."""

    def read():
        store = DiskStore(tmp_path / "history")
        return {
            name: sorted(used.split(":")[2] for used in store.history(name).models)
            for name in store.organizations()
        }

    return read


async def run(client, name, **options):
    """Run an inference and flush it to the store."""
    await done(client.chat.completions.create(model=model(name), messages=MESSAGES, **options))
    await done(client.guard.flush())


async def create(client, **options):
    await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x", **options))
    await done(client.guard.flush())


@pytest.mark.parametrize("answer", ["check", "models"])
async def test_history_under_an_id_joins_the_slug(api, open_client, stored_models, answer):
    api.strips, api.has_models = True, True
    client = open_client("sk-acme")
    await run(client, "one")
    await done(client.fine_tuning.jobs.list())
    await done(client.guard.flush())
    assert {ACME: ["one"]} == stored_models()
    api.strips = False
    if answer == "check":
        await done(client.guard.check(refresh=True))
    else:
        await done(client.models.list())
    for each_client in (client, open_client("sk-acme", elsewhere=True)):
        for _ in range(2):
            assert "eligible" == (await done(each_client.guard.check())).verdict.value
            await done(client.guard.flush())
    assert "one" in stored_models()["acme-1"]
    assert "acme-1" == (await done(client.guard.check())).organization


async def test_another_process_follows_a_renaming(api, open_client, stored_models):
    here, there = open_client("sk-acme"), open_client("sk-acme-2", elsewhere=True)
    await run(here, "one")
    await create(here)
    await run(there, "two")
    api.organizations["sk-acme"] = ("umbrella-9", ACME)
    await create(here)
    assert {"umbrella-9": ["one", "two"]} == stored_models()
    eligibility = await done(there.guard.check())
    assert ("eligible", "umbrella-9") == (eligibility.verdict.value, eligibility.organization)
    await run(there, "three")  # whose answer has the old slug still
    assert {"umbrella-9": ["one", "three", "two"]} == stored_models()


async def test_project_of_an_answer_belongs_to_its_organization(api, open_client, tmp_path):
    store = DiskStore(tmp_path / "history")
    for key, project in (("sk-acme", "proj_One"), ("sk-globex", "proj_Two")):
        api.project = project
        await run(open_client(key), "any")
    assert {"proj_One": "acme-1", "proj_Two": "globex-2"} == {
        name: slug for name, slug in store.aliases().items() if name.startswith("proj_")
    }


@pytest.mark.parametrize("stored", ["a lapse", "a refusal"])
async def test_moved_key_is_checked_before_a_job_is_stopped(api, open_client, clock, stored):
    client = open_client("sk-acme")
    await run(client, "acme")
    if stored == "a lapse":
        clock.advance(timedelta(days=62))
    else:
        api.refuses.add("acme-1")
        with pytest.raises(FineTuningRefusedError):
            await create(client)
        await done(client.guard.flush())
    await run(open_client("sk-globex"), "globex")
    with pytest.raises(NotEligibleError):
        await create(open_client("sk-acme", elsewhere=True))
    api.organizations["sk-acme"] = ("globex-2", GLOBEX)
    moved = open_client("sk-acme", elsewhere=True)
    await create(moved)
    assert "globex-2" == (await done(moved.guard.check())).organization


async def test_gateway_without_headers_keeps_keys_apart(api, open_client, stored_models):
    api.strips = True
    await run(open_client("sk-acme"), "one")
    await run(open_client("sk-globex"), "two")
    assert [["one"], ["two"]] == sorted(stored_models().values())
    await run(open_client("sk-acme", organization=ACME), "three")
    await run(open_client("sk-acme-2", organization=ACME), "four")
    assert ["four", "three"] == stored_models()[ACME]
    assert 3 == len(stored_models())
    assert {"one", "two", "three", "four"} == {used for names in stored_models().values() for used in names}


async def test_gateway_answer_counts_for_the_organization_it_names(api, open_client, stored_models):
    client = open_client("sk-acme", organization="org-Mine")
    for slug, own_id in (("acme-1", ACME), ("globex-2", GLOBEX), ("acme-1", ACME), ("globex-2", GLOBEX)):
        api.organizations["sk-acme"] = (slug, own_id)
        await run(client, slug)
        await create(client)
        assert slug == (await done(client.guard.check())).organization
    api.organizations["sk-acme-2"] = ("mine-3", "org-Mine")
    direct = open_client("sk-acme-2")
    await run(direct, "mine")
    await create(direct)
    assert {"acme-1": ["acme-1"], "globex-2": ["globex-2"], "mine-3": ["mine"]} == stored_models()


async def test_invalid_names_are_ignored(api, open_client, stored_models):
    """The inference is kept for the key."""
    for name in ("key:1", "..", "a" * 200, "Bearer sk-acme", "org Acme", "é", '"]'):
        api.organizations["sk-acme"] = (name.encode(), name)
        client = open_client("sk-acme")
        await run(client, "one")
        await create(client)
    (only,) = stored_models()
    assert only.startswith("key:")


async def test_unknown_organization_is_asked_about_once(api, wire, open_client):
    client = open_client("sk-acme")
    for _ in range(3):
        with pytest.raises((NotEligibleError, openai.APIError)):
            await create(client)
    requests = [(call.request.method, call.request.url.path) for call in wire.calls]
    assert [("GET", "/v1/models"), ("GET", "/v1/fine_tuning/jobs")] == requests
    await done(client.guard.flush())
    newcomer = open_client("sk-acme", elsewhere=True)
    assert "acme-1" == (await done(newcomer.guard.check())).organization


class CountingStore(MemoryStore):
    """Tells which of its methods were called, in order."""

    calls = ()

    def __getattribute__(self, name):
        attribute = super().__getattribute__(name)
        if callable(attribute) and not name.startswith("_"):
            self.calls = (*self.calls, name)
        return attribute


async def test_check_costs_one_store_read(flavour, closing, clock, api):
    store = CountingStore()
    client = closing(flavour.guarded(api_key="sk-acme", guard=GuardConfig(store=store, clock=clock)))
    await run(client, "m0")
    last = [
        Inference(organization="acme-1", model=model(f"m{number}"), at=clock()) for number in range(1_000)
    ]
    store.record("acme-1", [Activity(inference=inference) for inference in last])
    for _ in range(3):
        store.calls = ()
        assert "eligible" == (await done(client.guard.check())).verdict.value
        assert ("evidence",) == store.calls
