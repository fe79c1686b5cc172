"""``guard(client)``: a guarded copy of an existing client."""

from __future__ import annotations

import logging

import openai
import pytest

from finetune_guard import GuardConfig, GuardConfigError, NoInferenceRecordedError, guard
from tests.client.both_ways import ASYNC, create_job, done
from tests.support.constants import MESSAGES

pytestmark = pytest.mark.anyio


class Odd:
    """A constructor and attributes that no other client has."""

    def __init__(self, region, *labels):
        super().__init__(base_url=region, api_key="sk-simulated-acme", max_retries=0)
        self.labels = labels


class OddSync(Odd, openai.OpenAI):
    pass


class OddAsync(Odd, openai.AsyncOpenAI):
    pass


@pytest.fixture
def twin(bare, configured):
    """The guarded twin of the SDK's own client."""
    return guard(bare, configured())


async def test_guard_returns_a_guarded_copy_and_leaves_the_original(bare, twin, infer, posts, way):
    assert isinstance(twin, way.bare)
    assert type(bare) is way.bare
    assert twin.guard.active
    with pytest.raises(NoInferenceRecordedError):
        await create_job(twin)
    assert 0 == posts("/fine_tuning/jobs")
    with pytest.raises(openai.PermissionDeniedError):
        await create_job(bare)

    await infer(bare)
    assert {} == (await done(twin.guard.history())).models
    await infer(twin)
    assert 1 == len((await done(twin.guard.history())).models)
    assert not hasattr(bare, "guard")


async def test_guarded_copy_shares_the_http_client(bare, twin):
    """Guarding twice is guarding once."""
    assert bare._client is twin._client
    assert twin is guard(twin)
    await done(twin.close())
    assert bare.is_closed()


async def test_resources_made_before_are_guarded_on_the_copy(bare, configured, model):
    assert all((bare.chat, bare.with_raw_response, bare.chat.completions.with_raw_response))
    twin = guard(bare, configured())
    for each in (twin, twin.with_raw_response, twin.with_options(timeout=9), bare):
        await done(each.chat.completions.create(model=model, messages=MESSAGES))
    await done(twin.chat.completions.with_raw_response.create(model=model, messages=MESSAGES))
    (sources,) = (await done(twin.guard.history())).daily.values()
    assert [4] == list(sources.values())


async def test_guarding_calls_no_constructor(way, sim, configured, closing, model):
    original = closing((OddAsync if way is ASYNC else OddSync)(sim.base_url, "a", "b"))
    twin = guard(original, configured())
    assert isinstance(twin, type(original))
    assert (type(original).__name__, ("a", "b")) == (type(twin).__name__, twin.labels)
    with pytest.raises(NoInferenceRecordedError):
        await create_job(twin)
    await done(twin.chat.completions.create(model=model, messages=MESSAGES))
    assert [model] == list((await done(twin.guard.history())).models)


async def test_guarded_azure_client_has_azures_rules(way, closing, wire, caplog):
    wire.route().respond(200, json={"id": "x", "data": []})
    azure = closing(
        way.azure(
            api_key="azure-key", api_version="2024-10-21", azure_endpoint="https://acme.openai.azure.com"
        )
    )
    twin = guard(azure, GuardConfig(store="memory", hosts=["acme.openai.azure.com"]))
    assert isinstance(twin, way.azure)
    assert twin.guard.active
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]

    await done(twin.chat.completions.create(model="gpt-4o.ft-0123abc", messages=MESSAGES))
    await create_job(twin)
    await create_job(twin.with_options(timeout=3))
    assert {} == (await done(twin.guard.history())).models
    assert "not_guarded" == (await done(twin.guard.check())).reason.value
    assert 3 == len(wire.calls)
    assert "azure-key" == wire.calls[0].request.headers["api-key"]


async def test_guard_of_another_provider_is_inactive(way, closing, caplog):
    client = closing(way.bare(api_key="sk-test", base_url="http://localhost:8000/v1"))
    assert not guard(client, GuardConfig(store="memory")).guard.active
    assert "the policy does not apply to localhost" in caplog.text


@pytest.mark.parametrize("wrong", ["sk-secret", openai.OpenAI, openai], ids=lambda value: str(type(value)))
def test_only_a_client_can_be_guarded(wrong):
    with pytest.raises(
        GuardConfigError, match=r"an openai\.OpenAI or openai\.AsyncOpenAI is required"
    ) as caught:
        guard(wrong)
    assert "sk-secret" not in str(caught.value)
