from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard import Eligibility
from finetune_guard.cli.exits import ExitCode
from finetune_guard.simulator import Fault
from tests.cli.cli_facts import flat
from tests.support.constants import BASE

GONE = "gpt-3.5-turbo-0613"  # since 2024
UNKNOWN = "gpt-of-another-time"
JANUARY = datetime(2027, 1, 8, tzinfo=timezone.utc)
OPEN = (
    "eligible: organization acme-cli ran an inference on a fine-tuned model, and the window is open until "
    "2026-10-02 09:00 UTC.\n"
)
LAPSED = (
    "not known: the last inference this history saw was at 2026-08-03 09:00 UTC, and by it the window closed "
    "on 2026-10-02 09:00 UTC; another program may have run one since.\n"
)


@pytest.mark.parametrize(
    ("days", "code", "line"),
    [(0, 0, OPEN), (60, 4, LAPSED), (158, 3, "ineligible: since 2027-01-06 nobody ")],
)
def test_verdict_is_one_line_and_an_exit_code(run, ask, model, clock, days, code, line):
    ask(model)
    clock.advance(timedelta(days=days))
    result = run("check")
    assert (code, line, 1) == (
        result.exit_code,
        result.stdout[: len(line)],
        len(result.stdout.splitlines()),
    )


@pytest.mark.parametrize(
    ("on", "least", "code"), [((2026, 9, 1), "30d", 0), ((2026, 9, 1), "32d", 8), ((2026, 12, 20), "30d", 8)]
)
def test_min_remaining_exits_8_when_too_little_time_is_left(run, ask, model, clock, on, least, code):
    ask(model)
    clock.set(datetime(*on, tzinfo=timezone.utc))
    if on[1] == 12:
        ask(model)
    result = run("check", "--min-remaining", least)
    assert code == result.exit_code
    assert result.stdout.startswith("eligible: ")
    assert bool(code) == ("less than the" in result.stdout)


