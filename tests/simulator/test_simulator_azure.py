"""Azure OpenAI in the simulator, called with the SDK's own clients: resources and deployments."""

from __future__ import annotations

from datetime import timedelta

import openai
import pytest

from finetune_guard.simulator import Fault
from tests.support.azure import BASE, KEY, TOKEN, TUNED, VERSION
from tests.support.constants import DAY, MESSAGES
from tests.support.http import HTTP


def chat(client, deployment="support", **options):
    return client.chat.completions.create(model=deployment, messages=MESSAGES, **options)


def respond(client, deployment="support"):
    return client.responses.create(model=deployment, input="hello")


CALLS = [chat] + [respond] * hasattr(openai.OpenAI, "responses")


@pytest.fixture
def azure(sim):
    """Two resources; the first has a fine-tuned and a base model, the second nothing."""
    sim.azure.add_resource("east", api_key=KEY, tokens=[TOKEN])
    sim.azure.add_resource("west", api_key="key-of-the-west")
    sim.azure.deploy("east", "support", model=TUNED)
    sim.azure.deploy("east", "plain", model=BASE)
    return sim.azure


@pytest.fixture
def connect(azure):
    """Makes the SDK's clients for a resource and an API."""
    clients = []

    def make(api="key", resource="east", key=KEY):
        endpoint = azure.endpoint(resource)
        ways = {
            "key": {"api_key": key},
            "token": {"azure_ad_token": TOKEN},
            "provider": {"azure_ad_token_provider": lambda: TOKEN},
            "deployment": {"api_key": key, "azure_deployment": "support"},
        }
        if api == "v1":
            client = openai.OpenAI(base_url=f"{endpoint}/openai/v1/", api_key=key, max_retries=0)
        else:
            how = {"azure_endpoint": endpoint, "api_version": VERSION, "max_retries": 0, **ways[api]}
            client = openai.AzureOpenAI(**how)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("api", ["key", "token", "provider", "deployment", "v1"])
def test_path_base_url_and_body_name_a_deployment_alike(connect, azure, clock, api, call):
    client = connect(api)
    answer = call(client, "any" if api == "deployment" and call is chat else "support")
    assert TUNED == answer.model
    standing = {deployment.name: deployment.last_call for deployment in azure.deployments("east")}
    assert {"support": clock(), "plain": None} == standing
    if call is chat:  # the first part is the content filter's, without a model
        first, *parts = chat(client, stream=True)
        assert (["", []], {TUNED}) == ([first.model, first.choices], {part.model for part in parts})


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_deployment_is_deleted_15_days_after_its_last_call(connect, azure, clock, call):
    client = connect("v1")
    clock.advance(10 * DAY)
    call(client)
    clock.advance(15 * DAY - timedelta(seconds=1))
    assert {"support", "plain"} == {deployment.name for deployment in azure.deployments("east")}
    clock.advance(timedelta(seconds=1))
    assert ["plain"] == [deployment.name for deployment in azure.deployments("east")]
    with pytest.raises(openai.NotFoundError, match="does not exist") as caught:
        call(client)
    assert "DeploymentNotFound" == caught.value.code

    azure.deploy("east", "support", model=TUNED, shown_as=BASE)
    assert [BASE, BASE] == [call(client, name).model for name in ("support", "plain")]


def test_failed_call_does_not_keep_a_deployment_alive(sim, connect, clock):
    client = connect()
    clock.advance(14 * DAY)
    sim.fault(Fault(path="/east/openai/*", status=503))
    with pytest.raises(openai.InternalServerError):
        chat(client)
    with pytest.raises(openai.BadRequestError):
        chat(client, n=0)
    clock.advance(DAY)
    with pytest.raises(openai.NotFoundError):
        chat(client)
    assert [503, 400, 404] == [call.status for call in sim.calls]
    assert ("support", "east") == (sim.calls[-1].path.split("/")[4], sim.calls[-1].organization)


@pytest.mark.parametrize(
    ("resource", "key"),
    [("east", "nobodys-key"), ("west", KEY), ("nobody", KEY)],
    ids=["key", "resource", "none"],
)
@pytest.mark.parametrize("api", ["key", "v1"])
def test_key_of_another_resource_is_refused_and_not_shown(connect, api, resource, key):
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(connect(api, resource, key))
    assert key not in str(caught.value)


def test_resources_are_isolated_from_each_other_and_openai(sim, azure, connect, clock):
    west = connect(resource="west", key="key-of-the-west")
    with pytest.raises(openai.NotFoundError):
        chat(west)
    clock.advance(400 * DAY)
    azure.deploy("west", "support", model=TUNED)
    assert TUNED == chat(west).model
    assert sim.last_inference() is None
    assert 401 == HTTP.get(f"{sim.base_url}/models", headers={"authorization": f"Bearer {KEY}"}).status_code


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "deployments/support/chat/completions"), ("POST", "responses"), ("GET", "v1/fine_tuning/jobs")],
)
def test_missing_api_version_or_unknown_path_is_azures_404(azure, method, path):
    url = f"{azure.endpoint('east')}/openai/{path}"
    answer = HTTP.request(method, url, headers={"api-key": KEY}, json={"model": "support"})
    assert (404, "404") == (answer.status_code, answer.json()["error"]["code"])


def test_control_interface_manages_resources_and_deployments(sim):
    with HTTP.Client(base_url=f"http://{sim.host}/_simulator/azure") as http:
        added = http.post("/resources", json={"name": "north", "api_key": "k", "tokens": ["t"]})
        assert (201, sim.azure.endpoint("north")) == (added.status_code, added.json()["endpoint"])
        new = {"resource": "north", "name": "support", "model": TUNED}
        assert 201 == http.post("/deployments", json=new).status_code
        (shown,) = http.get("/deployments").json()
        assert {**new, "shown_as": None, "last_call": None}.items() <= shown.items()
        for path, wrong in (
            ("resources", {"name": "north", "api_key": "other"}),
            ("resources", {"name": "a/b", "api_key": "other"}),
            ("deployments", {**new, "resource": "south"}),
            ("deployments", {**new, "colour": "red"}),
        ):
            assert 400 == http.post(path, json=wrong).status_code
        assert 204 == http.delete("/deployments", params={"resource": "north", "name": "support"}).status_code
        assert [] == http.get("/deployments").json()
