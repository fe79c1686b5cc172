"""What is known of deployments, by their history and by Azure's listing: which answer, and what ends when."""

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
    """Whether a deployment answers, as far as this history can tell.

    ``may_be_gone`` is one whose window may have passed, though another program may have called it;
    ``base_model`` one whose answers named no fine-tuned model, so that the rule doesn't speak of it.
    """

    ALIVE = "alive"
    MAY_BE_GONE = "may_be_gone"
    GONE = "gone"
    FORGOTTEN = "forgotten"
    BASE_MODEL = "base_model"
    NO_CALL_KNOWN = "no_call_known"


class Deployment(Value):
    """What is known of one deployment, or model that ends when nobody calls it; what is unknown is None.

    Attributes:
        resource: Where it is, such as ``acme.openai.azure.com``.
        served: The model that it serves, by its last answer that told.
        last_call: When it was last called, and ``source`` how that is known.
        deployed_at: When it was deployed, where Azure was asked.
        ends: From when to when it ends if nobody calls it again: a band, since a published number of days
            has neither hour nor zone.
        ended: That it was not found, or is not to be kept; None where a later call took that back.
        retirement: When training and deployments of its base model retire.
        unknown: What can't be told, in words.
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


_WITH_RESOURCE = re.compile(r"[^/]*[.:][^/]*/")  # a resource's name, which is a host's, before a deployment's
_UNSEEN_CALLS = "calls by programs that do not share this history"


def is_named(name: str, resource: str, given: Collection[str]) -> bool:
    """Whether the configuration names a deployment, by its name or by ``RESOURCE/NAME``."""
    return name in given or f"{resource}/{name}" in given


def names_at(resource: str, given: Iterable[str]) -> tuple[str, ...]:
    """Return the names that ``given`` has for deployments of a resource: without one, or with this one's."""
    mine = (each.removeprefix(f"{resource}/") for each in given)
    return tuple(dict.fromkeys(each for each in mine if _WITH_RESOURCE.match(each) is None))


def unambiguous(deployments: Iterable[Deployment]) -> list[str]:
    """Return the name of each deployment, as RESOURCE/NAME where another one has the same name."""
    every = list(deployments)
    times = Counter(each.name for each in every)
    return [each.name if times[each.name] == 1 else f"{each.resource}/{each.name}" for each in every]


def covers(policy: IdlePolicy, served: str | None, *, named: bool) -> bool | None:
    """Whether a rule speaks of a deployment; None where no answer has told what it serves."""
    if named or policy.covers == "all":
        return True
    if policy.covers == "named":
        return False
    return FineTunedModel.parse(served) is not None if served is not None else None


def deployments_of(
    resource: str, history: History, policy: IdlePolicy, now: datetime, given: Collection[str] = ()
) -> tuple[Deployment, ...]:
    """Return what is known of each deployment of a resource, the first to end first.

    ``given`` are the deployments that the configuration names; those of this resource are listed in any case.
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
    if ended is not None and ended.at < last.at:  # it was deployed again, or called all the same
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
    told = {
        _UNSEEN_CALLS: True,
        "the hour and the zone of its last day": ends[0] != ends[1],
        "which model it serves: no answer has told": last.served is None,
        "when its base model retires": policy.name == AZURE and retirement is None,
        f"whether this applies: {condition}": bool(condition),
    }
    return tuple(words for words, is_unknown in told.items() if is_unknown)


def by_end(deployment: Deployment) -> tuple[bool, float, str]:
    """Return what sorts deployments: the first to end first, those without an end last."""
    ends = deployment.ends
    return ends is None, ends[0].timestamp() if ends is not None else 0.0, deployment.name


def keep_alive_due_at(keep_alive: KeepAlive, deployment: Deployment) -> datetime | None:
    """Return from when on a keep-alive is due; None where it is due already, since no call is known.

    That is ``renew_within`` before it may end, and in the last fifth of its window at the soonest.
    """
    if deployment.ends is None:
        return None
    return deployment.ends[0] - min(keep_alive.renew_within, deployment.policy.warn_within)


def deployment_delay(keep_alive: KeepAlive, deployment: Deployment, now: datetime) -> timedelta:
    """Return how long to wait for the next check of a deployment after it was looked after."""
    due_at = keep_alive_due_at(keep_alive, deployment)
    return LONGEST if due_at is None or due_at <= now else bounded(due_at - now)


def reason_not_to_keep(keep_alive: KeepAlive, deployment: Deployment, now: datetime) -> NotSent | None:
    """Return why no keep-alive is to be sent to a deployment that is to be kept alive; None when one is."""
    if deployment.ended is not None:
        gone = deployment.state is DeploymentState.GONE
        return NotSent.DEPLOYMENT_GONE if gone else NotSent.FORGOTTEN
    due_at = keep_alive_due_at(keep_alive, deployment)
    return None if due_at is None or now >= due_at else NotSent.NOT_DUE


EndKind = Literal["idle", "deployment_retirement", "training_retirement"]
"""What ends a deployment, or a part of what it is for."""


class DeploymentEnd(NamedTuple):
    """That something of a deployment ends on a day, by ``kind``.

    An idle one may be deleted from then on, which moves with each call. Else ``published`` is the provider's
    own date, which may be "no earlier than".
    """

    kind: EndKind
    day: date
    deployment: Deployment
    published: PublishedDate | None = None


def upcoming_ends(deployments: Iterable[Deployment]) -> tuple[DeploymentEnd, ...]:
    """Return everything that ends of the deployments that may still answer, in the order of days."""
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
            each = _with_listed(each, resource.deployments.get(each.name), now)  # noqa: PLW2901 -- the same, with more known
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
    later = "when it was last called: it stands, so another program has called it since"
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
