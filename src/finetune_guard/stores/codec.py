"""What the rows of a stored history say, as text, and how that text is read back.

Every value begins with the version of its form, so that a later release can tell old from new.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from finetune_guard.domain.history import Evidence, Inference, Source
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.domain.text import Line
from finetune_guard.stores.keys import MAX_NAME_LENGTH

SCHEMA_VERSION = 1
"""The form of keys and rows; a store that says a higher one is left alone."""

_TAG = f"{SCHEMA_VERSION}:"


class HeldLease(BaseModel):
    """A lease as it is written down.

    Attributes:
        token: What tells its holder from every other.
        since: When it was taken, in seconds since 1970 by the machine's clock.
        until: When its time has passed.
    """

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


_EVIDENCE = TypeAdapter(Evidence)
_INFERENCE = TypeAdapter(Inference)
_ANNOUNCED = TypeAdapter(Announced)
_LEASE = TypeAdapter(HeldLease)
_MOST_COUNTED = 10**18
_COUNTS = TypeAdapter(dict[Source, Annotated[int, Field(ge=0, le=_MOST_COUNTED)]])
_TEXT = TypeAdapter(Annotated[Line, Field(max_length=MAX_NAME_LENGTH)])
_T = TypeVar("_T")


class UnreadableRowError(ValueError):
    """A row holds something that was never written there by this library."""


def evidence_text(evidence: Evidence) -> str:
    """Return the row of an organization's summary."""
    return _TAG + evidence.model_dump_json(exclude_none=True)


def evidence_from(value: object, organization: str) -> Evidence:
    """Return the summary of ``organization`` that ``value`` holds."""
    evidence = _read(_EVIDENCE, value)
    if evidence.organization != organization:
        raise UnreadableRowError(f"the summary of {organization!r} is that of another organization")
    if evidence.last_inference is not None:
        _must_be_names(evidence.last_inference.organization, evidence.last_inference.model)
    return evidence


def inference_text(inference: Inference) -> str:
    """Return the row of a model's latest inference."""
    return _TAG + inference.model_dump_json()


def inference_from(value: object, organization: str, model: str) -> Inference:
    """Return the latest inference of ``model`` that ``value`` holds."""
    inference = _read(_INFERENCE, value)
    if (inference.organization, inference.model) != (organization, model):
        raise UnreadableRowError(f"the row of the model {model!r} is that of another one")
    return inference


def counts_text(counts: dict[Source, int]) -> str:
    """Return the row of a day."""
    return _TAG + json.dumps({source.value: min(count, _MOST_COUNTED) for source, count in counts.items()})


def counts_from(value: object) -> dict[Source, int]:
    """Return how many inferences of each source a day had."""
    return _read(_COUNTS, value)


def day_from(name: str) -> date:
    """Return the day that a row is about."""
    try:
        return date.fromisoformat(name)
    except ValueError as exc:
        raise UnreadableRowError(f"{name[:40]!r} is not a day") from exc


def announced_text(announced: Announced) -> str:
    """Return the row of what the API said about a model's end."""
    return _TAG + announced.model_dump_json()


def announced_from(value: object) -> Announced:
    """Return what the API said about a model's end."""
    return _read(_ANNOUNCED, value)


def lease_text(lease: HeldLease) -> str:
    """Return the row of a lease."""
    return _TAG + lease.model_dump_json()


def lease_from(value: object) -> HeldLease:
    """Return the lease that ``value`` holds."""
    return _read(_LEASE, value)


def plain_text(text: str) -> str:
    """Return the row of a text: an alias's organization, the salt."""
    return _TAG + json.dumps(text)


def text_from(value: object) -> str:
    """Return the text that ``value`` holds."""
    return _read(_TEXT, value)


def salt_from(value: object) -> bytes:
    """Return the salt that ``value`` holds."""
    try:
        return bytes.fromhex(text_from(value))
    except ValueError as exc:
        raise UnreadableRowError("the salt is not what was written there") from exc


def _must_be_names(*texts: str) -> None:
    """Refuse what no store was ever given as a name: it would be shown, and may be sent."""
    if not all(text.isprintable() and len(text) <= MAX_NAME_LENGTH for text in texts):
        raise UnreadableRowError("a row has a name that is none")


def _read(adapter: TypeAdapter[_T], value: object) -> _T:
    if not isinstance(value, str) or not value.startswith(_TAG):
        raise UnreadableRowError(f"a row does not begin with {_TAG!r}, the version of its form")
    try:
        return adapter.validate_json(value[len(_TAG) :])
    except (ValidationError, OverflowError) as exc:
        # The text of a ValidationError repeats the row, whatever it says, over many lines.
        raise UnreadableRowError("a row is not what was written there") from exc
