from __future__ import annotations

from datetime import timedelta

import openai
import pytest

DATA = b'{"messages": [{"role": "user", "content": "hello"}]}\n'
PREFERENCE = b'{"input": {}, "preferred_output": [], "non_preferred_output": []}\n'


def test_a_file_comes_back(client):
    """An uploaded file can be read, listed and deleted."""
    created = client.files.create(file=("train.jsonl", DATA), purpose="fine-tune")

    assert (created.filename, created.bytes, created.purpose) == ("train.jsonl", len(DATA), "fine-tune")
    assert client.files.retrieve(created.id) == created
    assert client.files.content(created.id).read() == DATA
    assert client.files.wait_for_processing(created.id).status == "processed"
    assert client.files.delete(created.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(created.id)


@pytest.mark.parametrize("content", [DATA * 3, PREFERENCE, b"\n" + DATA])
def test_training_files(client, content):
    """Conversations and preferences are training data."""
    assert client.files.create(file=("t.jsonl", content), purpose="fine-tune").id


@pytest.mark.parametrize("content", [b"\n", b"{}\n", DATA + b"{\n"])
def test_what_is_no_training_file(client, content):
    """A file that can't train anything is refused at once."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=("t.jsonl", content), purpose="fine-tune")

    assert caught.value.code == "invalid_file_format"


def test_files_belong_to_one_organization(sim, client, connect):
    """Another organization can't see a file."""
    created = client.files.create(file=("t.jsonl", DATA), purpose="fine-tune")
    theirs = connect(sim, sim.add_organization(slug="globex-77", api_key="sk-simulated-globex"))

    assert list(theirs.files.list()) == []
    with pytest.raises(openai.NotFoundError):
        theirs.files.content(created.id)


def test_an_upload_in_parts_becomes_a_file(client):
    """Parts are put together in the order asked for."""
    upload = client.uploads.create(
        bytes=len(DATA), filename="t.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )
    last = client.uploads.parts.create(upload.id, data=DATA[20:])
    first = client.uploads.parts.create(upload.id, data=DATA[:20])
    done = client.uploads.complete(upload.id, part_ids=[first.id, last.id])

    assert (upload.status, done.status) == ("pending", "completed")
    assert client.files.content(done.file.id).read() == DATA


def test_an_upload_can_be_cancelled(client):
    """A cancelled upload takes no more parts."""
    upload = client.uploads.create(
        bytes=9, filename="t.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )

    assert client.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.uploads.parts.create(upload.id, data=b"x")


def test_uploads_expire(clock, client):
    """An upload that is not completed within an hour is over; one that never was is not found."""
    upload = client.uploads.create(
        bytes=9, filename="t.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )
    clock.advance(timedelta(hours=1))

    with pytest.raises(openai.BadRequestError, match="expired"):
        client.uploads.parts.create(upload.id, data=b"x")
    with pytest.raises(openai.NotFoundError):
        client.uploads.parts.create("upload_unknown", data=b"x")
