"""``/files``: uploads of whole files, kept in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from finetune_guard.simulator.answers import Answer, ApiError, invalid, missing, not_found
from finetune_guard.simulator.organizations import Account, StoredFile, random_id
from finetune_guard.simulator.paging import page
from finetune_guard.simulator.provider import Call

_PIECE = 1 << 20
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


def create(call: Call) -> Answer:
    """Store an uploaded file. The policy does not stop an upload: only the job is refused."""
    if "file" not in call.parts:
        raise missing("file")
    name, content = call.parts["file"]
    return Answer(store(call, name, checked_purpose(call), content).body)


def store(call: Call, name: str, purpose: str, content: bytes) -> StoredFile:
    """Keep a file, after a look at whether it can be used for its purpose.

    Raises:
        ApiError: 400; a training file is not JSON lines of examples.
    """
    if purpose == "fine-tune":
        check_examples(content)
    stored = StoredFile(random_id("file-"), name, purpose, content, call.now)
    call.account.files[stored.id] = stored
    return stored


def add_result(account: Account, name: str, content: bytes, at: datetime) -> StoredFile:
    """Keep a file that a job has made."""
    file = StoredFile(random_id("file-"), name, "fine-tune-results", content, at)
    account.files[file.id] = file
    return file


def checked_purpose(call: Call) -> str:
    """Return the ``purpose`` of an upload.

    Raises:
        ApiError: 400; it is missing or unknown.
    """
    purpose = call.body.get("purpose")
    if purpose is None:
        raise missing("purpose")
    if purpose not in PURPOSES:
        raise invalid("purpose", f"expected one of {', '.join(PURPOSES)}")
    return str(purpose)


def check_examples(content: bytes) -> None:
    """Look at a training file: JSON lines with ``messages``, or preferences for DPO.

    Raises:
        ApiError: 400; it is something else, or empty.
    """
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
            raise ApiError(
                400,
                f"Invalid file format for Fine-Tuning API: line {number} is no JSON object with 'messages'.",
                code="invalid_file_format",
                param="file",
            )


def find(call: Call) -> StoredFile:
    """Return the file that the path names.

    Raises:
        ApiError: 404; there is none.
    """
    file_id = call.params["file"]
    if file_id not in call.account.files:
        raise not_found(f"No such File object: {file_id}")
    return call.account.files[file_id]


def list_all(call: Call) -> Answer:
    """List the organization's files, the newest first."""
    purpose = call.query.get("purpose")
    newest_first = reversed(call.account.files.values())
    shown = [file.body for file in newest_first if purpose in {None, file.purpose}]
    return page(shown, call.query, default=10_000, most=10_000)


def retrieve(call: Call) -> Answer:
    """Show one file."""
    return Answer(find(call).body)


def content(call: Call) -> Answer:
    """Send a file back."""
    file = find(call)
    return Answer(size=file.size, made=partial(pieces, file.content, file.repeated))


def pieces(content: bytes, repeated: int) -> Iterator[bytes]:
    """Return ``content`` so many times, in pieces of about a megabyte."""
    at_once = max(1, _PIECE // max(1, len(content)))
    piece = content * min(at_once, repeated)
    for left in range(repeated, 0, -at_once):
        yield piece[: len(content) * left]


def delete(call: Call) -> Answer:
    """Forget a file."""
    file = call.account.files.pop(find(call).id)
    return Answer({"id": file.id, "object": "file", "deleted": True})
