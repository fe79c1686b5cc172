from __future__ import annotations

import json

from tests.domain.test_idle_policy import OWN


def test_policies_are_listed_with_their_sources(says):
    azure = ("Azure OpenAI fine-tuned deployments", "for 15 days is deleted", "2026-11-25 (observed)")
    says("policies", *azure, "OpenAI self-serve fine-tuning")


def test_user_rules_are_added_to_shipped_ones(run, says, environment, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    environment.setenv("FINETUNE_GUARD_POLICIES", str(own))
    says("policies", "From FINETUNE_GUARD_POLICIES.")
    says("config", "Acme endpoints")
    listed = json.loads(run("policies", "--json").stdout)
    assert ["Acme endpoints", "P10D"] == [listed["idle"][0][field] for field in ("name", "window")]


def test_policy_file_is_checked_line_by_line(says, tmp_path):
    own = tmp_path / "own.toml"
    line = f"policies check {own}"
    own.write_text(OWN)
    says(line, "Acme endpoints: A deployment without a call of chat.completions for 10 days")
    own.write_text(OWN.replace("10d", "soon").replace('"deleted"', '"gone"'))
    wrong = ("own.toml, line 7: window is 'soon'", "own.toml, line 9: consequence is 'gone'")
    assert 2 == says(line, *wrong, code=2).count("own.toml, line")
    own.write_bytes(b"\xff")
    says(line, "it is not text in UTF-8", code=2)
