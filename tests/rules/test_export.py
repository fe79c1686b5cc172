"""What is exported and where, when a request is retried, and which files are orphans."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from finetune_guard.rules.export import (
    Entry,
    Manifest,
    Missing,
    PlannedFile,
    Selection,
    is_safe_id,
    missing,
    orphans,
    planned,
    size_of,
    wait_before_retry,
)
from tests.openai_api.flow_scripts import NOW, connection_error, error
from tests.support.constants import BASE, FINE_TUNED

SECOND = int(NOW.timestamp())
ENTRY = Entry(sha256="0" * 64, size=1, source="GET /files", asked_at=NOW, answered_at=NOW)


def job(**fields):
    return {"id": "ftjob-1", "model": BASE, "training_file": "file-1", "created_at": SECOND - 100, **fields}


@pytest.mark.parametrize(
    ("selection", "fields", "selected"),
    [
        ({}, {}, True),
        ({"since": NOW - timedelta(seconds=100)}, {}, True),
        ({"since": NOW - timedelta(seconds=99)}, {}, False),
        ({"since": NOW}, {"created_at": None}, True),
        ({"model": BASE}, {}, True),
        ({"model": BASE}, {"model": FINE_TUNED}, True),
        ({"model": FINE_TUNED}, {"model": FINE_TUNED}, True),
        ({"model": FINE_TUNED}, {"fine_tuned_model": FINE_TUNED}, True),
        ({"model": FINE_TUNED}, {}, False),
    ],
)
def test_jobs_are_selected_by_model_and_age(selection, fields, selected):
    assert selected is Selection(**selection).takes(job(**fields), NOW)


def test_each_file_is_planned_once():
    """A file that the API's list lacks has no size."""
    jobs = [
        job(validation_file="file-2", status="succeeded\x1b[2J"),
        job(id="ftjob-2", validation_file=None, result_files=["file-3", 4, ""], model=None),
    ]
    plan = planned(jobs, {"file-1": {"bytes": 7}, "file-2": {"bytes": True}}, contents=True)
    assert [("ftjob-1", BASE, "succeeded [2J"), ("ftjob-2", None, None)] == [
        (model.id, model.model, model.status) for model in plan.jobs
    ]
    assert [
        ("file-1", "training", 7, "files/file-1/content.jsonl"),
        ("file-2", "validation", None, "files/file-2/content.jsonl"),
        ("file-3", "result", None, "files/file-3/content.csv"),
    ] == [(file.id, file.role, file.size, file.path) for file in plan.files]
    assert plan.bytes == 7
    assert planned(jobs, {}, contents=False).files == ()


def test_only_non_negative_integers_are_sizes():
    assert [None] * 5 == [size_of({"bytes": size}) for size in (None, -1, True, "7", 1.5)]


SAFE = ["ftjob-AbC123", "file-1", "file_1-2"]
HOSTILE = ["", ".", "..", "file-../x", "file-1/../../x", "/etc/passwd", "file-1\n", "con", "é-1", None]


def test_unsafe_ids_are_not_used_in_paths():
    assert SAFE == [name for name in (*SAFE, *HOSTILE, "file-" + "a" * 121) if is_safe_id(name)]


@pytest.mark.parametrize(
    "path", ["../../x/y.json", "/etc/passwd", "jobs/../x.json", "files/file-1/../../x", "x"]
)
def test_manifest_cannot_name_files_outside_its_folder(path):
    with pytest.raises(ValidationError):
        Manifest(api="x", selection=Selection(), begun_at=NOW, files={path: ENTRY})


@pytest.mark.parametrize(
    ("ended", "deleted", "complete"), [(None, True, False), (NOW, True, True), (NOW, False, False)]
)
def test_export_is_complete_if_only_deleted_files_are_missing(ended, deleted, complete):
    manifest = Manifest(
        api="x",
        selection=Selection(),
        begun_at=NOW,
        ended_at=ended,
        files={PlannedFile(id="file-1", role="training").path: ENTRY},
        missing={"file-2": Missing(why="x", at=NOW, deleted=deleted)},
    )
    assert complete is manifest.complete


def test_manifest_errors_repeat_none_of_the_apis_words():
    assert missing(error(404), NOW) == Missing(why="deleted (404)", at=NOW, deleted=True)
    assert missing(error(403, "no_access"), NOW) == Missing(why="403 no_access", at=NOW, deleted=False)


@pytest.mark.parametrize(
    ("failure", "attempt", "seconds"),
    [
        (error(429, retry_after="7"), 1, 7),
        (error(429, retry_after="601"), 1, None),
        (error(429, "insufficient_quota"), 1, None),
        (error(500), 1, 0.25),
        (error(500), 3, 1),
        (error(500), 8, None),
        (connection_error("ReadError"), 2, 0.5),
        (error(404), 1, None),
    ],
)
def test_retry_waits_as_the_api_asks_up_to_ten_minutes(failure, attempt, seconds):
    assert (None if seconds is None else timedelta(seconds=seconds)) == wait_before_retry(failure, attempt)


def test_unused_training_files_are_orphans_and_deletable_after_a_day():
    def file(name, age, **fields):
        created = SECOND - age if age is not None else None
        known = {"id": name, "purpose": "fine-tune", "created_at": created, "bytes": 1, "filename": "t"}
        return known | fields

    day = 24 * 60 * 60
    files = [file(name, day) for name in ("file-1", "file-2", "file-3", "file-old", "file-../x")]
    files += [file("file-young", day - 1), file("file-undated", None, bytes=None, filename=None)]
    files += [file("file-batch", day, purpose="batch")]
    used = job(validation_file="file-2", result_files=["file-3"])
    result = orphans([used], files, NOW)
    assert [("file-old", True), ("file-young", False), ("file-undated", False)] == [
        (orphan.id, orphan.deletable) for orphan in result.files
    ]
    assert result.files[0].created_at == datetime.fromtimestamp(SECOND - day, timezone.utc)


@pytest.mark.parametrize(
    "fields", [{"training_file": None}, {"training_file": 7, "validation_file": "file-2"}]
)
def test_job_without_a_training_file_prevents_orphans(fields):
    """It may have used any file."""
    result = orphans([job(), job(**fields)], [{"id": "file-9", "purpose": "fine-tune", "created_at": 1}], NOW)
    assert result.files == ()
    assert result.failure is not None
