from __future__ import annotations

import json
import re

import pytest

from finetune_guard import GuardConfig
from tests.cli.cli_facts import ADMIN_KEY


def settings(output):
    """Name → (value, origin) of the table."""
    rows = (re.split("  +", line) for line in output.splitlines())
    return {row[0]: (row[2], row[1]) for row in rows if row[0] in GuardConfig.model_fields}


def test_every_setting_is_shown_with_value_and_origin(run, environment, tmp_path, sim):
    """Machines read the same; a key is never shown."""
    environment.setenv("FINETUNE_GUARD_KEEP_ALIVE", "21d")
    environment.setenv("FINETUNE_GUARD_MIN_MODEL_LIFETIME", "36h")
    environment.setenv("FINETUNE_GUARD_WARN_BELOW_LIFETIME", "off")
    listed = settings(run("config").stdout)
    assert list(GuardConfig.model_fields) == list(listed)
    assert {
        "store": (str(tmp_path / "history"), "FINETUNE_GUARD_STORE"),
        "policy": ("OpenAI self-serve fine-tuning", "default"),
        "on_unknown": ("raise", "default"),
        "clock": ("finetune_guard.testing:simulator_clock", "FINETUNE_GUARD_CLOCK"),
        "enabled": ("on", "default"),
        "admin_api_key": ("not set", "default"),
        "min_model_lifetime": ("36 hours", "FINETUNE_GUARD_MIN_MODEL_LIFETIME"),
        "warn_below_lifetime": ("off", "FINETUNE_GUARD_WARN_BELOW_LIFETIME"),
    }.items() <= listed.items()
    assert "FINETUNE_GUARD_KEEP_ALIVE" == listed["keep_alive"][1]
    assert "21 days" in listed["keep_alive"][0]
    data = json.loads(run("config", "--json").stdout)
    assert set(GuardConfig.model_fields) == set(data["settings"])
    hosts = {"value": [sim.host], "from": "environment", "variable": "FINETUNE_GUARD_HOSTS"}
    assert {**hosts, "problem": None} == data["settings"]["hosts"]
    assert "P1DT12H" == data["settings"]["min_model_lifetime"]["value"]
    assert (True, True) == (data["active"], data["api_key_set"])
    assert (sim.host, 0) == (data["host"], data["store"]["organizations"])


def test_store_location_and_contents_are_shown(run, says, environment, ask, model, tmp_path):
    says("config", "nothing yet", f"Store {tmp_path / 'history'}")
    ask(model)
    environment.delenv("OPENAI_API_KEY")
    to_uninstall = f"rm -r {tmp_path / 'history'}"
    says("config", "the history of one organization", to_uninstall, "not set: OPENAI_API_KEY is empty")
    environment.delenv("FINETUNE_GUARD_STORE")
    environment.setenv("HOME", str(tmp_path / "home"))
    environment.setenv("XDG_STATE_HOME", str(tmp_path / "home" / "state"))
    data = json.loads(run("config", "--json").stdout)
    assert "default" == data["settings"]["store"]["from"]
    assert data["store"]["location"].endswith("finetune-guard")
    assert not (tmp_path / "home").exists()


def test_guard_activity_is_shown_for_the_called_host(says, environment, sim):
    says("config", f"active for {sim.host}")
    environment.delenv("OPENAI_BASE_URL")
    environment.delenv("FINETUNE_GUARD_CLOCK")
    says("config", "active for api.openai.com")
    environment.setenv("OPENAI_BASE_URL", "https://gateway.example:8443/v1")
    says("config", f"FINETUNE_GUARD_HOSTS={sim.host},gateway.example:8443")
    environment.setenv("OPENAI_BASE_URL", "gateway")
    says("config", "OPENAI_BASE_URL names no host")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FINETUNE_GUARD_STROE", "FINETUNE_GUARD_STORE"),
        ("FINETUNE_GUARD_TIMEOUT", None),
        ("FINETUNE_GUARD_WEBHOOK", ""),
    ],
)
def test_misspelt_variable_is_shown_without_its_value(run, environment, name, meant):
    environment.setenv(name, "anything")
    result, unknown = run("config"), json.loads(run("config", "--json").stdout)["unknown_variables"]
    hint = f"; did you mean {meant}?" if meant else "."
    assert (meant != "") == (f"{name} is not a setting and has no effect{hint}\n" in result.stderr)
    assert ({} if meant == "" else {name: meant}) == unknown
    assert "anything" not in result.output


def test_all_wrong_values_are_shown_at_once(run, environment, tmp_path):
    environment.setenv("FINETUNE_GUARD_STROE", "/tmp/x")
    environment.setenv("FINETUNE_GUARD_ON_UNKNOWN", "perhaps")
    environment.setenv("FINETUNE_GUARD_KEEP_ALIVE", "soon")
    environment.setenv("OPENAI_BASE_URL", "http://[::1")
    result = run("config")
    assert 2 == result.exit_code
    listed = settings(result.stdout)
    assert ("WRONG, see below", "FINETUNE_GUARD_ON_UNKNOWN") == listed["on_unknown"]
    assert (str(tmp_path / "history"), "FINETUNE_GUARD_STORE") == listed["store"]
    for name in ("GUARD_STROE", "(from FINETUNE_GUARD_ON_UNKNOWN) is 'perhaps'", "KEEP_ALIVE", "BASE_URL"):
        assert name in result.stderr
    data = json.loads(run("config", "--json").stdout)
    assert "'perhaps'" in data["settings"]["on_unknown"]["problem"]
    assert "OPENAI_BASE_URL" in data["inactive_because"]


def test_disabled_guard_shows_wrong_values_as_notes(says, environment):
    environment.setenv("FINETUNE_GUARD_ENABLED", "false")
    environment.setenv("FINETUNE_GUARD_ON_UNKNOWN", "perhaps")
    says("config", "Note: No effect, since the guard is off: GuardConfig.on_unknown")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENAI_BASE_URL", "https://user:hunter2@gateway.example:8443/v1"),
        ("FINETUNE_GUARD_STORE", "redis://user:hunter2@example:6379/0"),
        ("FINETUNE_GUARD_STORE", "nonsense://user:hunter2@example:6379/0"),
        ("FINETUNE_GUARD_CLOCK", "https://user:hunter2@example"),
    ],
)
def test_passwords_are_not_shown(run, environment, variable, value):
    environment.setenv(variable, value)
    for option in ("--debug", "--json"):
        assert "hunter2" not in run("config", option).output


@pytest.mark.parametrize("variable", ["OPENAI_ADMIN_KEY", "FINETUNE_GUARD_ADMIN_API_KEY"])
def test_variable_of_the_admin_key_is_named_and_the_key_never_shown(run, environment, variable):
    assert "Admin key  not set" in run("config").stdout
    assert not json.loads(run("config", "--json").stdout)["admin_key_set"]
    environment.setenv(variable, ADMIN_KEY)
    if variable == "OPENAI_ADMIN_KEY":  # it isn't sent to a host that only a setting names
        assert "Admin key  not set for" in run("config").stdout
        environment.setenv("OPENAI_BASE_URL", "http://[")
        assert not json.loads(run("config", "--json").stdout)["admin_key_set"]
        environment.delenv("OPENAI_BASE_URL")
    assert f"Admin key  set in {variable}" in run("config").stdout
    assert json.loads(run("config", "--json", "--debug").stdout)["admin_key_set"]
