"""Properties that hold for every response of an API or a proxy."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import openai

from finetune_guard.clock import ServerTime
from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.errors import UnreadableUsageError
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH, FineTunedModel, base_of
from finetune_guard.domain.organizations import (
    Credentials,
    Subject,
    is_slug,
    organization_id,
    organization_slug,
    project_id,
)
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.openai_api.completions import batch_runs
from finetune_guard.openai_api.errors import (
    concerns_model,
    error_code,
    error_message,
    is_refusal,
    is_transient,
    retry_after,
    status_and_code,
    would_fail_alike,
)
from finetune_guard.openai_api.flow import Reply
from finetune_guard.openai_api.listing import announcements, read_listing, traces_in_jobs, traces_in_models
from finetune_guard.openai_api.usage_pages import DAYS, UsageQuery
from finetune_guard.rules.inventory import build_inventory
from finetune_guard.stores.keys import check_name
from tests.hostile.promises_of_stores import is_clean, read
from tests.support.http import HTTP

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
FIRST = datetime(2026, 9, 23, tzinfo=timezone.utc)
_CLIENT = openai.OpenAI(api_key="sk-test")
_REQUEST = HTTP.Request("POST", "https://api.openai.com/v1/x")


def date_header(text):
    """A Date is believed from 2020 on and up to a week off, and is the same once more; else it is now."""
    at = ServerTime().answered_at(text, NOW)
    assert timedelta(0) == at.utcoffset()
    assert datetime(2020, 1, 1, tzinfo=timezone.utc) <= at <= NOW + 7 * DAY
    assert at == ServerTime().answered_at(text, NOW)
    if at != NOW:
        assert at == ServerTime().answered_at(at.strftime("%a, %d %b %Y %H:%M:%S GMT"), NOW)


def organization_header(text):
    """An organization's name is what a store keeps and a terminal shows, or nothing."""
    slug = organization_slug(text)
    assert slug in {text, None}
    if slug is not None:
        assert is_clean(slug)
        assert 128 >= len(check_name(slug))
        assert slug == organization_slug(slug)
        assert "/" not in slug
        assert ":" not in slug
    for known in filter(None, (organization_id(text), project_id(text))):
        assert known == check_name(known)
        assert is_slug(known) == (project_id(text) is not None)
    assert Credentials(text, text).alias(b"salt").isprintable()


def model_id(text):
    """A fine-tuned model's id is printable and within bounds, and its parts are parts of it."""
    result = FineTunedModel.parse(text)
    assert result == FineTunedModel.parse(text)
    assert base_of(text) == (result.base if result is not None else text)
    if result is None:
        return
    assert text == result.id == check_name(result.id)
    assert MAX_MODEL_ID_LENGTH >= len(result.id)
    assert not any(letter.isspace() for letter in result.id)
    assert all(part in text for part in (result.base, result.organization or "", result.suffix or ""))
    assert 0 <= (result.step or 0) < 10**18
    assert result == FineTunedModel.model_validate_json(result.model_dump_json())
    assert isinstance(ShutdownDates(published_catalog()).is_over(text, NOW.date()), bool)


def usage_page(body):
    """A page of usage is read to its end or refused; what it tells lies within what was asked for."""
    query = UsageQuery(DAYS, FIRST, None, "acme", "sk-admin")
    page = read(lambda: query.read(_reply(body, "acme"), FIRST), UnreadableUsageError)
    if page is None:
        return
    history, latest = page.history, NOW + 8 * DAY
    assert all(FIRST <= span.start < span.end <= NOW for span in history.evidence.usage_read)
    assert all(FineTunedModel.parse(model) is not None for model in history.models)
    assert all(FIRST <= inference.at < latest for inference in history.models.values())
    assert all(FIRST.date() <= day <= latest.date() for day in history.daily)
    assert all(count > 0 for counts in history.daily.values() for count in counts.values())
    assert all(map(is_clean, page.projects))
    assert page.cursor is None or is_clean(page.cursor)
    _is_kept(history)


def records(body):
    """Batches, jobs and models tell only of what had happened, within bounds; the rest is passed over."""
    for batch in batch_runs(body, NOW):
        assert FineTunedModel.parse(batch.model) is not None
        assert datetime(1969, 12, 31, tzinfo=timezone.utc) < batch.at <= NOW + DAY
        assert 0 < batch.requests <= 10**9
        assert 128 >= len(batch.id)
    for traces in (traces_in_jobs(body, NOW), traces_in_models(body, NOW)):
        assert traces.evidence.fine_tuned_by is None or traces.evidence.fine_tuned_by <= NOW
        assert traces.evidence.job_created_at is None or traces.evidence.job_created_at <= NOW + DAY
        assert all(organization_id(name) for name in traces.organizations)
        assert traces == traces.joined(traces)
    announced = announcements(body, NOW)
    assert all(is_clean(check_name(model)) for model in announced)
    dates = ShutdownDates(published_catalog()).with_announced(announced)
    assert dates.announced == dates.with_announced(announced).announced


def lists(bodies):
    """Whatever is listed, a search ends; it names models that can be called, and asks for sound pages."""
    for always_jobs in (False, True):
        result = _driven(read_listing(most_job_pages=1_000, always_jobs=always_jobs), bodies)
        assert all(FineTunedModel.parse(model) is not None for model in result.newest_first)
        assert result.traces.evidence.fine_tuned_by is None or result.traces.evidence.fine_tuned_by <= NOW
        history = History(evidence=Evidence(organization="acme"))
        inventory = build_inventory(result, history, ShutdownDates(published_catalog()), NOW)
        assert json.loads(inventory.model_dump_json())


def api_error(body):
    """Whatever an error's body says, it is one of the kinds that are known, and its words forge nothing."""
    for status in (400, 401, 403, 404, 408, 409, 422, 429, 500, 503):
        headers = {"retry-after": str(body)[:40].encode("ascii", "replace").decode()}
        headers = {name: value for name, value in headers.items() if value.isprintable()}
        response = HTTP.Response(status, headers=headers, request=_REQUEST)
        error = _CLIENT._make_status_error("told", body=body, response=response)
        assert is_clean(status_and_code(error))
        assert 100 > len(status_and_code(error))
        assert is_clean(error_message(error))
        assert 500 >= len(error_message(error))
        assert is_clean(error_code(error) or "")
        answers = [is_refusal(error), would_fail_alike(error), concerns_model(error), is_transient(error)]
        assert all(isinstance(answer, bool) for answer in answers)
        assert retry_after(error) >= 0


def _reply(body, organization=None):
    return Reply(body, Subject(organization, Credentials("Bearer x")), NOW)


def _driven(flow, bodies):
    waiting, step = list(bodies), next(flow)
    for _ in range(2_000):
        for value in step.query.values():
            assert isinstance(value, int) or is_clean(value)
        try:
            step = flow.send(_reply(waiting.pop(0) if len(waiting) > 1 else waiting[0]))
        except StopIteration as stop:
            return stop.value
    raise AssertionError("a search has no end")


def _is_kept(history):
    """A store can keep it, and JSON can say it."""
    for name in history.models:
        check_name(name)
    assert history == History.model_validate_json(history.model_dump_json())


TEXTS = {"date": date_header, "organization": organization_header, "model": model_id}
"""For each kind of text, what holds for it."""

BODIES = {"usage_page": usage_page, "records": records, "api_error": api_error}
"""For each kind of JSON body, what holds for it."""
