"""Asking the API which fine-tuned models an organization has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import openai

from finetune_guard.flows import ApiCall, Flow, Reply
from finetune_guard.models import FineTunedModel

_MOST_JOB_PAGES = 10


@dataclass(frozen=True)
class Discovery:
    """What the API knows of an organization's fine-tuned models.

    Attributes:
        models: Ids of fine-tuned models: finished ones before checkpoints, the newest first.
        fine_tuned_by: A moment at which fine-tuning had certainly happened; None without a trace.
        complete: Whether all that was asked for was answered and read to its end.
        reply: The last answer, which names the organization; None when nothing was answered.
        failure: The first error of the API; None when all was answered.
    """

    models: tuple[str, ...]
    fine_tuned_by: datetime | None
    complete: bool
    reply: Reply | None
    failure: openai.APIError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything the key may see was read and held no trace of fine-tuning."""
        return self.complete and self.fine_tuned_by is None


def discover() -> Flow[Discovery]:
    """Ask for the fine-tuned models that the key can see.

    ``GET /models`` comes first; ``GET /fine_tuning/jobs`` only when that names none. An error of the
    API makes the answer incomplete and is not raised.
    """
    found = _Found()
    yield from _read_models(found)
    if not found.created:
        yield from _read_jobs(found)
    newest_first = sorted(
        found.created, key=lambda model: (_is_checkpoint(model), -found.created[model], model)
    )
    return Discovery(
        models=tuple(newest_first),
        fine_tuned_by=found.fine_tuned_by(),
        complete=found.complete,
        reply=found.reply,
        failure=found.failure,
    )


@dataclass
class _Found:
    created: dict[str, int] = field(default_factory=dict)
    traces: list[int] = field(default_factory=list)
    complete: bool = True
    reply: Reply | None = None
    failure: openai.APIError | None = None

    def fail(self, error: openai.APIError) -> None:
        """Note that the API answered with an error, so that the answer isn't complete."""
        self.complete = False
        self.failure = self.failure or error

    def note(self, model: object, created: object) -> None:
        """Note a trace of fine-tuning and, where it has one, the model that came of it."""
        second = created if isinstance(created, int) and not isinstance(created, bool) else 0
        self.traces.append(second)
        fine_tuned = FineTunedModel.parse(model)
        if fine_tuned is not None:
            self.created.setdefault(fine_tuned.id, second)

    def fine_tuned_by(self) -> datetime | None:
        """The earliest moment that the traces prove; when they give none, that of the answer."""
        if not self.traces or self.reply is None:
            return None
        answered = self.reply.at
        return min(
            (
                datetime.fromtimestamp(second, timezone.utc)
                for second in self.traces
                if 0 < second < answered.timestamp()
            ),
            default=answered,
        )


def _read_models(found: _Found) -> Flow[None]:
    try:
        found.reply = yield ApiCall("get", "/models")
    except openai.APIError as error:
        found.fail(error)
        return
    found.complete = _is_list(found.reply)
    for row in _rows(found.reply):
        if FineTunedModel.parse(row.get("id")) is not None:
            found.note(row["id"], row.get("created"))


def _read_jobs(found: _Found) -> Flow[None]:
    after: dict[str, str] = {}
    for _ in range(_MOST_JOB_PAGES):
        try:
            page = yield ApiCall("get", "/fine_tuning/jobs", query={"limit": 100, **after})
        except openai.APIError as error:
            found.fail(error)
            return
        found.reply = page
        found.complete = found.complete and _is_list(page)
        last = None
        for row in _rows(page):
            found.note(row.get("fine_tuned_model"), row.get("created_at"))
            last = row.get("id")
        if not isinstance(last, str) or page is None or page.body.get("has_more") is not True:
            return
        after = {"after": last}
    found.complete = False


def _is_list(reply: Reply | None) -> bool:
    body = reply.body if reply is not None else None
    return isinstance(body, Mapping) and isinstance(body.get("data"), list)


def _rows(reply: Reply | None) -> Iterator[Mapping[str, Any]]:
    """The objects of a list's page; nothing where the body isn't one."""
    if reply is not None and _is_list(reply):
        yield from (row for row in reply.body["data"] if isinstance(row, Mapping))


def _is_checkpoint(model: str) -> bool:
    fine_tuned = FineTunedModel.parse(model)
    return fine_tuned is not None and fine_tuned.step is not None
