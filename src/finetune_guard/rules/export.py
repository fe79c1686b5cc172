"""Plan an export: its jobs and files, their paths, and the manifest.

Of the API's data, only ids of a strict form become part of a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeGuard

import openai
from pydantic import Field, StringConstraints

from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.text import one_line
from finetune_guard.domain.values import Value
from finetune_guard.openai_api.errors import is_transient, retry_after, status_and_code
from finetune_guard.openai_api.listing import unix_time

MANIFEST = "manifest.json"
ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""The final states of a job."""

YOUNGEST_ORPHAN = timedelta(days=1)
"""Younger training files are not deleted: their job may be about to be created."""

_ID = r"[A-Za-z]+[-_][A-Za-z0-9_-]{1,120}"
_MOST_ATTEMPTS = 8
_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_WAIT_ASKED = 0.25, 30.0, 600.0


class Selection(Value):
    """Which jobs are exported, all by default, and whether their files' contents are.

    Attributes:
        model: The fine-tuned model that the jobs made, or the base model they started from.
        since: The earliest creation time.
    """

    jobs: tuple[str, ...] = ()
    model: str | None = None
    since: UtcDatetime | None = None
    files: bool = True

    def takes(self, job: Mapping[str, Any], now: datetime) -> bool:
        """Whether a job is exported; one that doesn't say when it was created counts as new."""
        created = unix_time(job.get("created_at"), now)
        if self.since is not None and created is not None and created < self.since:
            return False
        if self.model is None:
            return True
        begun_with = job.get("model")
        parent = FineTunedModel.parse(begun_with)
        return self.model in {job.get("fine_tuned_model"), begun_with, parent.base if parent else None}


FileRole = Literal["training", "validation", "result"]
"""What a job uses a file for."""


class PlannedJob(Value):
    """A job that is exported."""

    id: str
    model: str | None = None
    fine_tuned_model: str | None = None
    status: str | None = None


class PlannedFile(Value):
    """A file that is exported, by its first role; None for a size that the API's list doesn't have."""

    id: str
    role: FileRole
    size: int | None = None

    @property
    def path(self) -> str:
        """Where its content is written."""
        return f"files/{self.id}/content.{'csv' if self.role == 'result' else 'jsonl'}"


class ExportPlan(Value):
    """What an export would write: jobs, and each of their files once."""

    jobs: tuple[PlannedJob, ...]
    files: tuple[PlannedFile, ...]

    @property
    def bytes(self) -> int:
        """The total size of the files whose size is known."""
        return sum(file.size or 0 for file in self.files)


class Entry(Value):
    """One file of an export, as the manifest records it."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    source: str
    asked_at: UtcDatetime
    answered_at: UtcDatetime


class Missing(Value):
    """Something that could not be fetched, and why; ``deleted`` if the API no longer has it (404)."""

    why: str
    at: UtcDatetime
    deleted: bool


Path = Annotated[str, StringConstraints(pattern=rf"^(jobs|files)/{_ID}/[a-z]+(\.[a-z]{{3,5}})?$")]


class Manifest(Value):
    """The content of ``manifest.json``."""

    format: Literal[1] = 1
    organization: str | None = None
    api: str
    selection: Selection
    begun_at: UtcDatetime
    ended_at: UtcDatetime | None = None
    files: dict[Path, Entry] = Field(default_factory=dict)
    missing: dict[str, Missing] = Field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the latest run ended, and everything that the API still has was fetched."""
        return self.ended_at is not None and all(missing.deleted for missing in self.missing.values())


class ExportProgress(Value):
    """The progress of an export: jobs and files, and bytes of contents."""

    done: int
    total: int
    bytes_done: int
    bytes: int


class Export(Value):
    """The result of an export.

    Attributes:
        fetched: How many files this run wrote; the others were there already.
        bytes: The size of everything in the folder.
        missing: What could not be fetched, by path or id.
        complete: Whether everything that the API still has was fetched; if not, run it again to continue.
    """

    folder: str
    jobs: int
    files: int
    fetched: int
    bytes: int
    missing: dict[str, Missing]
    complete: bool


