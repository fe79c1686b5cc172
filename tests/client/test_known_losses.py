"""What a program meets when another provider has taken away what it calls."""

from __future__ import annotations

import openai
import pytest

from finetune_guard import DeploymentScalingUpError, ModelAccessLostError
from tests.client.both_ways import done
from tests.support.constants import MESSAGES

pytestmark = pytest.mark.anyio

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
async def test_a_known_loss_is_named(way, wire, configured, closing, base_url, answer, sdks, ours, stream):
    """It is the SDK's error with all that it carries; with the guard switched off it is nothing else."""
    status, body = answer
    route = wire.post(f"{base_url}/chat/completions").respond(
        status, json=body, headers={"x-request-id": "r1"}
    )
    for enabled in (True, False):
        guard = configured(enabled=enabled)
        client = closing(way.guarded(base_url=base_url, api_key="sk-x", guard=guard, max_retries=1))
        with pytest.raises(sdks) as caught:
            await done(client.chat.completions.create(model="acme/support", messages=MESSAGES, stream=stream))
        error = caught.value
        assert (ours if enabled else sdks) is type(error)
        assert (status, body["error"], "r1") == (error.status_code, error.body, error.request_id)
    assert 2 * (2 if status >= 500 else 1) == len(route.calls)


async def test_any_other_error_stays_the_sdks(way, wire, configured, closing):
    """An answer that isn't known reaches the program as it came, the deployment of a typing error too."""
    host = "https://acme.openai.azure.com"
    wire.post(url__startswith=host).respond(
        404, json={"error": {"code": "DeploymentNotFound", "message": "no"}}
    )
    client = closing(
        way.guarded(base_url=f"{host}/openai/v1/", api_key="sk-x", guard=configured(), max_retries=0)
    )
    with pytest.raises(openai.NotFoundError) as caught:
        await done(client.chat.completions.create(model="suport", messages=MESSAGES))
    assert openai.NotFoundError is type(caught.value)
