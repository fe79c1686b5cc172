"""The guard of a client and all its copies, with its configuration."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from finetune_guard.client.answers import Answers
from finetune_guard.client.identities import Identities
from finetune_guard.client.log import FailureLog, log
from finetune_guard.client.threads import in_thread
from finetune_guard.client.urls import GuardedHosts, base_at
from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.validation import kind_of
from finetune_guard.openai_api.requests import GuardedCall, RequestOptions, TrainingUpload, to_decide

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig
    from finetune_guard.engine.guard import Guard


class Binding:
    """The guard of a client, or the reason why it has none.

    A wrong value in the environment doesn't keep a client from being made, nor an inference from going
    through: it is logged at once and raised as soon as the guard is asked for a decision.

    Attributes:
        hosts: The hosts that the policy holds for; with a wrong environment those that its rest names.
        answers: Sees what is answered; None with a wrong environment.
        failures: Where failures of our own parts are logged.
        runs_background: Whether keep-alives are sent in the background.
        background: What sends them, once a client was used.
    """

    def __init__(self, given: GuardConfig | None) -> None:
        # Costly, and a client is the first to need them.
        from finetune_guard.config import GuardConfig  # noqa: PLC0415
        from finetune_guard.engine.guard import Guard  # noqa: PLC0415

        self.failures = FailureLog()
        self.answers: Answers | None = None
        self.runs_background = False
        self.background: Any = None
        self._made: dict[str, Any] = {}
        if given is not None and not isinstance(given, GuardConfig):
            raise GuardConfigError(
                f"The guard's configuration is {kind_of(given)}: a GuardConfig is required"
            )
        try:
            config = given if given is not None else GuardConfig()
            self._engine: Guard | None = Guard(config)
        except Exception as error:
            if given is not None:
                raise
            self._engine = None
            # Only the text is kept: an error holds the frames that it came through, and those the client.
            self._error = f"what the environment and the defaults say can't be used: {error!r}"
            if isinstance(error, GuardConfigError):
                self._error = str(error)
            self.hosts = GuardedHosts(_readable_settings())
            log(logging.ERROR, "finetune-guard is not at work: %s", self._error)
            return
        self.hosts = GuardedHosts(config, self._engine.deployments.resource)
        self._identities = Identities(self._engine.learn_organization)
        self.answers = Answers(self._engine, self.hosts, self._identities, self.failures)
        keep_alive = config.keep_alive
        self.runs_background = config.enabled and keep_alive is not None and keep_alive.background
        if not self.runs_background:  # every call of a program comes by here
            self.observe = self.answers.observe  # type: ignore[method-assign]

    @property
    def engine(self) -> Guard:
        """The guard itself.

        Raises:
            GuardConfigError: The environment holds a wrong value.
        """
        if self._engine is None:
            raise GuardConfigError(self._error)
        return self._engine

    def call(self, client: Any, options: RequestOptions) -> GuardedCall | None:
        """Return what is to be decided before a request is sent; None for most requests."""
        try:
            route = self.hosts.route(client, options.method, options.url)
            if route.is_routine:
                return None
            if route.resource is not None:
                if self._engine is not None:
                    self._engine.deployments.refresh_from_store(route.resource)
                return None
            call = to_decide(options)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.failures.add(error)
            return None
        if isinstance(call, TrainingUpload):
            checked = self._engine is not None and self._engine.config.check_uploads
            return call if checked else None
        return call

    def credentials(self, client: Any, headers: object = None, url: str = "") -> Credentials:
        """Return what a request with ``headers`` of its own to ``url`` will be sent with."""
        return self._identities.credentials(client, base_at(client, url), headers)

    def observe(self, client: Any, options: RequestOptions, response: Any, value: object) -> None:
        """Note what a call was answered, and keep the window open from now on if that is asked for.

        It never fails. The arguments are those of ``Answers.observe``.
        """
        if self.answers is not None:
            self.answers.observe(client, options, response, value)
        if self.runs_background:
            self.know(client, used=True)

    def prepare(self, client: Any, url: str) -> None:
        """Look where a WebSocket is to be opened, if ``url`` is that of one. Never fails."""
        try:
            if url.startswith(("wss://", "ws://")):
                self.hosts.tell_unseen(client, url)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.failures.add(error)

    def know(self, client: Any, *, used: bool = False) -> None:
        """Tell the background, if it runs, that ``client`` is there, and whether it was used. Never fails."""
        if not self.runs_background:
            return
        try:
            if self.background is None:  # two threads may come here at once, and must end with the same one
                from finetune_guard.client.background import task, thread  # noqa: PLC0415 -- few clients have one

                kind: Any = task.AsyncBackground if client._guard_is_async else thread.ThreadBackground  # noqa: SLF001 -- its other half
                self.background = self._made.setdefault("background", kind(self.engine))
            (self.background.used if used else self.background.know)(client)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.failures.add(error)

    def admin_key(self, client: Any) -> str | None:
        """Return the key that the organization's usage is read with; None when there is none for the host.

        A host that only ``hosts`` names, a gateway perhaps, gets none but the one of the configuration.
        """
        configured = self.engine.config.admin_api_key
        if configured is not None:
            return configured if isinstance(configured, str) else configured.get_secret_value()
        if not self.engine.config.is_policys_own(client.base_url.host, client.base_url.port):
            return None
        own = getattr(client, "admin_api_key", None)  # only newer releases of the SDK have it
        return own if isinstance(own, str) and own else os.environ.get("OPENAI_ADMIN_KEY") or None

    def flush(self, timeout: float) -> None:
        """Write what was seen within ``timeout`` seconds, and tell its events.

        A callback has as long again, unless it kept someone waiting in vain before. A store that refused the
        last write isn't waited for: every client that closes would.
        """
        if self._engine is not None:
            recorder = self._engine.recorder
            recorder.flush(0.0 if recorder.is_failing else timeout)
            self._engine.events.wait_until_delivered(timeout)

    async def flush_async(self, timeout: float) -> None:
        """Do as ``flush`` does, in a worker thread."""
        engine = self._engine
        if engine is not None and (engine.recorder.has_unwritten or engine.events.are_pending):
            await in_thread(self.flush, timeout)


def _readable_settings() -> GuardConfig:
    """Return what can be read of a wrong environment; the defaults where nothing can."""
    from finetune_guard.config import GuardConfig  # noqa: PLC0415 -- as above

    try:
        return GuardConfig.from_environment()[0]
    except Exception:  # noqa: BLE001 -- the environment can lead to any failure, which is told already
        return GuardConfig.model_construct()
