"""What a KeepAlive takes; anything else is refused when it is made."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_guard import GuardConfigError, KeepAlive

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"


def test_takes_durations_and_text():
    """Durations are timedeltas, or text as people write it."""
    expected = KeepAlive(renew_within=timedelta(days=14), model=MODEL, deadline=timedelta(seconds=30))

    assert expected == KeepAlive(renew_within="14d", model=MODEL, deadline="30s")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model": "gpt-4o-mini"}, "KeepAlive.model is 'gpt-4o-mini': a fine-tuned model's id is required"),
        ({"renew_within": timedelta(0)}, "KeepAlive.renew_within is datetime.timedelta(0): a time longer"),
        ({"deadline": "soon"}, "KeepAlive.deadline is 'soon': a time longer than zero"),
        (
            {"renew_in": "14d"},
            "KeepAlive.renew_in does not exist; did you mean renew_within? Allowed: background",
        ),
    ],
    ids=["model", "renew_within", "deadline", "unknown"],
)
def test_names_what_is_wrong(values, told):
    """The error names the field, the value and what is allowed."""
    with pytest.raises(GuardConfigError) as caught:
        KeepAlive(**values)

    assert str(caught.value).startswith(told)
