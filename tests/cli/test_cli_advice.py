from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from finetune_guard.cli.advice import advise
from finetune_guard.cli.timeline import DayOfEnds
from finetune_guard.domain.facts import Inference, Refusal, Span
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.keep_alive import KeepAlive
from tests.support.constants import BASE

AUGUST = datetime(2026, 8, 3, 9, tzinfo=timezone.utc)
JANUARY = datetime(2027, 1, 8, tzinfo=timezone.utc)
USED = Inference(organization="acme", model=f"ft:{BASE}:acme::One", at=AUGUST)
ENDS = (DayOfEnds(day=date(2027, 1, 14), models=(USED.model,), replacements=(), tunable=()),)


def known(**facts):
    return Evidence(organization="acme", **facts)


@pytest.mark.parametrize(
    ("evidence", "now", "command", "said"),
    [
        (known(last_inference=USED), AUGUST, None, "A keep-alive is due from 2026-09-18 09:00 UTC on."),
        (known(last_inference=USED), AUGUST + timedelta(days=50), "keep-alive", "The window closes soon"),
        (known(last_inference=USED), AUGUST + timedelta(days=61), "keep-alive", "is not published"),
        (known(), AUGUST, "keep-alive", "OPENAI_ADMIN_KEY"),
        (known(no_trace_at=AUGUST), AUGUST, "check --refresh", "a key sees its own project only"),
        (
            known(usage_read=(Span(start=AUGUST - timedelta(days=61), end=AUGUST),)),
            AUGUST,
            "keep-alive",
            "is not published",
        ),
        (
            known(refusal=Refusal(at=AUGUST, code="training_not_available")),
            AUGUST,
            "keep-alive --force",
            "all the same",
        ),
        (
            known(last_inference=USED, refusal=Refusal(at=AUGUST, code="training_not_available")),
            AUGUST + timedelta(days=2),
            None,
            "the API decides",
        ),
        (known(last_inference=USED), JANUARY, "export my-models", "before they end"),
        (known(), JANUARY + timedelta(days=8), None, "A scheduled keep-alive can be removed"),
    ],
)
def test_the_one_thing_to_do(run, evidence, now, command, said):
    """Each verdict comes with one command, which exists, or with what to do otherwise."""
    advice = advise(decide(OPENAI_SELF_SERVE, evidence, now), ENDS, KeepAlive(), has_admin_key=False)
    assert (f"finetune-guard {command}" if command else None, True) == (advice.command, said in advice.text)
    if command:
        assert 0 == run(*command.split(), "--help").exit_code


@pytest.mark.parametrize("last", [None, USED])
def test_with_an_admin_key_the_usage_is_read_first(run, last):
    """Reading what others ran costs nothing, and comes before an inference that may be in vain."""
    eligibility = decide(OPENAI_SELF_SERVE, known(last_inference=last), AUGUST + timedelta(days=61))
    advice = advise(eligibility, ENDS, KeepAlive(), has_admin_key=True)
    assert "Run finetune-guard sync." in advice.in_words
