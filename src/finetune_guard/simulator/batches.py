"""``/batches``: requests in a file, answered together some time later.

Where the provider's documentation leaves something open, the simulator does this: every request of a
batch is answered when the batch completes, and a cancelled batch has no answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.datastructures import QueryParams

from finetune_guard.simulator import chat, responses
from finetune_guard.simulator.answers import Answer, ApiError, invalid, missing, page, tokens_used, unix_time
from finetune_guard.simulator.inference import complete, embed, option, required
from finetune_guard.simulator.organizations import Account, Batch, random_id
from finetune_guard.simulator.provider import ALIASES, Call, Provider

COMPLETION_WINDOW = timedelta(hours=24)
_MAX_REQUESTS = 50_000
_ENDPOINTS: dict[str, Callable[[Call], Answer]] = {
    "/v1/responses": responses.create,
    "/v1/chat/completions": chat.create,
    "/v1/embeddings": embed,
    "/v1/completions": complete,
}


def create(call: Call) -> Answer:
    """Create a batch."""
    endpoint = required(call, "endpoint")
    if endpoint not in _ENDPOINTS:
        raise invalid("endpoint", f"expected one of {', '.join(_ENDPOINTS)}")
    if required(call, "completion_window") != "24h":
        raise invalid("completion_window", "expected 24h")
    metadata = dict(option(call, "metadata")) or None
    file_id = call.body.get("input_file_id")
    if not isinstance(file_id, str) or not file_id:
        raise missing("input_file_id")
    stored = call.account.files.get(file_id)
    if stored is None:
        raise ApiError(404, f"No such File object: {file_id}", param="input_file_id")
    if stored.purpose != "batch":
        raise invalid("input_file_id", "the purpose of the file is not batch")
    requests, problems = _parse_requests(stored.content, endpoint)
    models = {model if isinstance(model := each["body"].get("model"), str) else None for each in requests}
    model = models.pop() if len(models) == 1 else None
    batch = Batch(
        id=random_id("batch_"),
        project=call.project,
        endpoint=endpoint,
        input_file=file_id,
        model=ALIASES.get(model, model) if model else None,
        requests=requests,
        problems=problems,
        metadata=metadata,
        created_at=call.now,
        duration=call.provider.settings.batch_duration,
        total=len(requests),
    )
    call.account.batches[batch.id] = batch
    return Answer(_body(call, batch))


def list_all(call: Call) -> Answer:
    """List the organization's batches, newest first."""
    batches = [_body(call, batch) for batch in reversed(call.account.batches.values())]
    return page(batches, call.query, default=20, maximum=100)


def retrieve(call: Call) -> Answer:
    """Return one batch."""
    return Answer(_body(call, _find(call)))


def cancel(call: Call) -> Answer:
    """Cancel a batch that has not ended; its requests are not answered."""
    batch = _find(call)
    status = _status(batch, call.now)
    if status not in {"validating", "in_progress"}:
        raise ApiError(400, f"Cannot cancel a batch with status '{status}'.")
    batch.cancelling_at = call.now
    return Answer(_body(call, batch))


def finish(provider: Provider, account: Account, batch: Batch, at: datetime) -> None:
    """Answer every request of ``batch`` at the time ``at``, and write the answers to files."""
    succeeded: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for request in batch.requests:
        call = Call(provider, account, batch.project, at, request["body"], {}, {}, QueryParams(), batch=True)
        try:
            if call.body.get("stream"):
                raise invalid("stream", "a batch can't be streamed")
            answer = _ENDPOINTS[batch.endpoint](call)
        except ApiError as error:
            answer = error.answer
            failed.append(_line(request, answer))
        else:
            succeeded.append(_line(request, answer))
            used = answer.body["usage"]  # its fields have other names in chat completions than in responses
            sent = used.get("input_tokens", used.get("prompt_tokens", 0))
            received = used.get("output_tokens", used.get("completion_tokens", 0))
            batch.tokens = batch.tokens[0] + sent, batch.tokens[1] + received
    batch.completed_at, batch.requests = at, []
    batch.succeeded, batch.failed = len(succeeded), len(failed)
    batch.output_file = _store(account, f"{batch.id}_output.jsonl", succeeded, at)
    batch.error_file = _store(account, f"{batch.id}_error.jsonl", failed, at)


