"""The quickest local server there can be: chat completions, at once or as a stream, in another process.

It answers every request with the same, so that as much as possible of a call's time is the client's.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

CHUNKS = 20
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"

_USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}
_COMPLETION = {
    "id": "chatcmpl-AbC123",
    "object": "chat.completion",
    "created": 1_795_000_000,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "It is on its way.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": _USAGE,
    "service_tier": "default",
    "system_fingerprint": "fp_0123456789",
}


def _chunk(text: str) -> dict[str, object]:
    delta = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {**_COMPLETION, "object": "chat.completion.chunk", "choices": [delta], "usage": None}


_AT_ONCE = json.dumps(_COMPLETION).encode()
_STREAMED = b"".join(b"data: %s\n\n" % json.dumps(_chunk(f" {n}")).encode() for n in range(CHUNKS))
_STREAMED += b"data: [DONE]\n\n"
_HEADERS = """\
HTTP/1.1 200 OK\r
Date: {date}\r
Content-Type: {kind}\r
Content-Length: {length}\r
access-control-expose-headers: X-Request-ID\r
openai-organization: acme-28gund\r
openai-processing-ms: 412\r
openai-project: proj_Ab12Cd34Ef56Gh78\r
openai-version: 2020-10-01\r
x-ratelimit-limit-requests: 10000\r
x-ratelimit-remaining-requests: 9999\r
x-request-id: req_0123456789abcdef0123456789abcdef\r
strict-transport-security: max-age=31536000; includeSubDomains; preload\r
server: cloudflare\r
\r
"""


class _Answering(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        _, found, length = head.lower().partition(b"content-length:")
        body = int(length.partition(b"\r\n")[0]) if found else 0
        if len(rest) < body:
            return
        self._received = rest[body:]
        self._transport.write(_answer(int(time.time()), b'"stream":true' in rest.replace(b" ", b"")))


_kept: dict[tuple[int, bool], bytes] = {}


def _answer(second: int, stream: bool) -> bytes:
    answer = _kept.get((second, stream))
    if answer is None:
        kind, body = ("text/event-stream", _STREAMED) if stream else ("application/json", _AT_ONCE)
        head = _HEADERS.format(date=formatdate(second, usegmt=True), kind=kind, length=len(body))
        answer = head.encode() + body
        _kept.clear()
        _kept[second, stream] = answer
    return answer


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started this is gone


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in a process of its own; yield its base URL."""
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
