from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from finetune_guard import Eligibility

OTHER_KEY = "sk-of-another-organization"


@pytest.fixture
def two(sim, environment, ask, model):
    """A store that knows two organizations, each by the calls of a program."""
    other = sim.add_organization(slug="other-org", api_key=OTHER_KEY, fine_tuned_before=True)
    ask(model)
    with environment.context() as with_other_key:
        with_other_key.setenv("OPENAI_API_KEY", OTHER_KEY)
        ask(sim.add_model(other))


def test_each_organization_is_a_line(run, two):
    """Every organization is there with its verdict, its latest inference and what its key is known as."""
    result = run("history", "--all")
    assert 0 == result.exit_code
    head, first, second = result.stdout.splitlines()
    assert ["Organization", "Verdict", "Latest inference", "Usage read", "Also called"] == re.split(
        "  +", head
    )
    assert ["acme-cli", "eligible", "2026-08-03 09:00 UTC", "never"] == re.split("  +", first)[:4]
    assert re.search(r"key …[0-9a-f]{4}\b", first)
    assert second.startswith("other-org ")
    assert OTHER_KEY not in result.output


def test_no_key_is_needed(run, two, environment, sim):
    """What is on disk can be looked at without any key, and nothing is asked."""
    environment.delenv("OPENAI_API_KEY")
    sim.clear_calls()
    result = run("history", "--all")
    assert 0 == result.exit_code
    assert "acme-cli" in result.stdout
    assert () == sim.calls


def test_how_far_the_usage_was_read(run, admin, model, elsewhere, clock):
    """After a sync the line says up to when the usage is known, and which projects belong to it."""
    elsewhere(model)
    clock.advance(timedelta(minutes=1))
    run("sync")
    output = run("history", "--all").stdout
    assert "to 2026-08-03 09:01 UTC" in output
    assert "proj_" in output


def test_an_old_reading_is_not_taken_for_coverage(run, admin, model, clock):
    """A usage that was read long ago says nothing of the window, and the line says so."""
    run("sync")
    clock.advance(timedelta(days=200))
    assert "not for the window, to 2026-08-03 09:00 UTC" in run("history", "--all").stdout


def test_nothing_known_is_a_sentence(run, tmp_path):
    """An empty store is said to be empty, with its place; none is made by looking."""
    result = run("history", "--all")
    assert 0 == result.exit_code
    assert f"No organization is known in {tmp_path / 'history'}." == result.stdout.strip()
    assert not (tmp_path / "history").exists()


def test_json_has_all_of_them(run, two):
    """Programs read name, aliases and eligibility of each; a key's hash stays shortened."""
    listed = json.loads(run("history", "--all", "--json").stdout)["organizations"]
    assert ["acme-cli", "other-org"] == [each["name"] for each in listed]
    for each in listed:
        eligibility = Eligibility.model_validate(each["eligibility"])
        assert each["name"] == eligibility.organization
        assert [] == each["usage_read"]
        assert all(re.fullmatch(r"key …[0-9a-f]{4}|org-\w+|proj_\w+", alias) for alias in each["aliases"])
