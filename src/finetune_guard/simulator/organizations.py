"""The data of the simulated organizations: files, jobs, batches, models and usage."""

from __future__ import annotations

import secrets
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

_LETTERS = string.ascii_letters + string.digits


def random_id(prefix: str, length: int = 24) -> str:
    """Return a new id: the prefix and random letters or digits."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


@dataclass(frozen=True)
class Organization:
    """An organization, its names and its keys.

    Attributes:
        slug: The name in response headers, such as ``acme-28gund``.
        id: The name in job bodies and in the ``OpenAI-Organization`` request header, ``org-…``.
        project: The id of its first project, ``proj_…``.
        api_key: The key of that project.
        admin_key: The key that can only read the organization's usage; None if there is none.
    """

    slug: str
    id: str
    project: str
    api_key: str = field(repr=False)
    admin_key: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name in the ids of its fine-tuned models: the slug without its last part."""
        return self.slug.rpartition("-")[0] or self.slug


@dataclass
class StoredFile:
    """An uploaded file in memory; its content is sent ``repeated`` times."""

    id: str
    name: str
    purpose: str
    content: bytes
    created_at: datetime
    repeated: int = 1

    @property
    def body(self) -> dict[str, Any]:
        """The API's file object."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.name,
            "bytes": len(self.content) * self.repeated,
            "created_at": int(self.created_at.timestamp()),
            "expires_at": None,
            "status": "processed",
            "status_details": None,
        }


@dataclass
class PendingUpload:
    """An upload in parts."""

    id: str
    name: str
    purpose: str
    size: int
    created_at: datetime
    status: str = "pending"
    parts: dict[str, bytes] = field(default_factory=dict)
    file: StoredFile | None = None


@dataclass
class Job:
    """A fine-tuning job; its status depends on the time."""

    id: str
    base: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    method: dict[str, Any]
    metadata: dict[str, str] | None
    created_at: datetime
    tokens: int
    cancelled_at: datetime | None = None
    finished_at: datetime | None = None
    fine_tuned_model: str | None = None
    checkpoint: str | None = None
    result_file: str | None = None


@dataclass
class Batch:
    """A batch of requests, or their problems; its status depends on the time."""

    id: str
    project: str
    endpoint: str
    input_file: str
    model: str | None
    requests: list[Mapping[str, Any]]
    problems: list[dict[str, Any]]
    metadata: dict[str, str] | None
    created_at: datetime
    duration: timedelta
    total: int
    succeeded: int = 0
    failed: int = 0
    tokens: tuple[int, int] = (0, 0)
    cancelling_at: datetime | None = None
    completed_at: datetime | None = None
    output_file: str | None = None
    error_file: str | None = None

    @property
    def validation(self) -> timedelta:
        """How long it takes to validate the file, and to cancel the batch."""
        return self.duration / 10

    @property
    def starts_at(self) -> datetime:
        """When validation ends."""
        return self.created_at + self.validation


class Use(NamedTuple):
    """The key of a usage counter: requests of one minute, which starts at ``minute`` in Unix seconds."""

    minute: int
    model: str
    project: str
    batch: bool


@dataclass
class Tally:
    """Usage counts by the API's field names, and the time of the latest request."""

    latest: datetime
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Account:
    """The stored data of one organization; ``models`` maps each id to its creation time.

    Usage is counted per minute, so that memory grows with time and not with calls.
    """

    organization: Organization
    fine_tuned_before: bool
    projects: list[str] = field(default_factory=list)
    last_inference: datetime | None = None
    usage: dict[Use, Tally] = field(default_factory=dict)
    models: dict[str, datetime] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    uploads: dict[str, PendingUpload] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)

    def add_model(self, base: str, suffix: str, created_at: datetime) -> str:
        """Create a fine-tuned model and return its id."""
        model_id = f"ft:{base}:{self.organization.name}:{suffix}:{random_id('', 8)}"
        return self.register_model(model_id, created_at)

    def register_model(self, model_id: str, created_at: datetime) -> str:
        """Add the fine-tuned model ``model_id`` and return its id."""
        self.models[model_id] = created_at
        self.fine_tuned_before = True
        return model_id

    def add_file(
        self, name: str, purpose: str, content: bytes, created_at: datetime, repeated: int = 1
    ) -> StoredFile:
        """Store a file under a new id."""
        file = StoredFile(random_id("file-"), name, purpose, content, created_at, repeated)
        self.files[file.id] = file
        return file
