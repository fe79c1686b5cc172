"""What went over the wire, and has it remembered: calls of models, jobs, refusals, and the API's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import TypeAlias

import openai
from typing_extensions import assert_never

from finetune_guard.clock import answered_at
from finetune_guard.domain.history import Evidence, History, Inference, Refusal, Source
from finetune_guard.domain.organizations import UNNAMED, Credentials, organization_slug, project_id, sent_with
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.answers import CompletedBatch, completed_batches
from finetune_guard.openai_api.errors import error_code, error_message
from finetune_guard.openai_api.listing import Traces, announcements, traces_in_jobs, traces_in_models
from finetune_guard.openai_api.requests import JobCreation, RecordKind, RecordsCall
from finetune_guard.recording.notes import Subject, told
from finetune_guard.recording.recorder import Recorder

_MOST_REMEMBERED = 1_000
_LONGEST_NAME = 128
"""A longer one names no organization, and is not kept."""
_OBSERVED = Source.OBSERVED


Headers: TypeAlias = Mapping[bytes, bytes]
"""Headers by their names in lower case, as they came over the wire."""


class Observer:
    """Sees successful calls and refusals, and notes what they tell. Nothing here does any I/O."""

    def __init__(self, recorder: Recorder, ends: ModelEnds, window: timedelta | None) -> None:
        self._recorder = recorder
        self._ends = ends
        self._window = window
        self._subjects: dict[tuple[bytes | None, ...], Subject] = {}
        self._traced: dict[Subject, Traces] = {}
        self._batches: dict[tuple[Subject, str], tuple[date, int]] = {}

    def saw(self, model: str, headers: Headers, request_headers: Headers, now: datetime) -> None:
        """Note an inference; every call of a fine-tuned model pays for this."""
        subject = self._subject(headers, request_headers)
        self._recorder.note(subject, model, _OBSERVED, answered_at(headers.get(b"date"), now))

    def observe(
        self,
        call: JobCreation | RecordsCall,
        headers: Headers,
        request_headers: Headers,
        body: Callable[[], object],
        now: datetime,
    ) -> None:
        """Note what another successful call tells; ``body`` returns None where the SDK hasn't read it."""
        at = answered_at(headers.get(b"date"), now)
        if isinstance(call, JobCreation):
            subject, job = self._subject(headers, request_headers), traces_in_jobs(body(), at)
            created_at = job.job_created_at or at
            self._recorder.learn(
                subject, told(fine_tuned_by=at, job_created_at=created_at), job.organizations
            )
        else:
            self._read(call.kind, body(), _subject(headers, request_headers), at)

    def refused(self, error: openai.APIStatusError, now: datetime) -> tuple[Subject, Refusal]:
        """Note the API's refusal of a job; return whom it was given to."""
        headers = error.response.headers
        credentials = sent_with(error.response.request.headers)
        subject = Subject(organization_slug(headers.get("openai-organization")), credentials)
        refusal = Refusal(
            at=answered_at(headers.get("date"), now),
            code=error_code(error) or "",
            message=error_message(error),
        )
        self._recorder.learn(subject, told(refusal=refusal))
        return subject, refusal

    def _subject(self, headers: Headers, request_headers: Headers) -> Subject:
        """Return whom an answer is about; note, once for each, which project the key belongs to."""
        organization = headers.get(b"openai-organization")
        named = (
            request_headers.get(b"authorization"),
            request_headers.get(b"openai-organization"),
            organization if organization is None or len(organization) <= _LONGEST_NAME else None,
        )
        subject = self._subjects.get(named)
        if subject is None:
            if len(self._subjects) >= _MOST_REMEMBERED:
                self._subjects.clear()
            subject = self._subjects[named] = _subject(headers, request_headers)
            project = project_id(_text(headers.get(b"openai-project")))
            if project is not None:
                self._recorder.learn(subject, names=(project,))
        return subject

    def _read(self, kind: RecordKind, body: object, subject: Subject, at: datetime) -> None:
        if body is None:
            return
        if kind is RecordKind.BATCHES:
            for batch in completed_batches(body, at):
                self._note_batch(subject, batch, at)
        elif kind is RecordKind.JOBS:
            self._note_traces(subject, traces_in_jobs(body, at))
        elif kind is RecordKind.MODELS:
            self._ends.learn(announcements(body, at))
            self._note_traces(subject, traces_in_models(body, at))
        else:
            assert_never(kind)

    def _note_batch(self, subject: Subject, batch: CompletedBatch, now: datetime) -> None:
        """Note a batch once for each subject, however often it is looked at.

        A day's count is merged, not added, so that another process, or this one after a restart, may
        look at the same batches: it is at least the number of requests in those that were seen together.
        """
        if (subject, batch.id) in self._batches:
            return
        if len(self._batches) >= _MOST_REMEMBERED:
            self._batches.clear()
        day = batch.at.date()
        self._batches[subject, batch.id] = day, batch.requests
        seen = list(self._batches.items())  # other threads may add to it meanwhile
        count = sum(n for (whose, _), (when, n) in seen if (whose, when) == (subject, day))
        inference = Inference(organization=UNNAMED, model=batch.model, at=batch.at, source=Source.BATCH)
        # One before the window tells nothing about the time since: it must not pass for the latest.
        last = inference if self._window is None or now - batch.at < self._window else None
        evidence = Evidence(organization=UNNAMED, last_inference=last, fine_tuned_by=batch.at)
        history = History(
            evidence=evidence, models={batch.model: inference}, daily={day: {Source.BATCH: count}}
        )
        self._recorder.learn(subject, history)

    def _note_traces(self, subject: Subject, traces: Traces) -> None:
        """Note what jobs or models prove, if that is more than was noted before."""
        before = self._traced.get(subject, Traces())
        joined = before.joined(traces)
        if joined == before:
            return
        if len(self._traced) >= _MOST_REMEMBERED:
            self._traced.clear()
        self._traced[subject] = joined
        facts = told(fine_tuned_by=joined.fine_tuned_by, job_created_at=joined.job_created_at)
        self._recorder.learn(subject, facts, traces.organizations)


def _subject(headers: Headers, request_headers: Headers) -> Subject:
    slug = organization_slug(_text(headers.get(b"openai-organization")))
    authorization = _text(request_headers.get(b"authorization"))
    return Subject(
        slug, Credentials(authorization or "", _text(request_headers.get(b"openai-organization")) or None)
    )


def _text(value: bytes | None) -> str | None:
    """Return a header's value as httpx and httpx2 read it."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
