"""A local webhook server."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "T0000-B0000-the-secret-of-the-webhook"


class Webhook(BaseHTTPRequestHandler):
    """Stores each post, and answers with ``status``."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.posted.append(json.loads(body or "null"))
        self.send_response(self.server.status)
        self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 -- a redirect that is followed becomes a GET

    def log_message(self, *_):
        pass


@contextmanager
def receiving():
    """Yield a running server, with ``posted``, ``url`` and the ``status`` to answer with."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        server.posted, server.status = [], 200
        server.url = f"http://127.0.0.1:{server.server_address[1]}/services/{SECRET}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
