"""Answers of other providers that mean that a deployment or model is gone."""

from __future__ import annotations

from datetime import datetime, timezone

import openai
import pytest

from finetune_guard import DeploymentGoneError, DeploymentScalingUpError, ModelAccessLostError
from finetune_guard.domain.idle_policy import SHIPPED
from finetune_guard.rules.known_losses import KNOWN_LOSSES, known_loss, losses_under
from tests.client.flavours import HTTP

CALLED = datetime(2026, 11, 3, 9, 5, tzinfo=timezone.utc)
AZURE = "acme.openai.azure.com"
GONE = {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}
SCALING = {"error": {"code": "DEPLOYMENT_SCALING_UP", "message": "scaling up"}}
LEGACY = {
    "message": "This Model is marked by provider as Legacy and you have not been actively using the model"
}


def failed(status, body):
    """What the SDK raises for an answer."""
    response = HTTP.Response(status, request=HTTP.Request("POST", "https://x/v1"), json=body)
    return openai.OpenAI(api_key="sk-test")._make_status_error_from_response(response)


@pytest.mark.parametrize(
    ("host", "status", "body", "last_call", "expected"),
    [
        (AZURE, 404, GONE, CALLED, DeploymentGoneError),
        (AZURE, 404, {"detail": "The deployment 'x' does not exist"}, CALLED, DeploymentGoneError),
        ("ACME.services.ai.azure.com", 404, GONE, CALLED, DeploymentGoneError),
        ("127.0.0.1", 404, GONE, CALLED, DeploymentGoneError),
        (AZURE, 404, GONE, None, None),
        (AZURE, 404, {"error": {"code": "404", "message": "Resource not found"}}, CALLED, None),
        (AZURE, 400, GONE, CALLED, None),
        ("api.fireworks.ai", 503, SCALING, None, DeploymentScalingUpError),
        ("api.fireworks.ai", 503, "DEPLOYMENT_SCALING_UP", CALLED, DeploymentScalingUpError),
        ("api.fireworks.ai", 503, {"error": {"code": "overloaded"}}, None, None),
        ("fireworks.example.com", 503, SCALING, None, None),
        ("bedrock-mantle.eu-west-1.api.aws", 404, LEGACY, None, ModelAccessLostError),
        ("bedrock-runtime.us-west-2.amazonaws.com", 404, {"error": LEGACY}, None, ModelAccessLostError),
        ("bedrock-mantle.eu-west-1.api.aws", 404, {"message": "no such model"}, None, None),
    ],
)
def test_loss_is_recognized_by_host_status_and_message(host, status, body, last_call, expected):
    """A name that never answered is taken for a typing error."""
    error = known_loss(failed(status, body), host=host, model="support", last_call=last_call)
    assert expected is (None if error is None else type(error))


@pytest.mark.parametrize("loss", KNOWN_LOSSES, ids=lambda loss: loss.error.__name__)
@pytest.mark.parametrize("named", ["support\nbot", None], ids=["named", "not named"])
def test_loss_error_names_last_call_and_remedy(loss, named):
    """It is also the SDK's own error for the status."""
    answer = failed(loss.status, {"error": {"code": "X", "message": "sk-secret"}})
    error = known_loss(
        answer, host="any", model=named, last_call=CALLED, losses=[loss._replace(pattern="secret")]
    )
    assert isinstance(error, type(answer))
    assert (answer.response, answer.body, answer.code) == (error.response, error.body, error.code)
    assert (named, CALLED, loss.is_verified) == (error.model, error.last_call, error.is_verified)
    assert error.remedy == loss.remedy
    assert ("support bot" if named else "the model that was called") in str(error)
    assert "2026-11-03 09:05 UTC" in str(error)
    assert loss.is_verified == ("not verified" not in str(error))
    assert "secret" not in str(error)


def test_user_rule_recognizes_its_losses():
    own = SHIPPED[0].model_copy(
        update={"name": "Acme {endpoints}", "hosts": ("api.acme.example",), "restore": "Ask Acme."}
    )
    error = failed(404, {"message": "Endpoint not found"})
    result = known_loss(
        error, host="api.acme.example", model="triage", last_call=CALLED, losses=losses_under(own)
    )
    assert isinstance(result, DeploymentGoneError)
    assert "triage is not found any more." in str(result)
    assert "Ask Acme." == result.remedy
    for body in ({"detail": "Not Found"}, "404 page not found"):  # a path that the host doesn't serve
        assert known_loss(failed(404, body), host="x", last_call=CALLED, losses=losses_under(own)) is None
    unrestorable = own.model_copy(update={"restore": ""})
    assert "See what became of it." == losses_under(unrestorable)[0].remedy
    assert KNOWN_LOSSES == losses_under(SHIPPED[0])
