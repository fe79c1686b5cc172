"""A proxy between a client and a Redis server that misbehaves on command.

``python faults/proxy.py`` prints its port and then reads commands, one per line: ``to PORT`` drops every
connection and forwards to another server, ``slow SECONDS`` delays every reply, ``garbage`` sends noise,
``lossy`` drops the replies to transactions, ``good`` only forwards.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from typing_extensions import Self


class _Proxy:
    def __init__(self) -> None:
        self._port, self._slow, self._mode = 0, 0.0, "good"
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            mode, *value = line.split()
            self._slow = float(value[0]) if mode == "slow" else 0.0
            self._mode = mode
            if mode == "to":
                self._port = int(value[0])
                for writer in self._open:
                    writer.transport.abort()
            print("done", flush=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_server = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_server[1]}
        self._open |= both
        directions = (self._requests(reader, to_server[1], writer), self._replies(to_server[0], writer))
        await asyncio.wait(map(asyncio.ensure_future, directions), return_when=asyncio.FIRST_COMPLETED)
        self._open -= both
        for each in both:
            each.transport.abort()

    async def _requests(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while data := await client.read(65_536):
            if self._mode == "garbage":
                back.write(os.urandom(200) + b"\r\n")
                continue
            server.write(data)
            if self._mode == "lossy" and b"EXEC" in data:
                await server.drain()
                await asyncio.sleep(0.1)
                return

    async def _replies(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await server.read(65_536):
            await asyncio.sleep(self._slow)
            if self._mode != "lossy" or not data.startswith((b"+OK\r\n+QUEUED", b"*")):
                client.write(data)


class Proxy:
    """A context manager that runs the proxy in another process."""

    def __enter__(self) -> Self:
        program = [sys.executable, str(Path(__file__))]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def send(self, line: str) -> None:
        """Send the command ``line``, and wait until it is in effect."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass


if __name__ == "__main__":
    asyncio.run(_Proxy().serve())
