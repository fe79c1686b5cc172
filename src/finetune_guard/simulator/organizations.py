"""The organizations that the simulated API knows, and what belongs to each."""

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
    """Return a new id such as ``file-`` and 24 letters or digits."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


@dataclass(frozen=True)
class Organization:
    """An organization and its two names.

    Attributes:
        slug: The name in response headers, such as ``acme-28gund``.
        id: The name in job bodies and in the ``OpenAI-Organization`` request header, ``org-…``.
        project: The id of its first project, ``proj_…``.
        api_key: The key of that project.
        admin_key: The key that reads the organization's usage and nothing else; None for no such key.
    """

    slug: str
    id: str
    project: str
    api_key: str = field(repr=False)
    admin_key: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name that its fine-tuned models carry: the slug without its last part."""
        return self.slug.rpartition("-")[0] or self.slug


@dataclass
class StoredFile:
    """An uploaded file, in memory only; or one of ``repeated`` times the content, made as it is sent."""

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
    """A fine-tuning job; its status follows from the time."""

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
    """Requests that are answered together, or their problems; the status follows from the time."""

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
        """How long the file is looked at, and how long it takes to cancel."""
        return self.duration / 10

    @property
    def begins_at(self) -> datetime:
        """When the file has been looked at."""
        return self.created_at + self.validation


class Use(NamedTuple):
    """What is counted together: the requests of one minute, which begins at ``minute`` in Unix seconds."""

    minute: int
    model: str
    project: str
    batch: bool


@dataclass
class Tally:
    """How much was used, by the API's names, and when for the last time."""

    latest: datetime
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Account:
    """What the API keeps about one organization; ``models`` has the time at which each was made.

    The usage is counted by the minute, so that it grows with time and not with calls.
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
        """Create a fine-tuned model with a new id, and return that."""
        model_id = f"ft:{base}:{self.organization.name}:{suffix}:{random_id('', 8)}"
        return self.own(model_id, created_at)

    def own(self, model_id: str, created_at: datetime) -> str:
        """Take the model ``model_id`` into the organization's possession."""
        self.models[model_id] = created_at
        self.fine_tuned_before = True
        return model_id

    def add_file(
        self, name: str, purpose: str, content: bytes, created_at: datetime, repeated: int = 1
    ) -> StoredFile:
        """Keep a file under a new id."""
        file = StoredFile(random_id("file-"), name, purpose, content, created_at, repeated)
        self.files[file.id] = file
        return file
