"""A proxy in front of a Redis server that loses transactions or their replies on command."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections import deque

from typing_extensions import Self

MULTI, EXEC = b"$5\r\nMULTI\r\n", b"$4\r\nEXEC\r\n"


class LossyProxy:
    """Forwards everything except the transactions to lose, whose connection it closes.

    Args:
        port: That of the server.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._orders: deque[str] = deque()
        self._late: list[tuple[socket.socket, bytes]] = []
        self._refuses = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, *orders: str) -> None:
        """Lose the next transactions: the ``answer``, the ``request``, or have that arrive ``late``."""
        self._orders.extend(orders)

    def refuse(self, whether: bool) -> None:
        """Drop every new connection, or don't."""
        self._refuses = whether

    def deliver_late(self) -> bytes:
        """Pass a request on that is late; return the end of what the server answers."""
        server, request = self._late.pop()
        with server:
            server.sendall(request)
            return _answer(server)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for server, _ in self._late:
            server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._refuses:
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._server_port))
        unsent, order = b"", ""
        with client, contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if server in ready:
                    data = server.recv(65_536)
                    client.sendall(data)
                else:
                    data = client.recv(65_536)
                    unsent += data
                    if data and MULTI in unsent and EXEC not in unsent:
                        continue
                    if EXEC in unsent and self._orders:
                        order = self._orders.popleft()
                        break
                    server.sendall(unsent)
                    unsent = b""
                if not data:
                    break
            if order == "late":
                self._late.append((server, unsent))
                return  # the client's end alone
            if order == "answer":
                server.sendall(unsent)
                _answer(server)
        server.close()


def _answer(server: socket.socket) -> bytes:
    """Wait for the answer to a transaction; return how many commands it says were done, -1 if none was."""
    answer = b""
    while b"\r\n*" not in answer and b"-EXECABORT" not in answer:
        answer += server.recv(65_536)
    return answer.rpartition(b"\r\n*")[2][:2]
