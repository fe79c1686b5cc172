"""What ties a client to its guard: shared by the client and all its copies, and free of logic of its own."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import openai

from finetune_guard.client.identities import Identities
from finetune_guard.client.log import log
from finetune_guard.client.responses import ANSWER_HEADERS, body_if_read, model_shown, picked
from finetune_guard.client.sdk_compat import base_url, is_azure
from finetune_guard.client.streams import STREAMS, watch
from finetune_guard.client.threads import in_thread
from finetune_guard.client.urls import own_url
from finetune_guard.client.warn import warn_caller
from finetune_guard.domain.errors import FineTunedModelShutDownError, GuardConfigError
from finetune_guard.domain.hosts import base_of, port_of
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.validation import kind_of
from finetune_guard.openai_api.completions import StreamedCompletion, ended_response, is_of_base_model
from finetune_guard.openai_api.requests import (
    Call,
    GuardedCall,
    InferenceCall,
    JobCreation,
    RecordKind,
    RecordsCall,
    RequestOptions,
    TrainingUpload,
    classify,
    to_decide,
)
from finetune_guard.recording.notes import Subject

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig
    from finetune_guard.engine.guard import Guard


_STORED_RESPONSE = RecordsCall(RecordKind.RESPONSES)


def _is_stored_base(call: Call, value: object, response: Response) -> bool:
    """Whether a stored response was looked at that no fine-tuned model has given."""
    return call == _STORED_RESPONSE and model_shown(value, response, None) is None


class Url(Protocol):
    """The part of an httpx or httpx2 URL that is looked at."""

    @property
    def scheme(self) -> str:
        """``https`` or ``http``."""
        ...

    @property
    def host(self) -> str:
        """The name or address."""
        ...

    @property
    def port(self) -> int | None:
        """The port, when it isn't the scheme's own."""
        ...

    @property
    def path(self) -> str:
        """The path of the API's root."""
        ...


class Response(Protocol):
    """The part of an httpx or httpx2 response that is looked at; never its body."""

    headers: Any
    request: Any


