"""The state and the end of each deployment, from its history and Azure's listing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from finetune_guard.domain.catalog import PublishedDate, Retirement, azure_retirement_of
from finetune_guard.domain.facts import Ended, Inference, Source
from finetune_guard.domain.history import History
from finetune_guard.domain.idle_policy import AZURE, IdlePolicy
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.values import StrEnum, Value
from finetune_guard.rules.keep_alive import LONGEST, KeepAlive, NotSent, bounded

if TYPE_CHECKING:
    from finetune_guard.azure_api.listing import ListedDeployment, ListedResource


class DeploymentState(StrEnum):
    """Whether a deployment answers, according to this history.

    ``may_be_gone``: its window may have passed, unless another program has called it. ``base_model``: its
    answers named no fine-tuned model, so that the rule does not apply to it.
    """

    ALIVE = "alive"
    MAY_BE_GONE = "may_be_gone"
    GONE = "gone"
    FORGOTTEN = "forgotten"
    BASE_MODEL = "base_model"
    NO_CALL_KNOWN = "no_call_known"


class Deployment(Value):
    """A deployment, or a model that ends when nobody calls it; unknown values are None.

    Attributes:
        resource: The resource it belongs to, such as ``acme.openai.azure.com``.
        served: The model that it serves, by its last answer that named one.
        last_call: When it was last called; ``source`` says how that is known.
        deployed_at: When it was deployed, if Azure was asked.
        ends: The earliest and the latest time at which it ends if nobody calls it again. They differ because
            a published number of days has neither hour nor zone.
        ended: Set if it was not found or was forgotten, and not called since.
        retirement: When training and deployments of its base model retire.
        unknown: Descriptions of what is not known.
    """

    resource: str
    name: str
    state: DeploymentState
    policy: IdlePolicy
    served: str | None = None
    last_call: UtcDatetime | None = None
    source: Source | None = None
    deployed_at: UtcDatetime | None = None
    ends: tuple[UtcDatetime, UtcDatetime] | None = None
    ended: Ended | None = None
    retirement: Retirement | None = None
    unknown: tuple[str, ...] = ()

    @property
    def is_covered(self) -> bool:
        """Whether it ends if nobody calls it."""
        return self.ends is not None


_WITH_RESOURCE = re.compile(r"[^/]*[.:][^/]*/")  # RESOURCE/NAME: the resource is a host's name
_UNSEEN_CALLS = "calls by programs that do not share this history"


def is_named(name: str, resource: str, given: Collection[str]) -> bool:
    """Whether the configuration names a deployment, by its name or by ``RESOURCE/NAME``."""
    return name in given or f"{resource}/{name}" in given


def names_at(resource: str, given: Iterable[str]) -> tuple[str, ...]:
    """Return the names in ``given`` that can mean deployments of ``resource``, without the resource."""
    mine = (each.removeprefix(f"{resource}/") for each in given)
    return tuple(dict.fromkeys(each for each in mine if _WITH_RESOURCE.match(each) is None))


def unambiguous(deployments: Iterable[Deployment]) -> list[str]:
    """Return the name of each deployment, as RESOURCE/NAME where another one has the same name."""
    every = list(deployments)
    times = Counter(each.name for each in every)
    return [each.name if times[each.name] == 1 else f"{each.resource}/{each.name}" for each in every]


def covers(policy: IdlePolicy, served: str | None, *, named: bool) -> bool | None:
    """Whether a rule applies to a deployment; None if no answer has named the model it serves."""
    if named or policy.covers == "all":
        return True
    if policy.covers == "named":
        return False
    return FineTunedModel.parse(served) is not None if served is not None else None


def deployments_of(
    resource: str, history: History, policy: IdlePolicy, now: datetime, given: Collection[str] = ()
) -> tuple[Deployment, ...]:
    """Return the deployments of a resource, the first to end first.

    ``given`` are the deployments that the configuration names; those of this resource are always included.
    """
    mine = {each.removeprefix(f"{resource}/") for each in given if each.startswith(f"{resource}/")}
    names = sorted({*history.models, *mine})
    found = [
        _deployment_of(resource, name, history, policy, now, named=is_named(name, resource, given))
        for name in names
    ]
    return tuple(sorted(found, key=by_end))


def _deployment_of(
    resource: str, name: str, history: History, policy: IdlePolicy, now: datetime, *, named: bool
) -> Deployment:
    last, ended = history.models.get(name), history.evidence.ended.get(name)
    found = Deployment(
        resource=resource,
        name=name,
        state=_state(ended, None, now) if ended is not None else DeploymentState.NO_CALL_KNOWN,
        policy=policy,
        ended=ended,
        unknown=(_UNSEEN_CALLS,),
    )
    if last is None:
        return found
    served = last.served.model if last.served is not None else None
    if ended is not None and ended.at < last.at:  # it has answered since
        ended = None
    covered = covers(policy, served, named=named) is not False
    ends = policy.ends(last.at, last.latest_at) if covered and ended is None else None
    retirement = azure_retirement_of(served) if covered and policy.name == AZURE else None
    return found.model_copy(
        update={
            "state": _state(ended, ends, now),
            "served": served,
            "last_call": last.at,
            "source": last.source,
            "ends": ends,
            "ended": ended,
            "retirement": retirement,
            "unknown": _unknown_facts(last, ends, retirement, policy),
        }
    )


def _state(ended: Ended | None, ends: tuple[datetime, datetime] | None, now: datetime) -> DeploymentState:
    if ended is not None:
        return DeploymentState.GONE if ended.why == "not_found" else DeploymentState.FORGOTTEN
    if ends is None:
        return DeploymentState.BASE_MODEL
    return DeploymentState.ALIVE if now < ends[0] else DeploymentState.MAY_BE_GONE


def _unknown_facts(
    last: Inference, ends: tuple[datetime, datetime] | None, retirement: Retirement | None, policy: IdlePolicy
) -> tuple[str, ...]:
    if ends is None:
        return ()
    condition = policy.condition[:1].lower() + policy.condition[1:].rstrip(".")
    unknown = {
        _UNSEEN_CALLS: True,
        "the hour and the zone of its last day": ends[0] != ends[1],
        "which model it serves: no answer has named it": last.served is None,
        "when its base model retires": policy.name == AZURE and retirement is None,
        f"whether this applies: {condition}": bool(condition),
    }
    return tuple(words for words, is_unknown in unknown.items() if is_unknown)


def by_end(deployment: Deployment) -> tuple[bool, float, str]:
    """Return a sort key: the first to end comes first, deployments without an end last."""
    ends = deployment.ends
    return ends is None, ends[0].timestamp() if ends is not None else 0.0, deployment.name


def keep_alive_due_at(keep_alive: KeepAlive, deployment: Deployment) -> datetime | None:
    """Return when a keep-alive becomes due; None if it is due now, since no call is known.

    It is due ``renew_within`` before the deployment may end, but not before the last fifth of its window.
    """
    if deployment.ends is None:
        return None
    return deployment.ends[0] - min(keep_alive.renew_within, deployment.policy.warn_within)


def deployment_delay(keep_alive: KeepAlive, deployment: Deployment, now: datetime) -> timedelta:
    """Return how long to wait before the next check of a deployment."""
    due_at = keep_alive_due_at(keep_alive, deployment)
    return LONGEST if due_at is None or due_at <= now else bounded(due_at - now)


def reason_not_to_keep(keep_alive: KeepAlive, deployment: Deployment, now: datetime) -> NotSent | None:
    """Return why no keep-alive is to be sent to a deployment now; None if one is."""
    if deployment.ended is not None:
        gone = deployment.state is DeploymentState.GONE
        return NotSent.DEPLOYMENT_GONE if gone else NotSent.FORGOTTEN
    due_at = keep_alive_due_at(keep_alive, deployment)
    return None if due_at is None or now >= due_at else NotSent.NOT_DUE


EndKind = Literal["idle", "deployment_retirement", "training_retirement"]
"""Why a deployment, or its base model's training, ends."""


