"""Lists the Azure OpenAI deployments of a subscription, through Azure's management API.

The API doesn't return the time of the last call. azure-identity finds the credentials; none are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from finetune_guard.domain.errors import AzureListingError, GuardConfigError
from finetune_guard.domain.idle_policy import AZURE, SHIPPED
from finetune_guard.domain.text import one_line, without_secrets
from finetune_guard.domain.validation import format_value

_KINDS = frozenset({"OpenAI", "AIServices"})
"""The kinds of resources that can have deployments."""
_DOMAINS = next(rule.hosts for rule in SHIPPED if rule.name == AZURE)
_MISSING = (
    "Listing Azure's deployments needs azure-identity and azure-mgmt-cognitiveservices: "
    "pip install 'finetune-guard[azure]'"
)


class ListedDeployment(NamedTuple):
    """An existing deployment: the id of its model and its creation time, if known."""

    model: str | None
    created_at: datetime | None


class ListedResource(NamedTuple):
    """A resource: its hosts, the one to display first, and its deployments by name."""

    hosts: tuple[str, ...]
    deployments: Mapping[str, ListedDeployment]


def list_deployments(subscription: str) -> tuple[ListedResource, ...]:
    """Return a subscription's Azure OpenAI and AI Services resources with every deployment.

    Raises:
        GuardConfigError: The id is not valid, or the extra ``azure`` is not installed.
        AzureListingError: There is no credential, or a request failed.
    """
    try:
        subscription_id = str(UUID(subscription))
    except ValueError:
        raise GuardConfigError(
            f"subscription is {format_value(subscription)}: the id of a subscription is required, such as "
            "12345678-1234-1234-1234-123456789abc. To see yours: az account list --output table"
        ) from None
    try:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 -- the extra "azure"
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415
        from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient  # noqa: PLC0415
    except ImportError as error:
        raise GuardConfigError(_MISSING) from error
    try:
        with (
            DefaultAzureCredential() as credential,
            CognitiveServicesManagementClient(credential, subscription_id) as client,
        ):
            return tuple(_resources(client))
    except AzureError as error:
        raise AzureListingError(_failure(subscription_id, error)) from error
    except Exception as error:
        # A proxy's response, or another API version, can make Azure's packages or this code fail in any way.
        raise AzureListingError(
            f"The deployments of subscription {subscription_id} could not be listed: Azure's response can't "
            f"be read ({type(error).__name__}).\nWhat to do: See whether az cognitiveservices account list "
            "works, and update azure-mgmt-cognitiveservices."
        ) from error


def _resources(client: Any) -> Iterator[ListedResource]:
    for account in client.accounts.list():
        if account.kind in _KINDS:
            group = account.id.split("/")[4]  # /subscriptions/ID/resourceGroups/GROUP/providers/…
            deployments = {
                each.name: _deployment(each) for each in client.deployments.list(group, account.name)
            }
            yield ListedResource(_hosts(account), deployments)


def _deployment(deployment: Any) -> ListedDeployment:
    model = deployment.properties.model if deployment.properties is not None else None
    created = deployment.system_data.created_at if deployment.system_data is not None else None
    is_dated = created is not None and created.tzinfo is not None
    return ListedDeployment(_model_id(model), created if is_dated else None)


def _hosts(account: Any) -> tuple[str, ...]:
    """Return the hosts of a resource: those of its domain name, and that of its endpoint."""
    endpoint = str(account.properties.endpoint or "").partition("://")[2].partition("/")[0].lower()
    own = account.properties.custom_sub_domain_name or account.name
    hosts = (domain.replace("*", own.lower()) for domain in _DOMAINS)
    return tuple(dict.fromkeys(filter(None, (*hosts, endpoint))))


def _model_id(model: Any) -> str | None:
    """Return the id as in a deployment's responses: for a base model, including its version."""
    if model is None or not model.name:
        return None
    has_version = not model.version or ".ft-" in model.name or model.name.endswith(model.version)
    return str(model.name) if has_version else f"{model.name}-{model.version}"


def _failure(subscription: str, error: Any) -> str:
    """Return an error message with status and code, but without the API's text, which can hold anything."""
    status = getattr(error, "status_code", None)
    code = getattr(getattr(error, "error", None), "code", None)
    if status is None:
        problem = one_line(without_secrets(str(error).partition("\n")[0]), 200).rstrip(".")
        hint = "Sign in with az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
    else:
        problem = " ".join(map(str, filter(None, (status, code))))
        hint = (
            "The role Reader on the subscription is enough to list them; az account show tells who you are."
        )
    return (
        f"The deployments of subscription {subscription} could not be listed: {problem}.\nWhat to do: {hint}"
    )
