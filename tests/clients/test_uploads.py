"""A training file that no job could follow is not uploaded."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from both_ways import done
from conftest import BASE

from finetune_guard import InferenceWindowExpiredError

pytestmark = pytest.mark.anyio

DATA = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
UPLOADS = {
    "file": lambda client, purpose, file: client.files.create(purpose=purpose, file=file),
    "raw file": lambda client, purpose, file: client.files.with_raw_response.create(
        purpose=purpose, file=file
    ),
    "upload": lambda client, purpose, _: client.uploads.create(
        purpose=purpose, bytes=len(DATA), filename="a.jsonl", mime_type="application/jsonl"
    ),
}
by_every_way = pytest.mark.parametrize("upload", UPLOADS.values(), ids=UPLOADS)


class Untouchable(io.BytesIO):
    """A file that must not be read."""

    name = "train.jsonl"

    def read(self, *_):
        raise AssertionError("the file was read")


@pytest.fixture
async def lapsed(client, infer, clock, sim):
    """A client whose organization's window has lapsed."""
    await infer(client)
    clock.advance(timedelta(days=61))
    sim.clear_calls()
    return client


@by_every_way
async def test_it_is_stopped_before_a_byte_is_read(lapsed, sim, upload):
    """When no job can be created the file isn't even read."""
    with pytest.raises(InferenceWindowExpiredError, match=r"^The training file was not uploaded: "):
        await done(upload(lapsed, "fine-tune", Untouchable(DATA)))
    assert () == sim.calls


@by_every_way
async def test_it_goes_through_while_jobs_can_be_created(client, infer, upload):
    """With an open window files are uploaded as ever."""
    await infer(client)
    await done(upload(client, "fine-tune", ("a.jsonl", DATA)))


@by_every_way
async def test_it_goes_through_when_nothing_is_known(client, sim, upload):
    """An upload is never stopped on a guess, and asks the API for nothing."""
    await done(upload(client, "fine-tune", ("a.jsonl", DATA)))
    assert 1 == len(sim.calls)


@by_every_way
@pytest.mark.parametrize("purpose", ["assistants", "batch", "user_data"])
async def test_other_purposes_are_left_alone(lapsed, upload, purpose):
    """Only training files are of no use without a job."""
    await done(upload(lapsed, purpose, ("a.jsonl", DATA)))


@by_every_way
async def test_the_check_can_be_turned_off(lapsed, connect, sim, upload):
    """With ``check_uploads=False`` files go through; jobs are still stopped."""
    client = connect(config={"check_uploads": False})
    await done(upload(client, "fine-tune", ("a.jsonl", DATA)))
    assert 1 == len(sim.calls)
    with pytest.raises(InferenceWindowExpiredError):
        await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))


async def test_a_purpose_in_extra_body_counts(lapsed, sim):
    """What ``extra_body`` says wins, as it does on the wire."""
    with pytest.raises(InferenceWindowExpiredError):
        await done(
            lapsed.files.create(purpose="batch", file=Untouchable(DATA), extra_body={"purpose": "fine-tune"})
        )
    assert () == sim.calls
