"""Encodes and decodes the rows of a stored history.

Every row starts with its format version. A field without a value is not written, and one that is missing has
its default. A later release may add a field or a source: this release ignores it when reading and keeps it
when writing. An unknown field of a row stays for good. One inside a fact of the
row, such as the latest inference, stays until that fact is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Inference, Source
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.domain.text import Line
from finetune_guard.stores.keys import MAX_NAME_LENGTH

SCHEMA_VERSION = 1
"""The format version of keys and rows; a store with a higher one is not used."""

_TAG = f"{SCHEMA_VERSION}:"
_T = TypeVar("_T")


class HeldLease(BaseModel):
    """A lease as stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    since: float
    until: float

    def holds_at(self, now: float) -> bool:
        """Whether the lease is still held at ``now``.

        It also ends if the clock was set back by more than its duration: else a lease taken while the clock
        was a year ahead would block everyone for a year.
        """
        return self.since - (self.until - self.since) <= now < self.until


class UnreadableRowError(ValueError):
    """A row has content that this library never writes."""


class Form(Generic[_T]):
    """Encodes and decodes facts of one kind as the text of a row."""

    def __init__(self, fact: Any, to_json: Callable[[Any], str] = BaseModel.model_dump_json) -> None:
        self._adapter: TypeAdapter[_T] = TypeAdapter(fact)
        self._to_json = to_json

    def text(self, fact: _T, *stored: str) -> str:
        """Return the row for ``fact``, with the unknown fields of the rows ``stored``."""
        text = self._to_json(fact)
        for row in stored:
            original, known_part = row[len(_TAG) :], self._to_json(self.read(row))
            if original != known_part:
                text = json.dumps(_with_unknown(*map(json.loads, (text, original, known_part))))
        return _TAG + text

    def read(self, value: object) -> _T:
        """Decode the fact in a row, or raise an ``UnreadableRowError``."""
        if not isinstance(value, str) or not value.startswith(_TAG):
            raise UnreadableRowError(f"a row does not begin with {_TAG!r}, the version of its form")
        text = value[len(_TAG) :]
        try:
            try:
                return self._adapter.validate_json(text)
            except ValidationError as exc:
                return self._adapter.validate_json(_without_unknown(text, exc))
        except (ValueError, OverflowError, RecursionError) as exc:
            # A ValidationError's message would repeat the row's content over many lines.
            raise UnreadableRowError("a row is not what was written there") from exc


_MOST_COUNTED = 10**18
EVIDENCE: Form[Evidence] = Form(Evidence, lambda each: each.model_dump_json(exclude_none=True))
INFERENCE: Form[Inference] = Form(Inference, lambda each: each.model_dump_json(exclude_none=True))
COUNTS: Form[Mapping[Source, int]] = Form(
    dict[Source, Annotated[int, Field(ge=0, le=_MOST_COUNTED)]],
    lambda counts: json.dumps({source.value: min(n, _MOST_COUNTED) for source, n in counts.items()}),
)
ANNOUNCED: Form[Announced] = Form(Announced)
LEASE: Form[HeldLease] = Form(HeldLease)
SALT: Form[str] = Form(
    Annotated[str, Field(pattern="^([0-9a-f]{2})+$", max_length=MAX_NAME_LENGTH)], json.dumps
)
TEXT: Form[str] = Form(Annotated[Line, Field(max_length=MAX_NAME_LENGTH)], json.dumps)


def evidence_from(value: object, organization: str) -> Evidence:
    """Decode the summary of ``organization`` in ``value``."""
    evidence = EVIDENCE.read(value)
    if evidence.organization != organization:
        raise UnreadableRowError(f"the summary of {organization!r} is that of another organization")
    last = evidence.last_inference
    names = (last.organization, last.model) if last is not None else ()
    if not all(name.isprintable() and len(name) <= MAX_NAME_LENGTH for name in names):
        # No store accepts such a name, which would be shown and may be sent.
        raise UnreadableRowError("a row has a name that is none")
    return evidence


def inference_from(value: object, organization: str, model: str) -> Inference:
    """Decode the latest inference of ``model`` in ``value``."""
    inference = INFERENCE.read(value)
    if (inference.organization, inference.model) != (organization, model):
        raise UnreadableRowError(f"the row of the model {model!r} is that of another one")
    return inference


def day_from(name: str) -> date:
    """Return the day in a row's name."""
    try:
        return date.fromisoformat(name)
    except ValueError as exc:
        raise UnreadableRowError(f"{name[:40]!r} is not a day") from exc


def lease_text(token: str, now: float, ttl: timedelta) -> str:
    """Return the row of a lease that is taken ``now``."""
    return LEASE.text(HeldLease(token=token, since=now, until=now + ttl.total_seconds()))


def with_organization(text: str, organization: str) -> str:
    """Return a row, which must have been decoded before, for another organization."""
    row = json.loads(text[len(_TAG) :])
    for fact in (row, row.get("last_inference")):
        if isinstance(fact, dict) and "organization" in fact:
            fact["organization"] = organization
    return _TAG + json.dumps(row)


def check_schema(version: object, where: str, elsewhere: str) -> None:
    """Refuse a history written by a later release or another program."""
    if version == SCHEMA_VERSION:
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(
            f"The history {where} was not used: a newer finetune-guard wrote it (form {version}; this "
            f"release knows form {SCHEMA_VERSION}). Nothing was changed.",
            remedy=f"Upgrade finetune-guard, or {elsewhere}.",
        )
    raise StoreError(
        f"The history {where} was not used: what is there is not one of finetune-guard's. "
        "Nothing was changed.",
        remedy=f"{elsewhere[:1].upper()}{elsewhere[1:]}.",
    )


def _without_unknown(text: str, invalid: ValidationError) -> str:
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
        else:  # the least specific source
            _parent(row, where)[where[-1]] = Source.IMPORTED.value
    return json.dumps(row)


def _parent(row: Any, where: tuple[int | str, ...]) -> Any:
    for name in where[:-1]:
        row = row[name]
    return row


def _with_unknown(
    new: dict[str, Any], original: dict[str, Any], known_part: dict[str, Any]
) -> dict[str, Any]:
    """Return the row ``new`` with the fields of ``original`` that are not in ``known_part``."""
    if new == known_part:
        return original
    unknown = {name: value for name, value in original.items() if name not in known_part and name not in new}
    known = {
        name: _restored(value, original.get(name, value), known_part.get(name)) for name, value in new.items()
    }
    return known | unknown


def _restored(new: Any, original: Any, known_part: Any) -> Any:
    """Return a fact with its unknown fields, if it has not changed."""
    if isinstance(new, dict) and new == known_part:
        return original
    if isinstance(new, list) and isinstance(original, list):
        facts = {json.dumps(each): original[index] for index, each in enumerate(known_part or ())}
        return [facts.get(json.dumps(each), each) for each in new]
    return new
