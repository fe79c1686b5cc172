"""Exports of the simulated organization with both kinds of clients, and their failures."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

import openai
import pytest

from finetune_guard import ExportError
from finetune_guard.engine.export.record import verify
from finetune_guard.simulator import Fault
from tests.client.flavours import done
from tests.support.constants import BASE, TRAINING_DATA

pytestmark = pytest.mark.anyio
GET = {"method": "GET"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "export"


@pytest.fixture
async def jobs(sim, clock, model, connect_bare, infer):
    """Three finished jobs: the first two share a training file, and the third one's was deleted."""
    bare = connect_bare()
    await infer(bare)
    shared, deleted = sim.add_file(content=TRAINING_DATA, repeated=5_000), sim.add_file(content=TRAINING_DATA)
    job_ids = []
    for file in (shared, shared, deleted):
        job = await done(bare.fine_tuning.jobs.create(model=BASE, training_file=file))
        job_ids.append(job.id)
        clock.advance(timedelta(hours=1))
    await done(bare.files.delete(deleted))
    sim.clear_calls()
    return job_ids, shared, deleted


def names(folder):
    return {path.name for path in folder.iterdir()}


def asked(sim, *endings):
    return [call.path for call in sim.calls if call.path.endswith(endings)]


async def test_export_has_jobs_events_checkpoints_files_and_models(sim, client, jobs, folder):
    """A deleted file is noted."""
    (first, *_), shared, deleted = jobs
    steps = []
    export = await done(client.guard.export(str(folder), progress=steps.append))
    assert (True, 3, 5) == (export.complete, export.jobs, export.files)
    assert [f"files/{deleted}/content.jsonl"] == list(export.missing)
    assert TRAINING_DATA * 5_000 == (folder / "files" / shared / "content.jsonl").read_bytes()
    assert {"job.json", "model.json", "events.jsonl", "checkpoints.jsonl"} == names(folder / "jobs" / first)
    job = json.loads((folder / "jobs" / first / "job.json").read_text())
    assert (first, shared) == (job["id"], job["training_file"])
    [result] = job["result_files"]
    assert b"train_loss" in (folder / "files" / result / "content.csv").read_bytes()
    [checkpoint] = (folder / "jobs" / first / "checkpoints.jsonl").read_text().splitlines()
    assert 0.1 == json.loads(checkpoint)["metrics"]["train_loss"]
    assert (8, 8) == (steps[-1].done, steps[-1].total)
    assert steps[-1].bytes_done == steps[-1].bytes
    checked = verify(folder)
    assert ({}, (), True) == (checked.problems, checked.unlisted, checked.complete)


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
async def test_export_folder_is_0700_and_files_0600(client, jobs, folder):
    folder.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        await done(client.guard.export(folder))
    finally:
        os.umask(before)
    modes = {path.is_dir(): oct(path.stat().st_mode & 0o777) for path in (folder, *folder.rglob("*"))}
    assert {True: "0o700", False: "0o600"} == modes


async def test_second_export_fetches_only_what_differs(sim, client, jobs, folder):
    (first, second, _), shared, deleted = jobs
    await done(client.guard.export(folder))
    sim.clear_calls()
    again = await done(client.guard.export(folder))
    assert 0 == again.fetched
    assert [f"/v1/files/{deleted}/content"] == asked(sim, "/content", "/events", "/checkpoints")
    sim.clear_calls()
    content = folder / "files" / shared / "content.jsonl"
    content.write_bytes(b"!" * content.stat().st_size)
    (folder / "jobs" / first / "events.jsonl").unlink()
    (folder / "jobs" / second / "checkpoints.jsonl").write_text("")
    assert 3 == len(verify(folder).problems)
    mended = await done(client.guard.export(folder))
    assert 3 == mended.fetched
    assert {} == verify(folder).problems
    assert {
        f"/v1/files/{shared}/content",
        f"/v1/files/{deleted}/content",
        f"/v1/fine_tuning/jobs/{first}/events",
        f"/v1/fine_tuning/jobs/{second}/checkpoints",
    } == set(asked(sim, "/content", "/events", "/checkpoints"))


async def test_temporary_failures_are_retried(sim, client, jobs, folder):
    (first, *_), shared, _ = jobs
    sim.fault(Fault(path=f"/v1/files/{shared}/content", cut_after=100_000, times=2, **GET))
    sim.fault(Fault.rate_limited(path=f"/v1/fine_tuning/jobs/{first}/events", retry_after=0.01, **GET))
    sim.fault(Fault(path="/v1/fine_tuning/jobs", status=503, **GET))
    result = await done(client.guard.export(folder))
    assert result.complete
    assert {} == verify(folder).problems
    assert 3 == len(asked(sim, f"{shared}/content"))


async def test_permanent_failures_are_noted_and_fetched_by_a_later_run(sim, client, jobs, folder):
    (first, *_), shared, _ = jobs
    for path in (f"/v1/files/{shared}/content", f"/v1/fine_tuning/jobs/{first}/events"):
        sim.fault(Fault(path=path, status=400, code="not_now", times=None, **GET))
    result = await done(client.guard.export(folder))
    assert not result.complete
    assert "400 not_now" == result.missing[f"files/{shared}/content.jsonl"].why
    assert "400 not_now" == result.missing[f"jobs/{first}/events.jsonl"].why
    assert not (folder / "files" / shared / "content.jsonl").exists()
    assert not verify(folder).complete
    sim.clear_faults()
    assert (await done(client.guard.export(folder))).complete


