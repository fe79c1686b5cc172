from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from finetune_guard import Eligibility
from tests.cli.cli_facts import flat

OTHER_KEY = "sk-of-another-organization"


@pytest.fixture
def two_organizations(sim, environment, ask, model):
    """A store that knows two organizations, each by the calls of a program."""
    other = sim.add_organization(slug="other-org", api_key=OTHER_KEY, fine_tuned_before=True)
    ask(model)
    with environment.context() as with_other_key:
        with_other_key.setenv("OPENAI_API_KEY", OTHER_KEY)
        ask(sim.add_model(other))


def columns(line):
    return re.split("  +", line)


def test_each_model_is_shown_with_its_latest_inference(run, ask, model, organization, clock, sim):
    other = sim.add_model(organization, suffix="other")
    ask(model)
    clock.advance(timedelta(days=3))
    ask(other)
    lines = run("history").stdout.splitlines()
    assert "Organization: acme-cli" == lines[0]
    assert ["Model", "Latest inference", "Source", "Shutdown"] == columns(lines[2])
    assert [other, "2026-08-06 09:00 UTC", "observed", "2027-01-14"] == columns(lines[3])
    assert model == columns(lines[4])[0]


def test_bars_count_each_of_60_days_once(run, admin, ask, model, clock):
    for _ in range(3):
        ask(model)
    clock.advance(timedelta(days=2))
    ask(model)
    run("keep-alive", "--force")
    output = run("history").stdout
    bars = next(line for line in output.splitlines() if set(line) <= set("·▁▂▃▄▅▆▇█") and len(line) == 60)
    assert "█·" == bars[-3:-1]
    assert bars[-1] in "▅▆"
    assert "2026-06-07 to 2026-08-05" in output
    assert "Most on one day: 3. On these days: 5. Ever: 5 (4 observed, 1 keep_alive)." in output
    run("sync")
    total = "Ever: 5 (5 usage_api, 4 observed, 1 keep_alive; usage_api counts the others' inferences too)."
    assert total in flat(run("history").stdout)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], "No inference on a fine-tuned model is known"), (["--all"], "No organization is known in ")],
)
def test_empty_history_is_a_sentence_with_its_location(run, tmp_path, arguments, expected):
    result = run("history", *arguments)
    assert (0, True) == (result.exit_code, result.stdout.startswith(expected))
    assert str(tmp_path / "history") in result.stdout
    assert not (tmp_path / "history").exists()


def test_earlier_fine_tuning_is_shown(run, says, environment, sim, model):
    run("check", "--refresh")
    says("history", "It has fine-tuned before")
    sim.add_organization(slug="new", api_key=OTHER_KEY)
    environment.setenv("OPENAI_API_KEY", OTHER_KEY)
    run("check", "--refresh")
    says("history", "On 2026-08-03 09:00 UTC the API showed no earlier fine-tuning.")


def test_each_organization_has_a_line_without_a_key(run, two_organizations, environment, sim):
    environment.delenv("OPENAI_API_KEY")
    sim.clear_calls()
    result = run("history", "--all")
    head, first, second = result.stdout.splitlines()
    assert ["Organization", "Verdict", "Latest inference", "Usage read", "Also called"] == columns(head)
    assert ["acme-cli", "eligible", "2026-08-03 09:00 UTC", "never"] == columns(first)[:4]
    assert re.search(r"key …[0-9a-f]{4}\b", first)
    assert second.startswith("other-org ")
    assert OTHER_KEY not in result.output
    listed = json.loads(run("history", "--all", "--json").stdout)["organizations"]
    assert ["acme-cli", "other-org"] == [organization["name"] for organization in listed]
    for organization in listed:
        assert organization["name"] == Eligibility.model_validate(organization["eligibility"]).organization
        assert [] == organization["usage_read"]
        assert all(
            re.fullmatch(r"key …[0-9a-f]{4}|org-\w+|proj_\w+", alias) for alias in organization["aliases"]
        )
    assert () == sim.calls


def test_coverage_of_usage_is_shown(run, says, admin, model, elsewhere, clock):
    elsewhere(model)
    clock.advance(timedelta(minutes=1))
    run("sync")
    says("history --all", " to 2026-08-03 09:01 UTC", "proj_", without=["not the whole window"])
    clock.advance(timedelta(days=200))
    says("history --all", "not the whole window, to 2026-08-03 09:01 UTC")


def test_forget_usage_keeps_observed_inferences(run, admin, ask, model):
    ask(model)
    run("sync")
    before = json.loads(run("history", "--json").stdout)
    result = run("history", "forget", "acme-cli", "--usage", "--yes")
    assert (0, True) == (result.exit_code, "usage of acme-cli" in result.stdout)
    after = json.loads(run("history", "--json").stdout)
    assert (True, []) == (bool(before["evidence"]["usage_read"]), after["evidence"]["usage_read"])
    assert before["models"] == after["models"]
    assert "usage_api" not in json.dumps(after["daily"])
    run("sync")
    assert json.loads(run("history", "--json").stdout)["evidence"]["usage_read"]


def test_forget_removes_a_history_after_confirmation(run, ask, model):
    ask(model)
    assert "Known there: acme-cli." in run("history", "forget", "umbrella-9", "--yes").stderr
    assert 0 != run("history", "forget", "acme-cli", input="n\n").exit_code
    assert "acme-cli" in run("history", "--all").stdout
    assert 0 == run("history", "forget", "acme-cli", input="y\n").exit_code
    assert [] == json.loads(run("history", "--all", "--json").stdout)["organizations"]