@pytest.mark.parametrize(
    ("base", "least", "code", "expected"),
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
def test_base_option_shows_how_long_a_fine_tune_would_live(run, ask, model, base, least, code, expected):
    ask(model)
    lifetime = ["--min-lifetime", least] if least else []
    result = run("check", "--base", base.format(model=model), *lifetime)
    first, second = result.stdout.splitlines()
    assert (code, True) == (result.exit_code, first.startswith("eligible: "))
    assert expected.format(model=model) in second


def test_min_model_lifetime_setting_fails_the_check(says, environment, ask, model):
    ask(model)
    environment.setenv("FINETUNE_GUARD_MIN_MODEL_LIFETIME", "200d")
    says(f"check --base {BASE}", code=5)
    for line in (f"check --base {BASE} --min-lifetime 30d", f"check --base {UNKNOWN}", "check"):
        says(line)


def test_exit_codes_put_certain_refusals_first(says, clock):
    """Ineligible is 3 whatever the base; a shut-down base is 5 although the verdict is unknown."""
    says(f"check --base {BASE}", code=4)
    says(f"check --base {GONE}", code=5)
    clock.set(JANUARY)
    says(f"check --base {GONE}", code=3)


def test_json_has_eligibility_and_base_lifetime(run, ask, model):
    ask(model)
    result = run("check", "--base", BASE, "--min-lifetime", "200d", "--json")
    data = json.loads(result.stdout)
    assert (5, "acme-cli") == (result.exit_code, Eligibility.model_validate(data["eligibility"]).organization)
    prospect = data["prospect"]
    assert "2027-01-14" == prospect.pop("fine_tunes_shutdown")["day"]
    assert "table" == prospect.pop("base_shutdown")["source"]
    lifetimes = {"lifetime": timedelta(days=163, hours=15), "min_lifetime": timedelta(days=200)}
    assert {
        **{name: lifetime.total_seconds() for name, lifetime in lifetimes.items()},
        "model": BASE,
        "can_be_fine_tuned": True,
        "is_certain": True,
        "is_shut_down": False,
        "lives_long_enough": False,
        "replacement": "gpt-6-luna",
        "replacement_can_be_fine_tuned": False,
    } == prospect
    prospect = json.loads(run("check", "--base", UNKNOWN, "--json").stdout)["prospect"]
    assert {None} == {prospect[name] for name in ("lifetime", "lives_long_enough", "base_shutdown")}


def test_help_names_every_exit_code(run):
    help_text = run("check", "--help").stdout
    for code in ExitCode:
        if code not in (ExitCode.INCOMPLETE, ExitCode.NOT_JUDGED, ExitCode.INTERRUPTED):
            assert f" {int(code)} " in flat(help_text)


def test_check_without_refresh_makes_no_request(run, ask, model, sim):
    ask(model)
    sim.clear_calls()
    for command in ("check", "status", "history", "config"):
        run(command)
    assert () == sim.calls


def test_refresh_learns_the_organization_for_later_checks(run, sim, model):
    result = run("check", "--refresh")
    assert (4, True) == (result.exit_code, "no inference of organization acme-cli" in result.stdout)
    assert ["/v1/models", "/v1/fine_tuning/model_limits"] == [call.path for call in sim.calls]
    assert result.stdout.startswith(run("check").stdout)
    assert 2 == len(sim.calls)


@pytest.mark.parametrize("command", ["check", "status"])
def test_refresh_shows_model_limits_without_deciding_by_them(run, sim, ask, model, command):
    ask(model)
    answers = {"path": "/v1/fine_tuning/model_limits", "method": "GET"}
    sim.fault(Fault(**answers, status=200, body={"limits": [], "key": "sk-proj-1234567890"}))
    sim.fault(Fault(**answers, status=403, code="training_not_available", times=2))
    shown, refused = run(command, "--refresh"), run(command, "--refresh", "--json")
    assert '{"limits": [], "key": "***"}' in shown.stdout
    limits = json.loads(refused.stdout)["model_limits"]
    assert (0, 0, 403) == (shown.exit_code, refused.exit_code, limits["status"])
    assert limits["answer"].startswith("403 training_not_available")
    expected = "not shown (the API answered 403 training_not_available"
    assert expected in flat(run(command, "--refresh").stdout)
    if command == "status":  # what is long would fill the screen
        sim.fault(Fault(**answers, status=200, body={"a": "x" * 1_900}))
        assert "xxx... (all of it: --json)" in run("status", "--refresh").stdout


@pytest.mark.parametrize("command", ["alert --dry-run", "calendar", "check", "metrics", "status"])
def test_help_says_whether_refresh_asks_for_the_limits(run, sim, command):
    run(*command.split(), "--refresh")
    asks = "/v1/fine_tuning/model_limits" in [call.path for call in sim.calls]
    assert asks == ("model_limits" in run(*command.split(), "--help").stdout)


def test_refresh_says_when_the_api_does_not_answer(says, environment):
    environment.setenv("OPENAI_API_KEY", "sk-of-nobody-else")
    says("check --refresh", "401 invalid_api_key", code=4, without=["sk-of-nobody-else"])


def test_old_shutdown_table_is_mentioned(run, says, clock, ask, model):
    ask(model)
    message = "finetune-guard's table of shutdown dates is 46 days old (2026-11-22)"
    for command, code in (("check", 3), ("status", 0), ("models", 0)):
        clock.set(datetime(2027, 1, 6, 12, tzinfo=timezone.utc))
        assert message not in (run(command).stdout + run(command).stderr)
        clock.set(datetime(2027, 1, 7, 12, tzinfo=timezone.utc))
        says(command, message, code=code)


def test_disagreeing_shutdown_dates_are_shown(run, sim, ask, model):
    ask(model)
    day = {"id": BASE, "object": "model", "created": 1, "owned_by": "system", "shutdown_date": "2027-03-01"}
    sim.fault(Fault(method="GET", path="/v1/models", status=200, body={"object": "list", "data": [day]}))
    assert "table:2027-01-14" in run("models", "--refresh").stdout
    sim.clear_calls()
    source = "the API's word on the base model, as of 2026-08-03; "
    source += "finetune-guard's table of 2026-11-22 says 2027-01-14"
    shown = run("status").stdout
    assert f"fine-tunes of {BASE} end: 2027-03-01 by {source}." in shown
    assert source in run("check", "--base", BASE).stdout
    assert () == sim.calls


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FINETUNE_GUARD_HOSTS", "", "FINETUNE_GUARD_HOSTS={host}\n"),
        ("FINETUNE_GUARD_ENABLED", "false", "the guard is switched off"),
    ],
)
def test_inactive_guard_claims_nothing_and_says_what_to_set(run, environment, sim, name, value, expected):
    environment.setenv(name, value)
    result = run("check")
    assert (4, 1) == (result.exit_code, len(result.stdout.splitlines()))
    assert expected.format(host=sim.host) in result.stdout
    assert (name == "FINETUNE_GUARD_HOSTS") == ("FINETUNE_GUARD_HOSTS" in result.stdout)


def test_memory_store_is_explained(says, environment):
    environment.setenv("FINETUNE_GUARD_STORE", "memory")
    for command, code in (("check", 4), ("status", 0), ("history", 0), ("alert --command true", 2)):
        says(command, "FINETUNE_GUARD_STORE is memory", code=code)