async def test_unreadable_job_list_is_an_error_and_keeps_the_folder(sim, client, jobs, folder):
    await done(client.guard.export(folder))
    sim.fault(Fault.unauthorized(path="/v1/fine_tuning/jobs", times=None))
    before = verify(folder)
    with pytest.raises(ExportError, match="401 invalid_api_key") as caught:
        await done(client.guard.export(folder))
    assert isinstance(caught.value.__cause__, openai.AuthenticationError)
    assert before == verify(folder)


async def test_jobs_can_be_selected_and_a_plan_writes_nothing(sim, client, jobs, folder):
    (first, second, third), shared, _ = jobs
    guard = client.guard
    plan = await done(guard.plan_export(jobs=[first, "ftjob-unknown"]))
    later = await done(guard.plan_export(since=datetime(2026, 8, 1, 1, tzinfo=timezone.utc), files=False))
    other = await done(guard.plan_export(model="gpt-4.1-2025-04-14"))
    assert [first] == [job.id for job in plan.jobs]
    assert len(TRAINING_DATA) * 5_000 == next(file.size for file in plan.files if file.id == shared)
    assert ({second, third}, ()) == ({job.id for job in later.jobs}, later.files)
    assert () == other.jobs
    assert not folder.exists()
    assert [] == asked(sim, "/content", "/events")
    result = await done(guard.export(folder, jobs=[first, "ftjob-unknown"], files=False))
    assert {"ftjob-unknown"} == set(result.missing)
    assert {"jobs", "manifest.json"} == names(folder)
    found = await done(guard.export(folder, jobs=["ftjob-unknown"]))
    assert (0, {"ftjob-unknown"}) == (found.jobs, set(found.missing))


async def test_unsafe_ids_write_nothing_outside(sim, client, folder, tmp_path):
    row = {"object": "fine_tuning.job", "status": "succeeded", "model": BASE, "training_file": "../../../x"}
    ids = ["../../evil", "/tmp/evil", "ftjob-A", "ftjob-a", "..", None, "ftjob-\x1b[2J"]
    rows = [{**row, "id": job} for job in ids]
    page = {"object": "list", "data": rows, "has_more": False}
    sim.fault(Fault(path="/v1/fine_tuning/jobs", status=200, body=page, times=None, **GET))
    result = await done(client.guard.export(folder))
    assert (1, False) == (result.jobs, result.complete)
    assert {"export"} == names(tmp_path) - {"state"}
    assert {"ftjob-A"} == names(folder / "jobs")
    assert [] == asked(sim, "/content")


@pytest.mark.skipif(os.name != "posix", reason="links are made freely on POSIX only")
async def test_export_follows_no_link(client, jobs, folder, tmp_path):
    (first, *_), shared, _ = jobs
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.symlink_to(outside)
    with pytest.raises(ExportError, match="it is a link"):
        await done(client.guard.export(folder))
    folder.unlink()
    await done(client.guard.export(folder))
    content = folder / "files" / shared / "content.jsonl"
    (outside / "theirs").write_bytes(content.read_bytes())
    content.unlink()
    content.symlink_to(outside / "theirs")
    assert "a link" in verify(folder).problems[f"files/{shared}/content.jsonl"]
    await done(client.guard.export(folder))
    assert not content.is_symlink()
    for path in (folder / "jobs" / first).iterdir():
        path.unlink()
    (folder / "jobs" / first).rmdir()
    (folder / "jobs" / first).symlink_to(outside)
    with pytest.raises(ExportError, match="can't be written"):
        await done(client.guard.export(folder))
    assert {"theirs"} == names(outside)


async def test_foreign_or_damaged_folder_is_refused(client, jobs, folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="it holds other files"):
        await done(client.guard.export(folder))
    (folder / "thesis.txt").unlink()
    await done(client.guard.export(folder))
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace("acme-28gund", "globex-77"))
    with pytest.raises(ExportError, match="an export of globex-77"):
        await done(client.guard.export(folder))
    assert verify(folder).complete
    manifest.write_text(text[:100])
    for use in (client.guard.export, verify):
        with pytest.raises(ExportError, match="can't be read"):
            await done(use(folder))


async def test_orphans_are_listed_and_deleted_after_a_day(sim, clock, client, jobs):
    old = sim.add_file(content=TRAINING_DATA)
    clock.advance(timedelta(days=1))
    young = sim.add_file(content=TRAINING_DATA)
    _, shared, _ = jobs
    result = await done(client.guard.orphans())
    assert [(young, False), (old, True)] == [(orphan.id, orphan.deletable) for orphan in result.files]
    sim.fault(Fault(path="/v1/fine_tuning/jobs", status=200, body={"data": [], "has_more": None}, **GET))
    assert {} != (await done(client.guard.delete_orphans([old]))).kept
    sim.fault(Fault(path="/v1/fine_tuning/jobs", status=403, **GET))
    assert {old: "403"} == (await done(client.guard.delete_orphans([old]))).kept
    deleted = await done(client.guard.delete_orphans([old, young, shared, "../models"]))
    assert ((old,), {young, shared, "../models"}) == (deleted.deleted, set(deleted.kept))
    assert [f"/v1/files/{old}"] == [call.path for call in sim.calls if call.method == "DELETE"]