def _line(request: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    response = {"status_code": answer.status, "request_id": random_id("req_"), "body": answer.body}
    head = {"id": random_id("batch_req_"), "custom_id": request["custom_id"]}
    return {**head, "response": response, "error": None}


def _store(account: Account, name: str, lines: list[dict[str, Any]], at: datetime) -> str | None:
    """Store the lines as a file and return its id; None if there are no lines."""
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return account.add_file(name, "batch_output", content, at).id if lines else None


def _parse_requests(content: bytes, endpoint: str) -> tuple[list[Mapping[str, Any]], list[dict[str, Any]]]:
    """Return a file's requests, one per line, and the problems that make the whole batch fail."""
    requests: list[Mapping[str, Any]] = []
    problems: list[dict[str, Any]] = []
    seen: set[str] = set()

    def fail(code: str, message: str, line: int | None = None, param: str | None = None) -> None:
        problems.append({"code": code, "line": line, "message": message, "param": param})

    for number, text in enumerate(content.splitlines(), 1):
        if text.strip():
            line = _parse_object(text)
            problem = _problem(line, endpoint, seen)
            if problem is not None:
                code, message, param = problem
                fail(code, message, number, param)
                continue
            seen.add(line["custom_id"])
            requests.append(line)
    if not requests and not problems:
        fail("empty_file", "The file is empty.")
    if len(requests) > _MAX_REQUESTS:
        fail("too_many_tasks", f"The file has more than {_MAX_REQUESTS} requests.")
    return requests, problems


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def _problem(line: dict[str, Any], endpoint: str, seen: set[str]) -> tuple[str, str, str | None] | None:
    """Return the code, message and parameter of a line's first problem."""
    custom_id = line.get("custom_id")
    has_id = isinstance(custom_id, str) and custom_id != ""
    url = f"The url must be that of the batch, {endpoint}."
    checks = (
        (not line, "invalid_json_line", "This line is no JSON object.", None),
        (not has_id, "missing_required_parameter", "Missing required parameter: 'custom_id'.", "custom_id"),
        (has_id and custom_id in seen, "duplicate_custom_id", "The custom_id was used before.", "custom_id"),
        (line.get("method") != "POST", "invalid_method", "The method must be POST.", "method"),
        (line.get("url") != endpoint, "invalid_url", url, "url"),
        (not isinstance(line.get("body"), dict), "invalid_request", "The body must be an object.", "body"),
    )
    return next(((code, message, param) for wrong, code, message, param in checks if wrong), None)


def _find(call: Call) -> Batch:
    batch = call.account.batches.get(call.params["batch"])
    if batch is None:
        raise ApiError(404, f"No batch found with id '{call.params['batch']}'.", param="id")
    return batch


def _status(batch: Batch, now: datetime) -> str:
    if batch.completed_at is not None:
        return "completed"
    if batch.cancelling_at is not None:
        return "cancelling" if now < batch.cancelling_at + batch.validation else "cancelled"
    if now < batch.starts_at:
        return "validating"
    return "failed" if batch.problems else "in_progress"


def _body(call: Call, batch: Batch) -> dict[str, Any]:
    status = _status(batch, call.now)
    has_started = status in {"in_progress", "completed"} or (
        batch.cancelling_at is not None and batch.starts_at <= batch.cancelling_at and not batch.problems
    )
    cancelled_at = batch.cancelling_at + batch.validation if batch.cancelling_at is not None else None
    total = batch.total if has_started else 0
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": batch.problems} if status == "failed" else None,
        "input_file_id": batch.input_file,
        "completion_window": "24h",
        "status": status,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": unix_time(batch.created_at),
        "in_progress_at": unix_time(batch.starts_at) if has_started else None,
        "expires_at": unix_time(batch.created_at + COMPLETION_WINDOW),
        "finalizing_at": unix_time(batch.completed_at),
        "completed_at": unix_time(batch.completed_at),
        "failed_at": unix_time(batch.starts_at) if status == "failed" else None,
        "expired_at": None,
        "cancelling_at": unix_time(batch.cancelling_at),
        "cancelled_at": unix_time(cancelled_at) if status == "cancelled" else None,
        "request_counts": {"total": total, "completed": batch.succeeded, "failed": batch.failed},
        "usage": tokens_used(*batch.tokens),
        "metadata": batch.metadata,
    }
