"""Read, verify and write the manifest of an export."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime

from pydantic import ValidationError

from finetune_guard.domain.errors import ExportError
from finetune_guard.engine.export.folder import Folder
from finetune_guard.rules.export import (
    MANIFEST,
    Entry,
    ExportProgress,
    Manifest,
    Missing,
    Selection,
    Verification,
)

_SAVE_AT_MOST_EVERY = 1.0
_LARGE = 8 << 20  # what took long to fetch is recorded at once


def _read_manifest(folder: Folder) -> tuple[Manifest, str]:
    """Return the manifest of an export and its SHA-256; raises ``ExportError`` if there is none."""
    try:
        text = b"".join(folder.read(MANIFEST))
        return Manifest.model_validate_json(text), hashlib.sha256(text).hexdigest()
    except FileNotFoundError as error:
        raise ExportError(
            f"The folder {str(folder.path)!r} holds no {MANIFEST}: it is not an export.",
            remedy="Name the folder that finetune-guard export has written.",
        ) from error
    except (OSError, ValidationError) as error:
        raise ExportError(
            f"The {MANIFEST} in {str(folder.path)!r} can't be read: it is damaged, a link, or of a "
            "later release.",
            remedy=f"Move {MANIFEST} away and export to a new folder.",
        ) from error


def verify(path: str | os.PathLike[str]) -> Verification:
    """Compare every file of the export at ``path`` with its recorded SHA-256 and size.

    Raises:
        ExportError: There is no export, or its manifest can't be read.
    """
    folder = Folder(path, make=False)
    manifest, own_sum = _read_manifest(folder)
    problems: dict[str, str] = {}
    for name, entry in sorted(manifest.files.items()):
        try:
            if folder.sum_of(name) != (entry.sha256, entry.size):
                problems[name] = "its content is not what was exported"
        except FileNotFoundError:
            problems[name] = "it is missing"
        except OSError as error:
            problems[name] = f"it can't be read, or is a link: {error.strerror}"
    return Verification(
        checked=len(manifest.files),
        problems=problems,
        unlisted=tuple(sorted(set(folder.names()) - {MANIFEST, *manifest.files})),
        complete=manifest.complete,
        manifest_sha256=own_sum,
    )


class Record:
    """The manifest of a running export. Thread-safe."""

    def __init__(
        self,
        folder: Folder,
        selection: Selection,
        *,
        api: str,
        now: Callable[[], datetime],
        progress: Callable[[ExportProgress], object] | None,
    ) -> None:
        self._folder = folder
        self.new_file = folder.new_file
        self._now = now
        self._progress = progress
        self._changing = threading.RLock()
        self._saved_at = 0.0
        self._state = ExportProgress(done=0, total=0, bytes_done=0, bytes=0)
        self.fetched = 0
        new_run = {"selection": selection, "begun_at": now(), "ended_at": None, "missing": {}}
        try:
            earlier, _ = _read_manifest(folder)
        except ExportError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            earlier = Manifest(api=api, selection=selection, begun_at=now())
        self._earlier_api, self._api = earlier.api, api
        self.manifest = earlier.model_copy(update=new_run)

    def belongs_to(self, organization: str | None) -> None:
        """Begin the manifest, or refuse another organization's; if it is unknown, compare the API's URL."""
        known = self.manifest.organization or organization
        if known != organization or (organization is None and self._earlier_api != self._api):
            theirs = known or self._earlier_api
            raise ExportError(
                f"The folder {str(self._folder.path)!r} holds an export of {theirs}, and this key is one of "
                f"{organization or self._api}.",
                remedy="Name a new folder.",
            )
        self.manifest = self.manifest.model_copy(update={"organization": organization, "api": self._api})
        self.save()

    def expect(self, total: int, size: int) -> None:
        """Set the totals for the progress."""
        self._state = self._state.model_copy(update={"total": total, "bytes": size})

    def has(self, path: str, sha256: str | None = None) -> bool:
        """Whether a file matches its record, and ``sha256`` if given."""
        entry = self.manifest.files.get(path)
        if entry is None or sha256 not in {None, entry.sha256}:
            return False
        try:
            return self._folder.sum_of(path) == (entry.sha256, entry.size)
        except OSError:
            return False

    def size_of(self, path: str) -> int | None:
        """Return the recorded size of a file; None when it isn't recorded."""
        entry = self.manifest.files.get(path)
        return entry.size if entry is not None else None

    def put(self, path: str, data: bytes, source: str, at: datetime) -> None:
        """Write a small file, unless it exists already."""
        if self.has(path, hashlib.sha256(data).hexdigest()):
            return
        with self.new_file(path) as file:
            file.write(data)
            self.add(path, file.commit(), source, at)

    def add(self, path: str, written: tuple[str, int], source: str, asked_at: datetime) -> None:
        """Record a file that was written."""
        sha256, size = written
        entry = Entry(sha256=sha256, size=size, source=source, asked_at=asked_at, answered_at=self._now())
        with self._changing:
            self.fetched += 1
            self.manifest.files[path] = entry
            if size >= _LARGE or time.monotonic() - self._saved_at >= _SAVE_AT_MOST_EVERY:
                self.save()

    def drop(self, *paths: str) -> None:
        """Remove the records of files that are fetched again."""
        with self._changing:
            for path in paths:
                self.manifest.files.pop(path, None)

    def miss(self, what: str, missing: Missing | str, at: datetime | None = None) -> None:
        """Record that something could not be fetched, and why."""
        if isinstance(missing, str):
            missing = Missing(why=missing, at=at or self._now(), deleted=False)
        with self._changing:
            self.manifest.missing[what] = missing

    def advance(self, *, done: int = 0, size: int = 0) -> None:
        """Count jobs, files and bytes of contents; a negative size subtracts data fetched again."""
        with self._changing:
            changes = {"done": self._state.done + done, "bytes_done": self._state.bytes_done + size}
            self._state = self._state.model_copy(update=changes)
            if self._progress is not None:
                self._progress(self._state)

    def end(self) -> Manifest:
        """Record the end of the export, and return the manifest."""
        with self._changing:
            self.manifest = self.manifest.model_copy(update={"ended_at": self._now()})
            self.save()
            return self.manifest

    def save(self) -> None:
        """Write the present manifest."""
        with self._changing, self._folder.new_file(MANIFEST) as file:
            file.write(self.manifest.model_dump_json(indent=1).encode())
            file.commit()
            self._saved_at = time.monotonic()
