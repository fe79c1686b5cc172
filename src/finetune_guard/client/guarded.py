"""The part that sync and async guarded clients share; ``mixins.py`` has the differences.

Only ``request``, ``_process_response``, ``copy``, which passes the guard on, and ``close``, which flushes
the history, are overridden. The classes are mixed into a client's own class, before it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

import openai

from finetune_guard.client.binding import Binding
from finetune_guard.client.own_requests import CallOptions, reply_from
from finetune_guard.client.sdk_compat import has_callable_key
from finetune_guard.client.urls import api_base
from finetune_guard.domain.organizations import Credentials
from finetune_guard.openai_api.flow import Flow, Reply
from finetune_guard.openai_api.requests import GuardedCall

if TYPE_CHECKING:
    from finetune_guard.engine.deployments import Resource

FLUSH_TIMEOUT = 2.0
"""How many seconds closing a client may wait for the history to be written."""

_inherited: ContextVar[Binding | None] = ContextVar("finetune_guard_inherited", default=None)
"""The guard of a client that ``copy`` makes.

It is not a constructor argument, since a subclass's constructor may not accept it.
"""


class Guarded:
    """The base of sync and async guarded clients."""

    _guard_is_async: ClassVar[bool]
    _finetune_guard: Binding
    _finetune_guard_instances: ClassVar[type[Any]]
    """The class of the instances that calling this class creates; see classes.py."""

    def __init__(self, *args: Any, guard: Any = None, **options: Any) -> None:
        super().__init__(*args, **options)
        inherited = _inherited.get()
        self._finetune_guard = inherited if guard is None and inherited is not None else Binding(guard)
        self.__class__ = type(self).__dict__.get("_finetune_guard_instances", type(self))

    def copy(self, *, guard: Any = None, **options: Any) -> Any:
        """Create a new client with the same guard and options changed as given; see the SDK's ``copy``."""
        self._finetune_guard.notify_background(self)
        token = _inherited.set(self._finetune_guard if guard is None else Binding(guard))
        try:
            return super().copy(**options)  # type: ignore[misc]
        finally:
            _inherited.reset(token)

    with_options = copy

    @property
    def guard(self) -> Any:
        """What can be asked and done about the organization's eligibility; see ``ClientGuard``."""
        from finetune_guard.client.guard_api import AsyncClientGuard, ClientGuard  # noqa: PLC0415 -- seldom needed

        return (AsyncClientGuard if self._guard_is_async else ClientGuard)(self)

    def _prepare_options(self, options: Any) -> Any:
        url = options.url
        if isinstance(url, str) and url.startswith("ws"):
            self._finetune_guard.check_websocket(self, url)
        return super()._prepare_options(options)  # type: ignore[misc]  # an async client's is to be awaited

    def _guard_credentials(self, headers: Mapping[str, object] | None = None, url: str = "") -> Credentials:
        return self._finetune_guard.identities.credentials(self, api_base(self, url), headers)

    def _guard_admission(self, call: GuardedCall, options: Any) -> tuple[Flow[None], CallOptions]:
        """Return the flow that decides about ``call`` and makes it, and options for the guard's own requests.

        The guard sends none of its own to another API than that of the call.
        """
        client: Any = self
        engine = self._finetune_guard.engine  # raises what is wrong with the environment
        call_options = CallOptions.of(options, client.timeout)
        credentials = self._guard_credentials(call_options.headers, options.url)
        may_ask = self._guard_is_active() and credentials.base == api_base(self, "")
        authorization = engine.authorization(
            call,
            credentials,
            admin_key=self._guard_admin_key() if may_ask else None,
            left=call_options.time_left,
            url=f"{str(client.base_url).rstrip('/')}/fine_tuning/jobs",
            may_ask=may_ask,
        )
        return authorization.admit(self._finetune_guard.failures.add), call_options

    def _guard_explain_error(self, options: Any, error: openai.APIStatusError) -> None:
        """Record an error of the API; raise a clearer one from it if a model is gone."""
        answers = self._finetune_guard.answers
        explained = answers.explain_error(self, options, error) if answers is not None else None
        if explained is not None:
            raise explained from error

    def _guard_reply(self, options: Any, response: Any) -> Reply:
        """Return the reply to one of the guard's own requests, and record its organization."""
        guard = self._finetune_guard
        assert guard.answers is not None  # a guard with a wrong configuration sends nothing
        subject = guard.answers.identify(self, options, response)
        return reply_from(response, subject, guard.engine.decider)

    def _guard_admin_key(self) -> str | None:
        """The admin key for reading the organization's usage; None if there is none for the host.

        A host that only ``hosts`` names, such as a gateway, gets only the key from the configuration.
        """
        client: Any = self
        config = self._finetune_guard.engine.config
        if config.admin_api_key is not None:
            key = config.admin_api_key
            return key if isinstance(key, str) else key.get_secret_value()
        if not config.is_policys_own(client.base_url.host, client.base_url.port):
            return None
        own = getattr(client, "admin_api_key", None)  # only newer releases of the SDK have it
        return own if isinstance(own, str) and own else os.environ.get("OPENAI_ADMIN_KEY") or None

    def _guard_is_active(self) -> bool:
        client: Any = self
        guard = self._finetune_guard
        return guard.engine is not None and guard.hosts.include(self, client.base_url)

    def _guard_resource(self) -> Resource | None:
        """The resource that the client calls; None if no idle policy applies."""
        return self._finetune_guard.hosts.route(self, "get", "").resource

    def _guard_deployments_at(self) -> str | None:
        """The API's root, if the base URL names one deployment; None if any can be called."""
        client: Any = self
        root, names_one, _ = str(client.base_url).partition("/deployments/")
        return root if names_one else None

    def _guard_must_refresh_key(self, *, only_missing: bool) -> bool:
        """Whether a function that returns the key must be called: each call may return another one.

        With ``only_missing``, only if it was never called: all such clients would count as one.
        """
        client: Any = self
        has_key = only_missing and client.api_key
        return not has_key and has_callable_key(client) and self._guard_is_active()
