from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard import Eligibility, Verdict
from finetune_guard.simulator import Fault
from tests.cli.cli_facts import EXAMPLE
from tests.support.constants import BASE


def test_an_open_window_is_exit_0_and_one_line(run, ask, model):
    """A script can go on when `check` exits 0; its one line names the organization and the last moment."""
    ask(model)
    result = run("check")
    assert 0 == result.exit_code
    assert (
        "eligible: organization acme-cli ran an inference on a fine-tuned model, and the window is open "
        "until 2026-10-02 09:00 UTC.\n" == result.stdout
    )
    assert "" == result.stderr


def test_a_window_that_lapsed_here_is_exit_4(run, ask, model, clock):
    """Another program may have kept the window open, and the words tell what this machine saw last."""
    ask(model)
    clock.advance(timedelta(days=60))
    result = run("check")
    assert 4 == result.exit_code
    assert (
        "not known: the last inference this history saw was at 2026-08-03 09:00 UTC, and by it the window "
        "closed on 2026-10-02 09:00 UTC; another program may have run one since.\n" == result.stdout
    )


def test_the_policys_end_is_exit_3(run, clock):
    """After January 6, 2027, the answer is a sure no, whatever is known."""
    clock.set(datetime(2027, 1, 8, tzinfo=timezone.utc))
    result = run("check")
    assert 3 == result.exit_code
    assert "2027-01-06" in result.stdout


@pytest.mark.parametrize(
    ("on", "least", "code"), [((2026, 9, 1), "30d", 0), ((2026, 9, 1), "32d", 8), ((2026, 12, 20), "30d", 8)]
)
def test_too_little_time_left_is_exit_8(run, ask, model, clock, on, least, code):
    """--min-remaining fails while something can still be done: before the window or January 6 closes."""
    ask(model)
    clock.set(datetime(*on, tzinfo=timezone.utc))
    if on[1] == 12:
        ask(model)
    result = run("check", "--min-remaining", least)
    assert code == result.exit_code
    assert result.stdout.startswith("eligible: ")
    assert bool(code) == ("less than the" in result.stdout)
    assert 2 == run("check", "--min-remaining", "soon").exit_code


def test_what_is_not_known_is_exit_4(run):
    """Unknown is neither yes nor no, and has an exit code of its own."""
    result = run("check")
    assert 4 == result.exit_code
    assert result.stdout.startswith("not known: ")


def test_nothing_is_asked_of_the_api(run, ask, model, sim):
    """Without --refresh, no check makes a request."""
    ask(model)
    sim.clear_calls()
    for command in ("check", "status", "history", "config"):
        run(command)
    run("keep-alive", "--dry-run")
    assert () == sim.calls


@pytest.mark.slow
def test_a_process_of_its_own_finds_the_history_of_its_key(start, model, sim):
    """One program calls the model; later another finds the organization by the key alone, offline."""
    subprocess.run([sys.executable, EXAMPLE, model], check=True, capture_output=True)
    sim.clear_calls()
    process = start("check")
    out, err = process.communicate(timeout=60)
    assert 0 == process.returncode
    assert out.startswith("eligible: organization acme-cli ")
    assert "" == err
    assert () == sim.calls


def test_refresh_asks_whose_the_key_is(run, sim, model):
    """With --refresh the API names the organization, and the next check knows it without asking."""
    result = run("check", "--refresh")
    assert 4 == result.exit_code
    assert "no inference of organization acme-cli" in result.stdout
    assert ["/v1/models", "/v1/fine_tuning/model_limits"] == [call.path for call in sim.calls]
    assert "no inference of organization acme-cli" in run("check").stdout
    assert 2 == len(sim.calls)


