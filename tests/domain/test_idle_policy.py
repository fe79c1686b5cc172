"""Rules about idle deployments, and files with such rules."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.hosts import is_pattern
from finetune_guard.domain.idle_policy import AZURE, SHIPPED, IdlePolicy, in_force
from finetune_guard.domain.policy_file import policies_in
from tests.support.constants import utc

OWN = """\
# Rules of our own
[[idle]]
name = "Acme endpoints"
hosts = ["*.acme.example", "10.0.0.7:8000"]
subject = "deployment"
covers = "all"
window = "10d"
resets = ["chat.completions"]
consequence = "deleted"
reversible = false
cost = "Acme bills by the hour."
confidence = "observed"
source = "our own tests"
as_of = 2026-11-20
"""


def test_shipped_windows_and_warning_times():
    assert [
        (AZURE, 15, "deleted", "documented"),
        ("Fireworks on-demand deployments", 7, "deleted", "documented"),
        ("Together dedicated endpoints v1", 1 / 24, "stopped", "documented"),
        ("Bedrock Legacy models", 15, "access_lost", "documented"),
        ("Bedrock Legacy models, as the API says", 30, "access_lost", "observed"),
    ] == [
        (policy.name, policy.window / timedelta(days=1), policy.consequence, policy.confidence)
        for policy in SHIPPED
    ]
    expected = [timedelta(days=3), timedelta(minutes=12)]
    assert expected == [policy.warn_within for policy in (SHIPPED[0], SHIPPED[2])]
    assert all(is_pattern(host) for policy in SHIPPED for host in policy.hosts)


@pytest.mark.parametrize(
    ("policy", "called", "ends"),
    [
        (SHIPPED[0], [utc(2026, 12, 1, 9, 30)], (utc(2026, 12, 15, 10), utc(2026, 12, 17, 12))),
        (SHIPPED[0], [utc(2026, 12, 1), utc(2026, 12, 2)], (utc(2026, 12, 15, 10), utc(2026, 12, 18, 12))),
        (SHIPPED[2], [utc(2026, 12, 1, 9, 30)], (utc(2026, 12, 1, 10, 30),) * 2),
        (SHIPPED[0], [utc(9999, 12, 31, 23)], (utc(9999, 12, 29, 10), utc(9999, 12, 31, 12))),
    ],
    ids=["days", "a call at an unknown hour", "minutes", "the end of time"],
)
def test_window_of_days_ends_in_a_band_and_of_minutes_at_an_instant(policy, called, ends):
    assert ends == policy.ends(*called)


@pytest.mark.parametrize("window", [timedelta(0), timedelta(days=3_651)])
def test_window_of_zero_or_over_ten_years_is_refused(window):
    with pytest.raises(ValidationError, match=r"greater than|less than or equal"):
        IdlePolicy.model_validate({**SHIPPED[0].model_dump(), "window": window})


def in_json(text: str = OWN) -> str:
    [policy] = policies_in(text, "own.toml")
    return json.dumps({"idle": [json.loads(policy.model_dump_json())]}, indent=1)


@pytest.mark.parametrize(("text", "file"), [(OWN, "own.toml"), (in_json(), "own.JSON"), (OWN, "rules")])
def test_toml_and_json_files_give_the_same_rule(text, file):
    [policy] = policies_in(text, file)
    assert ("Acme endpoints", ("*.acme.example", "10.0.0.7:8000")) == (policy.name, policy.hosts)
    assert (timedelta(days=10), False, date(2026, 11, 20)) == (policy.window, policy.reversible, policy.as_of)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (("10d", "ten days"), "own.toml, line 7: window is 'ten days': a time longer than zero"),
        (('"10d"', "true"), "own.toml, line 7: window is True: a time longer"),
        (('"10d"', '"0.000000d"'), "own.toml, line 7: window is '0.000000d'"),
        (('"deleted"', '"removed"'), "own.toml, line 9: consequence is 'removed': input should be 'deleted'"),
        (("reversible", "reversable"), "own.toml, line 10: reversable does not exist; did you mean"),
        (
            ("reversible = false", "zzz = 1"),
            "own.toml, line 10: zzz does not exist; allowed: as_of, condition",
        ),
        (("reversible = false", ""), "line 2: reversible is missing from the rule that begins here"),
        (('"10.0.0.7:8000"', '"https://acme.example/v1"'), "line 4: hosts is 'https://acme.example/v1': a"),
        (("2026-11-20", "2026-11-20\n[[idle"), "own.toml is not TOML:"),
        (("2026-11-20", f"2026-11-20\n{OWN}"), "line 17: name is 'Acme endpoints': another rule has"),
        (("# Rules of our own", "title = 'x'"), "own.toml, line 1: title does not exist; allowed: idle"),
        ((OWN, "\ntitle = 'x'"), "own.toml holds no rule: tables that begin with"),
        ((OWN, "idle = [1]"), "own.toml, line 1: the rule is 1: input should be a valid dictionary"),
        (('"P10D"', '"soon"'), "own.json, line 11: window is 'soon'"),
        (('"name"', '"title"'), "own.json, line 4: title does not exist"),
        (("]\n}", "]"), "own.json is not JSON: Expecting ',' delimiter: line 2"),
        (('"name": "Acme endpoints"', '"cost": "x", "cost": "y"'), "own.json is not JSON: cost occurs twice"),
        ((in_json(), "[" * 100_000), "own.json is nested too deeply"),
        ((in_json(), "[]"), "own.json holds no rule: an object"),
        (('{\n "idle"', '{"idle\\u0020": [],\n "idle"'), "own.json, line 1: idle does not exist"),
    ],
)
def test_error_in_a_file_names_line_field_and_allowed_values(wrong, expected):
    file = "own.json" if "own.json" in expected else "own.toml"
    with pytest.raises(GuardConfigError) as caught:
        policies_in((in_json() if file == "own.json" else OWN).replace(*wrong), file)
    assert expected in str(caught.value)


def test_user_rule_replaces_the_shipped_rule_of_the_same_name():
    own = SHIPPED[0].model_copy(update={"window": timedelta(days=10)})
    other = own.model_copy(update={"name": "another"})
    assert (own, other, *SHIPPED[1:]) == in_force((own, other))
