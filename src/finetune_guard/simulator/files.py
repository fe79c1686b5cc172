"""``/files`` and ``/uploads``: whole files, and files uploaded in parts, all kept in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from finetune_guard.simulator.answers import Answer, ApiError, invalid, missing, page
from finetune_guard.simulator.inference import integer, required
from finetune_guard.simulator.organizations import PendingUpload, StoredFile, random_id
from finetune_guard.simulator.provider import Call

_CHUNK_SIZE = 1 << 20
_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_UPLOAD_LIFETIME = timedelta(hours=1)


def create(call: Call) -> Answer:
    """Store an uploaded file. The policy does not stop an upload: only the job is refused."""
    if "file" not in call.parts:
        raise missing("file")
    name, content = call.parts["file"]
    return Answer(_store_file(call, name, _purpose(call), content).body)


def list_all(call: Call) -> Answer:
    """List the organization's files, newest first."""
    purpose = call.query.get("purpose")
    newest_first = reversed(call.account.files.values())
    bodies = [file.body for file in newest_first if purpose in {None, file.purpose}]
    return page(bodies, call.query, default=10_000, maximum=10_000)


def retrieve(call: Call) -> Answer:
    """Return one file."""
    return Answer(_find(call).body)


def content(call: Call) -> Answer:
    """Return the content of a file."""
    file = _find(call)
    return Answer(size=file.body["bytes"], made=partial(_chunks, file.content, file.repeated))


def delete(call: Call) -> Answer:
    """Delete a file."""
    file = call.account.files.pop(_find(call).id)
    return Answer({"id": file.id, "object": "file", "deleted": True})


def create_upload(call: Call) -> Answer:
    """Create an upload. The policy does not stop it."""
    size = integer(call, "bytes", minimum=1)
    if size is None:
        raise missing("bytes")
    name = str(required(call, "filename"))
    upload = PendingUpload(random_id("upload_"), name, _purpose(call), size, call.now)
    call.account.uploads[upload.id] = upload
    return Answer(_upload_body(upload))


def add_part(call: Call) -> Answer:
    """Add a part to an upload."""
    upload = _pending_upload(call)
    if "data" not in call.parts:
        raise missing("data")
    part_id = random_id("part_")
    upload.parts[part_id] = call.parts["data"][1]
    body = {"id": part_id, "object": "upload.part", "created_at": call.timestamp, "upload_id": upload.id}
    return Answer(body)


def complete_upload(call: Call) -> Answer:
    """Join the parts in the requested order."""
    upload = _pending_upload(call)
    part_ids = required(call, "part_ids")
    if not isinstance(part_ids, list) or any(str(part_id) not in upload.parts for part_id in part_ids):
        raise ApiError(400, "Invalid 'part_ids': no such part.", param="part_ids")
    content = b"".join(upload.parts[str(part_id)] for part_id in part_ids)
    if len(content) != upload.size:
        raise ApiError(400, f"Expected {upload.size} bytes, got {len(content)}.")
    upload.file = _store_file(call, upload.name, upload.purpose, content)
    return _finish_upload(upload, "completed")


def cancel_upload(call: Call) -> Answer:
    """Cancel an upload."""
    return _finish_upload(_pending_upload(call), "cancelled")


def _finish_upload(upload: PendingUpload, status: str) -> Answer:
    upload.status = status
    upload.parts.clear()
    return Answer(_upload_body(upload))


def _store_file(call: Call, name: str, purpose: str, content: bytes) -> StoredFile:
    """Store a file, after checking a training file's format."""
    if purpose == "fine-tune":
        _check_examples(content)
    return call.account.add_file(name, purpose, content, call.now)


def _purpose(call: Call) -> str:
    purpose = required(call, "purpose")
    if purpose not in _PURPOSES:
        raise invalid("purpose", f"expected one of {', '.join(_PURPOSES)}")
    return str(purpose)


def _check_examples(content: bytes) -> None:
    """Check that a training file has JSON lines with ``messages``, or preferences for DPO."""
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise ApiError(400, "File is empty.", code="invalid_file_format", param="file")
    for number, line in enumerate(lines, 1):
        try:
            example = json.loads(line)
        except ValueError:
            example = None
        if not isinstance(example, dict) or not (
            isinstance(example.get("messages"), list) or "preferred_output" in example
        ):
            message = (
                f"Invalid file format for Fine-Tuning API: line {number} is no JSON object with 'messages'."
            )
            raise ApiError(400, message, code="invalid_file_format", param="file")


def _find(call: Call) -> StoredFile:
    file_id = call.params["file"]
    if file_id not in call.account.files:
        raise ApiError(404, f"No such File object: {file_id}", param="id")
    return call.account.files[file_id]


def _chunks(content: bytes, repeated: int) -> Iterator[bytes]:
    """Yield ``content`` ``repeated`` times, in chunks of about a megabyte."""
    per_chunk = max(1, _CHUNK_SIZE // max(1, len(content)))
    chunk = content * min(per_chunk, repeated)
    for remaining in range(repeated, 0, -per_chunk):
        yield chunk[: len(content) * remaining]


def _pending_upload(call: Call) -> PendingUpload:
    upload = call.account.uploads.get(call.params["upload"])
    if upload is None:
        raise ApiError(404, f"No such Upload object: {call.params['upload']}", param="id")
    if upload.status == "pending" and call.now - upload.created_at >= _UPLOAD_LIFETIME:
        upload.status = "expired"
    if upload.status != "pending":
        raise ApiError(400, f"Upload is {upload.status}.")
    return upload


def _upload_body(upload: PendingUpload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.size,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int((upload.created_at + _UPLOAD_LIFETIME).timestamp()),
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": upload.status,
        "file": upload.file.body if upload.file else None,
    }
