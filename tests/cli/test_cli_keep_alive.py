from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime, timedelta, timezone

import openai
import pytest

import finetune_guard
from finetune_guard.simulator import Fault
from tests.support.constants import BASE

JANUARY = datetime(2027, 1, 8, tzinfo=timezone.utc)


def inferences(sim):
    return [call.model for call in sim.calls if call.path == "/v1/chat/completions"]


@pytest.fixture
def closing_window(ask, model, clock):
    """A window that closes in ten days."""
    ask(model)
    clock.advance(timedelta(days=50))


def test_keep_alive_is_sent_once_near_the_windows_end(run, closing_window, model, sim):
    first, second = run("keep-alive"), run("keep-alive")
    assert (0, 0, [model, model]) == (first.exit_code, second.exit_code, inferences(sim))
    assert f"Sent: {model} answered at 2026-09-22 09:00 UTC." == first.stdout.splitlines()[0]
    assert "2026-11-21 09:00 UTC" in first.stdout.splitlines()[1]
    assert second.stdout.startswith("Not sent: it is not due.")


def test_model_option_selects_the_model(run, ask, model, organization, sim):
    other = sim.add_model(organization, suffix="other")
    ask(model)
    assert 0 == run("keep-alive", "--force", "--model", other).exit_code
    assert [model, other] == inferences(sim)


def test_failures_are_listed_by_model(run, closing_window, model, sim):
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions", times=100))
    result = run("keep-alive")
    assert (1, "") == (result.exit_code, result.stdout)
    assert f"  {model}: 429 insufficient_quota" in result.stderr
    assert "--model" in result.stderr


@pytest.mark.parametrize(
    ("days", "arguments", "expected"),
    [
        (50, [], "Due: the window closes on 2026-10-02 09:00 UTC. It would go first to {model}. Nothing was"),
        (0, [], "Not due: the window is open until 2026-10-02 09:00 UTC, and one is due from 2026-09-18"),
        (140, [], "Not due: the window is open for as long as jobs can be created, until 2027-01-05 10:00"),
        (156, [], "Not due: a date of the policy is being crossed, and its hour and time zone are not"),
        (None, [], "It would go to a fine-tuned model that the API lists."),
        (
            0,
            ["--force", "--model", "{model}:ckpt-step-8"],
            "--force, and the window closes on 2026-10-02 09:00 UTC. It would go first to {model}:ckpt",
        ),
    ],
)
def test_dry_run_sends_nothing(run, ask, model, clock, sim, days, arguments, expected):
    if days is not None:
        ask(model)
        clock.advance(timedelta(days=days))
        if days > 60:
            ask(model)
    sim.clear_calls()
    result = run("keep-alive", "--dry-run", *(argument.format(model=model) for argument in arguments))
    assert (0, ()) == (result.exit_code, sim.calls)
    assert expected.format(model=model) in result.stdout


def test_nothing_is_sent_after_the_end_of_job_creation(run, ask, model, clock, sim):
    ask(model)
    clock.set(JANUARY)
    result = run("keep-alive")
    assert 0 == result.exit_code
    assert result.stdout.startswith("Not sent: nobody can create fine-tuning jobs")
    assert result.stderr.startswith("A scheduled keep-alive can be removed")
    assert 1 == len(inferences(sim))
    assert run("keep-alive", "--dry-run").stdout.startswith("Not due: since 2027-01-06")


def test_refusal_exits_3_without_force(run, ask, model, clock, sim):
    ask(model)
    clock.advance(timedelta(hours=1))
    sim.fault(Fault.training_not_available())
    with finetune_guard.OpenAI() as client, pytest.raises(openai.PermissionDeniedError):
        client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
    sim.clear_calls()
    result = run("keep-alive")
    assert (3, "", ()) == (result.exit_code, result.stdout, sim.calls)
    assert "finetune-guard keep-alive --force" in result.stderr


POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture
def watch(start, tmp_path):
    """Starts a watch with a heartbeat; what is returned stops it, and is what it printed besides."""

    def start_watch(*arguments):
        heartbeat = tmp_path / "alive"
        process = start("keep-alive", "--watch", "--heartbeat", str(heartbeat), *arguments)

        def stop(number=signal.SIGTERM):
            process.send_signal(number)
            printed = process.communicate(timeout=300)
            return process.returncode, printed, heartbeat.exists()

        return process, stop

    return start_watch


@POSIX_ONLY
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_watch_sends_what_is_due_until_stopped(watch, closing_window, model, sim, number):
    process, stop = watch()
    line = process.stdout.readline()
    assert line.startswith(f"2026-09-22 09:00 UTC  Sent: {model} answered. Now eligible: ")
    assert (0, ("Stopped.\n", ""), True) == stop(number)
    assert [model, model] == inferences(sim)


@POSIX_ONLY
def test_watch_sleeps_until_one_is_due(watch, ask, model, clock, environment, tmp_path):
    ask(model)
    clock.advance(timedelta(days=60, seconds=-21))
    environment.setenv("FINETUNE_GUARD_KEEP_ALIVE", '{"renew_within": "20s", "background": true}')
    heartbeat = tmp_path / "alive"
    heartbeat.touch()
    os.utime(heartbeat, (0, 0))
    process, stop = watch()
    assert "  Not due: the window is open until 2026-10-02 09:00 UTC" in process.stdout.readline()
    clock.advance(timedelta(seconds=10))
    assert f"  Sent: {model} answered." in process.stdout.readline()
    assert (0, True) == (stop()[0], heartbeat.stat().st_mtime > 0)


@POSIX_ONLY
def test_watch_can_be_stopped_while_it_waits_for_an_answer(watch, closing_window, sim):
    sim.clear_calls()
    sim.fault(Fault(path="/v1/chat/completions", delay=600))
    _, stop = watch("--json", "--debug")
    while sim._faults._pending:  # until the request is there, which is not answered
        time.sleep(0.02)
    assert (0, ("", ""), []) == (*stop()[:2], inferences(sim))


@POSIX_ONLY
def test_watch_retries_failures_and_stops_its_heartbeat(watch, ask, model, clock, sim):
    ask(model)
    clock.advance(timedelta(days=60, seconds=-5))
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions", times=2))
    process, stop = watch()
    assert f"Failed, and is tried again: {model}: 429 insufficient_quota." in process.stderr.readline()
    assert "Sent: " in process.stdout.readline()
    assert (0, True) == stop()[::2]


@POSIX_ONLY
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_watch_stops_its_heartbeat_while_the_history_is_unreadable(watch, broken_store, arguments):
    process, stop = watch(*arguments)
    output = process.stdout if arguments else process.stderr
    assert any("history_unavailable" in line or "history can't be read, so" in line for line in output)
    assert (0, False) == stop()[::2]


def test_watch_ends_after_the_end_of_job_creation(run, ask, model, clock, sim):
    ask(model)
    clock.set(JANUARY)
    result = run("keep-alive", "--watch")
    assert 0 == result.exit_code
    assert result.stdout.startswith("2027-01-08 00:00 UTC  Ended: since 2027-01-06 nobody can create")
    assert result.stderr.startswith("A scheduled keep-alive can be removed")
    look = json.loads(run("keep-alive", "--watch", "--json").stdout)
    assert (False, "closed", "2027-01-08T00:00:00+00:00") == (look["sent"], look["reason"], look["at"])
    assert 0 < look["next_look_in"] <= 3600
    assert 1 == len(inferences(sim))


def test_watch_ends_with_an_invalid_key(says, closing_window, sim):
    sim.fault(Fault.unauthorized(times=None))
    says("keep-alive --watch", "does not accept OPENAI_API_KEY", code=2, without=[".."])
