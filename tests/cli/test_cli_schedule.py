from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from finetune_guard.testing import simulator_environment
from tests.cli.cli_facts import API_KEY

WHEEL = "finetune-guard[redis] @ https://example.com/finetune_guard-0.1.0-py3-none-any.whl"
IMAGE = "ghcr.io/acme/app:1"
SCHEDULERS = {
    "cron": ["cron"],
    "systemd": ["systemd"],
    "image": ["kubernetes", "--image", IMAGE],
    "kubernetes": ["kubernetes", "--install", WHEEL],
    "github-actions": ["github-actions", "--install", WHEEL],
}


def cron_line(text):
    """The one line that isn't a comment: the five fields, and the command."""
    (line,) = [line for line in text.splitlines() if not line.startswith("#")]
    fields = line.split(" ", 5)
    return " ".join(fields[:5]), fields[5]


def files_of(text):
    """The files in what is printed for systemd, by name."""
    sections = re.findall(
        r"^# ~/\.config/systemd/user/(\S+)\n(.*?)(?=^# ~/|\Z)", text, re.MULTILINE | re.DOTALL
    )
    return dict(sections)


@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
def test_every_unit_says_where_it_goes_and_has_a_random_time(run, scheduler):
    results = [run("schedule", *scheduler) for _ in range(10)]
    minutes = set()
    for result in results:
        assert (0, "", "# ") == (result.exit_code, result.stderr, result.stdout[:2])
        for needed in ("keep-alive", "OPENAI_API_KEY", "FINETUNE_GUARD_STORE"):
            assert needed in result.stdout
        match = re.search(
            r"(?:OnCalendar=.*:|cron: \"|schedule: \"|^)(\d\d?)(?: |:00$)", result.stdout, re.MULTILINE
        )
        minutes.add(int(match[1]))
    assert len(minutes) > 1
    assert 0 not in minutes  # the full hour, at which everybody runs


@pytest.mark.parametrize(
    ("every", "cron", "calendar"),
    [
        ("1h", r"\d+ \* \* \* \*", r"\*-\*-\* \*:\d\d:00"),
        ("12h", r"\d+ \*/12 \* \* \*", r"\*-\*-\* 00/12:\d\d:00"),
        ("1d", r"\d+ \d+ \* \* \*", r"\*-\*-\* \d\d:\d\d:00"),
        ("3d", r"\d+ \d+ \*/3 \* \*", r"\*-\*-01/3 \d\d:\d\d:00"),
        ("7d", r"\d+ \d+ \* \* [0-6]", r"(Sun|Mon|Tue|Wed|Thu|Fri|Sat) \*-\*-\* \d\d:\d\d:00"),
    ],
)
def test_every_option_sets_the_interval(run, every, cron, calendar):
    assert re.fullmatch(cron, cron_line(run("schedule", "cron", "--every", every).stdout)[0])
    quoted = re.search(r'schedule: "(.*)"', run("schedule", *SCHEDULERS["image"], "--every", every).stdout)[1]
    assert re.fullmatch(cron, quoted)
    timer = run("schedule", "systemd", "--every", every).stdout
    assert re.search(f"^OnCalendar={calendar}$", timer, re.MULTILINE)


def test_period_that_could_miss_the_window_is_refused(says, environment):
    says("schedule cron --every 13d")
    environment.setenv("FINETUNE_GUARD_KEEP_ALIVE", "3d")
    says("schedule cron", "the last 3 days of the window", code=2)


def test_schedule_after_the_end_says_that_it_no_longer_helps(run, clock):
    assert "" == run("schedule", "cron").stderr
    clock.set(datetime(2027, 1, 8, tzinfo=timezone.utc))
    result = run("schedule", "cron")
    assert (0, "keep-alive") == (result.exit_code, cron_line(result.stdout)[1].split()[-3])
    assert result.stderr.startswith("Note: Since 2027-01-06 nobody can create fine-tuning jobs")
    assert "" == run("schedule", "cron", "--deployment", "support").stderr


