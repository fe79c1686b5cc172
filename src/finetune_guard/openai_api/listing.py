"""The API's lists of models and fine-tuning jobs, and model limits: how they are asked for, what they tell.

A body is read so that no answer can do harm, whoever asked for it.
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
from finetune_guard.openai_api.errors import error_message, in_short
from finetune_guard.openai_api.flow import ApiCall, Flow, Reply

MOST_JOB_PAGES = 10  # are read for a decision
MOST_PAGES = 1_000  # are read of any list: a server that always has one more fills no disk
_PAGE_SIZE = 100
_MOST_ROWS = 100_000
_LONGEST_CURSOR = 2_048
_CLOCK_SKEW = timedelta(days=1)
_LONGEST_LIMITS = 2_000
_MOST_READ = 10_000  # a key that the cut falls into must be seen as a whole


class Traces(NamedTuple):
    """What jobs or models prove of earlier fine-tuning, and the ``org-`` ids that the jobs belong to."""

    evidence: Evidence = Evidence(organization=UNNAMED)
    organizations: frozenset[str] = frozenset()

    def joined(self, other: Traces) -> Traces:
        """Return both together."""
        return Traces(self.evidence.merged(other.evidence), self.organizations | other.organizations)


@dataclass
class Listing:
    """What the API listed for a key.

    Attributes:
        created: The fine-tuned models and when each was made; None where the API did not say.
        announced: What the API said about shutdown dates, of base models too.
        traces: What the lists prove about earlier fine-tuning.
        complete: Whether everything that was asked for was answered and read to its end.
        reply: The last answer, which names the organization; None when nothing was answered.
        failure: The first error of the API; None when everything was answered.
    """

    created: dict[str, datetime | None] = field(default_factory=dict)
    announced: dict[str, Announced] = field(default_factory=dict)
    traces: Traces = field(default_factory=Traces)
    complete: bool = True
    reply: Reply | None = None
    failure: openai.APIError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything the key may see was read and held no trace of fine-tuning."""
        return self.complete and self.traces.evidence.fine_tuned_by is None

    @property
    def newest_first(self) -> tuple[str, ...]:
        """The fine-tuned models: finished ones before checkpoints, the newest first."""
        unknown = datetime.min.replace(tzinfo=timezone.utc)
        names = sorted(self.created)
        names.sort(key=lambda name: self.created[name] or unknown, reverse=True)
        return tuple(sorted(names, key=_is_checkpoint))


def read_listing(*, most_job_pages: int = MOST_JOB_PAGES, always_jobs: bool = False) -> Flow[Listing]:
    """Ask which fine-tuned models and jobs the key can see; an error makes the listing incomplete."""
    listing = Listing()
    yield from _asked(listing, "/models", {}, _add_models)
    if listing.created and not always_jobs:
        return listing
    last = yield from _read_pages(
        _PAGE_SIZE, most_job_pages, lambda query: _asked(listing, "/fine_tuning/jobs", query, _add_jobs)
    )
    listing.complete = listing.complete and last is not None
    return listing


def read_rows(
    path: str,
    limit: int,
    take: Callable[[Mapping[str, Any]], object],
    ask: Callable[[ApiCall], Flow[Reply | None]],
) -> Flow[bool]:
    """Ask for every page of a list and give each row to ``take``; return whether all was certainly read."""
    is_whole = True

    def page(query: Mapping[str, object]) -> Flow[object]:
        nonlocal is_whole
        reply = yield from ask(ApiCall("get", path, query=query, retry=False))
        body = reply.body if reply is not None else None
        if is_list(body):
            rows = list(records(body))
            is_whole = is_whole and len(rows) == len(body["data"])
            for row in rows:
                take(row)
        return body

    last = yield from _read_pages(limit, MOST_PAGES, page)
    return is_whole and last is not None and last.get("has_more") is False


def _read_pages(
    limit: int, most: int, ask: Callable[[Mapping[str, object]], Flow[object]]
) -> Flow[Mapping[str, Any] | None]:
    """Ask for one page after the other; return the last one, or None where that was not reached."""
    query: dict[str, object] = {"limit": limit}
    followed: set[str] = set()
    for _ in range(most):
        page = yield from ask(query)
        if not is_list(page):
            return None
        if page.get("has_more") is not True:
            return page
        after = _last_id(page)
        if after is None or after in followed:
            return None
        followed.add(after)
        query = {"limit": limit, "after": after}
    return None


def _asked(
    listing: Listing, path: str, query: Mapping[str, object], add: Callable[[Listing, Reply], None]
) -> Flow[object]:
    """Ask for a page, add to ``listing`` what it tells, and return its body; None after an error."""
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
        listing.created[row["id"]] = listing.created.get(row["id"]) or moment(row.get("created"), reply.at)


