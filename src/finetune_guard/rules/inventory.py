"""Every fine-tuned model that a key can see or a history remembers, and how long each will live.

``read_inventory`` is a flow that asks the API; ``joined`` is pure and takes ``now`` as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any

import openai
from pydantic import BaseModel, ConfigDict

from finetune_guard.domain.history import History, Inference
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.policy import UtcDatetime, aware_utc
from finetune_guard.domain.shutdowns import Announced, Shutdown, ShutdownDates
from finetune_guard.openai_api.answers import announcements
from finetune_guard.openai_api.errors import in_short
from finetune_guard.openai_api.flow import ApiCall, Flow, Reply
from finetune_guard.openai_api.pages import cursor, has_more, is_list, rows

_MOST_JOB_PAGES = 1_000
_PAGE_SIZE = 100
_END_OF_TIME = int(datetime.max.replace(tzinfo=timezone.utc, microsecond=0).timestamp())


class ModelRecord(BaseModel):
    """What is known about one fine-tuned model.

    Attributes:
        id: The whole id.
        base: The base model.
        checkpoint_step: The step of a checkpoint; None for other models.
        created_at: When it was made, in UTC; None when the API did not say.
        last_inference: The latest inference known of it; None when none is.
        shutdown: When it ends, and where that date comes from; None when no source tells.
        days_left: Days until then, negative afterwards; None when no source tells.
        replacement: What the provider recommends instead; None where it names nothing.
        replacement_can_be_fine_tuned: Whether fine-tuning is offered for that; None without one.
        visible: Whether the key sees it among its models or its jobs; False when only the
            organization's history knows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    base: str
    checkpoint_step: int | None = None
    created_at: UtcDatetime | None = None
    last_inference: Inference | None = None
    shutdown: Shutdown | None = None
    days_left: int | None = None
    replacement: str | None = None
    replacement_can_be_fine_tuned: bool | None = None
    visible: bool


class Inventory(BaseModel):
    """All fine-tuned models that are known, at one moment.

    Attributes:
        models: The models: what ends first stands first, what has no known end last.
        as_of: The moment, in UTC.
        complete: Whether the API answered all that was asked and was read to its end. A key sees its
            own project only.
        failure: The API's first error, as status and code; None when it gave none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[ModelRecord, ...]
    as_of: UtcDatetime
    complete: bool
    failure: str | None = None


@dataclass(frozen=True)
class Visible:
    """What a key can see.

    Attributes:
        created: The fine-tuned models and when each was made; None when the API did not say.
        announced: What the API said about shutdown dates, of base models too.
        fine_tuned_by: A moment at which fine-tuning had certainly happened; None without a trace.
        complete: Whether all that was asked for was answered and read to its end.
        reply: The last answer, which names the organization; None when nothing was answered.
        failure: The first error of the API; None when all was answered.
    """

    created: Mapping[str, datetime | None]
    announced: Mapping[str, Announced]
    fine_tuned_by: datetime | None
    complete: bool
    reply: Reply | None
    failure: openai.APIError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything the key may see was read and held no trace of fine-tuning."""
        return self.complete and self.fine_tuned_by is None


def read_inventory() -> Flow[Visible]:
    """Ask for every fine-tuned model and every fine-tuning job that the key can see.

    Both lists are always asked for. An error of the API makes the answer incomplete and is not raised.
    """
    reading = _Reading()
    yield from reading.ask("/models", {}, reading.take_models)
    yield from _read_jobs(reading)
    return Visible(
        created=reading.created,
        announced=reading.announced,
        fine_tuned_by=reading.fine_tuned_by(),
        complete=reading.complete,
        reply=reading.reply,
        failure=reading.failure,
    )


def _read_jobs(reading: _Reading) -> Flow[None]:
    query: dict[str, object] = {"limit": _PAGE_SIZE}
    followed: set[str] = set()
    for _ in range(_MOST_JOB_PAGES):
        page = yield from reading.ask("/fine_tuning/jobs", query, reading.take_jobs)
        if not has_more(page):
            return
        after = cursor(page)
        if after is None or after in followed:
            break
        followed.add(after)
        query = {"limit": _PAGE_SIZE, "after": after}
    reading.complete = False


