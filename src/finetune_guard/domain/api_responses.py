"""HTTP responses that errors carry: one for a request that was not sent, and copies that hold no key."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import openai

NOT_SENT_HEADER = "x-finetune-guard-sent"
"""The header of a response that no server gave; its value is ``false``."""

JOBS_URL = "https://api.openai.com/v1/fine_tuning/jobs"

_LIBRARIES = ("httpx", "httpx2")
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})


def not_sent(details: Mapping[str, object], url: str | None) -> Any:
    """Return the response that the API would give to a job that it refuses, marked as not sent."""
    library = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__)  # httpx or httpx2
    return library.Response(
        403,
        headers={NOT_SENT_HEADER: "false"},
        json={"error": dict(details)},
        request=library.Request("POST", url or JOBS_URL),
    )


def copied(response: Any) -> Any:
    """Return a copy that can be pickled: status, headers, and the body if it was read, but no request header.

    A response of neither httpx nor httpx2 is returned as it is.
    """
    bases = (base.__module__.partition(".")[0] for base in type(response).__mro__)
    name = next((name for name in bases if name in _LIBRARIES), None)
    if name is None:
        return response
    library = importlib.import_module(name)
    kept = [(key, value) for key, value in response.headers.multi_items() if key not in _OF_THE_TRANSFER]
    try:
        content = response.content
    except library.StreamError:  # the body was not read, or went to the program
        content = b""
    request = library.Request(response.request.method, response.request.url)
    return library.Response(response.status_code, headers=kept, content=content, request=request)
