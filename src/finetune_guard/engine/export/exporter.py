"""Export fine-tuning jobs and their files into a folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import openai

from finetune_guard.clock import countdown
from finetune_guard.domain.errors import ExportError
from finetune_guard.domain.validation import format_value
from finetune_guard.engine.export.folder import Folder, NewFile
from finetune_guard.engine.export.record import Record
from finetune_guard.openai_api.errors import organization_named, retry_after, status_and_code
from finetune_guard.openai_api.flow import ApiCall, Download, Flow, InParallel, Pause, Reply, Request
from finetune_guard.openai_api.listing import read_rows
from finetune_guard.rules.export import (
    ENDED,
    Export,
    ExportPlan,
    ExportProgress,
    Missing,
    PlannedFile,
    Selection,
    is_safe_id,
    missing,
    planned,
    wait_before_retry,
)
from finetune_guard.rules.inventory import Inventory, ModelRecord

_AT_ONCE = 4
_JOBS = "/fine_tuning/jobs"
_JOBS_A_PAGE = 100
_FILES_A_PAGE = 10_000
_UNUSABLE_ID = "such an id can't be the name of a folder, or another one differs in capitals only"


class Retries:
    """A pause shared by several flows: once the API has asked to wait, all of them do."""

    def __init__(self) -> None:
        self.organization: str | None = None
        self.first_answer_at: datetime | None = None
        self._left = countdown(timedelta(0))

    def ask(self, request: Request, before: Callable[[], object] = bool) -> Flow[Reply | None]:
        """Send ``request`` until it is answered or fails for good; ``before`` is called before each try."""
        attempt = 0
        while True:
            attempt += 1
            left = self._left()
            if left > timedelta(0):
                yield Pause(left)
            before()
            try:
                reply = yield request
            except openai.APIError as error:
                self.organization = organization_named(error) or self.organization
                wait = wait_before_retry(error, attempt)
                if wait is None:
                    raise
                if retry_after(error):
                    self._left = countdown(wait)
                else:
                    yield Pause(wait)
                continue
            if reply is not None:
                self.organization = reply.subject.organization or self.organization
                self.first_answer_at = min(reply.at, self.first_answer_at or reply.at)
            return reply


class Exporter:
    """One export run of the selected jobs, from the API at one base URL."""

    def __init__(self, selection: Selection, *, api: str, now: Callable[[], datetime]) -> None:
        self._selection = selection
        self._api = api
        self._now = now
        self._retries = Retries()
        self._jobs: dict[str, Mapping[str, Any]] = {}
        self._files: dict[str, Mapping[str, Any]] = {}
        self._missed: dict[str, Missing] = {}
        self._models: dict[str, ModelRecord] = {}
        self._names: set[str] = set()

    def plan(self) -> Flow[ExportPlan]:
        """Fetch the selected jobs and the sizes of their files; nothing is written."""
        try:
            if self._selection.jobs:
                for job_id in dict.fromkeys(self._selection.jobs):
                    yield from self._ask_for_job(job_id)
            elif not (yield from read_rows(_JOBS, _JOBS_A_PAGE, self._take_job, self._retries.ask)):
                self._miss(_JOBS, "the list of jobs could not be read to its end")
        except openai.APIError as error:
            raise ExportError(
                f"The fine-tuning jobs could not be read: {status_and_code(error)}. "
                "Nothing more was exported.",
                remedy="Look at OPENAI_API_KEY, then run the export again.",
            ) from error
        jobs = list(self._jobs.values())
        plan = planned(jobs, {}, contents=self._selection.files)
        if not plan.files:
            return plan
        wanted = {file.id for file in plan.files}

        def take(file: Mapping[str, Any]) -> None:
            if file.get("id") in wanted:
                self._files[file["id"]] = file

        with suppress(openai.APIError):  # it only adds sizes and names
            yield from read_rows("/files", _FILES_A_PAGE, take, self._retries.ask)
        return planned(jobs, self._files, contents=True)

    def run(
        self,
        path: str | os.PathLike[str],
        models: Callable[[], Flow[Inventory]],
        progress: Callable[[ExportProgress], object] | None,
    ) -> Flow[Export]:
        """Export into the folder at ``path``; ``models`` fetches the inventory of models."""
        folder = Folder(path, make=True)
        try:
            return (yield from self._run(folder, models, progress))
        except OSError as error:
            raise ExportError(
                f"The export stopped, since {str(folder.path)!r} can't be written: {error.strerror or error}."
                " What is there is whole.",
                remedy="Make room or mend the folder, then run the export again: it goes on from there.",
            ) from error
        finally:
            folder.release()

    def _run(
        self,
        folder: Folder,
        models: Callable[[], Flow[Inventory]],
        progress: Callable[[ExportProgress], object] | None,
    ) -> Flow[Export]:
        record = Record(folder, self._selection, api=self._api, now=self._now, progress=progress)
        plan = yield from self.plan()
        record.belongs_to(self._retries.organization)
        self._models = {model.id: model for model in (yield from models()).models}
        for what, why in self._missed.items():
            record.miss(what, why)
        record.expect(len(plan.jobs) + len(plan.files), plan.bytes)
        try:
            yield InParallel(self._parts(plan, record), _AT_ONCE)
        finally:
            record.save()
        manifest = record.end()
        return Export(
            folder=str(folder.path),
            jobs=len(plan.jobs),
            files=len(plan.files),
            fetched=record.fetched,
            bytes=sum(entry.size for entry in manifest.files.values()),
            missing=manifest.missing,
            complete=manifest.complete,
        )

    def _parts(self, plan: ExportPlan, record: Record) -> Iterator[Flow[None]]:
        for job in self._jobs.values():
            yield self._export_job(job, record)
        for file in plan.files:
            if self._claim_name(file.id):
                yield self._export_file(file, record)
            else:
                record.miss(f"a file called {format_value(file.id)}", _UNUSABLE_ID)

    # What is selected.

    def _ask_for_job(self, job_id: str) -> Flow[None]:
        if not is_safe_id(job_id):
            raise ExportError(
                f"{format_value(job_id)} is not the id of a job. An id such as ftjob-AbC123 is required."
            )
        try:
            reply = yield from self._retries.ask(ApiCall("get", f"{_JOBS}/{job_id}", retry=False))
        except openai.NotFoundError as error:
            self._missed[job_id] = missing(error, self._now())
            return
        body = reply.body if reply is not None else None
        if isinstance(body, Mapping) and body.get("id") == job_id:
            self._take_job(body)
        else:
            self._miss(job_id, "the API's answer is no fine-tuning job")

    def _take_job(self, job: Mapping[str, Any]) -> None:
        if not self._selection.takes(job, self._now()):
            return
        job_id = job.get("id")
        if job_id in self._jobs or self._claim_name(job_id):
            self._jobs[str(job_id)] = job
        else:
            self._miss(f"a job called {format_value(job_id)}", _UNUSABLE_ID)

    def _claim_name(self, some_id: object) -> bool:
        """Whether an id can be a new folder's name, even on a case-insensitive disk; it is then in use."""
        if not is_safe_id(some_id) or some_id.lower() in self._names:
            return False
        self._names.add(some_id.lower())
        return True

    def _miss(self, what: str, why: str) -> None:
        self._missed[what] = Missing(why=why, at=self._now(), deleted=False)

    # What is written.

    def _export_job(self, job: Mapping[str, Any], record: Record) -> Flow[None]:
        job_id, asked_at, body = job["id"], self._now(), _as_json(job)
        folder = f"jobs/{job_id}"
        lists = {name: f"{folder}/{name}.jsonl" for name in ("events", "checkpoints")}
        is_as_before = job.get("status") in ENDED and record.has(
            f"{folder}/job.json", hashlib.sha256(body).hexdigest()
        )
        if not is_as_before:
            record.drop(*lists.values())
        for name, path in lists.items():
            if not record.has(path):
                yield from self._save_list(f"{_JOBS}/{job_id}/{name}", path, record)
        model = self._models.get(str(job.get("fine_tuned_model")))
        if model is not None:
            text = model.model_dump_json(indent=1).encode()
            record.put(f"{folder}/model.json", text, "what finetune-guard knows", asked_at)
        record.put(f"{folder}/job.json", body, f"GET {_JOBS}", asked_at)
        record.advance(done=1)

    def _export_file(self, file: PlannedFile, record: Record) -> Flow[None]:
        asked_at = self._now()
        if file.id in self._files:
            record.put(f"files/{file.id}/file.json", _as_json(self._files[file.id]), "GET /files", asked_at)
        expected = file.size if file.role != "result" else None
        known = record.size_of(file.path)
        if expected in {None, known} and record.has(file.path):
            record.advance(size=known or 0)
        else:
            yield from self._save_content(file, expected, record)
        record.advance(done=1)

    def _save_list(self, asked: str, path: str, record: Record) -> Flow[None]:
        def fill(file: NewFile) -> Flow[str | None]:
            def take(row: Mapping[str, Any]) -> None:
                file.write(json.dumps(row).encode() + b"\n")

            whole = yield from read_rows(asked, _JOBS_A_PAGE, take, self._retries.ask)
            return None if whole else "the list could not be read to its end"

        return self._save(path, asked, record, fill)

    def _save_content(self, file: PlannedFile, expected: int | None, record: Record) -> Flow[None]:
        def fill(new: NewFile) -> Flow[str | None]:
            def write(piece: bytes) -> None:
                new.write(piece)
                record.advance(size=len(piece))

            def restart() -> None:
                record.advance(size=-new.size)
                new.restart()

            yield from self._retries.ask(Download(file.id, write), restart)
            is_whole = expected in {None, new.size}
            return None if is_whole else f"the API sent {new.size} bytes of {expected}"

        return self._save(file.path, f"/files/{file.id}/content", record, fill)

    def _save(
        self, path: str, asked: str, record: Record, fill: Callable[[NewFile], Flow[str | None]]
    ) -> Flow[None]:
        """Write the data that ``fill`` fetches, unless it fails or returns an error text."""
        asked_at = self._now()
        with record.new_file(path) as file:
            try:
                wrong = yield from fill(file)
            except openai.APIError as error:
                record.miss(path, missing(error, asked_at))
                return
            if wrong is not None:
                record.miss(path, wrong, asked_at)
            else:
                record.add(path, file.commit(), f"GET {asked}", asked_at)


def _as_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
