"""``export``, ``verify`` and ``files delete-orphans`` as people and scripts use them."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import timedelta
from pathlib import Path

import openai
import pytest

from finetune_guard.simulator import Fault
from tests.cli.cli_facts import API_KEY
from tests.support.constants import BASE, TRAINING_DATA

GET = {"method": "GET"}
MOST_MEMORY = 200_000_000


def memory_used(pid):
    """Return the most memory that a process has had so far; zero when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match is not None else 0


@pytest.fixture
def create_jobs(sim, organization, ask, model, clock):
    """Creates finished jobs that share files of a size."""
    ask(model)

    def create(number, *, files=1, lines=100):
        ids = [sim.add_file(organization, content=TRAINING_DATA, repeated=lines) for _ in range(files)]
        with openai.OpenAI(base_url=sim.base_url, api_key=API_KEY) as client:
            for job in range(number):
                client.fine_tuning.jobs.create(model=BASE, training_file=ids[job % files])
        clock.advance(timedelta(days=2))
        return ids

    return create


def test_export_can_be_verified_without_a_key(run, says, environment, create_jobs, sim, tmp_path):
    """A changed file is named."""
    [file] = create_jobs(2)
    folder = tmp_path / "out"

    says("export --dry-run", "2 jobs and 3 files (")
    assert not folder.exists()
    says(f"export {folder} --format jsonl", f"Exported to {folder}: 2 jobs and 3 files (")
    environment.delenv("OPENAI_API_KEY")
    says(f"verify {folder}", "The manifest's SHA-256 is")
    (folder / "files" / file / "content.jsonl").write_text("changed")
    (folder / "note.txt").write_text("mine")
    differs = f"DIFFERS: files/{file}/content.jsonl"
    says(f"verify {folder}", differs, "Not of the export: note.txt", code=1)
    assert ["note.txt"] == json.loads(run("verify", str(folder), "--json").stdout)["unlisted"]


def test_incomplete_export_exits_6(says, create_jobs, sim, tmp_path):
    [file] = create_jobs(1)
    sim.fault(Fault(path=f"/v1/files/{file}/content", status=403, times=None, **GET))
    missing = f"Could not be had: files/{file}/content.jsonl: 403"
    says(f"export {tmp_path / 'out'}", missing, "run the same command again", code=6)
    says(f"verify {tmp_path / 'out'}", code=6)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("export out --jobs ../x", "is not the id of a job"), ("verify nowhere", "no such folder")],
)
def test_unknown_selection_is_an_error_and_writes_nothing(says, line, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    says(line, expected, code=1)
    assert not list((tmp_path / "out").glob("jobs"))


def test_orphans_are_deleted_only_after_a_yes(run, says, create_jobs, sim, organization):
    create_jobs(1)
    orphan = sim.add_file(organization, content=TRAINING_DATA, name="left.jsonl\x1b[2J")
    sim.clock.advance(timedelta(days=1))

    says("export --orphans", f"{orphan} 2026-08-05 ", "left.jsonl [2J")
    refused = run("files", "delete-orphans", input="n\n")
    assert (1, 0) == (refused.exit_code, sum(call.method == "DELETE" for call in sim.calls))
    deleted = run("files", "delete-orphans", "--yes", "--json")
    assert [orphan] == json.loads(deleted.stdout)["deleted"]
    says("export --orphans", "no job uses: 0.")
    sim.fault(Fault(path="/v1/fine_tuning/jobs", status=403, **GET))
    says("files delete-orphans --yes", "not known which files are orphans: 403", code=6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
@pytest.mark.slow
def test_killed_export_resumes_without_torn_files(start, run, create_jobs, sim, tmp_path):
    files = create_jobs(12, files=3, lines=330_000)
    size, folder = len(TRAINING_DATA) * 330_000, tmp_path / "out"
    for hanging in files[1:]:
        sim.clear_faults()
        sim.fault(Fault.rate_limited(path="/v1/fine_tuning/jobs/*", retry_after=0.1, times=2, **GET))
        sim.fault(Fault(path=f"/v1/files/{hanging}/content", delay=600, **GET))
        process = start("export", str(folder))
        waiting = folder / "files" / hanging / ".content.jsonl.part"
        while process.poll() is None and not waiting.exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert {size} >= {content.stat().st_size for content in folder.glob("files/*/content.jsonl")}
        assert 6 == run("verify", str(folder)).exit_code

    sim.clear_faults()
    sim.fault(Fault(path=f"/v1/files/{files[2]}/content", cut_after=20_000_000, **GET))
    process = start("export", str(folder), "--json")
    most_memory = 0
    while process.poll() is None:
        most_memory = max(most_memory, memory_used(process.pid))
        time.sleep(0.05)

    assert 0 == process.returncode
    assert json.loads(process.stdout.read())["complete"]
    assert 0 < most_memory < MOST_MEMORY
    assert 0 == run("verify", str(folder)).exit_code
    assert {size} == {content.stat().st_size for content in folder.glob("files/*/content.jsonl")}
