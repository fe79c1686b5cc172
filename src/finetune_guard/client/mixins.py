"""The two doors: what happens around ``request`` and ``_process_response`` of a client, sync and async.

Nothing else of the SDK is touched but ``copy``, which hands the guard on, and ``close``, which lets
the history be written. Both classes are mixed into a client's own class, before it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import openai

from finetune_guard.client.binding import Binding
from finetune_guard.client.downloads import download, download_async
from finetune_guard.client.drivers import drive, drive_async
from finetune_guard.client.own_requests import NOTHING, TakenOver, own_request, reply_from, timeout_error
from finetune_guard.client.sdk_compat import AsyncBase, SyncBase, has_callable_key, refresh_api_key
from finetune_guard.client.threads import within
from finetune_guard.client.warn import warn_caller
from finetune_guard.client.websockets import is_websocket, tell_unseen
from finetune_guard.domain.organizations import Credentials
from finetune_guard.openai_api.flow import Download, Flow, Reply, Request, T, UserCall
from finetune_guard.openai_api.requests import GuardedCall

if TYPE_CHECKING:
    from finetune_guard.client.background.task import AsyncBackground
    from finetune_guard.client.background.thread import ThreadBackground
    from finetune_guard.client.guard_api import AsyncClientGuard, ClientGuard
    from finetune_guard.engine.deployments import Place
    from finetune_guard.engine.guard import Guard
    from finetune_guard.rules.keep_alive import KeepAlive

FLUSH_TIMEOUT = 2.0
"""Seconds that closing a client waits at most for the history to be written."""

_inherited: ContextVar[Binding | None] = ContextVar("finetune_guard_inherited", default=None)
"""The guard of a client that ``copy`` makes.