def _add_jobs(listing: Listing, reply: Reply) -> None:
    listing.traces = listing.traces.joined(traces_in_jobs(reply.body, reply.at))
    for row in _jobs(reply.body):
        model = row.get("fine_tuned_model")
        if isinstance(model, str) and FineTunedModel.parse(model) is not None:
            times = (moment(row.get(name), reply.at) for name in ("finished_at", "created_at"))
            listing.created[model] = listing.created.get(model) or next(filter(None, times), None)


def _is_checkpoint(model: str) -> bool:
    fine_tuned = FineTunedModel.parse(model)
    return fine_tuned is not None and fine_tuned.step is not None


def traces_in_jobs(body: object, now: datetime) -> Traces:
    """Return what a fine-tuning job, or a list of them, proves: each was fine-tuning when it was created."""
    jobs = list(_jobs(body))
    evidence, newest = _proof(jobs, "created_at", "fine_tuned_model", now)
    ids = (organization_id(row.get("organization_id")) for row in jobs)
    return Traces(evidence.model_copy(update={"job_created_at": newest}), frozenset(filter(None, ids)))


def traces_in_models(body: object, now: datetime) -> Traces:
    """Return what a model, or a list of them, proves: a fine-tuned one was made when it was created."""
    return Traces(_proof(list(_fine_tuned(body)), "created", "id", now)[0])


def _proof(
    rows: list[Mapping[str, Any]], created: str, name: str, now: datetime
) -> tuple[Evidence, datetime | None]:
    """Return what rows prove by the times and the models that they name, and the latest of these times."""
    times = [at for row in rows if (at := moment(row.get(created), now))]
    models = filter(None, (FineTunedModel.parse(row.get(name)) for row in rows))
    evidence = Evidence(
        organization=UNNAMED,
        fine_tuned_by=earliest(now, *times) if rows else None,
        listed=merge_listed({}, {model.id: now.date() for model in models}),
    )
    return evidence, max(times, default=None)


def announcements(body: object, seen_at: datetime) -> dict[str, Announced]:
    """Return what a model, or a list of them, says about shutdown dates; what is malformed is passed over."""
    found: dict[str, Announced] = {}
    for row in records(body):
        model_id = row.get("id")
        if "shutdown_date" in row and is_name(model_id, MAX_MODEL_ID_LENGTH):
            day = day_in(row["shutdown_date"])
            if day is not None or row["shutdown_date"] is None:
                found[model_id] = latest_announced(found.get(model_id), Announced(day=day, seen_at=seen_at))
    return found


def read_model_limits(now: datetime) -> Flow[tuple[ModelLimits, Reply | None]]:
    """Ask for the model limits; return them and the reply, or what went wrong at ``now`` and None.

    OpenAI's help page names them for an organization's fine-tuning availability. Their form is not published,
    nor what an organization gets that is refused, so that nothing is read from them.
    """
    try:
        reply = yield ApiCall("get", "/fine_tuning/model_limits")
    except openai.APIError as error:
        told = filter(None, (in_short(error), error_message(error)))
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        return ModelLimits(at=now, status=status, answer=_shown(": ".join(told))), None
    assert reply is not None
    body = "not JSON" if reply.body is None else json.dumps(reply.body, ensure_ascii=False)
    return ModelLimits(at=reply.at, status=200, answer=_shown(body)), reply


def _shown(text: str) -> str:
    return one_line(without_secrets(one_line(text, _MOST_READ)), _LONGEST_LIMITS)


def is_list(body: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether ``body`` is one of the API's lists, or a page of one; nothing endless is."""
    rows = body.get("data") if isinstance(body, Mapping) else None
    return isinstance(rows, list) and len(rows) <= _MOST_ROWS


def is_cursor(value: object) -> TypeGuard[str]:
    """Whether ``value`` can be what the next page is asked for with: it becomes a part of a URL."""
    return is_name(value, _LONGEST_CURSOR)


def records(body: object) -> Iterator[Mapping[str, Any]]:
    """Return the objects of a list, or the one object that the body is."""
    rows = body["data"] if is_list(body) else [body]
    return (row for row in rows if isinstance(row, Mapping))


def moment(second: object, now: datetime) -> datetime | None:
    """Return a time in Unix seconds; None when it is none, or lies more than a day after ``now``.

    The API sends whole seconds; some of the SDK's classes, such as ``Response``, make floats of them.
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
    """Return the id of a page's last row, after which the next page begins; None when it has none."""
    last = page["data"][-1] if page["data"] else None
    found = last.get("id") if isinstance(last, Mapping) else None
    return found if is_cursor(found) else None
