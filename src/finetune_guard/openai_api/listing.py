"""Reads the API's lists of models and fine-tuning jobs, and its model limits.

Bodies are read defensively: no response can do harm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, TypeGuard

import openai

from finetune_guard.domain.facts import ModelLimits, earliest, merge_listed
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH, FineTunedModel
from finetune_guard.domain.organizations import UNNAMED, organization_id
from finetune_guard.domain.shutdowns import Announced, latest_announced
from finetune_guard.domain.text import day_in, is_name, one_line, without_secrets
from finetune_guard.openai_api.errors import error_message, status_and_code
from finetune_guard.openai_api.flow import ApiCall, Flow, Reply

MOST_JOB_PAGES = 10  # for a decision
MOST_PAGES = 1_000  # for any list: an endless list must not fill the disk
_PAGE_SIZE = 100
_MOST_ROWS = 100_000
_LONGEST_CURSOR = 2_048
_CLOCK_SKEW = timedelta(days=1)
_LONGEST_LIMITS = 2_000
_MOST_READ = 10_000  # longer than the result, so that a key is not cut before it is found


class Traces(NamedTuple):
    """Evidence of earlier fine-tuning from jobs or models, and the ``org-`` ids of the jobs."""

    evidence: Evidence = Evidence(organization=UNNAMED)
    organizations: frozenset[str] = frozenset()

    def joined(self, other: Traces) -> Traces:
        """Return both together."""
        return Traces(self.evidence.merged(other.evidence), self.organizations | other.organizations)


@dataclass
class Listing:
    """The models and jobs that the API listed for a key.

    Attributes:
        created: The fine-tuned models with their creation times; None if the API did not say.
        announced: Shutdown dates from the API, of base models too.
        traces: Evidence of earlier fine-tuning.
        complete: Whether every request succeeded and every list was read to its end.
        reply: The last reply, which names the organization; None if there was none.
        failure: The first error of the API; None if there was none.
    """

    created: dict[str, datetime | None] = field(default_factory=dict)
    announced: dict[str, Announced] = field(default_factory=dict)
    traces: Traces = field(default_factory=Traces)
    complete: bool = True
    reply: Reply | None = None
    failure: openai.APIError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything the key can see was read, without a trace of fine-tuning."""
        return self.complete and self.traces.evidence.fine_tuned_by is None

    @property
    def newest_first(self) -> tuple[str, ...]:
        """The fine-tuned models: finished ones before checkpoints, the newest first."""
        unknown = datetime.min.replace(tzinfo=timezone.utc)
        names = sorted(self.created)
        names.sort(key=lambda name: self.created[name] or unknown, reverse=True)
        return tuple(sorted(names, key=_is_checkpoint))


def read_listing(*, most_job_pages: int = MOST_JOB_PAGES, always_jobs: bool = False) -> Flow[Listing]:
    """List the fine-tuned models and jobs that the key can see; an error makes it incomplete."""
    listing = Listing()
    yield from _read_page(listing, "/models", {}, _add_models)
    if listing.created and not always_jobs:
        return listing
    last = yield from _read_pages(
        _PAGE_SIZE, most_job_pages, lambda query: _read_page(listing, "/fine_tuning/jobs", query, _add_jobs)
    )
    listing.complete = listing.complete and last is not None
    return listing


def read_rows(
    path: str,
    limit: int,
    on_row: Callable[[Mapping[str, Any]], object],
    ask: Callable[[ApiCall], Flow[Reply | None]],
) -> Flow[bool]:
    """Read all pages of a list, pass each row to ``on_row``; return whether the list is complete."""
    is_whole = True

    def page(query: Mapping[str, object]) -> Flow[object]:
        nonlocal is_whole
        reply = yield from ask(ApiCall("get", path, query=query, retry=False))
        body = reply.body if reply is not None else None
        if is_list(body):
            rows = list(records(body))
            is_whole = is_whole and len(rows) == len(body["data"])
            for row in rows:
                on_row(row)
        return body

    last = yield from _read_pages(limit, MOST_PAGES, page)
    return is_whole and last is not None and last.get("has_more") is False


def _read_pages(
    limit: int, max_pages: int, ask: Callable[[Mapping[str, object]], Flow[object]]
) -> Flow[Mapping[str, Any] | None]:
    """Request page after page; return the last one, or None if it was not reached."""
    query: dict[str, object] = {"limit": limit}
    cursors: set[str] = set()
    for _ in range(max_pages):
        page = yield from ask(query)
        if not is_list(page):
            return None
        if page.get("has_more") is not True:
            return page
        after = _last_id(page)
        if after is None or after in cursors:
            return None
        cursors.add(after)
        query = {"limit": limit, "after": after}
    return None


def _read_page(
    listing: Listing, path: str, query: Mapping[str, object], add: Callable[[Listing, Reply], None]
) -> Flow[object]:
    """Request a page, add it to ``listing`` and return its body; None after an error."""
    try:
        reply = yield ApiCall("get", path, query=query)
    except openai.APIError as error:
        listing.complete, listing.failure = False, listing.failure or error
        return None
    assert reply is not None
    listing.reply = reply
    listing.complete = listing.complete and is_list(reply.body)
    add(listing, reply)
    return reply.body


