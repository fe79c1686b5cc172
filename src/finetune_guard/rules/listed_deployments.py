"""What is known of deployments once Azure's management API has told which stand and what they serve."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from finetune_guard.azure_api.listing import ListedDeployment, ListedResource
from finetune_guard.domain.catalog import azure_retirement_of
from finetune_guard.domain.facts import Ended, EndedBy
from finetune_guard.domain.idle_policy import IdlePolicy
from finetune_guard.rules.deployments import Deployment, DeploymentState, covers

_STATE = DeploymentState


def with_listing(
    known: Iterable[Deployment], resources: Iterable[ListedResource], policy: IdlePolicy, now: datetime
) -> tuple[Deployment, ...]:
    """Return what is known of each deployment: of those that the history knows, then of those only listed.

    ``resources`` were listed with all their deployments. Deployments elsewhere stay as they are.
    """
    known, resources = tuple(known), tuple(resources)
    by_host = {host: resource for resource in resources for host in resource.hosts}
    found, seen = list[Deployment](), set[tuple[str, str]]()
    for each in known:
        resource = by_host.get(each.resource)
        if resource is not None:
            seen.add((resource.hosts[0], each.name))
            each = _told(each, resource.deployments.get(each.name), now)  # noqa: PLW2901 -- the same, with more known
        found.append(each)
    for resource in resources:
        for name, listed in resource.deployments.items():
            if (resource.hosts[0], name) not in seen:
                found.append(_uncalled(resource.hosts[0], name, listed, policy))
    return tuple(found)


def _told(known: Deployment, listed: ListedDeployment | None, now: datetime) -> Deployment:
    """Return what is known of a deployment of a resource that was listed as a whole."""
    if listed is None:
        if known.ended is not None:
            return known
        ended = Ended(at=now, why=EndedBy.NOT_FOUND)
        return known.model_copy(update={"state": _STATE.GONE, "ended": ended, "ends": None, "unknown": ()})
    if known.state in {_STATE.GONE, _STATE.NO_CALL_KNOWN}:  # it was deployed again, and not called since
        return _uncalled(known.resource, known.name, listed, known.policy, named=True)
    if known.state is not _STATE.MAY_BE_GONE:
        return known
    later = "when it was last called: it stands, so another program has called it since"
    return known.model_copy(update={"state": _STATE.ALIVE, "ends": None, "unknown": (later,)})


def _uncalled(
    resource: str, name: str, listed: ListedDeployment, policy: IdlePolicy, *, named: bool = False
) -> Deployment:
    """Return what is known of a deployment that stands, and of which the history knows no call."""
    is_base = covers(policy, listed.model, named=named) is False
    return Deployment(
        resource=resource,
        name=name,
        state=_STATE.BASE_MODEL if is_base else _STATE.NO_CALL_KNOWN,
        policy=policy,
        served=listed.model,
        retirement=azure_retirement_of(listed.model) if not is_base else None,
        deployed_at=listed.created_at,
        unknown=() if is_base else ("when it was last called, and so when it ends",),
    )
