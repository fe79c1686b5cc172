"""Where a request goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from finetune_guard.openai_api.requests import root_path


def own_url(client: Any, url: str) -> Any:
    """Return scheme, host, port and path of the API that a request to ``url`` goes to.

    They are the URL's own if it is absolute, else those of the client's base URL.
    What is no URL goes to no host: what becomes of it is left to the SDK.
    """
    if "://" not in url:
        return client.base_url
    try:
        parts = urlsplit(url)
        return SimpleNamespace(
            scheme=parts.scheme, host=parts.hostname or "", port=parts.port, path=root_path(parts.path)
        )
    except ValueError:
        return SimpleNamespace(scheme="", host="", port=None, path="")