@pytest.mark.parametrize("install", [WHEEL, "--index-url https://pypi.acme.com/simple finetune-guard==0.1.0"])
def test_package_to_install_is_quoted(run, install):
    for scheduler in ("kubernetes", "github-actions"):
        printed = re.search(
            r"pip install --quiet (.*)", run("schedule", scheduler, "--install", install).stdout
        )
        assert shlex.split(printed[1]) == ([install] if install == WHEEL else install.split())


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_cron_line_works_as_printed(run, model, organization, sim, tmp_path):
    _, command = cron_line(run("schedule", "cron").stdout)

    def run_by_cron():
        bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            ["/bin/sh", "-c", command], env=bare, capture_output=True, text=True, timeout=300, check=False
        )

    ran = run_by_cron()
    assert (True, True) == (ran.returncode != 0, "finetune-guard.env" in ran.stderr)
    variables = simulator_environment(sim, tmp_path / "history") | {"OPENAI_API_KEY": API_KEY}
    settings = "".join(f"{name}={value}\n" for name, value in variables.items())
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "finetune-guard.env").write_text(settings, encoding="utf-8")
    ran = run_by_cron()
    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)
    assert [model] == [call.model for call in sim.calls if call.path == "/v1/chat/completions"]


def test_systemd_timer_catches_up_and_spreads(run):
    files = files_of(run("schedule", "systemd").stdout)
    assert {"finetune-guard.service", "finetune-guard.timer"} == set(files)
    timer, service = files["finetune-guard.timer"], files["finetune-guard.service"]
    assert {"Persistent=true", "RandomizedDelaySec=30min", "WantedBy=timers.target"} <= {*timer.splitlines()}
    assert {"Type=oneshot", "EnvironmentFile=%h/.config/finetune-guard.env"} <= {*service.splitlines()}
    program, _, arguments = re.search(r"^ExecStart=(.*)$", service, re.MULTILINE)[1].rpartition(" ")
    assert ("keep-alive", True) == (arguments, Path(program.split(" ")[0].strip('"')).is_absolute())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
@pytest.mark.parametrize("every", ["12h", "3d", "7d"])
def test_systemd_analyze_accepts_the_units(run, tmp_path, every):
    files = files_of(run("schedule", "systemd", "--every", every).stdout)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--user", *files],
        cwd=tmp_path,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize("options", [SCHEDULERS["image"], SCHEDULERS["kubernetes"]])
def test_kubernetes_cron_job_is_valid_and_minimal(run, options):
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load(run("schedule", *options).stdout)
    spec = job["spec"]
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert ("batch/v1", "CronJob", "Forbid") == (job["apiVersion"], job["kind"], spec["concurrencyPolicy"])
    assert ("Never", True) == (pod["restartPolicy"], pod["securityContext"]["runAsNonRoot"])
    assert [{"secretRef": {"name": "finetune-guard"}}] == container["envFrom"]
    if IMAGE in options:
        assert (IMAGE, ["finetune-guard", "keep-alive"]) == (container["image"], container["command"])
    else:
        assert ["sh", "-ec"] == container["command"][:2]
        assert container["command"][2].endswith("exec /tmp/venv/bin/finetune-guard keep-alive\n")


def test_workflow_has_no_permissions_and_pinned_actions(run):
    text = run("schedule", *SCHEDULERS["github-actions"]).stdout
    body = [line for line in text.splitlines() if not line.startswith("#")]
    assert "permissions: {}" in body
    assert ["actions/setup-python@v6"] == re.findall(r"uses: (\S+)", text)
    for name in ("OPENAI_API_KEY", "FINETUNE_GUARD_STORE"):
        assert f"          {name}: ${{{{ secrets.{name} }}}}" in body
    assert "      - run: finetune-guard keep-alive" in body
    assert re.search(r'^    - cron: "\d+ \d+ \* \* [0-6]"$', text, re.MULTILINE)
