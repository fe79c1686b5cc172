from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from finetune_guard.cli.timeline import DayOfEnds
from finetune_guard.cli.verdict import advise
from finetune_guard.domain.facts import Inference, Refusal, Span
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.keep_alive import KeepAlive
from tests.support.constants import BASE, DAY

AUGUST = datetime(2026, 8, 3, 9, tzinfo=timezone.utc)
JANUARY = datetime(2027, 1, 8, tzinfo=timezone.utc)
USED = {"last_inference": Inference(organization="acme", model=f"ft:{BASE}:acme::One", at=AUGUST)}
REFUSED = {"refusal": Refusal(at=AUGUST, code="training_not_available")}
NOTHING_READ = {"usage_read": (Span(start=AUGUST - 61 * DAY, end=AUGUST),)}
ENDS = (DayOfEnds(day=date(2027, 1, 14), models=("ft:x",), replacements=(), tunable=()),)


@pytest.mark.parametrize("has_admin_key", [False, True])
@pytest.mark.parametrize(
    ("facts", "now", "command", "expected"),
    [
        (USED, AUGUST, None, "A keep-alive is due from 2026-09-18 09:00 UTC on."),
        (USED, AUGUST + 50 * DAY, "keep-alive", "The window closes soon"),
        (USED, AUGUST + 61 * DAY, "sync", "is not published"),
        ({}, AUGUST, "sync", "OPENAI_ADMIN_KEY"),
        ({"no_trace_at": AUGUST}, AUGUST, "check --refresh", "a key sees its own project only"),
        (NOTHING_READ, AUGUST, "keep-alive", "is not published"),
        (REFUSED, AUGUST, "keep-alive --force", "all the same"),
        (USED | REFUSED, AUGUST + 2 * DAY, None, "the API decides"),
        (USED, JANUARY, "export my-models", "before they end"),
        ({}, JANUARY + 8 * DAY, None, "A scheduled keep-alive can be removed"),
    ],
)
def test_each_verdict_advises_one_command(run, facts, now, command, expected, has_admin_key):
    """It exists; reading the usage comes first if it can."""
    eligibility = decide(OPENAI_SELF_SERVE, Evidence(organization="acme", **facts), now)
    advice = advise(eligibility, ENDS, KeepAlive(), has_admin_key=has_admin_key)
    if command == "sync" and not has_admin_key:
        command = "keep-alive"
    assert (f"finetune-guard {command}" if command else None) == advice.command
    assert expected in advice.text or command == "sync"
    if command:
        assert f"Run finetune-guard {command}. " in advice.in_words
        assert 0 == run(*command.split(), "--help").exit_code
