"""Overrides of the SDK's methods in guarded clients, sync and async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import openai

from finetune_guard.client.drivers import drive, drive_async
from finetune_guard.client.guarded import FLUSH_TIMEOUT, Guarded
from finetune_guard.client.own_requests import (
    NO_OPTIONS,
    CallOptions,
    download,
    download_async,
    own_request,
    timeout_error,
)
from finetune_guard.client.sdk_compat import AsyncBase, SyncBase, refresh_api_key
from finetune_guard.client.threads import run_with_timeout
from finetune_guard.openai_api.flow import Download, Flow, Reply, Request, T


class SyncGuarded(Guarded, SyncBase):
    """Overrides for a sync client."""

    _guard_is_async = False

    def request(
        self,
        cast_to: Any,
        options: Any,
        *args: Any,
        stream: bool = False,
        stream_cls: Any = None,
        **more: Any,
    ) -> Any:
        """Decide about jobs and their uploads, then call the SDK."""
        call = self._finetune_guard.call(self, options)
        if call is not None or args or more:
            send = partial(
                self._guard_send, cast_to, options, *args, stream=stream, stream_cls=stream_cls, **more
            )
            if call is None:
                return send()
            self._guard_refresh_key()
            flow, call_options = self._guard_admission(call, options)
            return self._guard_drive(flow, call_options, send)
        try:  # _guard_send inlined, for speed
            return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except openai.APIStatusError as error:
            self._guard_explain_error(options, error)
            raise

    def _guard_send(self, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the SDK, and record an error."""
        try:
            return super().request(cast_to, options, *args, **kwargs)
        except openai.APIStatusError as error:
            self._guard_explain_error(options, error)
            raise

    def _process_response(  # named arguments are faster than ``**kwargs``
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
        if later:  # arguments of later SDK releases
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
        except Exception:  # a model responded, but the SDK or the program's parser refused its answer
            self._finetune_guard.observe(self, options, response, None)
            raise
        self._finetune_guard.observe(self, options, response, value)
        return value

    def close(self) -> None:
        """Flush the history, then close the HTTP client."""
        try:
            if self._finetune_guard.background is not None:
                self._finetune_guard.background.unregister_and_wait(self, FLUSH_TIMEOUT)
            self._finetune_guard.flush(FLUSH_TIMEOUT)
        finally:
            super().close()

    def _guard_refresh_key(self, *, only_missing: bool = False) -> None:
        if self._guard_must_refresh_key(only_missing=only_missing):
            refresh_api_key(self)

    def _guard_drive(
        self,
        flow: Flow[T],
        call_options: CallOptions = NO_OPTIONS,
        send: Callable[[], Any] | None = None,
    ) -> Any:
        return drive(flow, partial(self._guard_ask, call_options=call_options), send)

    def _guard_ask(self, call: Request, call_options: CallOptions) -> Reply | None:
        if isinstance(call, Download):
            download(self, call)
            return None
        timeout = call_options.timeout_for(call)
        send: Callable[[], Reply] = partial(
            self._guard_send, Reply, own_request(call, call_options, timeout, self.default_headers)
        )
        try:
            return run_with_timeout(timeout, send)
        except TimeoutError as error:
            raise timeout_error(self, call) from error


class AsyncGuarded(Guarded, AsyncBase):
    """Overrides for an async client."""

    _guard_is_async = True

    async def request(
        self,
        cast_to: Any,
        options: Any,
        *args: Any,
        stream: bool = False,
        stream_cls: Any = None,
        **more: Any,
    ) -> Any:
        """Decide about jobs and their uploads, then call the SDK."""
        call = self._finetune_guard.call(self, options)
        if call is not None or args or more:
            send = partial(
                self._guard_send, cast_to, options, *args, stream=stream, stream_cls=stream_cls, **more
            )
            if call is None:
                return await send()
            await self._guard_refresh_key()
            flow, call_options = self._guard_admission(call, options)
            return await self._guard_drive(flow, call_options, send)
        try:  # _guard_send inlined, for speed
            return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except openai.APIStatusError as error:
            self._guard_explain_error(options, error)
            raise

    async def _guard_send(self, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the SDK, and record an error."""
        try:
            return await super().request(cast_to, options, *args, **kwargs)
        except openai.APIStatusError as error:
            self._guard_explain_error(options, error)
            raise

    async def _process_response(  # named arguments are faster than ``**kwargs``
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
        if later:  # arguments of later SDK releases
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
        except Exception:  # a model responded, but the SDK or the program's parser refused its answer
            self._finetune_guard.observe(self, options, response, None)
            raise
        self._finetune_guard.observe(self, options, response, value)
        return value

    async def close(self) -> None:
        """Flush the history, then close the HTTP client."""
        try:
            if self._finetune_guard.background is not None:
                await self._finetune_guard.background.unregister_and_wait(self, FLUSH_TIMEOUT)
            await self._finetune_guard.flush_async(FLUSH_TIMEOUT)
        finally:
            await super().close()

    async def _guard_refresh_key(self, *, only_missing: bool = False) -> None:
        if self._guard_must_refresh_key(only_missing=only_missing):
            await refresh_api_key(self)

    async def _guard_drive(
        self,
        flow: Flow[T],
        call_options: CallOptions = NO_OPTIONS,
        send: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        return await drive_async(flow, partial(self._guard_ask, call_options=call_options), send)

    async def _guard_ask(self, call: Request, call_options: CallOptions) -> Reply | None:
        if isinstance(call, Download):
            await download_async(self, call)
            return None
        timeout = call_options.timeout_for(call)
        with anyio.move_on_after(timeout):
            reply: Reply = await self._guard_send(
                Reply, own_request(call, call_options, timeout, self.default_headers)
            )
            return reply
        raise timeout_error(self, call)