It is no argument of the constructor, since a subclass's own constructor need not know of it.
"""


class Guarded:
    """What both flavours have in common."""

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
        if self._finetune_guard.runs_background:
            self._finetune_guard.know(self)
        token = _inherited.set(self._finetune_guard if guard is None else Binding(guard))
        try:
            return super().copy(**options)  # type: ignore[misc]
        finally:
            _inherited.reset(token)

    with_options = copy

    def _guard_credentials(self, headers: Mapping[str, object] | None = None, url: str = "") -> Credentials:
        return self._finetune_guard.credentials(self, headers, url)

    def _guard_admission(self, call: GuardedCall, options: Any) -> tuple[Flow[None], TakenOver]:
        """What decides about ``call`` and then makes it, and what the guard's own requests take over from it.

        Nothing is asked where that would go to another API than the call.
        """
        client: Any = self
        guard, taken_over = self._finetune_guard.engine, TakenOver.of(options, client.timeout)
        credentials = self._guard_credentials(taken_over.headers, options.url)
        url = f"{str(client.base_url).rstrip('/')}/fine_tuning/jobs"
        may_ask = (
            self._guard_is_active() and credentials.base == self._guard_credentials(taken_over.headers).base
        )
        decision = guard.authorization.authorize(
            call,
            credentials,
            self._guard_admin_key() if may_ask else None,
            taken_over.left,
            url=url,
            may_ask=may_ask,
        )
        return guard.admit(call, decision, credentials, self._finetune_guard.failures.add), taken_over

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

    def _guard_place(self) -> Place | None:
        """The resource that the client speaks to; None where no idle policy holds."""
        return self._finetune_guard.hosts.route(self, "get", "").place

    def _guard_lacks_key(self) -> bool:
        """Whether the key is a function that no request has asked yet: all such would count as one key."""
        client: Any = self
        return not client.api_key and has_callable_key(client) and self._guard_is_active()


class SyncGuarded(Guarded, SyncBase):
    """The doors of a sync client."""

    @property
    def guard(self) -> ClientGuard:
        """What can be asked and done about the organization's eligibility."""
        from finetune_guard.client.guard_api import ClientGuard  # noqa: PLC0415 -- needed when it is asked for

        return ClientGuard(self)

    def request(
        self,
        cast_to: Any,
        options: Any,
        *args: Any,
        stream: bool = False,
        stream_cls: Any = None,
        **more: Any,
    ) -> Any:
        """Decide about jobs and uploads for them, then do what the SDK does."""
        call = self._finetune_guard.call(self, options)
        if call is not None or args or more:
            send = partial(
                self._guard_send, cast_to, options, *args, stream=stream, stream_cls=stream_cls, **more
            )
            if call is None:
                return send()
            flow, taken_over = self._guard_admission(call, options)
            return self._guard_drive(flow, taken_over, send)
        try:  # as in _guard_send, which would take longer
            return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except openai.APIStatusError as error:
            self._guard_failed(options, error)
            raise

    def _guard_send(self, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what the SDK does, and learn from an error."""
        try:
            return super().request(cast_to, options, *args, **kwargs)
        except openai.APIStatusError as error:
            self._guard_failed(options, error)
            raise

    def _process_response(  # arguments that are named cost less than ``**given``
        self,
        *,
        cast_to: Any,
        options: Any,
        response: Any,
        stream: bool,
        stream_cls: Any,
        retries_taken: int = 0,
        **later: Any,
    ) -> Any:
        if cast_to is Reply:
            return self._guard_reply(options, response)
        process = super()._process_response
        if later:  # what a later release of the SDK may add
            process = partial(process, **later)
        try:
            value = process(
                cast_to=cast_to,
                options=options,
                response=response,
                stream=stream,
                stream_cls=stream_cls,
                retries_taken=retries_taken,
            )
        except Exception:  # a model may have answered what the SDK, or a parser of the program's, refuses
            self._finetune_guard.observe(self, options, response, None)
            raise
        self._finetune_guard.observe(self, options, response, value)
        return value

    def _prepare_options(self, options: Any) -> Any:
        if is_websocket(options.url):
            tell_unseen(self, self._finetune_guard, options.url)
        return super()._prepare_options(options)

    def close(self) -> None:
        """Let what was seen be written, then close the HTTP client."""
        try:
            if self._finetune_guard.background is not None:
                self._finetune_guard.background.leave(self, FLUSH_TIMEOUT)
            self._finetune_guard.flush(FLUSH_TIMEOUT)
        finally:
            super().close()

    def _guard_learn_key(self) -> None:
        if self._guard_lacks_key():
            refresh_api_key(self)

    @staticmethod
    def _guard_background(guard: Guard, keep_alive: KeepAlive) -> ThreadBackground:
        from finetune_guard.client.background.thread import ThreadBackground  # noqa: PLC0415 -- few clients have one

        return ThreadBackground(guard, keep_alive)

    def _guard_drive(
        self, flow: Flow[T], taken_over: TakenOver = NOTHING, send: Callable[[], Any] | None = None
    ) -> Any:
        def warn_and_send(step: UserCall) -> Any:
            for warning in step.warnings:
                warn_caller(warning)
            assert send is not None
            return send()

        return drive(flow, partial(self._guard_ask, taken_over=taken_over), warn_and_send)

    def _guard_ask(self, call: Request, taken_over: TakenOver) -> Reply | None:
        if isinstance(call, Download):
            download(self, call)
            return None
        timeout = taken_over.time_for(call)
        send: Callable[[], Reply] = partial(
            self._guard_send, Reply, own_request(call, taken_over, timeout, self.default_headers)
        )
        try:
            return within(timeout, send)
        except TimeoutError as error:
            raise timeout_error(self, call) from error


class AsyncGuarded(Guarded, AsyncBase):
    """The doors of an async client."""

    @property
    def guard(self) -> AsyncClientGuard:
        """What can be asked and done about the organization's eligibility."""
        from finetune_guard.client.guard_api import AsyncClientGuard  # noqa: PLC0415 -- needed when it is asked for

        return AsyncClientGuard(self)

    async def request(
        self,
        cast_to: Any,
        options: Any,
        *args: Any,
        stream: bool = False,
        stream_cls: Any = None,
        **more: Any,
    ) -> Any:
        """Decide about jobs and uploads for them, then do what the SDK does."""
        call = self._finetune_guard.call(self, options)
        if call is not None or args or more:
            send = partial(
                self._guard_send, cast_to, options, *args, stream=stream, stream_cls=stream_cls, **more
            )
            if call is None:
                return await send()
            flow, taken_over = self._guard_admission(call, options)
            return await self._guard_drive(flow, taken_over, send)
        try:  # as in _guard_send, which would take longer
            return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except openai.APIStatusError as error:
            self._guard_failed(options, error)
            raise

    async def _guard_send(self, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what the SDK does, and learn from an error."""
        try:
            return await super().request(cast_to, options, *args, **kwargs)
        except openai.APIStatusError as error:
            self._guard_failed(options, error)
            raise

    async def _process_response(  # arguments that are named cost less than ``**given``
        self,
        *,
        cast_to: Any,
        options: Any,
        response: Any,
        stream: bool,
        stream_cls: Any,
        retries_taken: int = 0,
        **later: Any,
    ) -> Any:
        if cast_to is Reply:
            return self._guard_reply(options, response)
        process = super()._process_response
        if later:  # what a later release of the SDK may add
            process = partial(process, **later)
        try:
            value = await process(
                cast_to=cast_to,
                options=options,
                response=response,
                stream=stream,
                stream_cls=stream_cls,
                retries_taken=retries_taken,
            )
        except Exception:  # a model may have answered what the SDK, or a parser of the program's, refuses
            self._finetune_guard.observe(self, options, response, None)
            raise
        self._finetune_guard.observe(self, options, response, value)
        return value

    async def _prepare_options(self, options: Any) -> Any:
        if is_websocket(options.url):
            tell_unseen(self, self._finetune_guard, options.url)
        return await super()._prepare_options(options)

    async def close(self) -> None:
        """Let what was seen be written, then close the HTTP client."""
        try:
            if self._finetune_guard.background is not None:
                await self._finetune_guard.background.leave(self, FLUSH_TIMEOUT)
            await self._finetune_guard.flush_async(FLUSH_TIMEOUT)
        finally:
            await super().close()

    async def _guard_learn_key(self) -> None:
        if self._guard_lacks_key():
            await refresh_api_key(self)

    @staticmethod
    def _guard_background(guard: Guard, keep_alive: KeepAlive) -> AsyncBackground:
        from finetune_guard.client.background.task import AsyncBackground  # noqa: PLC0415 -- few clients have one

        return AsyncBackground(guard, keep_alive)

    async def _guard_drive(
        self,
        flow: Flow[T],
        taken_over: TakenOver = NOTHING,
        send: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        async def warn_and_send(step: UserCall) -> Any:
            for warning in step.warnings:
                warn_caller(warning)
            assert send is not None
            return await send()

        return await drive_async(flow, partial(self._guard_ask, taken_over=taken_over), warn_and_send)

    async def _guard_ask(self, call: Request, taken_over: TakenOver) -> Reply | None:
        if isinstance(call, Download):
            await download_async(self, call)
            return None
        timeout = taken_over.time_for(call)
        with anyio.move_on_after(timeout):
            reply: Reply = await self._guard_send(
                Reply, own_request(call, taken_over, timeout, self.default_headers)
            )
            return reply
        raise timeout_error(self, call)
