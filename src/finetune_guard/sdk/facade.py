"""``client.guard``: what a program can ask and do about its organization's eligibility."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from finetune_guard.base_models import Prospect
from finetune_guard.eligibility import Eligibility
from finetune_guard.errors import GuardConfigError, StoreError
from finetune_guard.flows import Flow, T
from finetune_guard.guard import Guard
from finetune_guard.history import History
from finetune_guard.inventory import Inventory
from finetune_guard.keep_alive import KeepAlive, KeepAliveOutcome, NotSent
from finetune_guard.sdk.threads import in_thread
from finetune_guard.usage_sync import SyncProgress, UsageSync

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig
    from finetune_guard.identity import Credentials
    from finetune_guard.sdk.attachment import Attachment

FLUSH_TIMEOUT = 10.0
"""Seconds that ``flush`` waits when it isn't told."""

_MOST_DAYS = 3650


class _Client(Protocol):
    """The client's other half, as far as it is spoken to from here."""

    _finetune_guard: Attachment

    def _guard_is_active(self) -> bool: ...

    def _guard_credentials(self) -> Credentials: ...

    def _guard_admin_key(self) -> str | None: ...


class _SyncClient(_Client, Protocol):
    def _guard_learn_key(self) -> None: ...

    def _guard_drive(self, flow: Flow[T]) -> T: ...


class _AsyncClient(_Client, Protocol):
    async def _guard_learn_key(self) -> None: ...

    async def _guard_drive(self, flow: Flow[T]) -> T: ...


class _Facade:
    """What both flavours have in common."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    @property
    def active(self) -> bool:
        """Whether the policy applies to this client's host."""
        return self._client._guard_is_active()  # noqa: SLF001 -- the client's other half

    @property
    def config(self) -> GuardConfig:
        """The configuration in force.

        Raises:
            GuardConfigError: The environment holds a wrong value.
        """
        return self._engine.config

    @property
    def _engine(self) -> Guard:
        return self._client._finetune_guard.engine  # noqa: SLF001 -- the client's other half

    def _check(self, refresh: bool) -> Flow[Eligibility]:
        if not self.active:
            return self._engine.not_guarded()
        credentials = self._client._guard_credentials()  # noqa: SLF001
        admin_key = self._client._guard_admin_key() if refresh else None  # noqa: SLF001
        return (yield from self._engine.check(credentials, refresh=refresh, admin_key=admin_key))

    def _keep_alive(self, force: bool, model: str | None) -> Flow[KeepAliveOutcome]:
        if not self.active:
            return KeepAliveOutcome(sent=False, reason=NotSent.NOT_GUARDED)
        keep_alive = self._engine.config.keep_alive or KeepAlive()
        credentials = self._client._guard_credentials()  # noqa: SLF001
        return (yield from self._engine.keep_alive(credentials, keep_alive, force=force, model=model))

    def _sync(self, days: int | None, progress: Callable[[SyncProgress], object] | None) -> Flow[UsageSync]:
        self._must_be_active("sync")
        if days is not None and (isinstance(days, bool) or not 1 <= days <= _MOST_DAYS):
            raise GuardConfigError(f"sync(days=...) is {days!r}: a number from 1 to {_MOST_DAYS} is required")
        client = self._client
        credentials, key = client._guard_credentials(), client._guard_admin_key()  # noqa: SLF001
        return (yield from self._engine.sync(credentials, key, days=days, progress=progress))

    def _models(self, refresh: bool) -> Flow[Inventory]:
        self._must_be_active("models")
        credentials = self._client._guard_credentials()  # noqa: SLF001
        return (yield from self._engine.inventory(credentials, refresh=refresh))

    def _must_be_active(self, method: str) -> None:
        if not self.active:
            raise GuardConfigError(
                f"{method}() asks the API that the policy speaks of, and this client speaks to another host "
                "or its guard is switched off. If the policy holds there, name the host in "
                "GuardConfig(hosts=...)."
            )

    def _record(self, model: str, at: datetime | None) -> None:
        self._engine.record(self._client._guard_credentials(), model, at)  # noqa: SLF001

    def _history(self) -> History:
        return self._engine.history(self._client._guard_credentials())  # noqa: SLF001

    def _flush(self, timeout: float) -> None:
        recorder = self._engine.recorder
        if not recorder.flush(timeout):
            raise StoreError(
                f"Not everything could be written to {recorder.store.location} within {timeout:g} s; it is "
                "kept in memory and tried again.",
                remedy="Wait longer, or look into the log for the store's error.",
            )


