"""``client.guard``: the methods about the organization's eligibility."""
# ruff: noqa: SLF001 -- the client and its guard share internals

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from finetune_guard.client.export_api import Exports
from finetune_guard.client.guard_api_base import Awaited, LocalOperation, Operation
from finetune_guard.domain.errors import GuardConfigError, StoreError
from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.history import History
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.engine.keep_alive import DeploymentSender
from finetune_guard.engine.usage_sync import SyncProgress, UsageSync
from finetune_guard.openai_api.flow import Flow
from finetune_guard.rules.deployments import Deployment
from finetune_guard.rules.inventory import Inventory, Prospect
from finetune_guard.rules.keep_alive import KeepAlive, KeepAliveOutcome, KeepAlivePlan, NotSent

_FLUSH_TIMEOUT = 10.0
_MOST_DAYS = 3650


class _Operations(Exports):
    @Operation
    def check(self, *, refresh: bool = False) -> Flow[Eligibility]:
        """Return whether jobs can be created; never creates one, never sends an inference.

        Args:
            refresh: First ask the API for the key's organization and its fine-tuning (``GET /models``,
                ``GET /fine_tuning/jobs``); with an admin key, and if the verdict would not be
                ``eligible``, for the organization's usage too, as ``sync`` does.
        """
        if not self.guards_jobs:
            return self._not_guarded()
        admin_key = self._client._guard_admin_key() if refresh else None
        return (yield from self._engine.check(self._credentials, refresh=refresh, admin_key=admin_key))

    @Operation
    def sync(
        self, *, days: int | None = None, progress: Callable[[SyncProgress], object] | None = None
    ) -> Flow[UsageSync]:
        """Read the whole organization's usage into its history; needs an admin key.

        Afterwards the latest inference is known to the minute, whichever program ran it. Each page is
        stored at once: after a failure another call continues where this one stopped. The requests are
        ``GET /organization/usage/completions``, about two pages for the policy's window.

        Args:
            days: How far back, in days; the policy's window by default, 365 for a full year.
            progress: Called after each page with the progress; by an async client in a worker thread.

        Raises:
            UsageSyncError: There is no admin key, it may not read the usage, it belongs to another
                organization, or the API didn't respond.
            GuardConfigError: The policy does not apply to this client's host, or ``days`` is not a number
                from 1 to 3650.
        """
        self._must_be_active("sync")
        if days is not None and (type(days) is not int or not 1 <= days <= _MOST_DAYS):
            raise GuardConfigError(f"sync(days=...) is {days!r}: a number from 1 to {_MOST_DAYS} is required")
        key = self._client._guard_admin_key()
        return (yield from self._engine.usage.sync(self._credentials, key, days=days, progress=progress))

    @Operation
    def models(self, *, refresh: bool = False) -> Flow[Inventory]:
        """Return all fine-tuned models that the key can see or the history knows; the first to end first.

        The requests are ``GET /models`` and ``GET /fine_tuning/jobs``. An error of the API is not raised:
        the inventory is then marked as incomplete.

        Args:
            refresh: Store the shutdown dates from the API; they then take precedence over the table that
                ships with the package.

        Raises:
            StoreError: The dates could not be written.
            GuardConfigError: The policy does not apply to this client's host.
        """
        self._must_be_active("models")
        return (yield from self._engine.inventory(self._credentials, refresh=refresh))

    @Operation
    def model_limits(self) -> Flow[ModelLimits]:
        """Return the organization's limits as the API sends them; they decide nothing.

        The request is ``GET /fine_tuning/model_limits``. An error of the API is returned as the answer,
        not raised. The history keeps the latest.

        Raises:
            GuardConfigError: The policy does not apply to this client's host.
        """
        self._must_be_active("model_limits")
        return (yield from self._engine.model_limits(self._credentials))

    @LocalOperation
    def prospect(self, model: str) -> Prospect:
        """Return the expected lifetime of a fine-tune created from ``model`` now. Sends no request.

        Args:
            model: A base model's id, or a fine-tune's.
        """
        return self._engine.ends.prospect(model, self._engine.decider.now())

    @Operation
    def keep_alive(self, *, force: bool = False, model: str | None = None) -> Flow[KeepAliveOutcome]:
        """Send the smallest inference if the window closes soon, has closed, or isn't known to be open.

        If the API has refused a job, creation is closed, or the history can't be read, it is sent only
        with ``force``: it may not help, or be a second one.

        Args:
            force: Send it even when it isn't due.
            model: The one model to send it to; by default the one used last, then others.

        Raises:
            KeepAliveError: No model answered; the message says why for each.
            GuardConfigError: ``model`` isn't a fine-tuned model's id.
        """
        if not self.guards_jobs:
            return KeepAliveOutcome(sent=False, reason=NotSent.NOT_GUARDED)
        policy = self._keep_alive_policy
        return (yield from self._engine.sender(self._credentials, policy, force=force, model=model).send())

    @Operation
    def plan_keep_alive(self, *, force: bool = False, model: str | None = None) -> KeepAlivePlan:
        """Return what ``keep_alive`` would do now. Sends no request.

        Args:
            force: As for ``keep_alive``.
            model: As for ``keep_alive``.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id.
        """
        if not self.guards_jobs:
            eligibility = self._not_guarded()
            return KeepAlivePlan(due=False, reason=NotSent.NOT_GUARDED, eligibility=eligibility)
        policy = self._keep_alive_policy
        return self._engine.sender(self._credentials, policy, force=force, model=model).plan()

    @Operation
    def record(self, model: str, *, at: datetime | None = None) -> None:
        """Record an inference made outside this client, such as over a WebSocket or by another program.

        Args:
            model: The fine-tuned model's id; the deployment's name on a host that deletes idle ones.
            at: When it was answered, with a time zone; now by default.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id, or ``at`` is naive or in the future.
        """
        self._engine.record(self._credentials, model, at, self._client._guard_resource())

    @LocalOperation
    def deployments(self, *, everywhere: bool = False) -> tuple[Deployment, ...]:
        """Return the known deployments that are deleted when idle, the first to end first. Sends no request.

        They are those of the resource that this client calls, such as ``acme.openai.azure.com``; if it
        calls none, all in the history.

        Args:
            everywhere: Always return all in the history.

        Raises:
            StoreError: The history can't be read.
        """
        return self._engine.deployments.list_all(None if everywhere else self._client._guard_resource())

    @Operation
    def keep_deployments(
        self, name: str | None = None, *, force: bool = False
    ) -> Flow[tuple[KeepAliveOutcome, ...]]:
        """Send the smallest call to each deployment named for keep-alive whose deletion is near.

        ``KeepAlive(deployments=[...])`` names them. Each continues to be billed by the hour.

        Args:
            name: Only this deployment, whether it is named there or not.
            force: Send it even when it isn't due.

        Returns:
            The outcome for each, with the deployment's name as ``model``.

        Raises:
            KeepAliveError: One did not answer; those after it were not tried.
            GuardConfigError: No rule about idle deployments applies to this client's host.
        """
        resource, policy = self._client._guard_resource(), self._keep_alive_policy
        if resource is None:
            raise GuardConfigError(
                "keep_deployments() keeps deployments alive that end when nobody calls them, and no such "
                "rule is known for this client's host. finetune-guard policies lists the rules."
            )
        outcomes = list[KeepAliveOutcome]()
        at = self._client._guard_deployments_at()
        for each in resource.names_to_keep_alive((name,) if name is not None else None):
            sender = DeploymentSender(policy, self._engine.decider, resource, each, at, force)
            outcomes.append((yield from sender.run()))
        return tuple(outcomes)

    @LocalOperation
    def forget_deployment(self, name: str) -> tuple[Deployment, ...]:
        """Remember not to keep a deployment: the guard ignores it until it is called again.

        Args:
            name: Its name, or ``RESOURCE/NAME``.

        Returns:
            The forgotten deployments.

        Raises:
            GuardConfigError: No deployment is known by that name.
            StoreError: The store could not be written.
        """
        return self._engine.deployments.forget(name)

    @Operation
    def history(self) -> History:
        """Return everything stored about this client's organization.

        Raises:
            StoreError: The history can't be read.
        """
        return self._engine.recorder.history(self._credentials)

    @LocalOperation
    def flush(self, timeout: float = _FLUSH_TIMEOUT) -> None:
        """Wait until everything pending is stored, at most ``timeout`` seconds.

        Raises:
            StoreError: Not everything could be stored in that time; the rest is kept and tried again.
        """
        recorder = self._engine.recorder
        if not recorder.flush(timeout):
            raise StoreError(
                f"Not everything could be written to {recorder.store.location} within {timeout:g} s; it is "
                "kept in memory and tried again.",
                remedy="Wait longer, or look into the log for the store's error.",
            )

    @property
    def _keep_alive_policy(self) -> KeepAlive:
        return self._engine.config.keep_alive or KeepAlive()

    def _not_guarded(self) -> Eligibility:
        return self._engine.decider.not_guarded(has_idle_policy=self._client._guard_resource() is not None)


class ClientGuard(_Operations):
    """The guard of a sync client."""


class AsyncClientGuard(_Operations, Awaited):
    """The guard of an async client: ``ClientGuard`` as coroutines. No store ever blocks the event loop."""
