from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard import Eligibility
from finetune_guard.cli.exits import ExitCode
from tests.support.constants import BASE

GONE = "gpt-3.5-turbo-0613"  # since 2024
UNKNOWN = "gpt-of-another-time"


@pytest.mark.parametrize(
    ("base", "least", "code", "told"),
    [
        (BASE, None, 0, f"{BASE}: a fine-tune made now ends on 2027-01-14, ±1 day, in 164 days ("),
        (BASE, "163d", 0, "table of 2026-11-22"),
        (BASE, "164d", 5, "; that is less than the 164 days asked for."),
        (BASE, "P1Y", 5, "; that is less than the "),
        ("{model}", "24w", 5, "{model}: a fine-tune made now ends on 2027-01-14"),
        (GONE, None, 5, f"{GONE}: shut down on 2024-09-13, ±1 day (finetune-guard's table of "),
        (UNKNOWN, None, 0, f"{UNKNOWN}: how long a fine-tune made now would live is unknown."),
        (UNKNOWN, "1d", 4, "is unknown"),
        ("gpt-6-luna", "1d", 5, "gpt-6-luna: can't be fine-tuned, as far as is published."),
    ],
)
def test_how_long_a_fine_tune_would_live(run, ask, model, base, least, code, told):
    """With --base a second line says until when a fine-tune would live, if any source tells."""
    ask(model)
    lifetime = ["--min-lifetime", least] if least else []
    result = run("check", "--base", base.format(model=model), *lifetime)
    first, second = result.stdout.splitlines()
    assert (code, True) == (result.exit_code, first.startswith("eligible: "))
    assert told.format(model=model) in second


def test_the_setting_counts_as_well(run, environment, ask, model):
    """What would stop a job of the guarded client fails the check, too; what would not doesn't."""
    ask(model)
    environment.setenv("FINETUNE_GUARD_MIN_MODEL_LIFETIME", "200d")
    assert 5 == run("check", "--base", BASE).exit_code
    assert 0 == run("check", "--base", BASE, "--min-lifetime", "30d").exit_code
    assert 0 == run("check", "--base", UNKNOWN).exit_code
    assert 0 == run("check").exit_code


def test_a_sure_no_comes_before_what_is_not_known(run, clock):
    """Ineligible is 3 whatever the base; a base that is gone is 5 although the verdict is unknown."""
    assert 4 == run("check", "--base", BASE).exit_code
    assert 5 == run("check", "--base", GONE).exit_code
    clock.set(datetime(2027, 1, 8, tzinfo=timezone.utc))
    assert 3 == run("check", "--base", GONE).exit_code
    clock.set(datetime(2027, 1, 20, tzinfo=timezone.utc))
    assert 3 == run("check", "--base", BASE).exit_code


def test_what_the_api_said_counts_for_later_checks(run, ask, model, sim):
    """After `models --refresh` the API's own word is what a check goes by, and it says so."""
    ask(model)
    run("models", "--refresh")
    sim.clear_calls()
    assert "the API's word on the base model, as of 2026-08-03" in run("check", "--base", BASE).stdout
    assert () == sim.calls


@pytest.mark.parametrize("least", ["soon", "0d", ""])
def test_a_lifetime_that_is_none_is_exit_2(run, least):
    """A duration that can't be read is named, with what is allowed."""
    result = run("check", "--base", BASE, "--min-lifetime", least)
    assert 2 == result.exit_code
    assert "" == result.stdout
    assert "--min-lifetime" in result.stderr
    assert repr(least) in result.stderr or "duration" in result.stderr


def test_a_lifetime_needs_a_base(run):
    """Nothing lives without something that it is made from."""
    result = run("check", "--min-lifetime", "30d")
    assert 2 == result.exit_code
    assert "--base" in result.stderr


def test_json_has_both_parts(run, ask, model):
    """Programs get the eligibility and the prospect, durations in seconds; the exit code is the same."""
    ask(model)
    result = run("check", "--base", BASE, "--min-lifetime", "200d", "--json")
    assert 5 == result.exit_code
    told = json.loads(result.stdout)
    assert "acme-cli" == Eligibility.model_validate(told["eligibility"]).organization
    prospect = told["prospect"]
    assert BASE == prospect["model"]
    assert "2027-01-14" == prospect["fine_tunes_shutdown"]["day"]
    assert timedelta(days=163, hours=15).total_seconds() == prospect["lifetime"]
    assert timedelta(days=200).total_seconds() == prospect["min_lifetime"]
    assert prospect["lives_long_enough"] is False
    assert prospect["is_shut_down"] is False
    assert "gpt-6-luna" == prospect["replacement"]
    assert prospect["replacement_can_be_fine_tuned"] is False


def test_json_of_what_is_unknown_is_null(run):
    """Unknown is null, neither true nor zero."""
    prospect = json.loads(run("check", "--base", UNKNOWN, "--json").stdout)["prospect"]
    assert prospect["lifetime"] is None
    assert prospect["lives_long_enough"] is None
    assert prospect["base_shutdown"] is None


def test_help_names_every_exit_code(run):
    """Whoever writes a pipeline finds the exit codes in the help."""
    help_text = {
        command: " ".join(run(command, "--help").stdout.split()) for command in ("check", "sync", "models")
    }
    for code in (ExitCode.INELIGIBLE, ExitCode.UNKNOWN, ExitCode.MODEL_ENDS, ExitCode.SETUP):
        assert f" {int(code)} " in help_text["check"]
    assert f" {int(ExitCode.INCOMPLETE)} " in help_text["sync"]
    assert f" {int(ExitCode.INCOMPLETE)} " in help_text["models"]
