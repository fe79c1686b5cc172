from __future__ import annotations

import os
from datetime import timedelta

import pytest

from finetune_guard.testing import Fault
from tests.cli.cli_facts import ADMIN_KEY, facts
from tests.cli.real_terminal import Terminal

USAGE = "/v1/organization/usage/completions"


def fail_after(sim, pages, **fault):
    """Let the usage's pages fail after some that are answered."""
    for _ in range(pages):
        sim.fault(Fault(path=USAGE, method="GET", headers={"x-page": "a real one"}))
    sim.fault(Fault(path=USAGE, method="GET", times=None, **fault))


def test_sync_finds_inferences_of_other_programs(run, admin, sim, organization, model, elsewhere, clock):
    project = sim.add_project(organization.slug, "sk-of-another-project")
    elsewhere(model, "sk-of-another-project")
    clock.advance(timedelta(days=10))
    result = run("sync")
    assert (0, "") == (result.exit_code, result.stderr)
    shown = facts(result.stdout)
    assert shown.pop("Now").startswith("eligible: organization acme-cli ran an inference")
    assert {
        "Organization": "acme-cli",
        "Usage read": "2026-06-14 00:00 UTC to 2026-08-13 09:00 UTC, complete",
        "Models": f"1 was run in the part read now, by 1 project: {project}",
        "Latest inference": f"2026-08-03 09:00 UTC, to the minute, on {model}",
    } == shown


def test_sync_without_inferences_is_a_verdict_of_its_own(run, admin, model):
    result = run("sync")
    assert 0 == result.exit_code
    shown = facts(result.stdout)
    assert "no fine-tuned model was run in the part read now" == shown["Models"]
    assert "none in the part read now" == shown["Latest inference"]
    assert shown["Now"].startswith("ineligible: the usage of organization acme-cli shows no inference")


def test_second_sync_reads_the_latest_month_again(run, admin, model, elsewhere, clock):
    elsewhere(model)
    for days in (40, 10):
        clock.advance(timedelta(days=days))
        result = run("sync")
    latest = f"none in the part read now; 2026-08-03 09:00 UTC on {model} was known before"
    assert latest == facts(result.stdout)["Latest inference"]


@pytest.mark.parametrize(
    ("finer_pages", "when"),
    [
        (0, "on 2026-08-03 (UTC), at an hour that is not known"),
        (1, "between 2026-08-03 09:00 UTC and 10:00 UTC"),
    ],
)
def test_time_is_shown_only_as_exactly_as_it_is_known(
    run, admin, sim, model, elsewhere, clock, finer_pages, when
):
    elsewhere(model)
    clock.advance(timedelta(hours=1, minutes=7))
    fail_after(sim, 2 + finer_pages, status=403)
    result = run("sync")
    assert 0 == result.exit_code
    assert f"{when}, on {model}" == facts(result.stdout)["Latest inference"]


def test_interrupted_sync_exits_6_and_can_be_continued(run, says, admin, sim, model):
    fail_after(sim, 1, status=403)
    result = run("sync")
    assert 6 == result.exit_code
    latest = "2026-07-05 00:00 UTC; NOT COMPLETE: up to 2026-08-03 09:00 UTC was asked for"
    assert f"2026-06-04 00:00 UTC to {latest}" == facts(result.stdout)["Usage read"]
    assert result.stderr.startswith(
        "Incomplete: the usage after 2026-07-05 00:00 UTC could not be read (403)"
    )
    sim.clear_faults()
    fail_after(sim, 1, status=403)
    says("sync --json --days 365", '"complete":false', "Incomplete", code=6)
    sim.clear_faults()
    says("sync", "complete")


@pytest.mark.parametrize("key", [None, "  ", "sk-not-for-this-host"])
def test_missing_admin_key_exits_2(says, environment, sim, key):
    if key is not None:
        environment.setenv("OPENAI_ADMIN_KEY", key)
    says("sync", "OPENAI_ADMIN_KEY", "owner", "FINETUNE_GUARD_ADMIN_API_KEY", code=2)
    assert () == sim.calls


def test_key_without_permission_exits_1(says, environment):
    environment.setenv("FINETUNE_GUARD_ADMIN_API_KEY", "sk-of-nobody-at-all")
    says("sync", "401 invalid_api_key", code=1, without=["sk-of-nobody-at-all"])


def test_unreadable_history_is_not_blamed_on_a_gateway(says, admin, sim, tmp_path):
    (tmp_path / "file").touch()
    admin.setenv("FINETUNE_GUARD_STORE", str(tmp_path / "file"))
    told = ("(the history can't be read)", "To see what is wrong with it: finetune-guard config")
    says("sync", *told, code=1, without=["gateway"])


def test_server_error_says_to_try_again(says, admin, sim):
    headers = {"x-should-retry": "false", "openai-organization": ""}
    sim.fault(Fault(path="/v1/*", method="GET", status=503, headers=headers, times=None))
    says("sync", "could not be asked: 503", "Try again later.", code=1, without=["Use a client"])


def test_tracebacks_have_no_admin_key(run, environment, sim):
    for name, code in (("OPENAI_ADMIN_KEY", 2), ("FINETUNE_GUARD_ADMIN_API_KEY", 1)):
        environment.setenv(name, ADMIN_KEY)
        sim.fault(Fault.unauthorized(path=USAGE, times=None))
        assert code == run("sync", "--debug").exit_code


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX terminals")
@pytest.mark.parametrize(("arguments", "drawn"), [([], True), (["--json"], False)])
def test_progress_bar_is_on_stderr_only(start, admin, sim, model, arguments, drawn):
    environment = {**os.environ, "TERM": "xterm-256color"}
    terminal = Terminal()
    process = start("sync", *arguments, stderr=terminal.stream, env=environment)
    output = terminal.read()
    out, _ = process.communicate(timeout=300)
    assert 0 == process.returncode
    assert drawn == ("Reading the usage" in output)
    assert drawn == ("61 of 61 days" in output)
    assert "\x1b" not in out
    assert "Reading" not in out
