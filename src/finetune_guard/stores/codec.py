"""The text of a stored history's rows, written and read.

Every row begins with the version of its form. A row may hold more than this release understands, since a
later release may have added a field or a source: that is passed over when the row is read, and kept when it
is written again. An unknown field of a row stays for good. One inside a fact of the row, such as the latest
inference, stays until another fact takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from finetune_guard.domain.facts import Inference, Source
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.domain.text import Line
from finetune_guard.stores.base import store_error
from finetune_guard.stores.keys import MAX_NAME_LENGTH

SCHEMA_VERSION = 1
"""The form of keys and rows; a store that says a higher one is left alone."""

_TAG = f"{SCHEMA_VERSION}:"
_T = TypeVar("_T")


class HeldLease(BaseModel):
    """A lease as it is written down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    since: float
    until: float

    def holds_at(self, now: float) -> bool:
        """Tell whether nobody else may take it at ``now``.

        A clock that was set back by more than the lease's own time ends it: else a lease taken while
        the clock was a year ahead would bar everyone for a year.
        """
        return self.since - (self.until - self.since) <= now < self.until


class UnreadableRowError(ValueError):
    """A row holds something that was never written there by this library."""


class Form(Generic[_T]):
    """How facts of one kind are written as the text of a row, and how that text is read."""

    def __init__(self, fact: Any, to_json: Callable[[Any], str] = BaseModel.model_dump_json) -> None:
        self._adapter: TypeAdapter[_T] = TypeAdapter(fact)
        self._to_json = to_json

    def text(self, fact: _T, *found: str) -> str:
        """Return the row of ``fact``, with the fields of ``found`` that this release doesn't know."""
        text = self._to_json(fact)
        for each in found:
            was, understood = each[len(_TAG) :], self._to_json(self.read(each))
            if was != understood:
                text = json.dumps(_kept(*map(json.loads, (text, was, understood))))
        return _TAG + text

    def read(self, value: object) -> _T:
        """Return the fact that a row holds, or raise an ``UnreadableRowError``."""
        if not isinstance(value, str) or not value.startswith(_TAG):
            raise UnreadableRowError(f"a row does not begin with {_TAG!r}, the version of its form")
        text = value[len(_TAG) :]
        try:
            try:
                return self._adapter.validate_json(text)
            except ValidationError as exc:
                return self._adapter.validate_json(_understood(text, exc))
        except (ValueError, OverflowError, RecursionError) as exc:
            # The text of a ValidationError repeats the row, whatever it says, over many lines.
            raise UnreadableRowError("a row is not what was written there") from exc


def _counts_json(counts: Mapping[Source, int]) -> str:
    return json.dumps({source.value: min(count, _MOST_COUNTED) for source, count in counts.items()})


_MOST_COUNTED = 10**18
EVIDENCE: Form[Evidence] = Form(Evidence, lambda each: each.model_dump_json(exclude_none=True))
INFERENCE: Form[Inference] = Form(Inference, lambda each: each.model_dump_json(exclude_none=True))
COUNTS: Form[Mapping[Source, int]] = Form(
    dict[Source, Annotated[int, Field(ge=0, le=_MOST_COUNTED)]], _counts_json
)
ANNOUNCED: Form[Announced] = Form(Announced)
LEASE: Form[HeldLease] = Form(HeldLease)
SALT: Form[str] = Form(
    Annotated[str, Field(pattern="^([0-9a-f]{2})+$", max_length=MAX_NAME_LENGTH)], json.dumps
)
TEXT: Form[str] = Form(Annotated[Line, Field(max_length=MAX_NAME_LENGTH)], json.dumps)


def evidence_from(value: object, organization: str) -> Evidence:
    """Return the summary of ``organization`` that ``value`` holds."""
    evidence = EVIDENCE.read(value)
    if evidence.organization != organization:
        raise UnreadableRowError(f"the summary of {organization!r} is that of another organization")
    last = evidence.last_inference
    names = (last.organization, last.model) if last is not None else ()
    if not all(name.isprintable() and len(name) <= MAX_NAME_LENGTH for name in names):
        # No store was ever given it as a name: it would be shown, and may be sent.
        raise UnreadableRowError("a row has a name that is none")
    return evidence


def inference_from(value: object, organization: str, model: str) -> Inference:
    """Return the latest inference of ``model`` that ``value`` holds."""
    inference = INFERENCE.read(value)
    if (inference.organization, inference.model) != (organization, model):
        raise UnreadableRowError(f"the row of the model {model!r} is that of another one")
    return inference


def day_from(name: str) -> date:
    """Return the day that a row is about."""
    try:
        return date.fromisoformat(name)
    except ValueError as exc:
        raise UnreadableRowError(f"{name[:40]!r} is not a day") from exc


def lease_text(token: str, now: float, ttl: timedelta) -> str:
    """Return the row of a lease that is taken ``now``."""
    return LEASE.text(HeldLease(token=token, since=now, until=now + ttl.total_seconds()))


def renamed(text: str, organization: str) -> str:
    """Return a row of a history, which must have been read, as that of another organization."""
    row = json.loads(text[len(_TAG) :])
    for fact in (row, row.get("last_inference")):
        if isinstance(fact, dict) and "organization" in fact:
            fact["organization"] = organization
    return _TAG + json.dumps(row)


def check_schema(version: object, where: str, elsewhere: str) -> None:
    """Refuse a history that a later release wrote, or another program."""
    if version == SCHEMA_VERSION:
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise store_error(
            f"The history {where} was not used: a newer finetune-guard wrote it (form {version}; this "
            f"release knows form {SCHEMA_VERSION}). Nothing was changed.",
            f"Upgrade finetune-guard, or {elsewhere}.",
        )
    raise store_error(
        f"The history {where} was not used: what is there is not one of finetune-guard's. "
        "Nothing was changed.",
        f"{elsewhere[:1].upper()}{elsewhere[1:]}.",
    )


def _understood(text: str, invalid: ValidationError) -> str:
    """Return the JSON of a row without its unknown fields and sources; raise ``invalid`` if more is wrong."""
    row = json.loads(text)
    for error in invalid.errors(include_url=False, include_context=False):
        where = error["loc"]
        if error["type"] == "extra_forbidden":
            _parent(row, where).pop(where[-1], None)
        elif error["type"] != "enum" or not isinstance(error["input"], str):
            raise invalid
        elif where[-1] == "[key]":  # the count of an unknown source
            _parent(row, where[:-1]).pop(where[-2], None)
        else:  # of all sources this one says least about where the inference was seen
            _parent(row, where)[where[-1]] = Source.IMPORTED.value
    return json.dumps(row)


def _parent(row: Any, where: tuple[int | str, ...]) -> Any:
    for name in where[:-1]:
        row = row[name]
    return row


def _kept(new: dict[str, Any], was: dict[str, Any], understood: dict[str, Any]) -> dict[str, Any]:
    """Return the row ``new`` with what ``was`` there and is not in ``understood``."""
    if new == understood:
        return was
    unknown = {name: value for name, value in was.items() if name not in understood and name not in new}
    known = {name: _as_it_was(value, was.get(name), understood.get(name)) for name, value in new.items()}
    return known | unknown


def _as_it_was(new: Any, was: Any, understood: Any) -> Any:
    """Return a fact of a row as it was found, if it is the same still."""
    if isinstance(new, dict) and new == understood:
        return was
    if isinstance(new, list) and isinstance(was, list):
        facts = {json.dumps(each): was[place] for place, each in enumerate(understood or ())}
        return [facts.get(json.dumps(each), each) for each in new]
    return new