@dataclass
class _Reading:
    created: dict[str, datetime | None] = field(default_factory=dict)
    announced: dict[str, Announced] = field(default_factory=dict)
    traces: list[datetime | None] = field(default_factory=list)
    complete: bool = True
    reply: Reply | None = None
    failure: openai.APIError | None = None

    def ask(self, path: str, query: Mapping[str, object], take: Callable[[Reply], None]) -> Flow[Any]:
        """Ask for a list, or a page of one, and return its body; None for an error, which is kept."""
        try:
            reply = yield ApiCall("get", path, query=query)
        except openai.APIError as error:
            self.complete = False
            self.failure = self.failure or error
            return None
        assert reply is not None
        self.reply = reply
        self.complete = self.complete and is_list(reply.body)
        take(reply)
        return reply.body

    def take_models(self, reply: Reply) -> None:
        """Note what the list of models tells."""
        self.announced = announcements(reply.body, reply.at)
        for row in rows(reply.body):
            if FineTunedModel.parse(row.get("id")) is not None:
                self.note(row["id"], row.get("created"))

    def take_jobs(self, page: Reply) -> None:
        """Note what a page of jobs tells."""
        for row in rows(page.body):
            if isinstance(row.get("id"), str):
                self.note(row.get("fine_tuned_model"), row.get("created_at"), row.get("finished_at"))

    def note(self, model: object, begun: object, made: object = None) -> None:
        """Note a trace of fine-tuning that had begun at a time, and the model, if any, that came of it."""
        self.traces.append(_moment(begun))
        fine_tuned = FineTunedModel.parse(model)
        if fine_tuned is not None:
            self.created[fine_tuned.id] = self.created.get(fine_tuned.id) or _moment(made) or _moment(begun)

    def fine_tuned_by(self) -> datetime | None:
        """The earliest moment that the traces prove; when they give none, that of the answer."""
        if not self.traces or self.reply is None:
            return None
        answered = self.reply.at
        return min(
            (moment for moment in self.traces if moment is not None and moment < answered), default=answered
        )


def joined(found: Visible, history: History, dates: ShutdownDates, now: datetime) -> Inventory:
    """Return what is known of every model that the API told of or that the history remembers.

    Args:
        found: What the key can see; what the API said there about shutdown dates counts too.
        history: What is remembered about the organization.
        dates: What else is known about the ends of models.
        now: The moment; an aware datetime.
    """
    as_of = aware_utc(now)
    dates = dates.with_announced(found.announced)
    known = (FineTunedModel.parse(model_id) for model_id in {**history.models, **found.created})
    records = [_record(model, found, history, dates, as_of.date()) for model in known if model is not None]
    return Inventory(
        models=tuple(sorted(records, key=_order)),
        as_of=as_of,
        complete=found.complete,
        failure=in_short(found.failure) if found.failure is not None else None,
    )


def _record(
    model: FineTunedModel, found: Visible, history: History, dates: ShutdownDates, today: date
) -> ModelRecord:
    shutdown = dates.of(model.id)
    replacement = dates.replacement_of(model.id)
    return ModelRecord(
        id=model.id,
        base=model.base,
        checkpoint_step=model.step,
        created_at=found.created.get(model.id),
        last_inference=history.models.get(model.id),
        shutdown=shutdown,
        days_left=shutdown.days_left(today) if shutdown is not None else None,
        replacement=replacement,
        replacement_can_be_fine_tuned=dates.can_be_fine_tuned(replacement) if replacement else None,
        visible=model.id in found.created,
    )


def _order(record: ModelRecord) -> tuple[bool, date, str]:
    day = record.shutdown.day if record.shutdown is not None else date.max
    return record.shutdown is None, day, record.id


def _moment(second: Any) -> datetime | None:
    if not isinstance(second, int) or isinstance(second, bool) or not 0 < second <= _END_OF_TIME:
        return None
    return datetime.fromtimestamp(second, timezone.utc)
