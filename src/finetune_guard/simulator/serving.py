"""A thread that serves an ASGI application until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from finetune_guard.simulator.wire import Connections

# A pooled connection must not be closed under a client that pauses in a debugger.
_KEEP_ALIVE_SECONDS = 600
_TURNS_TO_CONNECT = 10


class ServingThread:
    """Serves on ``listener``, which it closes at the end, in an event loop of its own.

    There ``build`` makes the application, from the connections and an event that is set when it stops.
    """

    def __init__(
        self, build: Callable[[Connections, asyncio.Event], ASGIApp], listener: socket.socket
    ) -> None:
        self._build = build
        self._listener = listener
        self._begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="finetune-guard-simulator", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until it serves; what prevents that is raised."""
        self._thread.start()
        self._begun.result()

    def stop(self) -> None:
        """Cut all connections and wait for the thread's end."""
        loop, stopping = self._begun.result()
        loop.call_soon_threadsafe(stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._begun.done():
                raise
            self._listener.close()
            self._begun.set_exception(error)

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
        # uvicorn's own server wakes ten times a second and takes 0.1 s and more to stop; its
        # protocol alone does neither.
        server = await loop.create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), sock=self._listener
        )
        self._begun.set_result((loop, stopping))
        await stopping.wait()
        # A connection that was just accepted reaches its protocol some turns later. asyncio loses it, with
        # its socket open, if the server is closed before that. So nothing new is accepted first.
        with suppress(NotImplementedError):  # Windows' event loop accepts in another way
            loop.remove_reader(self._listener)
        for _ in range(_TURNS_TO_CONNECT):
            connections.abort_all()
            await asyncio.sleep(0)
        server.close()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        while state.connections:  # noqa: ASYNC110 # each is gone after two turns of the loop
            await asyncio.sleep(0)
        await server.wait_closed()
