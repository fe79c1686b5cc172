from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta, timezone

import pytest

from finetune_guard import Eligibility
from finetune_guard.cli.timeline import DayOfEnds
from finetune_guard.cli.verdict import advise
from finetune_guard.domain.facts import Inference, Refusal, Span
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.keep_alive import KeepAlive
from tests.cli.cli_facts import facts
from tests.support.constants import BASE, DAY

AUGUST = datetime(2026, 8, 3, 9, tzinfo=timezone.utc)
JANUARY = datetime(2027, 1, 8, tzinfo=timezone.utc)
USED = {"last_inference": Inference(organization="acme", model=f"ft:{BASE}:acme::One", at=AUGUST)}
REFUSAL = {"refusal": Refusal(at=AUGUST, code="training_not_available")}
NO_USAGE = {"usage_read": (Span(start=AUGUST - 61 * DAY, end=AUGUST),)}
ENDS = (DayOfEnds(day=date(2027, 1, 14), models=("ft:x",), replacements=(), tunable=()),)
SHORT = """\
ELIGIBLE  Organization acme-cli can create jobs until 2026-10-02 09:00 UTC (in 50 days).

Do now      Nothing now. A keep-alive is due from 2026-09-18 09:00 UTC on.
Next dates  2026-10-02 09:00 UTC  in 50 days   the window closes
            2027-01-06            in 146 days  nobody can create jobs any more
            2027-01-14            in 154 days  1 model known here ends, ±1 day

The rule, its source and the evidence: finetune-guard status -v
"""
LONG = """
┼  2026-05-07            98 days ago  only for those who fine-tuned before
┼  2026-07-02            42 days ago  only with inference in the past 60 days
●  2026-08-03 09:00 UTC  10 days ago  last inference known
▼  2026-08-13 09:00 UTC               today
○  2026-10-02 09:00 UTC  in 50 days   the window closes
┼  2027-01-06            in 146 days  nobody can create jobs any more
■  2027-01-14            in 154 days  1 model known here ends, ±1 day

Why             organization acme-cli ran an inference on a fine-tuned model, and """


def legend(output):
    """The timeline's lines by their dates."""
    return dict(re.findall(r"^\S  (\d{4}-\d\d-\d\d(?: \d\d:\d\d UTC)?)  +(.*)$", output, re.MULTILINE))


def test_status_of_an_open_window(run, ask, model, clock):
    ask(model)
    clock.advance(timedelta(days=10))
    result, detailed = run("status"), run("status", "-v").stdout
    assert (0, SHORT) == (result.exit_code, result.stdout)
    assert detailed.startswith(SHORT.rpartition("\n\n")[0])
    assert LONG in detailed
    shown = facts(detailed)
    assert f"2026-08-03 09:00 UTC on {model}, seen in a program's call" == shown["Last inference"]
    assert "Only programs that share this history were seen." in shown["Coverage"]


@pytest.mark.parametrize("days", [10, 50, 61, 170])
def test_status_fits_24_lines_of_80_columns(run, environment, ask, model, clock, days):
    ask(model)
    clock.advance(timedelta(days=days))
    whole = run("status").stdout
    environment.setenv("FORCE_COLOR", "1")
    environment.setenv("COLUMNS", "80")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", run("status").stdout).splitlines()
    assert 24 > len(shown)  # the prompt takes a line, too
    assert 80 >= max(len(line.rstrip()) for line in shown)
    assert whole.split() == " ".join(shown).split()


def test_json_has_what_the_status_shows(run, ask, model, clock):
    ask(model)
    clock.advance(timedelta(days=50))
    data, shown = json.loads(run("status", "--json").stdout), run("status", "-v").stdout
    assert "acme-cli" == Eligibility.model_validate(data["eligibility"]).organization
    assert list(legend(shown)) == [
        date["day"] or f"{datetime.fromisoformat(date['at']):%Y-%m-%d %H:%M UTC}" for date in data["dates"]
    ]
    to_come = [date["at"] for date in data["dates"] if date["to_come"]]
    assert ["2026-10-02T09:00:00+00:00", None] == to_come[:2]
    ends = {"day": "2027-01-14", "models": [model], "replacements": ["gpt-6-luna"], "tunable": []}
    assert [ends] == data["models_end"]
    for name, fact in (("rule", "Rule"), ("coverage", "Coverage"), ("command", "Do now")):
        assert facts(shown)[fact] == data[name]
    assert data["what_to_do"] in shown


