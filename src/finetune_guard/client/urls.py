"""Where a request goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit


def own_url(client: Any, url: str) -> Any:
    """Return scheme, host and port that a request to ``url`` goes to: its own if it is absolute.

    What is no URL goes to no host: what becomes of it is left to the SDK.
    """
    if "://" not in url:
        return client.base_url
    try:
        parts = urlsplit(url)
        return SimpleNamespace(scheme=parts.scheme, host=parts.hostname or "", port=parts.port)
    except ValueError:
        return SimpleNamespace(scheme="", host="", port=None)