class DeploymentEnd(NamedTuple):
    """The day on which a deployment ends for the reason ``kind``.

    The day of an ``idle`` end moves with each call. For the others, ``published`` is the provider's date,
    which may be a "no earlier than".
    """

    kind: EndKind
    day: date
    deployment: Deployment
    published: PublishedDate | None = None


def upcoming_ends(deployments: Iterable[Deployment]) -> tuple[DeploymentEnd, ...]:
    """Return the ends of the deployments that may still answer, in the order of days."""
    found: list[DeploymentEnd] = []
    for each in deployments:
        if each.ends is not None:
            found.append(DeploymentEnd("idle", each.ends[0].date(), each))
            if each.retirement is not None:
                training, last = each.retirement.training, each.retirement.deployments
                found.append(DeploymentEnd("training_retirement", training.day, each, training))
                found.append(DeploymentEnd("deployment_retirement", last.day, each, last))
    return tuple(sorted(found, key=lambda end: (end.day, end.deployment.resource, end.deployment.name)))


def with_listing(
    known: Iterable[Deployment], resources: Iterable[ListedResource], policy: IdlePolicy, now: datetime
) -> tuple[Deployment, ...]:
    """Return the ``known`` deployments updated from Azure's listing, then those that are only listed.

    Each of the ``resources`` was listed completely. Deployments of other resources stay unchanged.
    """
    known, resources = tuple(known), tuple(resources)
    by_host = {host: resource for resource in resources for host in resource.hosts}
    found, seen = list[Deployment](), set[tuple[str, str]]()
    for each in known:
        resource = by_host.get(each.resource)
        if resource is not None:
            seen.add((resource.hosts[0], each.name))
            each = _with_listed(each, resource.deployments.get(each.name), now)  # noqa: PLW2901 -- the same deployment, updated
        found.append(each)
    for resource in resources:
        for name, listed in resource.deployments.items():
            if (resource.hosts[0], name) not in seen:
                found.append(_listed_only(resource.hosts[0], name, listed, policy))
    return tuple(found)


def _with_listed(known: Deployment, listed: ListedDeployment | None, now: datetime) -> Deployment:
    if listed is None:
        if known.ended is not None:
            return known
        ended = Ended(at=now, why="not_found")
        return known.model_copy(
            update={"state": DeploymentState.GONE, "ended": ended, "ends": None, "unknown": ()}
        )
    if known.state in {
        DeploymentState.GONE,
        DeploymentState.NO_CALL_KNOWN,
    }:  # it was deployed again, and not called since
        return _listed_only(known.resource, known.name, listed, known.policy, named=True)
    if known.state is not DeploymentState.MAY_BE_GONE:
        return known
    later = "when it was last called: it still exists, so another program has called it since"
    return known.model_copy(update={"state": DeploymentState.ALIVE, "ends": None, "unknown": (later,)})


def _listed_only(
    resource: str, name: str, listed: ListedDeployment, policy: IdlePolicy, *, named: bool = False
) -> Deployment:
    is_base = covers(policy, listed.model, named=named) is False
    return Deployment(
        resource=resource,
        name=name,
        state=DeploymentState.BASE_MODEL if is_base else DeploymentState.NO_CALL_KNOWN,
        policy=policy,
        served=listed.model,
        retirement=azure_retirement_of(listed.model) if not is_base else None,
        deployed_at=listed.created_at,
        unknown=() if is_base else ("when it was last called, and so when it ends",),
    )
