"""A guarded client fails in the same way as the SDK's own client."""

from __future__ import annotations

import openai
import pytest

from finetune_guard import DeploymentScalingUpError, ModelAccessLostError
from finetune_guard.simulator import Fault
from tests.client.flavours import HTTP, create_job, done
from tests.client.scenarios import chat, chat_stream
from tests.support.constants import MESSAGES

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ATTRIBUTES = ("status_code", "code", "type", "param", "message", "body")

FAULTS = {
    "401": Fault.unauthorized(times=None),
    "403": Fault(path="*", method="*", status=403, code="unsupported_country_region_territory", times=None),
    "404": Fault(path="*", method="*", status=404, code="model_not_found", times=None),
    "429 with Retry-After": Fault.rate_limited(retry_after=0.01, times=None),
    "an HTML page": Fault(path="*", method="*", status=502, body="<h1>Bad gateway</h1>", times=None),
    "malformed JSON": Fault(path="*", method="*", malformed=True, times=None),
    "a cut body": Fault(path="*", method="*", cut_after=3, times=None),
}


async def failure_of(call, *arguments):
    """What a program that catches ``Exception`` finds."""
    try:
        await call(*arguments)
    except Exception as raised:  # noqa: BLE001 -- whatever it is, both must raise it
        error = raised
    else:
        pytest.fail("nothing was raised")
    attributes = {name: getattr(error, name, None) for name in ATTRIBUTES}
    headers = dict(getattr(getattr(error, "response", None), "headers", {}))
    headers.pop("x-request-id", None)
    return type(error), str(error), type(error.__cause__), attributes, headers


async def job(client, _):
    return await create_job(client)


@pytest.mark.parametrize("call", [chat, chat_stream, job], ids=lambda call: call.__name__)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_error_equals_the_sdks(sim, client, bare, model, infer, call, fault):
    await infer(client)  # a job may be created
    sim.fault(fault)

    expected = await failure_of(call, bare, model)
    sim.clear_calls()
    assert expected == await failure_of(call, client, model)
    assert 1 == len(sim.calls)


@pytest.mark.parametrize("broken", [{"cut_after": 2}, {"malformed": True}], ids=str)
async def test_error_in_a_stream_is_unchanged_and_the_inference_counts(sim, client, bare, model, broken):
    sim.fault(Fault(path=CHAT, times=None, **broken))
    expected = await failure_of(chat_stream, bare, model)
    assert expected == await failure_of(chat_stream, client, model)
    assert [model] == list((await done(client.guard.history())).models)


async def test_refused_connection_raises_the_sdks_error(connect, connect_bare):
    nowhere = {"base_url": "http://127.0.0.1:9/v1"}
    expected = await failure_of(chat, connect_bare(**nowhere), "ft:gpt-4o:acme::x")
    assert openai.APIConnectionError is expected[0]
    for hosts in ([], ["127.0.0.1"]):
        guarded = connect(config={"hosts": hosts}, **nowhere)
        assert expected == await failure_of(chat, guarded, "ft:gpt-4o:acme::x")


async def test_timeout_raises_the_sdks_error(sim, client, bare, model, infer):
    await infer(client)
    sim.fault(Fault(path="*", delay=600, times=None))
    patient = HTTP.Timeout(None, read=0.05)  # with everything but the answer: what ends it is always the same
    for call in (chat, job):
        expected = await failure_of(call, bare.with_options(timeout=patient), model)
        assert openai.APITimeoutError is expected[0]
        assert expected == await failure_of(call, client.with_options(timeout=patient), model)


async def test_retries_are_the_sdks_and_one_inference_counts(sim, connect, connect_bare, model):
    requests = []
    for each_client in (connect_bare(max_retries=2), connect(max_retries=2)):
        sim.clear_calls()
        for _ in range(2):
            sim.fault(Fault(path=CHAT, status=500, headers={"retry-after-ms": "1", "x-should-retry": "true"}))
        await chat(each_client, model)
        requests.append([call.status for call in sim.calls])
    assert [[500, 500, 200]] * 2 == requests
    assert 1 == sum(sum(day.values()) for day in (await done(each_client.guard.history())).daily.values())


# What another provider has taken away.

FIREWORKS = "https://api.fireworks.ai/inference/v1"
MANTLE = "https://bedrock-mantle.us-east-1.api.aws/v1"
SCALING = (
    503,
    {"error": {"code": "DEPLOYMENT_SCALING_UP", "message": "Deployment is scaling up", "type": "x"}},
)
LEGACY = 404, {"error": {"message": "marked by provider as Legacy; not been actively using the model"}}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("base_url", "answer", "sdks", "ours"),
    [
        (FIREWORKS, SCALING, openai.InternalServerError, DeploymentScalingUpError),
        (MANTLE, LEGACY, openai.NotFoundError, ModelAccessLostError),
    ],
    ids=["fireworks", "bedrock"],
)
async def test_known_loss_is_named_and_stays_the_sdks_error(
    flavour, wire, configured, closing, base_url, answer, sdks, ours, stream
):
    status, body = answer
    route = wire.post(f"{base_url}/chat/completions").respond(
        status, json=body, headers={"x-request-id": "r1"}
    )
    for enabled in (True, False):
        guard = configured(enabled=enabled)
        client = closing(flavour.guarded(base_url=base_url, api_key="sk-x", guard=guard, max_retries=1))
        with pytest.raises(sdks) as caught:
            await done(client.chat.completions.create(model="acme/support", messages=MESSAGES, stream=stream))
        error = caught.value
        assert (ours if enabled else sdks) is type(error)
        assert (status, body["error"], "r1") == (error.status_code, error.body, error.request_id)
    assert 2 * (2 if status >= 500 else 1) == len(route.calls)


async def test_other_errors_are_unchanged(flavour, wire, configured, closing):
    host = "https://acme.openai.azure.com"
    wire.post(url__startswith=host).respond(
        404, json={"error": {"code": "DeploymentNotFound", "message": "no"}}
    )
    client = closing(
        flavour.guarded(base_url=f"{host}/openai/v1/", api_key="sk-x", guard=configured(), max_retries=0)
    )
    with pytest.raises(openai.NotFoundError) as caught:
        await done(client.chat.completions.create(model="suport", messages=MESSAGES))
    assert openai.NotFoundError is type(caught.value)
