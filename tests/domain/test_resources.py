"""Resource names, and the published rules for fine-tuned models on them."""

from __future__ import annotations

from datetime import date

import pytest

from finetune_guard.domain.catalog import azure_retirement_of
from finetune_guard.domain.hosts import (
    host_of,
    is_azure_gateway,
    is_resource,
    resource_histories,
    resource_history,
    resource_of,
)
from finetune_guard.domain.organizations import is_slug, organization_slug


@pytest.mark.parametrize(
    ("url", "resource", "host"),
    [
        (("A.OpenAI.azure.com", None, "/openai"), "a.openai.azure.com", ("a.openai.azure.com", None)),
        (("a.openai.azure.com", None, "/openai/v1/"), "a.openai.azure.com", ("a.openai.azure.com", None)),
        (("gw.example", 8443, "/a/openai/v1"), "gw.example:8443/a", ("gw.example", 8443)),
        (("gw.example", None, "/deployments/x"), "gw.example", ("gw.example", None)),
        (("gw.example", None, "/"), "gw.example", ("gw.example", None)),
        (("::1", 8000, "/v1"), "[::1]:8000", ("[::1]", 8000)),
        (("::1", None, "/v1"), "[::1]", ("[::1]", None)),
    ],
)
def test_base_urls_of_one_resource_give_one_name(url, resource, host):
    """No organization can have such a name."""
    history = resource_history(*url)
    assert is_resource(history)
    assert not is_azure_gateway(history)
    assert (resource, host) == (resource_of(history), host_of(history))
    assert is_slug(history)
    assert organization_slug(history) is None


def test_gateway_resource_keeps_its_rule():
    """The rule can be found without the client that made the call."""
    history = resource_history("gw.example", None, "/openai", is_gateway=True)
    assert is_azure_gateway(history)
    assert history in resource_histories("gw.example")
    assert ("gw.example", ("gw.example", None)) == (resource_of(history), host_of(history))


@pytest.mark.parametrize("url", [("", None, "/"), ("h", None, "/" + "x" * 400), ("h", None, "/\n")])
def test_invalid_hosts_and_paths_give_no_resource(url):
    assert resource_history(*url) is None


def test_azure_retirement_dates():
    """Training ends no earlier than a day, which is no shutdown; deployments of fine-tunes retire on one."""
    result = azure_retirement_of("gpt-4.1-mini-2025-04-14.ft-0a1b2c3d")
    assert ("gpt-4.1-mini-2025-04-14", date(2026, 9, 2)) == (result.base, result.as_of)
    assert (date(2027, 4, 14), "no_earlier_than") == (result.training.day, result.training.kind)
    assert (date(2027, 10, 14), "on") == (result.deployments.day, result.deployments.kind)
    assert azure_retirement_of("gpt-9.ft-0a1b") is None
