"""Clients that send nothing, to measure only the guard's wrappers around two of the SDK's methods.

``request`` passes a prepared response to ``_process_response``, which returns a prepared result. The guarded
clients override both methods exactly as they override the SDK's.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from itertools import cycle
from typing import Any

import openai
from openai._models import FinalRequestOptions
from openai.types.chat import ChatCompletion

from finetune_guard.client.mixins import AsyncGuarded, SyncGuarded

KEY = "sk-proj-" + "k" * 156
FINE_TUNED = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
MESSAGES = [{"role": "user", "content": "Where is my parcel 4711?"}]
NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
ANSWERED = timedelta(hours=-1)


def now() -> datetime:
    """A stopped clock, between two dates of the policy."""
    return NOW


def chat(model: str = FINE_TUNED) -> FinalRequestOptions:
    """Return the SDK's options of a chat completion."""
    body = {"model": model, "messages": MESSAGES, "temperature": 0.2}
    return FinalRequestOptions.construct(method="post", url="/chat/completions", json_data=body)


def embedding() -> FinalRequestOptions:
    """Return the SDK's options of an embedding."""
    body = {"model": "text-embedding-3-small", "input": "Where is my parcel?", "encoding_format": "base64"}
    return FinalRequestOptions.construct(method="post", url="/embeddings", json_data=body)


class Isolated(openai.OpenAI):
    """The bare sync client, without a network."""

    responses: Any
    parsed: Any = None

    def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Process the next prepared response."""
        return self._process_response(
            cast_to=cast_to,
            options=options,
            response=next(self.responses),
            stream=stream,
            stream_cls=stream_cls,
            retries_taken=0,
        )

    def _process_response(self, *, cast_to: Any, options: Any, response: Any, **_: Any) -> Any:
        return self.parsed


class AsyncIsolated(openai.AsyncOpenAI):
    """The bare async client, without a network."""

    responses: Any
    parsed: Any = None

    async def request(
        self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None
    ) -> Any:
        """Process the next prepared response."""
        return await self._process_response(
            cast_to=cast_to,
            options=options,
            response=next(self.responses),
            stream=stream,
            stream_cls=stream_cls,
            retries_taken=0,
        )

    async def _process_response(self, *, cast_to: Any, options: Any, response: Any, **_: Any) -> Any:
        return self.parsed


class Guarded(SyncGuarded, Isolated):
    """The guarded sync client."""


class AsyncGuardedIsolated(AsyncGuarded, AsyncIsolated):
    """The guarded async client."""


def prepare(
    client: Any, options: FinalRequestOptions, *, seconds: int = 1, at: datetime = NOW + ANSWERED
) -> Any:
    """Prepare responses with ``seconds`` different dates around ``at``, which the client returns in turns."""
    request = client._build_request(options)
    library = sys.modules[type(request).__module__.partition(".")[0]]  # httpx or httpx2, as the SDK has it
    client.parsed = _parsed(options.json_data["model"]) if options.url == "/chat/completions" else None
    client.responses = cycle(
        [_response(library, request, at + timedelta(seconds=each - seconds // 2)) for each in range(seconds)]
    )
    return client


def _parsed(model: str) -> ChatCompletion:
    said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Here."}}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": [said]}
    return ChatCompletion.construct(**body)


def _response(library: Any, request: Any, at: datetime) -> Any:
    headers = {
        "date": at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "content-type": "application/json",
        "access-control-expose-headers": "X-Request-ID",
        "openai-organization": "acme-28gund",
        "openai-processing-ms": "412",
        "openai-project": "proj_Ab12Cd34Ef56Gh78",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-request-id": "req_0123456789abcdef0123456789abcdef",
        "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
        "cf-cache-status": "DYNAMIC",
        "server": "cloudflare",
        "cf-ray": "9a1b2c3d4e5f6789-FRA",
    }
    body = json.dumps({"id": "chatcmpl-1", "object": "chat.completion"}).encode()
    return library.Response(200, headers=headers, content=body, request=request)
