"""What holds for whatever stands in a store, whoever wrote it there."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from functools import partial

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.openai_api.requests import JobCreation
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.messages import describe_cause, stopped
from finetune_guard.stores import codec
from finetune_guard.stores.codec import UnreadableRowError
from finetune_guard.stores.keys import MAX_NAME_LENGTH, key, split_key
from finetune_guard.stores.redis import rows as redis_rows

MODEL = "ft:gpt-4o:acme::1"

NOWS = [datetime(year, month, 9, 12, tzinfo=timezone.utc) for year in (2026, 2027) for month in (3, 6, 7, 11)]
LONGEST_MESSAGE = 4_000


def is_clean(text):
    """Whether a text can be shown on one line."""
    return text.isprintable() and len(text) <= LONGEST_MESSAGE


def read(how, *errors):
    """Return the result of ``how``, or None after one of ``errors``, whose text forges nothing."""
    try:
        return how()
    except errors as error:
        message = str(error)
    assert is_clean(message)
    return None


def decides(evidence):
    """Whatever is known, an answer is given, and its words forge nothing."""
    for now in NOWS:
        eligibility = decide(OPENAI_SELF_SERVE, evidence, now)
        assert is_clean(describe_cause(eligibility))
        message = stopped(JobCreation(None), eligibility, OPENAI_SELF_SERVE)
        assert 4 >= len(message.split("\n"))
        assert all(map(is_clean, message.split("\n")))
        assert json.loads(eligibility.model_dump_json())


def summary_row(value):
    """A summary is what was written there or an error; whatever it says, a decision can be made of it."""
    evidence = read(lambda: codec.evidence_from(value, "acme"), UnreadableRowError)
    if evidence is None:
        return
    assert evidence == codec.evidence_from(codec.EVIDENCE.text(evidence), "acme")
    decides(evidence)
    decides(evidence.merged(Evidence(organization="acme")))


def model_row(value):
    """A model's row is that model's or an error."""
    inference = read(lambda: codec.inference_from(value, "acme", MODEL), UnreadableRowError)
    if inference is None:
        return
    assert ("acme", MODEL) == (inference.organization, inference.model)
    assert inference == codec.inference_from(codec.INFERENCE.text(inference), "acme", MODEL)
    decides(Evidence(organization="acme", last_inference=inference))


def day_row(value):
    """A day's counts are numbers that can be added, written and shown, or an error."""
    counts = read(lambda: codec.COUNTS.read(value), UnreadableRowError)
    if counts is None:
        return
    day = date(2026, 7, 1)
    once = History(evidence=Evidence(organization="acme"), daily={day: counts})
    twice = {source: 2 * count for source, count in counts.items()}
    again = codec.COUNTS.read(codec.COUNTS.text(twice))
    assert all(again[source] >= count for source, count in counts.items())
    assert len(f"{once.inferences_on(day):,}") < 40


def shutdown_row(value):
    """What the API said about a model's end is a day or an error."""
    announced = read(lambda: codec.ANNOUNCED.read(value), UnreadableRowError)
    if announced is None:
        return
    assert announced == codec.ANNOUNCED.read(codec.ANNOUNCED.text(announced))
    dates = ShutdownDates(published_catalog(), {"gpt-4o-2024-08-06": announced})
    for now in NOWS:
        assert isinstance(dates.is_over("ft:gpt-4o-2024-08-06:acme::1", now.date()), bool)


def text_row(value):
    """What an alias stands for is a name or an error."""
    name = read(lambda: codec.TEXT.read(value), UnreadableRowError)
    if name is None:
        return
    assert name.isprintable()
    assert MAX_NAME_LENGTH >= len(name)
    assert name == codec.TEXT.read(codec.TEXT.text(name))


def salt_row(value):
    """The salt is bytes or an error."""
    salt = read(lambda: codec.SALT.read(value), UnreadableRowError)
    assert salt is None or salt == bytes.fromhex(salt).hex()


def lease_row(value):
    """A lease holds or it doesn't, for whatever time it names."""
    lease = read(lambda: codec.LEASE.read(value), UnreadableRowError)
    if lease is None:
        return
    assert isinstance(lease.holds_at(1.8e9), bool)


def list_of_names(value):
    """A list of names is one of names that a store keeps, or an error; adding to it changes nothing else."""
    if not isinstance(value, str):
        return
    names = read(lambda: redis_rows.NAMES.read(value), UnreadableRowError)
    if names is None:
        return
    longer = redis_rows.changed_index(value, {"another": True})
    assert all(name.isprintable() and len(name) <= MAX_NAME_LENGTH for name in names)
    assert redis_rows.MAX_ROWS >= len(names)
    assert list(dict.fromkeys([*names, "another"])) == redis_rows.NAMES.read(longer)


def raw_value(value):
    """The bytes of a row on a server are text within bounds, or an error."""
    for row in (("evidence", "acme"), ("salt",), redis_rows.index_of(("evidence",))):
        text = read(partial(redis_rows.text_of, row, value), UnreadableRowError)
        assert text is None or len(text) <= redis_rows.max_bytes(row)


def row_key(text):
    """A key is that of a row, made of names that can be shown, or an error."""
    named = read(lambda: split_key(text), RecursionError, ValueError)
    if named:
        assert all(part.isprintable() for part in named)
        if all(len(name) <= MAX_NAME_LENGTH for name in named):
            assert named == split_key(key(*named))


ROWS = {
    "summary": summary_row,
    "model": model_row,
    "day": day_row,
    "shutdown": shutdown_row,
    "text": text_row,
    "salt": salt_row,
    "lease": lease_row,
    "names": list_of_names,
}
"""For each kind of row, what holds for its text."""