@pytest.mark.parametrize("command", ["check", "status"])
def test_refresh_shows_the_limits_and_decides_nothing_by_them(run, sim, ask, model, command):
    """They are shown as they come, without keys, and an error in their place is no failure of the command."""
    ask(model)
    path = "/v1/fine_tuning/model_limits"
    sim.fault(Fault(path=path, method="GET", status=200, body={"limits": [], "key": "sk-proj-1234567890"}))
    sim.fault(Fault(path=path, method="GET", status=403, code="training_not_available"))
    shown, refused = run(command, "--refresh"), run(command, "--refresh", "--json")
    assert '{"limits": [], "key": "***"}' in shown.stdout
    if command == "status":  # what is long would fill the screen
        sim.fault(Fault(path=path, method="GET", status=200, body={"a": "x" * 1_900}))
        assert "xxx... (all of it: --json)" in run("status", "--refresh").stdout
    limits = json.loads(refused.stdout)["model_limits"]
    assert (0, 0, 403) == (shown.exit_code, refused.exit_code, limits["status"])
    assert limits["answer"].startswith("403 training_not_available")
    sim.fault(Fault(path=path, method="GET", status=403, code="training_not_available"))
    assert "none: the API answered 403 training_not_available" in " ".join(
        run(command, "--refresh").stdout.split()
    )
    assert "model_limits" not in json.loads(run("check", "--json").stdout)


def test_an_old_table_says_so(run, clock, ask, model):
    """More than 45 days after it was last compared, every command that shows dates tells how old it is."""
    clock.set(datetime(2027, 1, 6, 12, tzinfo=timezone.utc))
    ask(model)
    assert "days old" not in run("check").stderr + run("status").stdout + run("models").stderr
    clock.set(datetime(2027, 1, 7, 12, tzinfo=timezone.utc))
    told = "finetune-guard's table of shutdown dates is 46 days old (2026-11-22)"
    for result in (run("check"), run("status"), run("models")):
        assert told in " ".join((result.stdout + result.stderr).split())


def test_a_disagreement_of_sources_is_shown(run, sim, ask, model):
    """The day of the nearest source stands first, and what another says beside it."""
    ask(model)
    day = {"id": BASE, "object": "model", "created": 1, "owned_by": "system", "shutdown_date": "2027-03-01"}
    sim.fault(Fault(method="GET", path="/v1/models", status=200, body={"object": "list", "data": [day]}))
    told = "as of 2026-08-03; finetune-guard's table of 2026-11-22 says 2027-01-14"
    assert "table:2027-01-14" in run("models", "--refresh").stdout
    assert f"fine-tunes of {BASE} end: 2027-03-01" in run("status").stdout
    assert told in run("status").stdout
    assert told in run("check", "--base", BASE).stdout


def test_refresh_says_when_the_api_does_not_answer(run, environment):
    """An answer that rests on the history alone, although more was asked for, says so."""
    environment.setenv("OPENAI_API_KEY", "sk-of-nobody-else")
    result = run("check", "--refresh")
    assert 4 == result.exit_code
    assert "401 invalid_api_key" in result.stderr
    assert "sk-of-nobody-else" not in result.output


def test_json_is_the_eligibility(run, ask, model):
    """Programs read the same object that `client.guard.check()` returns."""
    ask(model)
    result = run("check", "--json")
    eligibility = Eligibility.model_validate_json(result.stdout)
    assert Verdict.ELIGIBLE is eligibility.verdict
    assert model == eligibility.last_inference.model
    assert "acme-cli" == eligibility.organization
    assert 0 == result.exit_code


def test_an_unguarded_host_is_unknown_and_says_how_to_name_it(run, environment, sim):
    """Behind a host that the policy doesn't speak of nothing is claimed; the line says what to set."""
    environment.setenv("FINETUNE_GUARD_HOSTS", "")
    result = run("check")
    assert 4 == result.exit_code
    assert f"FINETUNE_GUARD_HOSTS={sim.host}" in result.stdout
    assert 1 == len(result.stdout.splitlines())


def test_a_guard_that_is_off_says_so(run, environment):
    """Who has switched the guard off is reminded of it, not sent looking at hosts."""
    environment.setenv("FINETUNE_GUARD_ENABLED", "false")
    result = run("check")
    assert 4 == result.exit_code
    assert "the guard is switched off" in result.stdout
    assert "FINETUNE_GUARD_ENABLED" in result.stdout
    assert "FINETUNE_GUARD_HOSTS" not in result.stdout


def test_a_memory_store_is_explained(run, environment):
    """A history in another program's memory can't be seen; that is said, not taken for an empty one."""
    environment.setenv("FINETUNE_GUARD_STORE", "memory")
    assert "memory" in run("check").stderr
    assert "memory" in run("status").stdout
    assert "memory" in run("history").stdout
