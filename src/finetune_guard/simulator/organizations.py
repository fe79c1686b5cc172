"""The organizations that the simulated API knows, and what belongs to each."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from finetune_guard.simulator.batch_requests import BatchRequest
from finetune_guard.simulator.ledger import Ledger

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
class OwnedModel:
    """A fine-tuned model, or a checkpoint of one."""

    id: str
    created_at: datetime


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
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.content) * self.repeated

    @property
    def body(self) -> dict[str, Any]:
        """The API's file object."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.name,
            "bytes": self.size,
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
    """Requests that are answered together; its status follows from the time."""

    id: str
    project: str
    endpoint: str
    input_file: str
    model: str | None
    requests: tuple[BatchRequest, ...]
    problems: tuple[dict[str, Any], ...]
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

    @property
    def ends_at(self) -> datetime:
        """When everything is answered, if nothing comes between."""
        return self.created_at + self.duration

    def count(self, usage: Mapping[str, int]) -> None:
        """Add the tokens of one answer; chats and responses have other names for them."""
        sent = usage.get("input_tokens", usage.get("prompt_tokens", 0))
        received = usage.get("output_tokens", usage.get("completion_tokens", 0))
        self.tokens = self.tokens[0] + sent, self.tokens[1] + received


@dataclass
class Account:
    """What the API keeps about one organization."""

    organization: Organization
    fine_tuned_before: bool
    projects: list[str] = field(default_factory=list)
    last_inference: datetime | None = None
    usage: Ledger = field(default_factory=Ledger)
    models: dict[str, OwnedModel] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    uploads: dict[str, PendingUpload] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)

    def add_model(self, base: str, suffix: str, created_at: datetime) -> OwnedModel:
        """Create a fine-tuned model with a new id."""
        model_id = f"ft:{base}:{self.organization.name}:{suffix}:{random_id('', 8)}"
        return self.own(model_id, created_at)

    def own(self, model_id: str, created_at: datetime) -> OwnedModel:
        """Take the model ``model_id`` into the organization's possession."""
        model = self.models[model_id] = OwnedModel(model_id, created_at)
        self.fine_tuned_before = True
        return model
