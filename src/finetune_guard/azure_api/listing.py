"""Lists the Azure OpenAI deployments of a subscription, through Azure's management API.

The API knows no time of a last call. Credentials are found by azure-identity, and none of them is kept.
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
    """A deployment that stands: the id of the model that it serves, and when it was made, if that is told."""

    model: str | None
    created_at: datetime | None


class ListedResource(NamedTuple):
    """A resource: the hosts by which clients reach it, the one to show first, and its deployments by name."""

    hosts: tuple[str, ...]
    deployments: Mapping[str, ListedDeployment]


def list_deployments(subscription: str) -> tuple[ListedResource, ...]:
    """Return a subscription's Azure OpenAI and AI Services resources with every deployment.

    Raises:
        GuardConfigError: The id is none, or the extra ``azure`` is not installed.
        AzureListingError: Azure gave no credential, or did not answer all that was asked.
    """
    try:
        given = str(UUID(subscription))
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
            CognitiveServicesManagementClient(credential, given) as client,
        ):
            return tuple(_listed(client))
    except AzureError as error:
        raise AzureListingError(_failure(given, error)) from error
    except Exception as error:
        # What a proxy or another release of the API answers makes Azure's packages, and us, fail in any way.
        raise AzureListingError(
            f"The deployments of subscription {given} could not be listed: what Azure answered can't be read "
            f"({type(error).__name__}).\nWhat to do: See whether az cognitiveservices account list works, "
            "and update azure-mgmt-cognitiveservices."
        ) from error


def _listed(client: Any) -> Iterator[ListedResource]:
    for account in client.accounts.list():
        if account.kind in _KINDS:
            group = account.id.split("/")[4]  # /subscriptions/ID/resourceGroups/GROUP/providers/…
            found = {each.name: _deployment(each) for each in client.deployments.list(group, account.name)}
            yield ListedResource(_hosts(account), found)


def _deployment(listed: Any) -> ListedDeployment:
    model = listed.properties.model if listed.properties is not None else None
    created = listed.system_data.created_at if listed.system_data is not None else None
    is_dated = created is not None and created.tzinfo is not None
    return ListedDeployment(_model_id(model), created if is_dated else None)


def _hosts(account: Any) -> tuple[str, ...]:
    """Return the hosts of a resource: those of its own domain name, and the one that Azure shows."""
    shown_endpoint = str(account.properties.endpoint or "").partition("://")[2].partition("/")[0].lower()
    own = account.properties.custom_sub_domain_name or account.name
    named = (domain.replace("*", own.lower()) for domain in _DOMAINS)
    return tuple(dict.fromkeys(filter(None, (*named, shown_endpoint))))


def _model_id(model: Any) -> str | None:
    """Return the id as the answers of a deployment give it: a base model's with its version."""
    if model is None or not model.name:
        return None
    dated = not model.version or ".ft-" in model.name or model.name.endswith(model.version)
    return str(model.name) if dated else f"{model.name}-{model.version}"


def _failure(subscription: str, error: Any) -> str:
    """Return what happened and what to do: by status and code, since the API's wording can hold anything."""
    status = getattr(error, "status_code", None)
    code = getattr(getattr(error, "error", None), "code", None)
    if status is None:
        happened = one_line(without_secrets(str(error).partition("\n")[0]), 200)
        hint = "Sign in with az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
    else:
        happened = " ".join(map(str, filter(None, (status, code))))
        hint = (
            "The role Reader on the subscription is enough to list them; az account show tells who you are."
        )
    return (
        f"The deployments of subscription {subscription} could not be listed: {happened}.\nWhat to do: {hint}"
    )
