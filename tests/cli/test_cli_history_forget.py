"""``finetune-guard history forget`` takes back what was merged wrongly, and nothing else."""

from __future__ import annotations

import json


def test_usage_is_taken_back_and_the_rest_stays(run, admin, ask, model):
    """After --usage only what the client saw itself is left; another sync reads the usage again."""
    ask(model)
    assert 0 == run("sync").exit_code
    before = json.loads(run("history", "--json").stdout)
    assert before["evidence"]["usage_read"]
    result = run("history", "forget", "acme-cli", "--usage", "--yes")
    assert (0, True) == (result.exit_code, "usage of acme-cli" in result.stdout)
    after = json.loads(run("history", "--json").stdout)
    assert [] == after["evidence"]["usage_read"]
    assert before["models"] == after["models"]
    assert "usage_api" not in json.dumps(after["daily"])
    assert 0 == run("sync").exit_code
    assert json.loads(run("history", "--json").stdout)["evidence"]["usage_read"]


def test_a_whole_history_is_removed_when_it_is_confirmed(run, ask, model):
    """Nothing is removed before the question is answered; afterwards no name of it is left."""
    ask(model)
    assert 0 != run("history", "forget", "acme-cli", input="n\n").exit_code
    assert "acme-cli" in run("history", "--all").stdout
    assert 0 == run("history", "forget", "acme-cli", input="y\n").exit_code
    assert [] == json.loads(run("history", "--all", "--json").stdout)["organizations"]


def test_an_organization_that_nobody_knows_is_exit_2(run, ask, model):
    """The error names those that the store knows."""
    ask(model)
    result = run("history", "forget", "umbrella-9", "--yes")
    assert 2 == result.exit_code
    assert "acme-cli" in result.stderr
