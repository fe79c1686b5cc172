"""The guard of a client and all its copies, with its configuration."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from finetune_guard.client.answers import Answers
from finetune_guard.client.identities import Identities
from finetune_guard.client.threads import in_thread
from finetune_guard.client.urls import GuardedHosts
from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.validation import describe_type
from finetune_guard.logs import OnceLog, log
from finetune_guard.openai_api.requests import GuardedCall, RequestOptions, TrainingUpload, guarded_call

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig
    from finetune_guard.engine.guard import Guard


class Binding:
    """The guard of a client, or the reason why it has none.

    A wrong value in the environment stops neither the creation of a client nor an inference. It is logged
    at once, and raised when the guard first has to decide.

    Attributes:
        hosts: The hosts the policy applies to; in a wrong environment, those its valid settings name.
        identities: Whose requests they are; missing in a wrong environment.
        answers: Records responses; None in a wrong environment.
        failures: The log of our own errors.
        runs_background: Whether keep-alives are sent in the background.
        background: The background task or thread, once a client was used.
    """

    def __init__(self, configured: GuardConfig | None) -> None:
        # A costly import that only clients need.
        from finetune_guard.config import GuardConfig  # noqa: PLC0415
        from finetune_guard.engine.guard import Guard  # noqa: PLC0415

        self.failures = OnceLog()
        self.answers: Answers | None = None
        self.runs_background = False
        self.background: Any = None
        if configured is not None and not isinstance(configured, GuardConfig):
            raise GuardConfigError(
                f"The guard's configuration is {describe_type(configured)}: a GuardConfig is required"
            )
        try:
            config = configured if configured is not None else GuardConfig()
            self._engine: Guard | None = Guard(config)
        except Exception as error:
            if configured is not None:
                raise
            self._engine = None
            # Only the text is kept: an error holds the frames that it came through, and those the client.
            self._error = f"The settings in the environment can't be used: {error!r}"
            if isinstance(error, GuardConfigError):
                self._error = str(error)
            self.hosts = GuardedHosts(_readable_settings())
            log(logging.ERROR, "finetune-guard is not at work: %s", self._error)
            return
        self.hosts = GuardedHosts(config, self._engine.deployments.resource)
        self.identities = Identities(self._engine.learn_organization)
        self.answers = Answers(self._engine, self.hosts, self.identities, self.failures)
        keep_alive = config.keep_alive
        self.runs_background = config.enabled and keep_alive is not None and keep_alive.background
        if not self.runs_background:  # on the path of every call
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
        """Return the call that needs a decision before it is sent; None for most requests."""
        try:
            route = self.hosts.route(client, options.method, options.url)
            if route.is_routine:
                return None
            if route.resource is not None:
                route.resource.refresh_from_store()
                return None
            call = guarded_call(options)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.failures.add(error)
            return None
        if isinstance(call, TrainingUpload):
            checked = self._engine is not None and self._engine.config.check_uploads
            return call if checked else None
        return call

    def observe(self, client: Any, options: RequestOptions, response: Any, value: object) -> None:
        """Record a response, and start the background if it is configured. Never raises.

        The arguments are those of ``Answers.observe``.
        """
        if self.answers is not None:
            self.answers.observe(client, options, response, value)
        if self.runs_background:
            self.notify_background(client, used=True)

    def check_websocket(self, client: Any, url: str) -> None:
        """Log that a WebSocket is not observed, if ``url`` opens one. Never raises."""
        try:
            if url.startswith(("wss://", "ws://")):
                self.hosts.log_websocket(client, url)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.failures.add(error)

    def notify_background(self, client: Any, *, used: bool = False) -> None:
        """Pass ``client`` to the background, if it runs, and say whether it was used. Never raises."""
        if not self.runs_background:
            return
        try:
            if self.background is None:  # two threads may race here, and must get the same one
                from finetune_guard.client.background import task, thread  # noqa: PLC0415 -- few clients have one

                kind: Any = task.AsyncBackground if client._guard_is_async else thread.ThreadBackground  # noqa: SLF001 -- its other half
                self.background = vars(self).setdefault("_background", kind(self.engine))
            (self.background.used if used else self.background.register)(client)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.failures.add(error)

    def flush(self, timeout: float) -> None:
        """Write what is pending within ``timeout`` seconds, and deliver its events.

        Callbacks get the same time again, unless one timed out before. A store that refused the last write
        isn't waited for: every client that closes would wait.
        """
        if self._engine is not None:
            recorder = self._engine.recorder
            recorder.flush(0.0 if recorder.is_failing else timeout)
            self._engine.events.wait_until_delivered(timeout)

    async def flush_async(self, timeout: float) -> None:
        """Run ``flush`` in a daemon thread."""
        engine = self._engine
        if engine is not None and (engine.recorder.has_unwritten or engine.events.are_pending):
            await in_thread(self.flush, timeout)


def _readable_settings() -> GuardConfig:
    """Return the valid settings of a wrong environment; the defaults if there are none."""
    from finetune_guard.config import GuardConfig  # noqa: PLC0415 -- as above

    try:
        return GuardConfig.from_environment()[0]
    except Exception:  # noqa: BLE001 -- the environment can lead to any failure, and was logged already
        return GuardConfig.model_construct()
