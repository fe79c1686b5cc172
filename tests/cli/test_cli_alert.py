"""``finetune-guard alert`` with a local webhook server."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard.simulator import Fault
from finetune_guard.stores.disk.store import DiskStore
from tests.cli.cli_facts import API_KEY
from tests.support.constants import DAY
from tests.support.webhook import SECRET, receiving

DECEMBER = datetime(2026, 12, 20, tzinfo=timezone.utc)


@pytest.fixture
def receiver():
    with receiving() as server:
        yield server


@pytest.fixture
def closing_window(ask, model, clock):
    """A window that closes in 29 days."""
    ask(model)
    clock.advance(31 * DAY)


@pytest.fixture
def alert(run, receiver, environment):
    """Runs the command; the secret part of the webhook's URL is never shown."""
    environment.setenv("FINETUNE_GUARD_WEBHOOK", receiver.url)

    def run_alert(*arguments):
        result = run("alert", *arguments)
        assert SECRET not in result.output
        assert SECRET not in result.stderr
        return result

    return run_alert


def test_webhook_gets_each_threshold_once_as_json(alert, receiver, closing_window, clock):
    assert (0, 0) == (alert().exit_code, alert().exit_code)
    (posted,) = receiver.posted
    facts = {"event": "window_closing", "organization": "acme-cli", "within_days": 30}
    assert (facts | {"remaining": 29 * 86400}).items() <= posted.items()
    assert API_KEY not in json.dumps(posted)
    clock.advance(15 * DAY)
    assert alert().stdout.startswith(f"Told: {posted['message'].split(' if ')[0]}")
    assert [30, 15] == [post["within_days"] for post in receiver.posted]
    assert posted["id"] != receiver.posted[1]["id"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (500, "it answered 500."),
        (302, "it answered 302: a redirect is not followed"),
        (None, "Connection refused"),
    ],
)
def test_undelivered_alert_is_sent_by_the_next_run(alert, receiver, closing_window, status, expected):
    """Only the webhook's host is shown."""
    receiver.status = status
    failed = alert("--webhook", receiver.url if status else f"http://127.0.0.1:9/{SECRET}")
    tries = 1 if status else 0
    assert (6, tries) == (failed.exit_code, len(receiver.posted))
    assert f"the webhook at 127.0.0.1: {expected}" in failed.stderr
    receiver.status = 204
    assert (0, 0) == (alert().exit_code, alert().exit_code)
    assert (tries + 1, 1) == (len(receiver.posted), len({post["id"] for post in receiver.posted}))


def test_dry_run_shows_alerts_and_records_nothing(alert, receiver, closing_window):
    shown = [alert("--dry-run"), alert("--dry-run", "--json")]
    assert [0, 0] == [run.exit_code for run in shown]
    assert shown[0].stdout.startswith("Would tell: ")
    assert "window_closing" == json.loads(shown[1].stdout)["event"]
    assert [] == receiver.posted
    assert 0 == alert().exit_code
    assert 1 == len(receiver.posted)
    nothing = alert("--dry-run")
    assert (0, "", "There is nothing to tell.\n") == (nothing.exit_code, nothing.stdout, nothing.stderr)


def test_slack_gets_plain_text_without_markup(alert, receiver, clock, model, ask):
    ask(model)
    clock.set(DECEMBER)
    assert 0 == alert("--slack").exit_code
    assert {("text",)} == {tuple(post) for post in receiver.posted}
    assert any("end" in post["text"] and "2027-01-14" in post["text"] for post in receiver.posted)


def test_models_keep_alives_and_verdicts_are_alerted_once(
    alert, run, receiver, closing_window, clock, sim, model
):
    sim.fault(Fault(path="/v1/chat/completions", status=404, times=None))
    clock.set(DECEMBER)
    assert 1 == run("keep-alive").exit_code
    assert (0, 0) == (alert().exit_code, alert().exit_code)
    by_event = {post["event"]: post for post in receiver.posted}
    assert 3 == len(receiver.posted)
    assert {"verdict_changed", "keep_alive_failed", "model_ending"} == set(by_event)
    assert ("eligible", "unknown") == tuple(
        by_event["verdict_changed"][key] for key in ("previous", "verdict")
    )
    assert [model] == by_event["model_ending"]["models"]


def test_command_gets_message_on_stdin_and_facts_in_a_variable(alert, closing_window, tmp_path):
    script = tmp_path / "tell.py"
    script.write_text(
        "import json, os, pathlib, sys\n"
        "kind = json.loads(os.environ['ALERT_JSON'])['event']\n"
        f"pathlib.Path({str(tmp_path / 'told')!r}).write_text(kind + ': ' + sys.stdin.read())\n"
        "sys.exit(len(sys.argv) - 1)\n"
    )
    command = f"'{sys.executable}' '{script}'"
    failed = alert("--command", f"{command} fail")
    assert (6, True) == (failed.exit_code, "the command: it ended with exit code 1." in failed.stderr)
    assert 0 == alert("--command", command).exit_code
    assert (tmp_path / "told").read_text().startswith("window_closing: Fine-tuning jobs can be created until")
    assert "" == alert("--command", command).stdout
    assert 0 == alert("--command", str(tmp_path / "nothing"), "--refresh").exit_code


def test_output_of_the_command_is_not_in_the_json(alert, closing_window, capfd):
    result = alert("--command", "cat", "--json")
    assert "window_closing" == json.loads(result.stdout)["event"]
    printed = capfd.readouterr()
    assert ("", True) == (printed.out, "Fine-tuning jobs can be created until" in printed.err)


def test_concurrent_runs_alert_once(alert, receiver, closing_window, tmp_path):
    store = DiskStore(tmp_path / "history")
    lease = store.lease("alert/acme-cli", timedelta(minutes=1))
    second = alert()
    assert (0, []) == (second.exit_code, receiver.posted)
    assert "Another run is telling" in second.stderr
    store.release(lease)
    store.close()
    alert()
    assert 1 == len(receiver.posted)