class ClientGuard(_Facade):
    """The guard of a sync client."""

    _client: _SyncClient

    def check(self, *, refresh: bool = False) -> Eligibility:
        """Return whether jobs can be created; never creates one, never sends an inference.

        Args:
            refresh: Ask the API first whose the key is and what it has fine-tuned
                (``GET /models``, ``GET /fine_tuning/jobs``); with an admin key, and where the verdict
                would not be ``eligible``, for the organization's usage too, as ``sync`` does.
        """
        self._client._guard_learn_key()  # noqa: SLF001
        return self._client._guard_drive(self._check(refresh))  # noqa: SLF001

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
        self._client._guard_learn_key()  # noqa: SLF001
        return self._client._guard_drive(self._sync(days, progress))  # noqa: SLF001

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
        self._client._guard_learn_key()  # noqa: SLF001
        return self._client._guard_drive(self._models(refresh))  # noqa: SLF001

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
        self._client._guard_learn_key()  # noqa: SLF001
        return self._client._guard_drive(self._keep_alive(force, model))  # noqa: SLF001

    def record(self, model: str, *, at: datetime | None = None) -> None:
        """Note an inference that went another way: a WebSocket, another program.

        Args:
            model: The fine-tuned model's id.
            at: When it was answered, with a time zone; now by default.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id, or ``at`` is naive or in the future.
        """
        self._client._guard_learn_key()  # noqa: SLF001
        self._record(model, at)

    def history(self) -> History:
        """Return all that is remembered about this client's organization.

        Raises:
            StoreError: The history can't be read.
        """
        self._client._guard_learn_key()  # noqa: SLF001
        return self._history()

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Wait until everything noted is stored, at most ``timeout`` seconds.

        Raises:
            StoreError: It could not be stored in that time; it is kept and tried again.
        """
        self._flush(timeout)


class AsyncClientGuard(_Facade):
    """The guard of an async client; no store ever blocks its event loop."""

    _client: _AsyncClient

    async def check(self, *, refresh: bool = False) -> Eligibility:
        """Return whether jobs can be created; never creates one, never sends an inference.

        Args:
            refresh: Ask the API first whose the key is and what it has fine-tuned
                (``GET /models``, ``GET /fine_tuning/jobs``); with an admin key, and where the verdict
                would not be ``eligible``, for the organization's usage too, as ``sync`` does.
        """
        await self._client._guard_learn_key()  # noqa: SLF001
        return await self._client._guard_drive(self._check(refresh))  # noqa: SLF001

    async def sync(
        self, *, days: int | None = None, progress: Callable[[SyncProgress], object] | None = None
    ) -> UsageSync:
        """Read the whole organization's usage into its history; it takes an admin key.

        The latest inference is known to the minute afterwards, whichever program ran it. What is read is
        kept page by page: after a failure another call goes on where this one ended.
        ``GET /organization/usage/completions`` is what is asked, some two pages for the policy's window.

        Args:
            days: How far back, in days; the policy's window by default, 365 for a year's picture.
            progress: Called after each page with how far it has come, in a worker thread.

        Raises:
            UsageSyncError: There is no admin key, it may not read the usage, it is another
                organization's, or the API didn't answer.
            GuardConfigError: The policy doesn't hold behind this client's host, or ``days`` is no number
                from 1 to 3650.
        """
        await self._client._guard_learn_key()  # noqa: SLF001
        return await self._client._guard_drive(self._sync(days, progress))  # noqa: SLF001

    async def models(self, *, refresh: bool = False) -> Inventory:
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
        await self._client._guard_learn_key()  # noqa: SLF001
        return await self._client._guard_drive(self._models(refresh))  # noqa: SLF001

    async def prospect(self, model: str) -> Prospect:
        """Return what is known of the life of a fine-tune that would be made from ``model`` now.

        Nothing is asked of the API.

        Args:
            model: A base model's id, or a fine-tune's.
        """
        return await in_thread(self._engine.prospect, model)

    async def keep_alive(self, *, force: bool = False, model: str | None = None) -> KeepAliveOutcome:
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
        await self._client._guard_learn_key()  # noqa: SLF001
        return await self._client._guard_drive(self._keep_alive(force, model))  # noqa: SLF001

    async def record(self, model: str, *, at: datetime | None = None) -> None:
        """Note an inference that went another way: a WebSocket, another program.

        Args:
            model: The fine-tuned model's id.
            at: When it was answered, with a time zone; now by default.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id, or ``at`` is naive or in the future.
        """
        await self._client._guard_learn_key()  # noqa: SLF001
        await in_thread(self._record, model, at)

    async def history(self) -> History:
        """Return all that is remembered about this client's organization.

        Raises:
            StoreError: The history can't be read.
        """
        await self._client._guard_learn_key()  # noqa: SLF001
        return await in_thread(self._history)

    async def flush(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Wait until everything noted is stored, at most ``timeout`` seconds.

        Raises:
            StoreError: It could not be stored in that time; it is kept and tried again.
        """
        await in_thread(self._flush, timeout)
