"""What happens around ``request`` and ``_process_response`` of a guarded client, sync and async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import openai

from finetune_guard.client.drivers import drive, drive_async
from finetune_guard.client.guarded import FLUSH_TIMEOUT, Guarded
from finetune_guard.client.own_requests import (
    NOTHING,
    TakenOver,
    download,
    download_async,
    own_request,
    timeout_error,
)
from finetune_guard.client.sdk_compat import AsyncBase, SyncBase, refresh_api_key
from finetune_guard.client.threads import within
from finetune_guard.openai_api.flow import Download, Flow, Reply, Request, T


class SyncGuarded(Guarded, SyncBase):
    """What a sync client does around the SDK's methods."""

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
        url = options.url
        if isinstance(url, str) and url.startswith("ws"):
            self._finetune_guard.prepare(self, url)
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

    def _guard_drive(
        self, flow: Flow[T], taken_over: TakenOver = NOTHING, send: Callable[[], Any] | None = None
    ) -> Any:
        return drive(flow, partial(self._guard_ask, taken_over=taken_over), send)

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
    """What an async client does around the SDK's methods."""

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

    def _prepare_options(self, options: Any) -> Any:
        url = options.url
        if isinstance(url, str) and url.startswith("ws"):
            self._finetune_guard.prepare(self, url)
        return super()._prepare_options(options)  # to be awaited

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

    async def _guard_drive(
        self, flow: Flow[T], taken_over: TakenOver = NOTHING, send: Callable[[], Awaitable[Any]] | None = None
    ) -> Any:
        return await drive_async(flow, partial(self._guard_ask, taken_over=taken_over), send)

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
