"""``guard(client)``: a guarded copy of an existing client."""

from __future__ import annotations

import logging

import openai
import pytest

from finetune_guard import GuardConfig, GuardConfigError, NoInferenceRecordedError, guard
from tests.client.flavours import ASYNC, create_job, done
from tests.support.constants import MESSAGES

pytestmark = pytest.mark.anyio


class CustomClient:
    """A constructor and attributes that no other client has."""

    def __init__(self, region, *labels):
        super().__init__(base_url=region, api_key="sk-simulated-acme", max_retries=0)
        self.labels = labels


class CustomSync(CustomClient, openai.OpenAI):
    pass


class CustomAsync(CustomClient, openai.AsyncOpenAI):
    pass


@pytest.fixture
def guarded(bare, configured):
    """The guarded copy of the SDK's own client."""
    return guard(bare, configured())


async def test_guard_returns_a_guarded_copy_and_leaves_the_original(bare, guarded, infer, posts, flavour):
    assert isinstance(guarded, flavour.bare)
    assert type(bare) is flavour.bare
    assert guarded.guard.active
    with pytest.raises(NoInferenceRecordedError):
        await create_job(guarded)
    assert 0 == posts("/fine_tuning/jobs")
    with pytest.raises(openai.PermissionDeniedError):
        await create_job(bare)

    await infer(bare)
    assert {} == (await done(guarded.guard.history())).models
    await infer(guarded)
    assert 1 == len((await done(guarded.guard.history())).models)
    assert not hasattr(bare, "guard")


async def test_guarded_copy_shares_the_http_client(bare, guarded):
    """Guarding twice is guarding once."""
    assert bare._client is guarded._client
    assert guarded is guard(guarded)
    await done(guarded.close())
    assert bare.is_closed()


async def test_resources_made_before_are_guarded_on_the_copy(bare, configured, model):
    assert all((bare.chat, bare.with_raw_response, bare.chat.completions.with_raw_response))
    guarded = guard(bare, configured())
    for each_client in (guarded, guarded.with_raw_response, guarded.with_options(timeout=300), bare):
        await done(each_client.chat.completions.create(model=model, messages=MESSAGES))
    await done(guarded.chat.completions.with_raw_response.create(model=model, messages=MESSAGES))
    (sources,) = (await done(guarded.guard.history())).daily.values()
    assert [4] == list(sources.values())


async def test_guarding_calls_no_constructor(flavour, sim, configured, closing, model):
    original = closing((CustomAsync if flavour is ASYNC else CustomSync)(sim.base_url, "a", "b"))
    guarded = guard(original, configured())
    assert isinstance(guarded, type(original))
    assert (type(original).__name__, ("a", "b")) == (type(guarded).__name__, guarded.labels)
    with pytest.raises(NoInferenceRecordedError):
        await create_job(guarded)
    await done(guarded.chat.completions.create(model=model, messages=MESSAGES))
    assert [model] == list((await done(guarded.guard.history())).models)


async def test_guarded_azure_client_has_azures_rules(flavour, closing, wire, caplog):
    wire.route().respond(200, json={"id": "x", "data": []})
    azure = closing(
        flavour.azure(
            api_key="azure-key", api_version="2024-10-21", azure_endpoint="https://acme.openai.azure.com"
        )
    )
    guarded = guard(azure, GuardConfig(store="memory", hosts=["acme.openai.azure.com"]))
    assert isinstance(guarded, flavour.azure)
    assert guarded.guard.active
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]

    await done(guarded.chat.completions.create(model="gpt-4o.ft-0123abc", messages=MESSAGES))
    await create_job(guarded)
    await create_job(guarded.with_options(timeout=300))
    assert {} == (await done(guarded.guard.history())).models
    assert "not_guarded" == (await done(guarded.guard.check())).reason.value
    assert 3 == len(wire.calls)
    assert "azure-key" == wire.calls[0].request.headers["api-key"]


async def test_guard_of_another_provider_is_inactive(flavour, closing, caplog):
    client = closing(flavour.bare(api_key="sk-test", base_url="http://localhost:8000/v1"))
    assert not guard(client, GuardConfig(store="memory")).guard.active
    assert "the policy does not apply to localhost" in caplog.text


@pytest.mark.parametrize("wrong", ["sk-secret", openai.OpenAI, openai], ids=lambda value: str(type(value)))
def test_only_a_client_can_be_guarded(wrong):
    with pytest.raises(
        GuardConfigError, match=r"an openai\.OpenAI or openai\.AsyncOpenAI is required"
    ) as caught:
        guard(wrong)
    assert "sk-secret" not in str(caught.value)
