"""Find and delete training files that no job uses, such as those left by refused jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

import openai

from finetune_guard.engine.export.exporter import Retries
from finetune_guard.openai_api.errors import status_and_code
from finetune_guard.openai_api.flow import ApiCall, Flow
from finetune_guard.openai_api.listing import read_rows
from finetune_guard.rules.export import Orphans, OrphansDeleted, orphans


def find_orphans(now: Callable[[], datetime]) -> Flow[Orphans]:
    """List the files, then the jobs, and return the training files that no job uses."""
    retries, asked_at = Retries(), now()
    files: list[Mapping[str, Any]] = []
    jobs: list[Mapping[str, Any]] = []

    def take_file(file: Mapping[str, Any]) -> None:
        if file.get("purpose") == "fine-tune":
            files.append(file)

    try:
        yield from read_rows("/files", 10_000, take_file, retries.ask)
        whole = yield from read_rows("/fine_tuning/jobs", 100, jobs.append, retries.ask)
    except openai.APIError as error:
        return Orphans(failure=status_and_code(error))
    if not whole:
        return Orphans(failure="the list of jobs could not be read to its end")
    # By the slower clock, so that no file seems older than it is.
    return orphans(jobs, files, min(asked_at, retries.first_answer_at or asked_at))


def delete_orphans(ids: Collection[str], now: Callable[[], datetime]) -> Flow[OrphansDeleted]:
    """Delete those of ``ids`` that are still orphans and old enough, after listing all again."""
    listed = yield from find_orphans(now)
    old_enough = {orphan.id for orphan in listed.files if orphan.deletable}
    deleted: list[str] = []
    kept: dict[str, str] = {}
    retries = Retries()
    for file_id in dict.fromkeys(ids):
        if listed.failure is not None:
            kept[file_id] = listed.failure
        elif file_id not in old_enough:
            kept[file_id] = "a job uses it, it is younger than a day, or it is no training file"
        else:
            try:
                yield from retries.ask(ApiCall("delete", f"/files/{file_id}", retry=False))
                deleted.append(file_id)
            except openai.APIError as error:
                kept[file_id] = status_and_code(error)
    return OrphansDeleted(deleted=tuple(deleted), kept=kept)
