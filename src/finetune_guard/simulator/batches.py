"""``/batches``: requests in a file, answered together some time later.

Where the provider's pages leave something open, the simulator does this: every request of a batch
is served at the moment in which the batch completes, and a cancelled batch has served none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from finetune_guard.simulator.answers import Answer, ApiError, invalid, missing, not_found
from finetune_guard.simulator.batch_requests import BatchInput, read
from finetune_guard.simulator.batch_run import ENDPOINTS
from finetune_guard.simulator.inference import option, required
from finetune_guard.simulator.organizations import Batch, random_id
from finetune_guard.simulator.paging import page
from finetune_guard.simulator.provider import ALIASES, Call

WINDOW = "24h"
COMPLETION_WINDOW = timedelta(hours=24)


def create(call: Call) -> Answer:
    """Take a batch."""
    endpoint = required(call, "endpoint")
    if endpoint not in ENDPOINTS:
        raise invalid("endpoint", f"expected one of {', '.join(ENDPOINTS)}")
    if required(call, "completion_window") != WINDOW:
        raise invalid("completion_window", f"expected {WINDOW}")
    metadata = dict(option(call, "metadata")) or None
    file_id, asked = _input(call, endpoint)
    batch = Batch(
        id=random_id("batch_"),
        project=call.project,
        endpoint=endpoint,
        input_file=file_id,
        model=ALIASES.get(asked.model, asked.model) if asked.model else None,
        requests=asked.requests,
        problems=asked.problems,
        metadata=metadata,
        created_at=call.now,
        duration=call.provider.settings.batch_duration,
        total=len(asked.requests),
    )
    call.account.batches[batch.id] = batch
    return Answer(_body(call, batch))


def list_all(call: Call) -> Answer:
    """List the organization's batches, the newest first."""
    batches = [_body(call, batch) for batch in reversed(call.account.batches.values())]
    return page(batches, call.query, default=20, most=100)


def retrieve(call: Call) -> Answer:
    """Show one batch."""
    return Answer(_body(call, _find(call)))


def cancel(call: Call) -> Answer:
    """Cancel a batch that has not ended; its requests are not served."""
    batch = _find(call)
    status = _status(batch, call.now)
    if status not in {"validating", "in_progress"}:
        raise ApiError(400, f"Cannot cancel a batch with status '{status}'.")
    batch.cancelling_at = call.now
    return Answer(_body(call, batch))


def _input(call: Call, endpoint: str) -> tuple[str, BatchInput]:
    file_id = call.body.get("input_file_id")
    if not isinstance(file_id, str) or not file_id:
        raise missing("input_file_id")
    stored = call.account.files.get(file_id)
    if stored is None:
        raise not_found(f"No such File object: {file_id}", "input_file_id")
    if stored.purpose != "batch":
        raise invalid("input_file_id", "the purpose of the file is not batch")
    return file_id, read(stored.content, endpoint)


def _find(call: Call) -> Batch:
    batch = call.account.batches.get(call.params["batch"])
    if batch is None:
        raise not_found(f"No batch found with id '{call.params['batch']}'.")
    return batch


def _status(batch: Batch, now: datetime) -> str:
    if batch.completed_at is not None:
        return "completed"
    if batch.cancelling_at is not None:
        return "cancelling" if now < batch.cancelling_at + batch.validation else "cancelled"
    if now < batch.begins_at:
        return "validating"
    return "failed" if batch.problems else "in_progress"


def _body(call: Call, batch: Batch) -> dict[str, Any]:
    status = _status(batch, call.now)
    begun = status in {"in_progress", "completed"} or (
        batch.cancelling_at is not None and batch.begins_at <= batch.cancelling_at and not batch.problems
    )
    cancelled_at = batch.cancelling_at + batch.validation if batch.cancelling_at is not None else None
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": list(batch.problems)} if status == "failed" else None,
        "input_file_id": batch.input_file,
        "completion_window": WINDOW,
        "status": status,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": _seconds(batch.created_at),
        "in_progress_at": _seconds(batch.begins_at) if begun else None,
        "expires_at": _seconds(batch.created_at + COMPLETION_WINDOW),
        "finalizing_at": _seconds(batch.completed_at),
        "completed_at": _seconds(batch.completed_at),
        "failed_at": _seconds(batch.begins_at) if status == "failed" else None,
        "expired_at": None,
        "cancelling_at": _seconds(batch.cancelling_at),
        "cancelled_at": _seconds(cancelled_at) if status == "cancelled" else None,
        "request_counts": {
            "total": batch.total if begun else 0,
            "completed": batch.succeeded,
            "failed": batch.failed,
        },
        "usage": _usage(*batch.tokens),
        "metadata": batch.metadata,
    }


def _usage(sent: int, received: int) -> dict[str, Any]:
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": received,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sent + received,
    }


def _seconds(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at is not None else None
