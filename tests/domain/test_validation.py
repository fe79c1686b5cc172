"""Error messages for wrong settings."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_guard.domain.validation import config_error, describe_problems, did_you_mean, format_value


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mode: Literal["raise", "allow"] = "raise"
    key: int = 0


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"mode": "rase"}, "is 'rase': input should be 'raise' or 'allow'; did you mean raise?"),
        ({"mode": 3}, "is 3: input should be 'raise' or 'allow'"),
        ({"moed": "raise"}, "Settings.moed does not exist; did you mean mode? Allowed: key, mode"),
        ({"nothing": 1}, "Settings.nothing does not exist; allowed: key, mode"),
        ({"key": "sk-a-secret"}, "Settings.key (from KEY) is of type str: input should be a valid integer"),
        ({"key": str}, "Settings.key (from KEY) is the class str: input should be a valid integer"),
    ],
)
def test_wrong_setting_is_named_with_a_suggestion(wrong, expected):
    """The line names the setting, its variable, its value unless that is secret, and what is allowed."""
    with pytest.raises(ValidationError) as caught:
        Settings(**wrong)
    fields = Settings.model_fields
    (problem,) = describe_problems(
        "Settings", caught.value, fields=fields, variables={"key": "KEY"}, secrets=("key",)
    ).values()
    assert expected in problem
    assert "sk-a-secret" not in problem
    assert "Settings." in str(config_error("Settings", caught.value, fields=fields))


def test_shown_values_are_short_and_without_secrets():
    assert "['***', 'redis://***@h']" == format_value(["sk-proj-abc123", "redis://u:p@h"])
    assert 123 == len(format_value("x" * 1_000))
    assert "" == did_you_mean("raise" * 100, ["raise"])
