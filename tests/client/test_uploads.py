"""A training file is not uploaded if its job would be stopped."""

from __future__ import annotations

import io
import warnings
from datetime import timedelta

import pytest

from finetune_guard import EligibilityWarning, InferenceWindowExpiredError, NotEligibleError
from tests.client.flavours import done
from tests.support.constants import BASE, TRAINING_DATA
from tests.support.stores import Unreadable

pytestmark = pytest.mark.anyio

UPLOADS = {
    "file": lambda client, purpose, file: client.files.create(purpose=purpose, file=file),
    "raw file": lambda client, purpose, file: client.files.with_raw_response.create(
        purpose=purpose, file=file
    ),
    "upload": lambda client, purpose, _: client.uploads.create(
        purpose=purpose, bytes=len(TRAINING_DATA), filename="a.jsonl", mime_type="application/jsonl"
    ),
    "raw upload": lambda client, purpose, _: client.uploads.with_raw_response.create(
        purpose=purpose, bytes=len(TRAINING_DATA), filename="a.jsonl", mime_type="application/jsonl"
    ),
}


def upload_file(client, file=("a.jsonl", TRAINING_DATA)):
    return client.files.create(purpose="fine-tune", file=file)


by_every_way = pytest.mark.parametrize("upload", UPLOADS.values(), ids=UPLOADS)


class UnreadableFile(io.BytesIO):
    """A file that must not be read."""

    name = "train.jsonl"

    def read(self, *_):
        raise AssertionError("the file was read")

    read1 = readinto = readline = readlines = seek = __iter__ = __next__ = getvalue = getbuffer = read


@pytest.fixture
async def lapsed(client, infer, clock, sim):
    """A client whose organization's window has lapsed."""
    await infer(client)
    clock.advance(timedelta(days=61))
    sim.clear_calls()
    return client


def upload_chunked(client, purpose, _):
    what = {"filename": "a.jsonl", "bytes": len(TRAINING_DATA), "mime_type": "application/jsonl"}
    return client.uploads.upload_file_chunked(file=TRAINING_DATA, purpose=purpose, **what)


def upload_by_extra_body(client, purpose, file):
    return client.files.create(purpose="batch", file=file, extra_body={"purpose": purpose})


@pytest.mark.parametrize(
    "upload",
    [*UPLOADS.values(), upload_chunked, upload_by_extra_body],
    ids=[*UPLOADS, "chunked", "extra body"],
)
async def test_upload_is_stopped_before_the_file_is_read(lapsed, sim, upload):
    with pytest.raises(InferenceWindowExpiredError, match=r"^The training file was not uploaded: "):
        await done(upload(lapsed, "fine-tune", UnreadableFile(TRAINING_DATA)))
    assert ["/v1/models"] == [call.path for call in sim.calls]  # to be told the time


@pytest.mark.parametrize("seen_elsewhere", [False, True], ids=["nothing known", "lapsed here"])
async def test_upload_is_stopped_exactly_when_a_job_would_be(connect, infer, clock, sim, seen_elsewhere):
    client = connect()
    if seen_elsewhere:
        await infer(client)
        clock.advance(timedelta(days=61))
    sim.clear_calls()
    outcomes = []
    for call in (
        lambda client: upload_file(client, UnreadableFile(TRAINING_DATA)),
        lambda client: client.fine_tuning.jobs.create(model=BASE, training_file="file-x"),
    ):
        with pytest.raises(NotEligibleError) as caught:
            await done(call(client))
        outcomes.append((type(caught.value), caught.value.eligibility.reason))
    assert outcomes[0] == outcomes[1]
    assert {"GET"} >= {call.method for call in sim.calls}
    for setting in ("warn", "allow"):
        with warnings.catch_warnings(record=True) as recorded:
            warnings.simplefilter("always")
            await done(upload_file(connect(config={"on_unknown": setting})))
        assert ([EligibilityWarning] if setting == "warn" else []) == [
            warning.category for warning in recorded
        ]


@by_every_way
async def test_uploads_for_other_purposes_are_left_alone(lapsed, upload):
    await done(upload(lapsed, "batch", ("a.jsonl", TRAINING_DATA)))


@by_every_way
async def test_check_uploads_false_stops_no_upload(lapsed, connect, sim, upload):
    client = connect(config={"check_uploads": False})
    await done(upload(client, "fine-tune", ("a.jsonl", TRAINING_DATA)))
    assert 1 == len(sim.calls)
    with pytest.raises(InferenceWindowExpiredError):
        await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))


async def test_unreadable_history_stops_no_upload(connect, sim):
    await done(upload_file(connect(config={"store": Unreadable()})))
    assert ["POST"] == [call.method for call in sim.calls if call.method != "GET"]
