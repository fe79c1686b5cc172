"""``/uploads``: files that come in parts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from finetune_guard.simulator.answers import Answer, ApiError, missing, not_found
from finetune_guard.simulator.files import checked_purpose, store
from finetune_guard.simulator.inference import count, required
from finetune_guard.simulator.organizations import PendingUpload, random_id
from finetune_guard.simulator.provider import Call

LIFETIME = timedelta(hours=1)


def create(call: Call) -> Answer:
    """Begin an upload. The policy does not stop it."""
    size = count(call, "bytes", least=1)
    if size is None:
        raise missing("bytes")
    name = str(required(call, "filename"))
    upload = PendingUpload(random_id("upload_"), name, checked_purpose(call), size, call.now)
    call.account.uploads[upload.id] = upload
    return Answer(_body(upload))


def add_part(call: Call) -> Answer:
    """Take one part."""
    upload = _pending(call)
    if "data" not in call.parts:
        raise missing("data")
    part_id = random_id("part_")
    upload.parts[part_id] = call.parts["data"][1]
    return Answer(
        {"id": part_id, "object": "upload.part", "created_at": call.timestamp, "upload_id": upload.id}
    )


def complete(call: Call) -> Answer:
    """Put the parts together, in the order asked for."""
    upload = _pending(call)
    part_ids = required(call, "part_ids")
    if not isinstance(part_ids, list) or any(str(part_id) not in upload.parts for part_id in part_ids):
        raise ApiError(400, "Invalid 'part_ids': no such part.", param="part_ids")
    content = b"".join(upload.parts[str(part_id)] for part_id in part_ids)
    if len(content) != upload.size:
        raise ApiError(400, f"Expected {upload.size} bytes, got {len(content)}.")
    upload.file = store(call, upload.name, upload.purpose, content)
    upload.status = "completed"
    upload.parts.clear()
    return Answer(_body(upload))


def cancel(call: Call) -> Answer:
    """Give up an upload."""
    upload = _pending(call)
    upload.status = "cancelled"
    upload.parts.clear()
    return Answer(_body(upload))


def _pending(call: Call) -> PendingUpload:
    upload = call.account.uploads.get(call.params["upload"])
    if upload is None:
        raise not_found(f"No such Upload object: {call.params['upload']}")
    if upload.status == "pending" and call.now - upload.created_at >= LIFETIME:
        upload.status = "expired"
    if upload.status != "pending":
        raise ApiError(400, f"Upload is {upload.status}.")
    return upload


def _body(upload: PendingUpload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.size,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int((upload.created_at + LIFETIME).timestamp()),
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": upload.status,
        "file": upload.file.body if upload.file else None,
    }
