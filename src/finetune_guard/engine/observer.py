"""Record facts from successful calls and refusals in the organization's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import openai
from typing_extensions import assert_never

from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.facts import Inference, Refusal
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, Credentials, Subject, organization_slug
from finetune_guard.engine.decider import Decider
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.completions import PastRun, batch_runs, stored_run
from finetune_guard.openai_api.errors import error_code, error_message
from finetune_guard.openai_api.listing import Traces, announcements, traces_in_jobs, traces_in_models
from finetune_guard.openai_api.requests import JobCreation, RecordKind, RecordsCall
from finetune_guard.recording.pending import new_facts


class Observer:
    """Records facts from successful calls and refusals. No I/O."""

    def __init__(self, decider: Decider, ends: ModelEnds) -> None:
        self._decider = decider
        self._recorder = decider.recorder
        self._ends = ends
        self._window = decider.config.policy.window
        self._traced: Bounded[Subject, Traces] = Bounded()
        self._runs: Bounded[tuple[Subject, str], PastRun] = Bounded()

    def observe(
        self,
        call: JobCreation | RecordsCall,
        subject: Subject,
        date: bytes | None,
        body: Callable[[], object],
    ) -> None:
        """Record the facts in a response to ``call``; ``body`` returns None if the SDK hasn't read it."""
        self._recorder.record_organization(subject)
        at = self._decider.answered_at(date)
        if isinstance(call, JobCreation):
            self._record_job(subject, body(), at)
        elif (records := body()) is not None:
            self._record_records(call.kind, records, subject, at)

    def record_refusal(self, error: openai.APIStatusError, credentials: Credentials) -> Refusal:
        """Record the API's refusal of a job created with ``credentials``, and return it."""
        headers = error.response.headers
        refusal = Refusal(
            at=self._decider.answered_at(headers.get("date")),
            code=error_code(error) or "",
            message=error_message(error),
        )
        slug = organization_slug(headers.get("openai-organization"))
        self._recorder.merge(Subject(slug, credentials), new_facts(refusal=refusal))
        return refusal

    def _record_records(self, kind: RecordKind, body: object, subject: Subject, at: datetime) -> None:
        if kind is RecordKind.BATCHES:
            for run in batch_runs(body, at):
                self._record_run(subject, run, at)
        elif kind is RecordKind.RESPONSES:
            if (response := stored_run(body, at)) is not None:
                self._record_run(subject, response, at)
        elif kind is RecordKind.JOBS:
            self._record_traces(subject, traces_in_jobs(body, at))
        elif kind is RecordKind.MODELS:
            self._ends.learn(announcements(body, at))
            self._record_traces(subject, traces_in_models(body, at))
        else:
            assert_never(kind)

    def _record_job(self, subject: Subject, body: object, at: datetime) -> None:
        """Record that a job was created, unless the response was read and is no job."""
        if body is None or (isinstance(body, Mapping) and body.get("id")):
            job = traces_in_jobs(body, at)
            created_at = job.evidence.job_created_at or at
            facts = new_facts(fine_tuned_by=at, job_created_at=created_at)
            self._recorder.merge(subject, facts, job.organizations)

    def _record_run(self, subject: Subject, run: PastRun, now: datetime) -> None:
        """Record an earlier inference found in a batch or a stored response, once for each subject.

        A day's count is merged, not added, because another process, or this one after a restart, may read
        the same records. The count is therefore a lower bound.
        """
        if self._runs.get((subject, run.id)) == run:
            return
        self._runs[subject, run.id] = run
        day, seen = run.at.date(), list(self._runs.items())  # other threads may add to it meanwhile
        same = (subject, day, run.source)
        count = sum(
            each.requests for (whose, _), each in seen if (whose, each.at.date(), each.source) == same
        )
        inference = Inference(
            organization=UNNAMED, model=run.model, at=run.at, source=run.source, within=run.within
        )
        # A run before the window must not pass for the latest one: later runs may exist.
        last = inference if self._window is None or now - run.at - run.within < self._window else None
        evidence = Evidence(organization=UNNAMED, last_inference=last, fine_tuned_by=run.at)
        history = History(evidence=evidence, models={run.model: inference}, daily={day: {run.source: count}})
        self._recorder.merge(subject, history)

    def _record_traces(self, subject: Subject, traces: Traces) -> None:
        """Record the traces in jobs or models, if they prove more than those recorded before."""
        before = self._traced.get(subject, Traces())
        joined = before.joined(traces)
        if joined == before:
            return
        self._traced[subject] = joined
        self._recorder.merge(subject, History(evidence=joined.evidence), traces.organizations)
