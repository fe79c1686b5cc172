"""Listing a subscription's deployments with Azure's management API."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

import pytest
import requests

from finetune_guard import AzureListingError, GuardConfigError
from finetune_guard.azure_api.listing import ListedDeployment, ListedResource, list_deployments
from tests.support.azure_management import SECRET, SUBSCRIPTION, TOKEN, TUNED, account, deployment, install

CREATED = datetime(2026, 11, 1, 8, tzinfo=timezone.utc)


@pytest.fixture
def azure(monkeypatch):
    return install(monkeypatch)


def test_lists_every_deployment_of_openai_resources(azure):
    """All resources and pages are listed with their models, except resources of other kinds."""
    azure.accounts = [
        account("acme"),
        account("speech", kind="SpeechServices"),
        account("Foundry", kind="AIServices", customSubDomainName="globex", endpoint="https://globex.x/"),
    ]
    azure.deployments = {
        "acme": [deployment("support", TUNED), deployment("plain", "gpt-4o", "2024-08-06")],
        "Foundry": [
            {"name": "odd", "properties": {}, "systemData": {"createdAt": "2026-11-01T08:00:00"}},
            {"name": "empty"},
        ],
    }
    acme, globex = (
        tuple(f"{name}.{domain}.azure.com" for domain in ("openai", "services.ai", "cognitiveservices"))
        for name in ("acme", "globex")
    )
    served = ListedDeployment(TUNED, CREATED), ListedDeployment("gpt-4o-2024-08-06", CREATED)
    untold = ListedDeployment(None, None)
    assert (
        ListedResource(acme, dict(zip(("support", "plain"), served, strict=True))),
        ListedResource((*globex, "globex.x"), {"odd": untold, "empty": untold}),
    ) == list_deployments(SUBSCRIPTION.upper())
    assert not any("speech" in call for call in azure.asked)
    assert all(call.startswith("GET management.azure.com") for call in azure.asked if "login" not in call)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"refuses": (403, {"error": {"code": "AuthorizationFailed", "message": f"no: {TOKEN}"}})},
            "403 Auth.*Reader",
        ),
        (
            {"refuses": (404, {"error": {"code": "SubscriptionNotFound", "message": "no"}})},
            "404 Subscription",
        ),
        ({"refuses": (400, "nonsense")}, "400"),
        ({"signs_in": False}, r"[^.]\.\nWhat to do: Sign in with az login"),
    ],
    ids=["role", "subscription", "nonsense", "sign-in"],
)
def test_failure_says_what_to_do_and_shows_no_secret(azure, fields, expected):
    vars(azure).update(fields)
    with pytest.raises(AzureListingError, match=rf"(?s){SUBSCRIPTION}.*{expected}") as caught:
        list_deployments(SUBSCRIPTION)
    assert not {SECRET, TOKEN} & set(str(caught.value).split())
    assert caught.value.__cause__ is not None


def test_connection_error_names_the_proxy_without_its_password(azure, monkeypatch):
    answer = azure.send

    def send(request):
        if "login" in request.url:
            return answer(request)
        raise requests.ConnectionError("no route by http://somebody:hunter2@proxy.example")

    monkeypatch.setattr(azure, "send", send)
    monkeypatch.setattr("time.sleep", lambda _: None)  # Azure's package tries again and again
    with pytest.raises(AzureListingError, match=r"proxy\.example") as caught:
        list_deployments(SUBSCRIPTION)
    assert "hunter2" not in str(caught.value)


def test_subscription_name_is_refused_without_a_request(azure):
    with pytest.raises(GuardConfigError, match=r"'my subscription'.*az account list"):
        list_deployments("my subscription")
    assert [] == azure.asked


@pytest.mark.parametrize("module", ["azure.identity", "azure.mgmt.cognitiveservices"])
def test_missing_package_names_the_azure_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(GuardConfigError, match=r"pip install 'finetune-guard\[azure\]'"):
        list_deployments(SUBSCRIPTION)


@pytest.mark.parametrize(
    "accounts",
    [
        "nonsense",
        ["nonsense"],
        [{"kind": "OpenAI"}],
        [{"kind": "OpenAI", "name": "acme", "id": "acme", "properties": {}}],
        [{**account("acme"), "properties": None}],
        [{**account("acme"), "properties": {"endpoint": 7, "customSubDomainName": ["x"]}}],
    ],
    ids=str,
)
def test_unexpected_responses_raise_only_azure_listing_error(azure, accounts):
    azure.accounts = accounts
    azure.deployments = {
        "acme": [None, 7, {"name": "x", "properties": {"model": {"name": "a", "version": 7}}}]
    }
    with pytest.raises(AzureListingError, match="can't be read"):
        list_deployments(SUBSCRIPTION)
