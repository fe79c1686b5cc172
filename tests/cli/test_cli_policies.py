from __future__ import annotations

import json

from tests.domain.test_idle_policy import OWN


def test_what_is_in_force_with_sources(run):
    """Every rule is listed with its source, its date and whether it was published or only seen."""
    output = run("policies").stdout
    assert "Azure OpenAI fine-tuned deployments" in output
    assert "for 15 days is deleted" in output
    assert "2026-11-25 (observed)" in output
    assert "OpenAI self-serve fine-tuning" in output


def test_a_rule_of_ones_own_is_in_force(run, environment, tmp_path):
    """A file of rules adds to those that came with the package; the list can be read by machines."""
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    environment.setenv("FINETUNE_GUARD_POLICIES", str(own))
    assert "From FINETUNE_GUARD_POLICIES." in run("policies").stdout
    listed = json.loads(run("policies", "--json").stdout)
    assert ["Acme endpoints", "P10D"] == [listed["idle"][0][field] for field in ("name", "window")]
    assert "Acme endpoints" in run("config").stdout


def test_a_file_is_checked_before_it_is_used(run, tmp_path):
    """What is right is shown; what is wrong is told line by line, and ends with exit code 2."""
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    checked = run("policies", "check", str(own))
    assert 0 == checked.exit_code, checked.output
    assert "Acme endpoints: A deployment without a call of chat.completions for 10 days" in checked.stdout
    own.write_text(OWN.replace("10d", "soon").replace('"deleted"', '"gone"'))
    checked = run("policies", "check", str(own))
    assert 2 == checked.exit_code
    first, second = checked.stderr.splitlines()
    assert "own.toml, line 7: window is 'soon'" in first
    assert "own.toml, line 9: consequence is 'gone'" in second
    own.write_bytes(b"\xff")
    assert "it is not text in UTF-8" in run("policies", "check", str(own)).stderr
    own.write_text("#" * 1_000_001)
    assert "more than 1,000,000 characters" in run("policies", "check", str(own)).stderr
