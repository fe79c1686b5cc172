"""The files that build, publish and run the package: workflows, the container, the sdist."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")


def steps(workflow):
    jobs = yaml.safe_load((WORKFLOWS / workflow).read_text(encoding="utf-8"))["jobs"]
    return {name: job["steps"] for name, job in jobs.items()}


def test_ci_runs_the_readmes_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("pip install uv && uv run")]
    run = [step.get("run") for step in steps("ci.yml")["readme"]]
    assert (2, True) == (len(commands), set(commands) <= set(run))


def test_ci_runs_every_session():
    sessions = re.findall(r"for session in (.*); do", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))[0]
    workflow = (WORKFLOWS / "ci.yml").read_text(encoding="utf-8")
    assert {*sessions.split()} - {"tests-3.13"} == set(re.findall(r"\{session: ([\w.-]+)", workflow))


def test_only_the_publishing_job_has_a_token():
    release = yaml.safe_load((WORKFLOWS / "release.yml").read_text(encoding="utf-8"))
    publish = release["jobs"]["publish"]
    assert ({}, {"id-token": "write"}) == (release["permissions"], publish["permissions"])
    assert "build" == publish["needs"]
    assert all("run" not in step for step in publish["steps"])
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("age", "code"), [(0, 0), (60 * 60, 0), (3 * 60 * 60, 1), (None, 1)])
def test_container_is_healthy_while_its_heartbeat_is_under_two_hours(tmp_path, age, code):
    heartbeat = tmp_path / "heartbeat"
    if age is not None:
        heartbeat.touch()
        os.utime(heartbeat, (time.time() - age,) * 2)
    script = ROOT / "container" / "heartbeat-is-fresh"
    finished = subprocess.run([script], env={**os.environ, "HEARTBEAT": str(heartbeat)}, check=False)
    assert code == finished.returncode


def test_container_runs_unprivileged():
    assert "USER 65532:65532" in CONTAINERFILE
    [heartbeat] = re.findall(r"HEARTBEAT=(\S+)", CONTAINERFILE)
    assert f'CMD ["keep-alive", "--watch", "--heartbeat", "{heartbeat}"]' in CONTAINERFILE
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())


def test_sdist_leaves_nothing_out():
    assert "targets.sdist" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
