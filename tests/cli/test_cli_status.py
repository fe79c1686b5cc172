from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard import Eligibility
from tests.support.constants import BASE


def legend(output):
    """The timeline's lines by their dates."""
    return dict(re.findall(r"^\S  (\d{4}-\d\d-\d\d(?: \d\d:\d\d UTC)?)  +(.*)$", output, re.MULTILINE))


def facts(output):
    """The named facts of a status that isn't wrapped."""
    return dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", output, re.MULTILINE))


SHORT = """\
ELIGIBLE  Organization acme-cli can create jobs until 2026-10-02 09:00 UTC (in 50 days).

Do now      Nothing now. A keep-alive is due from 2026-09-18 09:00 UTC on.
Next dates  2026-10-02 09:00 UTC  in 50 days   the window closes
            2027-01-06            in 146 days  nobody can create jobs any more
            2027-01-14            in 154 days  1 model known here ends, ±1 day

The rule, its source and the evidence: finetune-guard status -v
"""


def test_an_open_window(run, ask, model, clock):
    """The status says until when, what to do and what comes next; -v adds the evidence and the rule."""
    ask(model)
    clock.advance(timedelta(days=10))
    result = run("status")
    assert (0, SHORT) == (result.exit_code, result.stdout)
    detailed = run("status", "-v").stdout
    assert detailed.startswith(SHORT.rpartition("\n\n")[0])
    dates = legend(detailed)
    assert [
        "2026-05-07",
        "2026-07-02",
        "2026-08-03 09:00 UTC",
        "2026-08-13 09:00 UTC",
        "2026-10-02 09:00 UTC",
        "2027-01-06",
        "2027-01-14",
    ] == list(dates)
    assert "today" == dates["2026-08-13 09:00 UTC"]
    assert dates["2026-10-02 09:00 UTC"].startswith("in 50 days ")
    assert dates["2026-07-02"].startswith("42 days ago ")
    told = facts(detailed)
    assert told["Why"].startswith("organization acme-cli ran an inference on a fine-tuned model")
    assert f"2026-08-03 09:00 UTC on {model}, seen in a program's call" == told["Last inference"]
    assert "Only programs that share this history were seen." in told["Coverage"]


@pytest.mark.parametrize("days", [10, 50, 61, 170])
def test_all_of_it_fits_a_small_terminal(run, environment, ask, model, clock, days):
    """Verdict, advice and dates are at most 24 lines of 80 columns, and no word is broken."""
    ask(model)
    clock.advance(timedelta(days=days))
    whole = run("status").stdout
    environment.setenv("FORCE_COLOR", "1")
    environment.setenv("COLUMNS", "80")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", run("status").stdout).splitlines()
    assert 24 > len(shown)  # the prompt takes a line, too
    assert 80 >= max(len(line.rstrip()) for line in shown)
    assert whole.split() == " ".join(shown).split()


def test_json_holds_what_is_shown(run, ask, model, clock):
    """Programs read the eligibility, the dates, the models' ends and the advice, in the same words."""
    ask(model)
    clock.advance(timedelta(days=50))
    told, shown = json.loads(run("status", "--json").stdout), run("status", "-v").stdout
    assert "acme-cli" == Eligibility.model_validate(told["eligibility"]).organization
    assert list(legend(shown)) == [
        each["day"] or f"{datetime.fromisoformat(each['at']):%Y-%m-%d %H:%M UTC}" for each in told["dates"]
    ]
    assert ["2026-10-02T09:00:00+00:00", None] == [each["at"] for each in told["dates"] if each["to_come"]][
        :2
    ]
    assert [{"day": "2027-01-14", "models": [model], "replacements": ["gpt-6-luna"], "tunable": []}] == told[
        "models_end"
    ]
    for name, fact in (("rule", "Rule"), ("coverage", "Coverage"), ("command", "Do now")):
        assert facts(shown)[fact] == told[name]
    assert told["what_to_do"] in shown


def test_a_lapsed_window(run, ask, model, clock):
    """What can be done is said, and that its success is not published."""
    ask(model)
    clock.advance(timedelta(days=61))
    output = run("status").stdout
    assert "finetune-guard keep-alive" == facts(output)["Do now"]
    assert "Whether an inference reopens a window that has closed is not published." in output
    assert facts(output)["Next dates"].startswith("2027-01-06  in ")


def test_nothing_known(run):
    """Unknown is called unknown, and the organization is not guessed."""
    result = run("status", "-v")
    assert 0 == result.exit_code
    assert result.stdout.startswith("UNKNOWN  ")
    told = facts(result.stdout)
    assert "not known yet for this key" == told["Organization"]
    assert "none is known" == told["Last inference"]
    assert "finetune-guard keep-alive" == told["Do now"]
    assert "client.guard.keep_alive()" in told["In Python"]


