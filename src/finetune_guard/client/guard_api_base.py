"""What ``client.guard`` of a sync and of an async client have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from finetune_guard.domain.errors import GuardConfigError, StoreError
from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.history import History
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.engine.guard import Guard
from finetune_guard.engine.usage_sync import SyncProgress, UsageSync
from finetune_guard.openai_api.flow import Flow
from finetune_guard.rules.deployments import Deployment
from finetune_guard.rules.inventory import Inventory
from finetune_guard.rules.keep_alive import KeepAlive, KeepAliveOutcome, KeepAlivePlan, NotSent

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig
    from finetune_guard.domain.organizations import Credentials
    from finetune_guard.engine.deployments import Place

FLUSH_TIMEOUT = 10.0
"""Seconds that ``flush`` waits when it isn't told."""

_MOST_DAYS = 3650


class Facade:
    """What both flavours have in common."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def active(self) -> bool:
        """Whether a rule is known to hold behind this client's host: about jobs or idle deployments."""
        return self.guards_jobs or self._place is not None

    @property
    def guards_jobs(self) -> bool:
        """Whether the policy about creating jobs holds behind this client's host."""
        return bool(self._client._guard_is_active())  # noqa: SLF001 -- the client's other half

    @property
    def _place(self) -> Place | None:
        place: Place | None = self._client._guard_place()  # noqa: SLF001 -- as above
        return place

    @property
    def config(self) -> GuardConfig:
        """The configuration in force.

        Raises:
            GuardConfigError: The environment holds a wrong value.
        """
        return self._engine.config

    @property
    def has_admin_key(self) -> bool:
        """Whether there is an admin key, with which ``sync`` can read the organization's usage."""
        return bool((self._client._guard_admin_key() or "").strip())  # noqa: SLF001 -- as above

    @property
    def _engine(self) -> Guard:
        engine: Guard = self._client._finetune_guard.engine  # noqa: SLF001 -- the client's other half
        return engine

    @property
    def _credentials(self) -> Credentials:
        credentials: Credentials = self._client._guard_credentials()  # noqa: SLF001 -- as above
        return credentials

    @property
    def _keep_alive_policy(self) -> KeepAlive:
        return self._engine.config.keep_alive or KeepAlive()

    def _check(self, refresh: bool) -> Flow[Eligibility]:
        if not self.guards_jobs:
            return self._not_guarded()
        admin_key = self._client._guard_admin_key() if refresh else None  # noqa: SLF001 -- as above
        return (yield from self._engine.check(self._credentials, refresh=refresh, admin_key=admin_key))

    def _not_guarded(self) -> Eligibility:
        return self._engine.decider.not_guarded(has_idle_policy=self._place is not None)

    def _deployments(self, everywhere: bool) -> tuple[Deployment, ...]:
        return self._engine.deployments.listed(None if everywhere else self._place)

    def _keep_deployments(self, name: str | None, force: bool) -> Flow[tuple[KeepAliveOutcome, ...]]:
        place, keep_alive = self._place, self._keep_alive_policy
        if place is None:
            raise GuardConfigError(
                "keep_deployments() keeps deployments alive that end when nobody calls them, and no such "
                "rule is known for this client's host. finetune-guard policies lists the rules."
            )
        names = self._engine.deployments.to_keep(place, (name,) if name is not None else None)
        at, outcomes = self._client._guard_deployments_at(), list[KeepAliveOutcome]()  # noqa: SLF001
        for each in names:
            outcome = yield from self._engine.keep_deployment(place, each, keep_alive, at=at, force=force)
            outcomes.append(outcome)
        return tuple(outcomes)

    def _forget_deployment(self, name: str) -> tuple[Deployment, ...]:
        return self._engine.deployments.forget(name)

    def _keep_alive(self, force: bool, model: str | None) -> Flow[KeepAliveOutcome]:
        if not self.guards_jobs:
            return KeepAliveOutcome(sent=False, reason=NotSent.NOT_GUARDED)
        keep_alive = self._keep_alive_policy
        return (yield from self._engine.keep_alive(self._credentials, keep_alive, force=force, model=model))

    def _plan_keep_alive(self, force: bool, model: str | None) -> KeepAlivePlan:
        if not self.guards_jobs:
            eligibility = self._not_guarded()
            return KeepAlivePlan(due=False, reason=NotSent.NOT_GUARDED, eligibility=eligibility)
        return self._engine.plan(self._credentials, self._keep_alive_policy, force=force, model=model)

    def _sync(self, days: int | None, progress: Callable[[SyncProgress], object] | None) -> Flow[UsageSync]:
        self._must_be_active("sync")
        if days is not None and (type(days) is not int or not 1 <= days <= _MOST_DAYS):
            raise GuardConfigError(f"sync(days=...) is {days!r}: a number from 1 to {_MOST_DAYS} is required")
        key = self._client._guard_admin_key()  # noqa: SLF001 -- as above
        return (yield from self._engine.usage.sync(self._credentials, key, days=days, progress=progress))

    def _models(self, refresh: bool) -> Flow[Inventory]:
        self._must_be_active("models")
        return (yield from self._engine.inventory(self._credentials, refresh=refresh))

    def _model_limits(self) -> Flow[ModelLimits]:
        self._must_be_active("model_limits")
        return (yield from self._engine.model_limits(self._credentials))

    def _must_be_active(self, method: str) -> None:
        if not self.guards_jobs:
            raise GuardConfigError(
                f"{method}() asks the API that the policy speaks of, and this client speaks to another host "
                "or its guard is switched off. If the policy holds there, name the host in "
                "GuardConfig(hosts=...)."
            )

    def _record(self, model: str, at: datetime | None) -> None:
        self._engine.record(self._credentials, model, at, self._place)

    def _history(self) -> History:
        return self._engine.recorder.history(self._credentials)

    def _flush(self, timeout: float) -> None:
        recorder = self._engine.recorder
        if not recorder.flush(timeout):
            raise StoreError(
                f"Not everything could be written to {recorder.store.location} within {timeout:g} s; it is "
                "kept in memory and tried again.",
                remedy="Wait longer, or look into the log for the store's error.",
            )
