"""Serving a batch: each of its requests is a call of an endpoint, at the time of completion."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.datastructures import QueryParams

from finetune_guard.simulator import chat, completions, embeddings, responses
from finetune_guard.simulator.answers import Answer, ApiError, invalid
from finetune_guard.simulator.batch_requests import BatchRequest
from finetune_guard.simulator.organizations import Account, Batch, StoredFile, random_id
from finetune_guard.simulator.provider import Call, Provider

ENDPOINTS: dict[str, Callable[[Call], Answer]] = {
    "/v1/responses": responses.create,
    "/v1/chat/completions": chat.create,
    "/v1/embeddings": embeddings.create,
    "/v1/completions": completions.create,
}


def complete(provider: Provider, account: Account, batch: Batch, at: datetime) -> None:
    """Serve every request of ``batch`` at ``at``, and put the answers into files."""
    served: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for request in batch.requests:
        answer = _answer(provider, account, batch, request, at)
        failed = answer.status != 200  # noqa: PLR2004 -- as HTTP has it
        (refused if failed else served).append(_line(request, answer))
        if not failed:
            batch.count(answer.body["usage"])
    batch.completed_at, batch.requests = at, ()
    batch.succeeded, batch.failed = len(served), len(refused)
    batch.output_file = _store(account, f"{batch.id}_output.jsonl", served, at)
    batch.error_file = _store(account, f"{batch.id}_error.jsonl", refused, at)


def _answer(
    provider: Provider, account: Account, batch: Batch, request: BatchRequest, at: datetime
) -> Answer:
    call = Call(
        provider=provider,
        account=account,
        project=batch.project,
        now=at,
        body=request.body,
        parts={},
        params={},
        query=QueryParams(),
        batch=True,
    )
    try:
        if request.body.get("stream"):
            raise invalid("stream", "a batch can't be streamed")
        return ENDPOINTS[batch.endpoint](call)
    except ApiError as error:
        return error.answer


def _line(request: BatchRequest, answer: Answer) -> dict[str, Any]:
    response = {"status_code": answer.status, "request_id": random_id("req_"), "body": answer.body}
    return {
        "id": random_id("batch_req_"),
        "custom_id": request.custom_id,
        "response": response,
        "error": None,
    }


def _store(account: Account, name: str, lines: list[dict[str, Any]], at: datetime) -> str | None:
    """Keep the lines as a file and return its id; None when there are none."""
    if not lines:
        return None
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    file = StoredFile(random_id("file-"), name, "batch_output", content, at)
    account.files[file.id] = file
    return file.id
