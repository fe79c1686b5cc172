"""The guard's own requests in the SDK's terms, and their answers in ours.

They go through the SDK's ``request`` with ``Reply`` as the type to cast to, by which the door out
tells them from the user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from finetune_guard.client.sdk_compat import FinalRequestOptions
from finetune_guard.clock import answered_at
from finetune_guard.domain.organizations import tells_whose
from finetune_guard.openai_api.flow import ApiCall, Reply
from finetune_guard.recording.notes import Subject


def _says_whose(name: str) -> bool:
    return name == "openai-project" or tells_whose(name)


def own_request(call: ApiCall, headers: Mapping[str, Any]) -> FinalRequestOptions:
    """Return the SDK's options for ``call``, sent with the ``headers`` that say on whose behalf."""
    optional: dict[str, Any] = {}
    if call.json is not None:
        optional["json_data"] = dict(call.json)
    if call.timeout is not None:
        optional["timeout"] = call.timeout.total_seconds()
    if not call.retry:
        optional["max_retries"] = 0
    sent = dict(headers)
    if call.key is not None:
        sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
        sent["Authorization"] = f"Bearer {call.key}"
    return FinalRequestOptions.construct(
        method=call.method, url=call.path, params=dict(call.query), headers=sent, **optional
    )


def given_headers(options: Any) -> dict[str, Any]:
    """Return the headers of a user's request that say on whose behalf it is made, or that leave that out."""
    headers = options.headers if isinstance(options.headers, Mapping) else {}
    return {name: value for name, value in headers.items() if _says_whose(name.lower())}


def reply_from(response: Any, subject: Subject, now: datetime) -> Reply:
    """Return what a flow may know of ``response``; the SDK has read its body already."""
    try:
        body = response.json()
    except (RecursionError, ValueError):
        body = None
    at = answered_at(response.headers.get("date"), now)
    return Reply(body=body, organization=subject.organization, credentials=subject.credentials, at=at)
