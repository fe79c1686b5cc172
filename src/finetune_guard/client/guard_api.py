"""``client.guard``: what a program can ask and do about its organization's eligibility."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from typing_extensions import TypeVarTuple, Unpack

from finetune_guard.client.export_api import AsyncExports, Exports
from finetune_guard.client.guard_api_base import FLUSH_TIMEOUT
from finetune_guard.client.threads import in_thread
from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.history import History
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.engine.usage_sync import SyncProgress, UsageSync
from finetune_guard.openai_api.flow import T
from finetune_guard.rules.deployments import Deployment
from finetune_guard.rules.inventory import Inventory, Prospect
from finetune_guard.rules.keep_alive import KeepAliveOutcome, KeepAlivePlan

_Arguments = TypeVarTuple("_Arguments")


class ClientGuard(Exports):
    """The guard of a sync client."""

    def check(self, *, refresh: bool = False) -> Eligibility:
        """Return whether jobs can be created; never creates one, never sends an inference.

        Args:
            refresh: Ask the API first whose the key is and what it has fine-tuned
                (``GET /models``, ``GET /fine_tuning/jobs``); with an admin key, and where the verdict
                would not be ``eligible``, for the organization's usage too, as ``sync`` does.
        """
        return self._run(self._check(refresh))

    def sync(
        self, *, days: int | None = None, progress: Callable[[SyncProgress], object] | None = None
    ) -> UsageSync:
        """Read the whole organization's usage into its history; it takes an admin key.

        The latest inference is known to the minute afterwards, whichever program ran it. What is read is
        kept page by page: after a failure another call goes on where this one ended.
        ``GET /organization/usage/completions`` is what is asked, some two pages for the policy's window.

        Args:
            days: How far back, in days; the policy's window by default, 365 for a year's picture.
            progress: Called after each page with how far it has come.

        Raises:
            UsageSyncError: There is no admin key, it may not read the usage, it is another
                organization's, or the API didn't answer.
            GuardConfigError: The policy doesn't hold behind this client's host, or ``days`` is no number
                from 1 to 3650.
        """
        return self._run(self._sync(days, progress))

    def models(self, *, refresh: bool = False) -> Inventory:
        """Return every fine-tuned model that the key can see or the history knows; the first to end first.

        ``GET /models`` and ``GET /fine_tuning/jobs`` are what is asked. An error of the API makes the
        answer incomplete, which it says, and is not raised.

        Args:
            refresh: Have the store remember the shutdown dates that the API tells; they then count
                before those of the table that ships with the package.

        Raises:
            StoreError: The dates could not be written.
            GuardConfigError: The policy doesn't hold behind this client's host.
        """
        return self._run(self._models(refresh))

    def model_limits(self) -> ModelLimits:
        """Return what the API shows as the organization's limits, as it comes; it decides nothing.

        ``GET /fine_tuning/model_limits`` is what is asked. An error of the API is returned as what was
        answered, and is not raised. The history keeps the latest.

        Raises:
            GuardConfigError: The policy doesn't hold behind this client's host.
        """
        return self._run(self._model_limits())

    def prospect(self, model: str) -> Prospect:
        """Return what is known of the life of a fine-tune that would be made from ``model`` now.

        Nothing is asked of the API.

        Args:
            model: A base model's id, or a fine-tune's.
        """
        return self._engine.prospect(model)

    def keep_alive(self, *, force: bool = False, model: str | None = None) -> KeepAliveOutcome:
        """Send the smallest inference if the window closes soon, has closed, or isn't known to be open.

        Where the API has refused a job, creation is closed, or the history can't be read, it is sent only
        by force: it may not help, or be the second one.

        Args:
            force: Send it even when it isn't due.
            model: The one model to send it to; by default the one used last, then others.

        Raises:
            KeepAliveError: No model answered; it says why, model by model.
            GuardConfigError: ``model`` isn't a fine-tuned model's id.
        """
        return self._run(self._keep_alive(force, model))

    def plan_keep_alive(self, *, force: bool = False, model: str | None = None) -> KeepAlivePlan:
        """Return what ``keep_alive`` would do now; nothing is sent and nothing is asked of the API.

        Args:
            force: As for ``keep_alive``.
            model: As for ``keep_alive``.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id.
        """
        return self._do(self._plan_keep_alive, force, model)

    def record(self, model: str, *, at: datetime | None = None) -> None:
        """Note an inference that went another way: a WebSocket, another program.

        Args:
            model: The fine-tuned model's id; the deployment's name where those end when nobody calls them.
            at: When it was answered, with a time zone; now by default.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id, or ``at`` is naive or in the future.
        """
        self._do(self._record, model, at)

    def deployments(self, *, everywhere: bool = False) -> tuple[Deployment, ...]:
        """Return what is known of the deployments that end when nobody calls them, the first to end first.

        They are those of the resource that this client speaks to, such as ``acme.openai.azure.com``; where
        it speaks to none, all that the history knows. Nothing is asked of the API.

        Args:
            everywhere: Return all that the history knows in any case.

        Raises:
            StoreError: The history can't be read.
        """
        return self._do(self._deployments, everywhere)

    def keep_deployments(
        self, name: str | None = None, *, force: bool = False
    ) -> tuple[KeepAliveOutcome, ...]:
        """Send the smallest call to each deployment that is to be kept alive and whose end nears.

        They are those that ``KeepAlive(deployments=[...])`` names. Each goes on being billed by the hour.

        Args:
            name: One deployment instead, whether it is named there or not.
            force: Send it even when it isn't due.

        Returns:
            What came of each, with the deployment's name as ``model``.

        Raises:
            KeepAliveError: One did not answer; those after it were not tried.
            GuardConfigError: No rule about idle deployments is known for this client's host.
        """
        return self._run(self._keep_deployments(name, force))

    def forget_deployment(self, name: str) -> tuple[Deployment, ...]:
        """Remember that a deployment is not to be kept: nothing is said about it until it is called again.

        Args:
            name: Its name, or ``RESOURCE/NAME``.

        Returns:
            What was known of it.

        Raises:
            GuardConfigError: No deployment is known by that name.
            StoreError: That could not be stored.
        """
        return self._do(self._forget_deployment, name)

    def history(self) -> History:
        """Return all that is remembered about this client's organization.

        Raises:
            StoreError: The history can't be read.
        """
        return self._do(self._history)

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Wait until everything noted is stored, at most ``timeout`` seconds.

        Raises:
            StoreError: It could not be stored in that time; it is kept and tried again.
        """
        self._flush(timeout)

    def _do(self, function: Callable[[Unpack[_Arguments]], T], *arguments: Unpack[_Arguments]) -> T:
        self._client._guard_learn_key()  # noqa: SLF001 -- the client's other half
        return function(*arguments)