def test_the_day_that_is_being_crossed(run, ask, model, clock):
    """While January 6 has begun somewhere on Earth, the status says that it is being crossed."""
    clock.set(datetime(2026, 12, 20, tzinfo=timezone.utc))
    ask(model)
    clock.set(datetime(2027, 1, 5, 10, tzinfo=timezone.utc))
    result = run("status", "-v")
    assert result.stdout.startswith("UNKNOWN  A date of the policy is being crossed")
    assert legend(result.stdout)["2027-01-06"].startswith("being crossed")
    assert facts(result.stdout)["Next dates"].startswith("2027-01-06  being crossed")


def test_after_the_end(run, ask, model, clock):
    """After the last date the next one is that on which the model itself ends."""
    ask(model)
    clock.set(datetime(2027, 1, 8, tzinfo=timezone.utc))
    result = run("status")
    assert result.stdout.startswith("INELIGIBLE  Since 2027-01-06 nobody")
    assert facts(result.stdout)["Next dates"].startswith("2027-01-14  in 6 days")
    assert "finetune-guard export my-models" == facts(result.stdout)["Do now"]
    assert "A scheduled keep-alive can be removed" in result.stdout


def test_a_refusal_is_told(run, ask, model, sim, clock):
    """After the API's own refusal the status quotes nothing but facts and names the way on."""
    import finetune_guard  # noqa: PLC0415 -- the environment comes first
    from finetune_guard.simulator import Fault  # noqa: PLC0415

    ask(model)
    clock.advance(timedelta(seconds=1))
    sim.fault(Fault.training_not_available())
    with finetune_guard.OpenAI() as client, pytest.raises(finetune_guard.FineTuningRefusedError):
        client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
    result = run("status")
    assert result.stdout.startswith("INELIGIBLE  The API itself refused a job of organization acme-cli")
    assert "finetune-guard keep-alive --force" in result.stdout
    assert 3 == run("check").exit_code


def test_ends_are_counted_day_by_day(run, ask, model, organization, sim, clock):
    """Models that end on the same day are one date, and the replacement of what ends is named."""
    models = [sim.add_model(organization, base=base) for base in (BASE, "gpt-4.1-2025-04-14")]
    old = sim.add_model(organization, base="gpt-3.5-turbo-0125")
    for each in (model, old, *models):
        ask(each)
    output = run("status", "-v").stdout
    assert "1 model known here ends, ±1 day" in legend(output)["2026-10-23"]
    assert "3 models known here end, ±1 day" in legend(output)["2027-01-14"]
    assert (
        "gpt-5.6-terra, which can't be fine-tuned, for what ends on 2026-10-23"
        == facts(output)["Replacement"]
    )
    clock.set(datetime(2026, 11, 22, tzinfo=timezone.utc))
    output = run("status", "-v").stdout
    assert legend(output)["2026-10-23"].endswith("1 model known here ended, ±1 day")
    assert (
        "gpt-6-luna, which can't be fine-tuned, for what ends on 2027-01-14" == facts(output)["Replacement"]
    )


def test_a_window_that_outlasts_the_policy_is_no_date_that_matters(run, ask, model, clock):
    """After January 6 nobody can create jobs: that a window would close later means nothing."""
    clock.set(datetime(2026, 12, 20, tzinfo=timezone.utc))
    ask(model)
    output = run("status", "-v").stdout
    assert output.startswith("ELIGIBLE  Organization acme-cli can create jobs until 2027-01-06 (in 17 days).")
    assert facts(output)["Next dates"].startswith("2027-01-06  in 17 days")
    axis = next(line for line in output.splitlines() if "━" in line)
    assert "━" not in axis.rpartition("┼")[2]  # no jobs after January 6
    assert "Create the jobs that are still needed before 2027-01-06." == facts(output)["Do now"]


def test_the_whole_organization(run, admin, model, elsewhere, clock):
    """After a sync the status says up to when the usage was read, how long ago, and when to do so again."""
    elsewhere(model)
    told = facts(run("status", "-v").stdout)
    assert "finetune-guard sync" == told["Do now"]
    assert "finetune-guard sync finds them" in told["Coverage"]
    run("sync")
    clock.advance(timedelta(hours=3))
    coverage = facts(run("status", "-v").stdout)["Coverage"]
    assert "The whole organization's usage was read up to 2026-08-03 09:00 UTC, 3 hours ago." == coverage
    clock.advance(timedelta(days=3))
    assert facts(run("status", "-v").stdout)["Coverage"].endswith("finetune-guard sync reads it anew.")


def test_without_an_admin_key_the_status_names_it(run):
    """What would be needed to know more is said."""
    assert "OPENAI_ADMIN_KEY" in facts(run("status", "-v").stdout)["Coverage"]
