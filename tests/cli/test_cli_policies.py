from __future__ import annotations

import json

from tests.domain.test_idle_policy import OWN


def test_what_is_in_force_with_sources(says):
    """Every rule is listed with its source, its date and whether it was published or only seen."""
    azure = ("Azure OpenAI fine-tuned deployments", "for 15 days is deleted", "2026-11-25 (observed)")
    says("policies", *azure, "OpenAI self-serve fine-tuning")


def test_a_rule_of_ones_own_is_in_force(run, says, environment, tmp_path):
    """A file of rules adds to those that came with the package; the list can be read by machines."""
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    environment.setenv("FINETUNE_GUARD_POLICIES", str(own))
    says("policies", "From FINETUNE_GUARD_POLICIES.")
    says("config", "Acme endpoints")
    listed = json.loads(run("policies", "--json").stdout)
    assert ["Acme endpoints", "P10D"] == [listed["idle"][0][field] for field in ("name", "window")]


def test_a_file_is_checked_before_it_is_used(says, tmp_path):
    """What is right is shown; what is wrong is told line by line, and ends with exit code 2."""
    own = tmp_path / "own.toml"
    line = f"policies check {own}"
    own.write_text(OWN)
    says(line, "Acme endpoints: A deployment without a call of chat.completions for 10 days")
    own.write_text(OWN.replace("10d", "soon").replace('"deleted"', '"gone"'))
    wrong = ("own.toml, line 7: window is 'soon'", "own.toml, line 9: consequence is 'gone'")
    assert 2 == says(line, *wrong, code=2).count("own.toml, line")
    own.write_bytes(b"\xff")
    says(line, "it is not text in UTF-8", code=2)
