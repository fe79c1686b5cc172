from __future__ import annotations

from datetime import timedelta

import openai
import pytest

DATA = b'{"messages": [{"role": "user", "content": "hello"}]}\n'
PREFERENCE = b'{"input": {}, "preferred_output": [], "non_preferred_output": []}\n'


def test_uploaded_file_can_be_read_listed_and_deleted(client):
    created = client.files.create(file=("train.jsonl", DATA), purpose="fine-tune")
    assert ("train.jsonl", len(DATA), "fine-tune") == (created.filename, created.bytes, created.purpose)
    assert [created, created] == [client.files.retrieve(created.id), *client.files.list()]
    assert DATA == client.files.content(created.id).read()
    assert "processed" == client.files.wait_for_processing(created.id).status
    assert client.files.delete(created.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(created.id)


@pytest.mark.parametrize(
    ("content", "is_taken"),
    [(b"\n" + DATA * 3, True), (PREFERENCE, True), (b"\n", False), (b"{}\n", False), (DATA + b"{\n", False)],
)
def test_only_valid_training_data_is_accepted(client, upload, content, is_taken):
    if is_taken:
        assert upload(client, content)
        return
    with pytest.raises(openai.BadRequestError) as caught:
        upload(client, content)
    assert "invalid_file_format" == caught.value.code


def test_upload_parts_are_joined_in_the_requested_order(client, begin_upload):
    upload = begin_upload(len(DATA))
    last = client.uploads.parts.create(upload.id, data=DATA[20:])
    first = client.uploads.parts.create(upload.id, data=DATA[:20])
    done = client.uploads.complete(upload.id, part_ids=[first.id, last.id])
    assert ("pending", "completed") == (upload.status, done.status)
    assert DATA == client.files.content(done.file.id).read()


def test_ended_upload_accepts_no_more_parts(clock, client, begin_upload):
    """It ends when it is cancelled, unknown, or not completed within an hour."""
    cancelled, late = begin_upload(), begin_upload()
    assert "cancelled" == client.uploads.cancel(cancelled.id).status
    clock.advance(timedelta(hours=1))
    for upload, why in ((cancelled, "cancelled"), (late, "expired")):
        with pytest.raises(openai.BadRequestError, match=why):
            client.uploads.parts.create(upload.id, data=b"x")
    with pytest.raises(openai.NotFoundError):
        client.uploads.parts.create("upload_unknown", data=b"x")