def _add_models(listing: Listing, reply: Reply) -> None:
    listing.announced.update(announcements(reply.body, reply.at))
    listing.traces = listing.traces.joined(traces_in_models(reply.body, reply.at))
    for row in _fine_tuned(reply.body):
        listing.created[row["id"]] = listing.created.get(row["id"]) or unix_time(row.get("created"), reply.at)


def _add_jobs(listing: Listing, reply: Reply) -> None:
    listing.traces = listing.traces.joined(traces_in_jobs(reply.body, reply.at))
    for row in _jobs(reply.body):
        model = row.get("fine_tuned_model")
        if isinstance(model, str) and FineTunedModel.parse(model) is not None:
            times = (unix_time(row.get(name), reply.at) for name in ("finished_at", "created_at"))
            listing.created[model] = listing.created.get(model) or next(filter(None, times), None)


def _is_checkpoint(model: str) -> bool:
    fine_tuned = FineTunedModel.parse(model)
    return fine_tuned is not None and fine_tuned.step is not None


def traces_in_jobs(body: object, now: datetime) -> Traces:
    """Return the evidence in a fine-tuning job or a list of jobs, by their creation times."""
    jobs = list(_jobs(body))
    evidence, newest = _proof(jobs, "created_at", "fine_tuned_model", now)
    ids = (organization_id(row.get("organization_id")) for row in jobs)
    return Traces(evidence.model_copy(update={"job_created_at": newest}), frozenset(filter(None, ids)))


def traces_in_models(body: object, now: datetime) -> Traces:
    """Return the evidence in a model or a list of models, by their creation times."""
    return Traces(_proof(list(_fine_tuned(body)), "created", "id", now)[0])


def _proof(
    rows: list[Mapping[str, Any]], created: str, name: str, now: datetime
) -> tuple[Evidence, datetime | None]:
    """Return the evidence in rows, from their times and models, and the latest time."""
    times = [at for row in rows if (at := unix_time(row.get(created), now))]
    models = filter(None, (FineTunedModel.parse(row.get(name)) for row in rows))
    evidence = Evidence(
        organization=UNNAMED,
        fine_tuned_by=earliest(now, *times) if rows else None,
        listed=merge_listed({}, {model.id: now.date() for model in models}),
    )
    return evidence, max(times, default=None)


def announcements(body: object, seen_at: datetime) -> dict[str, Announced]:
    """Return the shutdown dates in a model or a list of models; skip malformed ones."""
    found: dict[str, Announced] = {}
    for row in records(body):
        model_id = row.get("id")
        if "shutdown_date" in row and is_name(model_id, MAX_MODEL_ID_LENGTH):
            day = day_in(row["shutdown_date"])
            if day is not None or row["shutdown_date"] is None:
                found[model_id] = latest_announced(found.get(model_id), Announced(day=day, seen_at=seen_at))
    return found


def read_model_limits(now: datetime) -> Flow[tuple[ModelLimits, Reply | None]]:
    """Request the model limits; return them and the reply, or the error at ``now`` and None.

    OpenAI's help page mentions them for an organization's fine-tuning availability. Neither their format nor
    the response for a refused organization is published, so they are not interpreted.
    """
    try:
        reply = yield ApiCall("get", "/fine_tuning/model_limits")
    except openai.APIError as error:
        details = filter(None, (status_and_code(error), error_message(error)))
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        return ModelLimits(at=now, status=status, answer=_printable(": ".join(details))), None
    assert reply is not None
    body = "not JSON" if reply.body is None else json.dumps(reply.body, ensure_ascii=False)
    return ModelLimits(at=reply.at, status=200, answer=_printable(body)), reply


def _printable(text: str) -> str:
    return one_line(without_secrets(one_line(text, _MOST_READ)), _LONGEST_LIMITS)


def is_list(body: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether ``body`` is a list of the API, or a page of one, and not too long."""
    rows = body.get("data") if isinstance(body, Mapping) else None
    return isinstance(rows, list) and len(rows) <= _MOST_ROWS


def is_cursor(value: object) -> TypeGuard[str]:
    """Whether ``value`` can be a cursor for the next page, which becomes a part of a URL."""
    return is_name(value, _LONGEST_CURSOR)


def records(body: object) -> Iterator[Mapping[str, Any]]:
    """Return the objects of a list, or the body itself if it is one object."""
    rows = body["data"] if is_list(body) else [body]
    return (row for row in rows if isinstance(row, Mapping))


def unix_time(second: object, now: datetime) -> datetime | None:
    """Convert Unix seconds; None if invalid, or more than a day after ``now``.

    The API sends integers; some of the SDK's classes, such as ``Response``, convert them to floats.
    """
    if isinstance(second, bool) or not isinstance(second, (int, float)):
        return None
    try:
        at = datetime.fromtimestamp(second, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None
    return at if second > 0 and at - now <= _CLOCK_SKEW else None


def _fine_tuned(body: object) -> Iterator[Mapping[str, Any]]:
    return (row for row in records(body) if FineTunedModel.parse(row.get("id")) is not None)


def _jobs(body: object) -> Iterator[Mapping[str, Any]]:
    return (row for row in records(body) if row.get("object") == "fine_tuning.job")


def _last_id(page: Mapping[str, Any]) -> str | None:
    """Return the id of a page's last row, the cursor of the next page; None if it has none."""
    last = page["data"][-1] if page["data"] else None
    found = last.get("id") if isinstance(last, Mapping) else None
    return found if is_cursor(found) else None
