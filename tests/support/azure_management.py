"""A fake transport for Azure's sign-in and management API."""

from __future__ import annotations

import io
import json
from urllib.parse import parse_qs, urlsplit

import requests

SUBSCRIPTION = "12345678-1234-1234-1234-123456789abc"
TENANT = "87654321-4321-4321-4321-cba987654321"
LOGIN = "https://login.microsoftonline.com"
SECRET, TOKEN = "secret-of-the-application", "token-of-entra"
TUNED = "gpt-4.1-mini-2025-04-14.ft-0a1b2c3d"
_ROOT = f"/subscriptions/{SUBSCRIPTION}"
_GROUP = f"{_ROOT}/resourceGroups/team/providers/Microsoft.CognitiveServices/accounts"


def account(name, kind="OpenAI", **properties):
    """Return a resource as the API shows it."""
    endpoint = f"https://{name}.openai.azure.com/"
    return {
        "id": f"{_GROUP}/{name}",
        "name": name,
        "kind": kind,
        "properties": {"endpoint": endpoint, **properties},
    }


def deployment(name, model, version="1", created="2026-11-01T08:00:00Z"):
    """Return a deployment as the API shows it."""
    served = {"format": "OpenAI", "name": model, "version": version}
    return {"name": name, "systemData": {"createdAt": created}, "properties": {"model": served}}


class AzureManagement:
    """The responses to send, and the requests received."""

    def __init__(self):
        self.accounts = [account("acme")]
        self.deployments = {"acme": [deployment("support", TUNED)]}
        self.refuses = None
        self.signs_in = True
        self.asked = []

    def send(self, request):
        """Answer one request."""
        url = urlsplit(request.url)
        self.asked.append(f"{request.method} {url.netloc}{url.path}")
        status, body = self._answer(request, url)
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers["content-type"] = "application/json"
        response.raw = io.BytesIO(json.dumps(body).encode())
        return response

    def _answer(self, request, url):
        if url.netloc == "login.microsoftonline.com":
            return self._sign_in(request, url)
        assert f"Bearer {TOKEN}" == request.headers["authorization"]
        assert "api-version" in parse_qs(url.query)
        if self.refuses is not None:
            return self.refuses
        if url.path == f"{_ROOT}/providers/Microsoft.CognitiveServices/accounts":
            return 200, {"value": self.accounts}
        name = url.path.removeprefix(f"{_GROUP}/").removesuffix("/deployments")
        # A list comes in pages: each but the last names the next one's URL.
        at, rows = int(parse_qs(url.query).get("page", ["0"])[0]), self.deployments[name]
        more = {"nextLink": f"{request.url}&page={at + 1}"} if at + 1 < len(rows) else {}
        return 200, {"value": rows[at : at + 1], **more}

    def _sign_in(self, request, url):
        if "openid-configuration" in url.path or "discovery" in url.path:
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            endpoints = {name: f"{LOGIN}/{TENANT}/oauth2/v2.0/{path}" for name, path in ends.items()}
            issuer = f"{LOGIN}/{TENANT}/v2.0"
            return 200, {
                **endpoints,
                "issuer": issuer,
                "tenant_discovery_endpoint": request.url,
                "metadata": [],
            }
        if not self.signs_in:
            return 401, {"error": "invalid_client", "error_description": f"no: {SECRET}"}
        return 200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}


def install(monkeypatch):
    """Replace the network with it, sign an application in, and return it."""
    azure = AzureManagement()
    monkeypatch.setattr(
        requests.adapters.HTTPAdapter, "send", lambda _self, request, **_: azure.send(request)
    )
    for name, value in (("TENANT_ID", TENANT), ("CLIENT_ID", "app"), ("CLIENT_SECRET", SECRET)):
        monkeypatch.setenv(f"AZURE_{name}", value)
    return azure
