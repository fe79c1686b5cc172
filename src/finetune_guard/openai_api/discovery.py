"""Asking the API which fine-tuned models an organization has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

import openai

from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.openai_api.answers import announcements
from finetune_guard.openai_api.flow import ApiCall, Flow, Reply
from finetune_guard.openai_api.pages import cursor, has_more, is_list, rows

_MOST_JOB_PAGES = 10


@dataclass(frozen=True)
class Discovery:
    """What the API knows of an organization's fine-tuned models.

    Attributes:
        models: Ids of fine-tuned models: finished ones before checkpoints, the newest first.
        fine_tuned_by: A moment at which fine-tuning had certainly happened; None without a trace.
        complete: Whether all that was asked for was answered and read to its end.
        announced: What the API said about shutdown dates.
        reply: The last answer, which names the organization; None when nothing was answered.
        failure: The first error of the API; None when all was answered.
    """

    models: tuple[str, ...]
    fine_tuned_by: datetime | None
    complete: bool
    reply: Reply | None
    announced: Mapping[str, Announced] = field(default_factory=dict)
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
        announced=found.announced,
        failure=found.failure,
    )


@dataclass
class _Found:
    created: dict[str, int] = field(default_factory=dict)
    traces: list[int] = field(default_factory=list)
    complete: bool = True
    reply: Reply | None = None
    announced: dict[str, Announced] = field(default_factory=dict)
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
        reply = yield ApiCall("get", "/models")
    except openai.APIError as error:
        found.fail(error)
        return
    assert reply is not None
    found.reply, found.complete = reply, is_list(reply.body)
    found.announced = announcements(reply.body, reply.at)
    for row in rows(reply.body):
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
        assert page is not None
        found.reply, found.complete = page, found.complete and is_list(page.body)
        for row in rows(page.body):
            found.note(row.get("fine_tuned_model"), row.get("created_at"))
        last = cursor(page.body)
        if last is None or not has_more(page.body):
            return
        after = {"after": last}
    found.complete = False


def _is_checkpoint(model: str) -> bool:
    fine_tuned = FineTunedModel.parse(model)
    return fine_tuned is not None and fine_tuned.step is not None