class Binding:
    """The guard of a client, or the reason why it has none.

    A wrong value in the environment doesn't keep a client from being made, nor an inference from going
    through: it is logged at once and raised as soon as the guard is asked for a decision.
    """

    def __init__(self, given: GuardConfig | None) -> None:
        # Costly, and a client is the first to need them.
        from finetune_guard.config import GuardConfig  # noqa: PLC0415
        from finetune_guard.engine.guard import Guard  # noqa: PLC0415

        self._engine: Guard | None = None
        self._error: str | None = None
        self._readable: GuardConfig | None = None
        self._complained = False
        self._told_inactive = False
        self._last_base: tuple[object, type[object], str | None] | None = None  # a URL object never changes
        # Asked at every answer: all that a background costs when it is off.
        self.runs_background = False
        self.background: Any = None
        self._made: dict[str, Any] = {}
        if given is not None and not isinstance(given, GuardConfig):
            raise GuardConfigError(
                f"The guard's configuration is {kind_of(given)}: a GuardConfig is required"
            )
        try:
            self._engine = Guard(given if given is not None else GuardConfig())
            self._identities = Identities(self._engine.identified)
            self.runs_background = _runs_background(self._engine.config)
        except Exception as error:
            if given is not None:
                raise
            # Only the text is kept: an error holds the frames that it came through, and those the client.
            self._error = _config_error(error)
            self._readable = _readable_settings()
            log(logging.ERROR, "finetune-guard is not at work: %s", self._error)

    @property
    def engine(self) -> Guard:
        """The guard itself.

        Raises:
            GuardConfigError: The environment holds a wrong value.
        """
        if self._engine is None:
            raise GuardConfigError(self._error or "finetune-guard is not configured")
        return self._engine

    @property
    def is_broken(self) -> bool:
        """Whether the environment holds a wrong value, so that there is no guard."""
        return self._engine is None

    def applies_to(self, client: object, url: Url) -> bool:
        """Whether the policy holds for calls of ``client`` to ``url``."""
        if self._engine is None or is_azure(client):
            return False
        return self._engine.applies_to(url.host, port_of(url.scheme, url.port))

    def _base_at(self, client: Any, url: str) -> str | None:
        """Return where a request of ``client`` to ``url`` goes, as ``base_of`` does; None if unguarded."""
        if "://" in url:
            return self._guarded_base(client, own_url(client, url))
        base, last = base_url(client), self._last_base
        if last is not None and last[0] is base and last[1] is type(client):
            return last[2]
        guarded = self._guarded_base(client, client.base_url)
        self._last_base = base, type(client), guarded
        return guarded

    def _guarded_base(self, client: Any, url: Url) -> str | None:
        if not self.applies_to(client, url):
            return None
        return base_of_url(url)

    def _decides(self, client: object, url: Url) -> bool:
        """Whether a job that ``client`` creates at ``url`` is decided about.

        With a wrong value in the environment these are the hosts that the rest of the environment names.
        """
        if self._engine is not None:
            return self.applies_to(client, url)
        settings = self._readable
        guarded = settings is not None and settings.guards(url.host, port_of(url.scheme, url.port))
        return guarded and not is_azure(client)

    def call(self, client: Any, options: RequestOptions) -> GuardedCall | None:
        """Return what is to be decided before a request is sent; None for most requests."""
        try:
            call = to_decide(options)
            if call is None or not self._decides(client, own_url(client, options.url)):
                return None
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.complain(error)
            return None
        if isinstance(call, TrainingUpload):
            checked = self._engine is not None and self._engine.config.check_uploads
            return call if checked else None
        return call

    def observe(self, client: Any, given: Mapping[str, Any], value: object) -> None:
        """Note what a successful call tells, and warn about its model if that is due.

        It never fails, and never reads a body that the SDK hasn't read.

        Args:
            client: Who has made the call.
            given: What the SDK's ``_process_response`` was given.
            value: What the SDK made of the response, and the program gets; None where it failed.
        """
        try:
            if is_of_base_model(value):
                call = None
            else:
                options, response = given["options"], given["response"]
                call = classify(options)
            if call is None or self._engine is None:
                pass
            elif isinstance(value, STREAMS):
                self._watch(client, options, response, value, call)
            elif type(call) is InferenceCall:
                model = model_shown(value, response, call.model)
                if model is not None:
                    self._saw(client, options, response, model)
            elif not isinstance(call, (InferenceCall, TrainingUpload)) and not _is_stored_base(
                call, value, response
            ):
                self._read(client, options, response, call, partial(body_if_read, response))
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.complain(error)
        if self.runs_background:
            self.use(client)

    def _watch(
        self, client: Any, options: RequestOptions, response: Response, stream: object, call: Call
    ) -> None:
        """Note what a stream tells once it does; where the guard has nothing to do it stays as it is."""
        if self._base_at(client, options.url) is None:
            return
        found = StreamedCompletion(call.model if isinstance(call, InferenceCall) else None)

        def look(event: object) -> bool:
            try:
                if isinstance(call, RecordsCall):
                    stored = ended_response(event)
                    if stored is not None:
                        self._read(client, options, response, call, lambda: stored)
                    return stored is not None
                model = found.model_in(event)
                if model is not None:
                    self._saw(client, options, response, model)
            except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
                self.complain(error)
            return found.is_over

        watch(stream, look)

    def _saw(self, client: Any, options: RequestOptions, response: Response, model: str) -> None:
        subject, date = self._identified(client, options, response, lasting=True)
        if subject is not None:
            warning = self.engine.saw(model, subject, date)
            if warning is not None:
                warn_caller(warning)

    def _read(
        self,
        client: Any,
        options: RequestOptions,
        response: Response,
        call: JobCreation | RecordsCall,
        body: Callable[[], object],
    ) -> None:
        subject, date = self._identified(client, options, response, lasting=isinstance(call, JobCreation))
        if subject is not None:
            self.engine.observe(call, subject, date, body)

    def _identified(
        self, client: Any, options: RequestOptions, response: Response, *, lasting: bool
    ) -> tuple[Subject | None, bytes | None]:
        """Return whom an answer is about, None where the policy doesn't hold, and its Date."""
        base = self._base_at(client, options.url)
        if base is None:
            if self.engine.config.enabled:
                self._tell_inactive(own_url(client, options.url))
            return None, None
        headers = picked(response.headers, ANSWER_HEADERS)
        subject = self._identities.subject(client, base, options, response, headers, lasting=lasting)
        return subject, headers.get(b"date")

    def identify(self, client: Any, options: RequestOptions, response: Response) -> Subject:
        """Return whom any answer of a guarded host is about, errors included, and remember it."""
        base = base_of_url(own_url(client, options.url))
        headers = picked(response.headers, ANSWER_HEADERS)
        subject = self._identities.subject(client, base, options, response, headers, lasting=False)
        self.engine.recorder.name(subject)
        return subject

    def failed(
        self, client: Any, options: RequestOptions, error: openai.APIStatusError
    ) -> FineTunedModelShutDownError | None:
        """Learn whom an error was given to; return what it means if it is for a model whose day has come.

        It never fails.
        """
        try:
            if self._engine is None or self._base_at(client, options.url) is None:
                return None
            self.identify(client, options, error.response)
            call = classify(options)
            called = call.model if isinstance(call, InferenceCall) else None
            if isinstance(error, openai.NotFoundError) and called is not None:
                return self._engine.gone(error, called)
        except Exception as failure:  # noqa: BLE001 -- our failure must not be the user's
            self.complain(failure)
        return None

    def credentials(self, client: Any, headers: object = None, url: str = "") -> Credentials:
        """Return what a request with ``headers`` of its own to ``url`` will be sent with."""
        return self._identities.credentials(client, base_of_url(own_url(client, url)), headers)

    def use(self, client: Any) -> None:
        """CheckResult after the window in the background as long as ``client`` is there. Never fails."""
        try:
            self._background_of(client).used(client)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.complain(error)

    def know(self, client: Any) -> None:
        """Count ``client`` as one that is there, for when a copy of it is used. Never fails."""
        try:
            self._background_of(client).know(client)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self.complain(error)

    def _background_of(self, client: Any) -> Any:
        if self.background is None:  # two threads may come here at once, and must end with the same one
            made = client._guard_background(self.engine, self.engine.config.keep_alive)  # noqa: SLF001 -- its other half
            self.background = self._made.setdefault("background", made)
        return self.background

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

    def flush(self, timeout: float) -> bool:
        """Write what was seen; return whether that succeeded within ``timeout`` seconds.

        A store that refused the last write isn't waited for: every client that closes would.
        """
        if self._engine is None:
            return True
        recorder = self._engine.recorder
        return recorder.flush(0.0 if recorder.is_failing else timeout)

    async def flush_async(self, timeout: float) -> bool:
        """Do as ``flush`` does, in a worker thread."""
        if self._engine is None or not self._engine.recorder.has_unwritten:
            return True
        return await in_thread(self.flush, timeout)

    def _tell_inactive(self, url: Url) -> None:
        if not self._told_inactive:
            self._told_inactive = True
            log(
                logging.INFO,
                "finetune-guard is inactive for %s: the policy doesn't speak of that host. If it holds "
                "there, name the host in GuardConfig(hosts=...) or FINETUNE_GUARD_HOSTS.",
                url.host,
            )

    def complain(self, error: Exception) -> None:
        """Log a failure of our own parts, once."""
        if not self._complained:
            self._complained = True
            text = "".join(traceback.format_exception(error))
            log(logging.ERROR, "finetune-guard failed; calls go on without it.\n%s", text)


def _runs_background(config: GuardConfig) -> bool:
    return config.enabled and config.keep_alive is not None and config.keep_alive.background


def base_of_url(url: Url) -> str:
    """Return where the API is that a URL object points at."""
    return base_of(url.scheme, url.host, url.port, url.path)


def _config_error(error: Exception) -> str:
    """Return what is wrong with the configuration, whatever it was that the environment led to."""
    if isinstance(error, GuardConfigError):
        return str(error)
    return f"what the environment and the defaults say can't be used: {error!r}"


def _readable_settings() -> GuardConfig:
    """Return what can be read of a wrong environment; the defaults where nothing can."""
    from finetune_guard.config import GuardConfig  # noqa: PLC0415 -- as above

    try:
        return GuardConfig.from_environment()[0]
    except Exception:  # noqa: BLE001 -- the environment can lead to any failure, which is told already
        return GuardConfig.model_construct()