@pytest.mark.parametrize(
    ("used", "now", "verdict", "do", "next_date"),
    [
        (None, "2026-08-03", "UNKNOWN  No inference of", "finetune-guard keep-alive", "2027-01-06  in "),
        ("2026-08-03", "2026-10-03", "UNKNOWN  The last", "finetune-guard keep-alive", "2027-01-06  in "),
        (
            "2026-12-20",
            "2026-12-20",
            "ELIGIBLE  Organization acme-cli can create jobs until 2027-01-06 (in 17 days).",
            "Create the jobs that are still needed before 2027-01-06.",
            "2027-01-06  in 17 days",
        ),
        (
            "2026-12-20",
            "2027-01-05T10",
            "UNKNOWN  A date of the policy is being crossed",
            "Create the job now if it matters: the API decides, and its answer may change within hours.",
            "2027-01-06  being crossed",
        ),
        (
            "2026-12-20",
            "2027-01-08",
            "INELIGIBLE  Since 2027-01-06 nobody",
            "finetune-guard export my-models",
            "2027-01-14  in 6 days",
        ),
    ],
)
def test_status_shows_verdict_advice_and_the_next_date(
    run, ask, model, clock, used, now, verdict, do, next_date
):
    def at(text):
        return datetime.fromisoformat(text if "T" in text else f"{text}T09").replace(tzinfo=timezone.utc)

    if used is None:
        run("check", "--refresh")
    else:
        clock.set(at(used))
        ask(model)
    clock.set(at(now))
    output = run("status", "-v").stdout
    assert output.startswith(verdict)
    shown = facts(output)
    assert (do, True) == (shown["Do now"], shown["Next dates"].startswith(next_date))
    assert (used is None) == ("none is known" == shown["Last inference"])
    if now == used:
        axis = next(line for line in output.splitlines() if "━" in line)
        assert "━" not in axis.rpartition("┼")[2]  # no jobs after January 6


def test_unknown_facts_are_called_unknown(run):
    shown = facts(run("status", "-v").stdout)
    assert "not known yet for this key" == shown["Organization"]
    assert "client.guard.keep_alive()" in shown["In Python"]
    assert "OPENAI_ADMIN_KEY" in shown["Coverage"]


def test_models_with_the_same_shutdown_are_one_date(run, ask, model, organization, sim, clock):
    models = [sim.add_model(organization, base=base) for base in (BASE, "gpt-4.1-2025-04-14")]
    for ending in (model, sim.add_model(organization, base="gpt-3.5-turbo-0125"), *models):
        ask(ending)
    output = run("status", "-v").stdout
    assert legend(output)["2026-10-23"].endswith("  1 model known here ends, ±1 day")
    assert legend(output)["2027-01-14"].endswith("  3 models known here end, ±1 day")
    replacement = "gpt-5.6-terra, which can't be fine-tuned, for what ends on 2026-10-23"
    assert replacement == facts(output)["Replacement"]
    clock.set(datetime(2026, 11, 22, tzinfo=timezone.utc))
    output = run("status", "-v").stdout
    assert legend(output)["2026-10-23"].endswith("  1 model known here ended, ±1 day")
    replacement = "gpt-6-luna, which can't be fine-tuned, for what ends on 2027-01-14"
    assert replacement == facts(output)["Replacement"]


def test_status_shows_how_far_usage_was_read(run, admin, model, elsewhere, clock):
    elsewhere(model)
    shown = facts(run("status", "-v").stdout)
    assert "finetune-guard sync" == shown["Do now"]
    assert "finetune-guard sync finds them" in shown["Coverage"]
    run("sync")
    clock.advance(timedelta(hours=3))
    coverage = facts(run("status", "-v").stdout)["Coverage"]
    assert "The whole organization's usage was read up to 2026-08-03 09:00 UTC, 3 hours ago." == coverage
    clock.advance(timedelta(days=3))
    assert facts(run("status", "-v").stdout)["Coverage"].endswith("finetune-guard sync reads it anew.")


@pytest.mark.parametrize("has_admin_key", [False, True])
@pytest.mark.parametrize(
    ("evidence", "now", "command", "expected"),
    [
        (USED, AUGUST, None, "A keep-alive is due from 2026-09-18 09:00 UTC on."),
        (USED, AUGUST + 50 * DAY, "keep-alive", "The window closes soon"),
        (USED, AUGUST + 61 * DAY, "sync", "is not published"),
        ({}, AUGUST, "sync", "OPENAI_ADMIN_KEY"),
        ({"no_trace_at": AUGUST}, AUGUST, "check --refresh", "a key sees its own project only"),
        (NO_USAGE, AUGUST, "keep-alive", "is not published"),
        (REFUSAL, AUGUST, "keep-alive --force", "all the same"),
        (USED | REFUSAL, AUGUST + 2 * DAY, None, "the API decides"),
        (USED, JANUARY, "export my-models", "before they end"),
        ({}, JANUARY + 8 * DAY, None, "A scheduled keep-alive can be removed"),
    ],
)
def test_each_verdict_advises_one_command(run, evidence, now, command, expected, has_admin_key):
    """It exists; reading the usage comes first if it can."""
    eligibility = decide(OPENAI_SELF_SERVE, Evidence(organization="acme", **evidence), now)
    advice = advise(eligibility, ENDS, KeepAlive(), has_admin_key=has_admin_key)
    if command == "sync" and not has_admin_key:
        command = "keep-alive"
    assert (f"finetune-guard {command}" if command else None) == advice.command
    assert expected in advice.text or command == "sync"
    if command:
        assert f"Run finetune-guard {command}. " in advice.in_words
        assert 0 == run(*command.split(), "--help").exit_code
