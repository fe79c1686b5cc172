"""A fast HTTP server that gives every chat completion of a model the same answer.

``python faults/server.py`` prints its port and serves until its input ends; the benchmarks use it, too. Its
response headers are like the API's, including the date and the organization. It counts its responses by API
key: ``GET /answered/KEY``.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from email.utils import formatdate
from functools import cache
from pathlib import Path

from typing_extensions import Self

ORGANIZATION = "acme-28gund"

_MODEL = re.compile(rb'"model": ?"([^"]+)"')
_HEAD = """\
HTTP/1.1 200 OK\r
Date: {date}\r
Content-Type: {kind}\r
Content-Length: {length}\r
Connection: {connection}\r
access-control-expose-headers: X-Request-ID\r
openai-organization: {organization}\r
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


def answer(model: str) -> dict[str, object]:
    """Return the completion for every call of ``model``."""
    message = {"role": "assistant", "content": "Parcel 4711 is on its way.", "refusal": None}
    return {
        "id": "chatcmpl-AbC123xY",
        "object": "chat.completion",
        "created": 1763812800,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20},
    }


def chunks(model: str) -> list[dict[str, object]]:
    """Return the chunks for every stream of ``model``."""
    return [
        {
            "id": "chatcmpl-AbC123xY",
            "object": "chat.completion.chunk",
            "created": 1763812800,
            "model": model,
            "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}],
        }
        for word in ("Parcel", " 4711", " is on", *(f" {part}" for part in range(16)), " its way.")
    ]


@cache
def body(model: str) -> bytes:
    """Return the body of a completion of ``model``."""
    return json.dumps(answer(model)).encode()


@cache
def stream(model: str) -> bytes:
    """Return the body of a stream of ``model``."""
    events = (b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks(model))
    return b"".join(events) + b"data: [DONE]\n\n"


class Connection(asyncio.Protocol):
    """A connection that answers requests in order."""

    def __init__(self, answered: Counter[str]) -> None:
        self._answered = answered
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self._received += data
        while True:
            head, separator, rest = self._received.partition(b"\r\n\r\n")
            if not separator:
                return
            method_and_path, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            body, self._received = rest[:length], rest[length:]
            self._answer(method_and_path, headers, body)

    def _answer(self, method_and_path: str, headers: dict[str, str], asked: bytes) -> None:
        path = method_and_path.split(" ")[1]
        found = _MODEL.search(asked)
        model = found[1].decode() if found is not None else ""
        kind, content = "application/json", body(model)
        if path.startswith("/answered/"):
            content = json.dumps(self._answered[path.removeprefix("/answered/")]).encode()
        elif b'"stream":true' in asked or b'"stream": true' in asked:
            kind, content = "text/event-stream", stream(model)
        closing = headers.get("connection", "").lower() == "close"
        head = _HEAD.format(
            date=formatdate(usegmt=True),
            kind=kind,
            length=len(content),
            connection="close" if closing else "keep-alive",
            organization=ORGANIZATION,
        )
        if path.startswith("/v1/"):
            self._answered[headers.get("authorization", "").removeprefix("Bearer ")] += 1
        self._transport.write(head.encode() + content)
        if closing:
            self._transport.close()


async def serve() -> None:
    """Serve until the input ends."""
    answered: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answered), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


class Server:
    """A context manager that runs the server in another process."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not stop it
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass


def answered(port: int, key: str) -> int:
    """Return how many calls with ``key`` the server on ``port`` has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/answered/{key}", timeout=10) as response:
        return int(json.load(response))


if __name__ == "__main__":
    asyncio.run(serve())