class AsyncClientGuard(AsyncExports):
    """The guard of an async client: ``ClientGuard`` to be awaited. No store ever blocks its event loop."""

    async def check(self, *, refresh: bool = False) -> Eligibility:
        """Return whether jobs can be created; see ``ClientGuard.check``."""
        return await self._run(self._check(refresh))

    async def sync(
        self, *, days: int | None = None, progress: Callable[[SyncProgress], object] | None = None
    ) -> UsageSync:
        """Read the whole organization's usage into its history; see ``ClientGuard.sync``.

        ``progress`` is called in a worker thread.
        """
        return await self._run(self._sync(days, progress))

    async def models(self, *, refresh: bool = False) -> Inventory:
        """Return every fine-tuned model that is known; see ``ClientGuard.models``."""
        return await self._run(self._models(refresh))

    async def model_limits(self) -> ModelLimits:
        """Return what the API shows as limits; see ``ClientGuard.model_limits``."""
        return await self._run(self._model_limits())

    async def prospect(self, model: str) -> Prospect:
        """Return what is known of the life of a fine-tune of ``model``; see ``ClientGuard.prospect``."""
        return await in_thread(self._engine.prospect, model)

    async def keep_alive(self, *, force: bool = False, model: str | None = None) -> KeepAliveOutcome:
        """Send the smallest inference if it is due; see ``ClientGuard.keep_alive``."""
        return await self._run(self._keep_alive(force, model))

    async def plan_keep_alive(self, *, force: bool = False, model: str | None = None) -> KeepAlivePlan:
        """Return what ``keep_alive`` would do now; see ``ClientGuard.plan_keep_alive``."""
        return await self._do(self._plan_keep_alive, force, model)

    async def record(self, model: str, *, at: datetime | None = None) -> None:
        """Note an inference that went another way; see ``ClientGuard.record``."""
        await self._do(self._record, model, at)

    async def deployments(self, *, everywhere: bool = False) -> tuple[Deployment, ...]:
        """Return what is known of deployments; see ``ClientGuard.deployments``."""
        return await self._do(self._deployments, everywhere)

    async def keep_deployments(
        self, name: str | None = None, *, force: bool = False
    ) -> tuple[KeepAliveOutcome, ...]:
        """Keep deployments alive whose end nears; see ``ClientGuard.keep_deployments``."""
        return await self._run(self._keep_deployments(name, force))

    async def forget_deployment(self, name: str) -> tuple[Deployment, ...]:
        """Remember that a deployment is not to be kept; see ``ClientGuard.forget_deployment``."""
        return await self._do(self._forget_deployment, name)

    async def history(self) -> History:
        """Return all that is remembered about the organization; see ``ClientGuard.history``."""
        return await self._do(self._history)

    async def flush(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Wait until everything noted is stored; see ``ClientGuard.flush``."""
        await in_thread(self._flush, timeout)

    async def _do(self, function: Callable[[Unpack[_Arguments]], T], *arguments: Unpack[_Arguments]) -> T:
        await self._client._guard_learn_key()  # noqa: SLF001 -- the client's other half
        return await in_thread(function, *arguments)
