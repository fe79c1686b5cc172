"""Reads requests, sends answers, closes connections, and runs an ASGI application in a thread."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from finetune_guard.simulator.answers import Answer, ApiError

# Long enough that a client can pause in a debugger without losing its pooled connection.
_KEEP_ALIVE_SECONDS = 600
_ITERATIONS_TO_CONNECT = 10


@dataclass(frozen=True)
class Content:
    """The content of a request: a JSON object, or a form's text fields and files."""

    body: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    problem: ApiError | None = None


async def read(request: Request) -> Content:
    """Read a request's body; if it can't be parsed, ``problem`` is the error to answer."""
    if request.method not in {"POST", "PUT", "PATCH"}:
        return Content()
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form() as form:
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            files = {
                name: (value.filename or name, await value.read())
                for name, value in form.items()
                if isinstance(value, UploadFile)
            }
        return Content(fields, files)
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return Content(problem=ApiError(400, "We could not parse the JSON body of your request."))
    return Content(body)


class Connections:
    """The server's open connections."""

    def __init__(self) -> None:
        self._transports: dict[Any, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's protocol class, extended to register its connections here."""
        transports = self._transports

        class ReportingProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                # Without it an answer's second packet waits 40 ms for the client's acknowledgement. asyncio
                # only sets it for listeners that name their protocol.
                transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                transports[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.client, None)
                super().connection_lost(exc)

        return ReportingProtocol

    def cut(self, client: Any) -> None:
        """Close a client's connection, possibly in the middle of a body, after sending the written bytes."""
        if transport := self._transports.get(tuple(client)):
            transport.close()

    def abort_all(self) -> None:
        """Close every connection at once."""
        for transport in list(self._transports.values()):
            transport.abort()


class WireResponse(Response):
    """An answer, sent in chunks and possibly cut off."""

    def __init__(
        self, answer: Answer, headers: Mapping[str, str], connections: Connections, cut_after: int | None
    ) -> None:
        super().__init__(status_code=answer.status, headers=dict(headers), media_type=answer.media_type)
        self._answer = answer
        self._connections = connections
        self._cut_after = cut_after
        if answer.made is not None:
            self.headers["content-length"] = str(answer.size)
        elif answer.events is None:
            self.headers["content-length"] = str(len(next(answer.chunks())))
        else:
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for chunk in self._chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if self._cut_after is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        self._connections.cut(scope["client"])
        # uvicorn would log an error if this returned before the connection is closed.
        while (await receive())["type"] != "http.disconnect":
            pass

    def _chunks(self) -> Iterator[bytes]:
        """Yield the chunks to send: all, or the first bytes of a body or events of a stream."""
        chunks, remaining = self._answer.chunks(), self._cut_after
        if remaining is None or self._answer.events is not None:
            yield from islice(chunks, remaining)
            return
        for chunk in chunks:
            if not remaining:
                return
            yield chunk[:remaining]
            remaining = max(0, remaining - len(chunk))


class ServingThread:
    """A thread with its own event loop that serves on ``listener``, and closes it at the end.

    ``build`` makes the application, from the connections and an event that is set when the thread stops.
    """

    def __init__(
        self, build: Callable[[Connections, asyncio.Event], ASGIApp], listener: socket.socket
    ) -> None:
        self._build = build
        self._listener = listener
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="finetune-guard-simulator", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until it serves; raise the error if it can't."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Close all connections and wait until the thread has ended."""
        loop, stopping = self._started.result()
        loop.call_soon_threadsafe(stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._listener.close()
            self._started.set_exception(error)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        connections = Connections()
        protocol = connections.protocol()
        config = Config(
            self._build(connections, stopping),
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        config.load()
        state = ServerState()
        # uvicorn's own server wakes up ten times a second and takes at least 0.1 s to stop, so only its
        # protocol is used.
        server = await loop.create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), sock=self._listener
        )
        self._started.set_result((loop, stopping))
        await stopping.wait()
        # An accepted connection reaches its protocol some iterations of the loop later. If the server is
        # closed before that, asyncio leaks its socket. So stop accepting first.
        with suppress(NotImplementedError):  # not on Windows
            loop.remove_reader(self._listener)
        for _ in range(_ITERATIONS_TO_CONNECT):
            connections.abort_all()
            await asyncio.sleep(0)
        server.close()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        while state.connections:  # noqa: ASYNC110 # each closes within two iterations of the loop
            await asyncio.sleep(0)
        await server.wait_closed()