class Verification(Value):
    """The comparison of an export with its manifest: problems by path, and files that it doesn't list.

    Keep ``manifest_sha256`` elsewhere to detect changes to the manifest itself.
    """

    checked: int
    problems: dict[str, str]
    unlisted: tuple[str, ...]
    complete: bool
    manifest_sha256: str


class Orphan(Value):
    """A training file that no job uses."""

    id: str
    filename: str
    size: int | None
    created_at: UtcDatetime | None
    deletable: bool


class Orphans(Value):
    """The training files that no job uses; ``failure`` says why they could not be determined."""

    files: tuple[Orphan, ...] = ()
    failure: str | None = None


class OrphansDeleted(Value):
    """The deleted files, and by id why others were kept."""

    deleted: tuple[str, ...]
    kept: dict[str, str]


def is_safe_id(value: object) -> TypeGuard[str]:
    """Whether an id can be a part of a path and of a URL: letters, digits, hyphens, underscores."""
    return isinstance(value, str) and re.fullmatch(_ID, value) is not None


def planned(
    jobs: Iterable[Mapping[str, Any]], files: Mapping[str, Mapping[str, Any]], *, contents: bool
) -> ExportPlan:
    """Return the plan for exporting ``jobs``; ``files`` are the file objects listed by the API."""
    kept = list(jobs)
    roles: dict[str, FileRole] = {}
    for job in kept if contents else ():
        for file_id, role in files_of(job):
            roles.setdefault(file_id, role)
    sized = (
        PlannedFile(id=file_id, role=role, size=size_of(files.get(file_id, {})))
        for file_id, role in roles.items()
    )
    told = ("model", "fine_tuned_model", "status")
    made = (
        {name: one_line(job[name]) for name in told if isinstance(job.get(name), str)} | {"id": job["id"]}
        for job in kept
    )
    return ExportPlan(jobs=tuple(PlannedJob(**each) for each in made), files=tuple(sized))


def files_of(job: Mapping[str, Any]) -> Iterator[tuple[str, FileRole]]:
    """Return the ids of the files that a job names."""
    named: list[tuple[Any, FileRole]] = [
        (job.get("training_file"), "training"),
        (job.get("validation_file"), "validation"),
    ]
    results = job.get("result_files")
    named += [(result, "result") for result in results] if isinstance(results, list) else []
    return ((file_id, role) for file_id, role in named if isinstance(file_id, str) and file_id)


def size_of(file: Mapping[str, Any]) -> int | None:
    """Return the size in a file object; None if it has none."""
    size = file.get("bytes")
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def orphans(jobs: Iterable[Mapping[str, Any]], files: Iterable[Mapping[str, Any]], now: datetime) -> Orphans:
    """Return the training files that none of ``jobs`` uses; both lists must be complete.

    A job without a training file may have used any of them.
    """
    used: set[str] = set()
    for job in jobs:
        named = dict(files_of(job))
        if "training" not in named.values():
            return Orphans(failure="a job does not say which training file it uses")
        used |= set(named)
    training = (file for file in files if file.get("purpose") == "fine-tune" and is_safe_id(file.get("id")))
    return Orphans(files=tuple(_orphan(file, now) for file in training if file["id"] not in used))


def wait_before_retry(error: openai.APIError, attempt: int) -> timedelta | None:
    """Return the delay after ``attempt`` attempts; None if another is of no use."""
    asked = retry_after(error)
    if not is_transient(error) or attempt >= _MOST_ATTEMPTS or asked > _LONGEST_WAIT_ASKED:
        return None
    return timedelta(seconds=max(asked, min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT)))


def missing(error: openai.APIError, at: datetime) -> Missing:
    """Return the manifest's entry for something that the API answered with ``error``."""
    is_gone = isinstance(error, openai.NotFoundError)
    return Missing(why="deleted (404)" if is_gone else status_and_code(error), at=at, deleted=is_gone)


def _orphan(file: Mapping[str, Any], now: datetime) -> Orphan:
    created = unix_time(file.get("created_at"), now)
    return Orphan(
        id=file["id"],
        filename=one_line(str(file.get("filename") or "")),
        size=size_of(file),
        created_at=created,
        deletable=created is not None and now - created >= YOUNGEST_ORPHAN,
    )
