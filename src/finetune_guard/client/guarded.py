"""What guarded clients, sync and async, have in common; ``mixins.py`` has what differs.

Nothing of the SDK is changed but ``request``, ``_process_response``, ``copy``, which hands the guard on, and
``close``, which lets the history be written. The classes are mixed into a client's own class, before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

import openai

from finetune_guard.client.binding import Binding
from finetune_guard.client.own_requests import TakenOver, reply_from
from finetune_guard.client.sdk_compat import has_callable_key
from finetune_guard.domain.organizations import Credentials
from finetune_guard.openai_api.flow import Flow, Reply
from finetune_guard.openai_api.requests import GuardedCall

if TYPE_CHECKING:
    from finetune_guard.engine.deployments import Resource

FLUSH_TIMEOUT = 2.0
"""Seconds that closing a client waits at most for the history to be written."""

_inherited: ContextVar[Binding | None] = ContextVar("finetune_guard_inherited", default=None)
"""The guard of a client that ``copy`` makes.

It is no argument of the constructor, since a subclass's own constructor need not know of it.
"""


class Guarded:
    """What both flavours have in common."""

    _guard_is_async: ClassVar[bool]
    _finetune_guard: Binding
    _finetune_guard_instances: ClassVar[type[Any]]
    """The class of the clients that are made by calling this one; see classes.py."""

    def __init__(self, *args: Any, guard: Any = None, **options: Any) -> None:
        super().__init__(*args, **options)
        inherited = _inherited.get()
        self._finetune_guard = inherited if guard is None and inherited is not None else Binding(guard)
        self.__class__ = type(self).__dict__.get("_finetune_guard_instances", type(self))

    def copy(self, *, guard: Any = None, **options: Any) -> Any:
        """Create a new client with the same guard and options changed as given; see the SDK's ``copy``."""
        self._finetune_guard.know(self)
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

    def _guard_credentials(self, headers: Mapping[str, object] | None = None, url: str = "") -> Credentials:
        return self._finetune_guard.credentials(self, headers, url)

    def _guard_admission(self, call: GuardedCall, options: Any) -> tuple[Flow[None], TakenOver]:
        """What decides about ``call`` and then makes it, and what the guard's own requests take over from it.

        Nothing is asked where that would go to another API than the call.
        """
        client: Any = self
        authorization = self._finetune_guard.engine.authorization
        taken_over = TakenOver.of(options, client.timeout)
        credentials = self._guard_credentials(taken_over.headers, options.url)
        own_base = self._guard_credentials(taken_over.headers).base
        may_ask = self._guard_is_active() and credentials.base == own_base
        decision = authorization.authorize(
            call,
            credentials,
            self._guard_admin_key() if may_ask else None,
            taken_over.left,
            url=f"{str(client.base_url).rstrip('/')}/fine_tuning/jobs",
            may_ask=may_ask,
        )
        complain = self._finetune_guard.failures.add
        return authorization.admit(call, decision, credentials, complain), taken_over

    def _guard_failed(self, options: Any, error: openai.APIStatusError) -> None:
        """Learn from an error of the API; raise what it means if it tells that a model is gone."""
        answers = self._finetune_guard.answers
        gone = answers.failed(self, options, error) if answers is not None else None
        if gone is not None:
            raise gone from error

    def _guard_reply(self, options: Any, response: Any) -> Reply:
        """Return what a request of the guard's own was answered, and remember whom that is about."""
        guard = self._finetune_guard
        assert guard.answers is not None  # a guard that is broken sends nothing
        subject = guard.answers.identify(self, options, response)
        return reply_from(response, subject, guard.engine.decider)

    def _guard_admin_key(self) -> str | None:
        return self._finetune_guard.admin_key(self)

    def _guard_is_active(self) -> bool:
        client: Any = self
        guard = self._finetune_guard
        return guard.engine is not None and guard.hosts.include(self, client.base_url)

    def _guard_resource(self) -> Resource | None:
        """The resource that the client speaks to; None where no idle policy holds."""
        return self._finetune_guard.hosts.route(self, "get", "").resource

    def _guard_deployments_at(self) -> str | None:
        """Where the API is, if the base URL names one deployment; None if any can be called."""
        client: Any = self
        root, names_one, _ = str(client.base_url).partition("/deployments/")
        return root if names_one else None

    def _guard_lacks_key(self) -> bool:
        """Whether the key is a function that no request has asked yet: all such would count as one key."""
        client: Any = self
        return not client.api_key and has_callable_key(client) and self._guard_is_active()
